#pragma once
// Bytes of ours that begin with the version of their form.

#include "base/coding.h"
#include "base/result.h"

namespace walrus {

// What follows the version. kCorrupt: there is none; kVersion: it is another one.
inline Result<Decoder> open_versioned(Bytes bytes, std::uint8_t version, const char* what) {
  Decoder from(bytes);
  auto found = from.le<std::uint8_t>();
  if (!found) return fail(Code::kCorrupt, "malformed {}", what);
  if (*found != version)
    return fail(Code::kVersion, "{} of version {}, this node knows {}", what, *found, version);
  return from;
}

}  // namespace walrus
