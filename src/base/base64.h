#pragma once
// Base64 with padding (RFC 4648, section 4).

#include <optional>
#include <string>

#include "walrus/log.h"

namespace walrus {

std::string base64(Bytes);
// Strict: no white space, no missing padding, no bits left over. None: not base64.
std::optional<std::string> parse_base64(Bytes);

}  // namespace walrus
