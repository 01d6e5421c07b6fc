#pragma once
// The directory of a namespace: <root>/<escaped key>. Two keys never share a directory and no key
// leads out of the root.
//
//   key "" is the root itself.
//   Letters, digits, '_', '-' and '.' stand for themselves, every other byte is %XX (upper case).
//   A leading '.' is escaped too: neither ".", ".." nor a hidden name comes out.
//   The first byte of a name that the engine uses itself ("journal", "LOCK"...) is escaped.
//   What is longer than 200 bytes then is cut into nested directories: a piece that another one
//   follows ends with '+', a piece that follows another one begins with '+'. A '+' of the key
//   itself is %2B.
//
// Names that the engine may add to its directory in later versions begin with a '.': an escaped
// key never does.

#include "base/result.h"

namespace walrus::log {

constexpr std::size_t kNamespaceKeyBytesMax = 1000;

// The path relative to the root; empty for the empty key. kInvalid: the key is too long.
Result<std::filesystem::path> namespace_path(Bytes key);

}  // namespace walrus::log
