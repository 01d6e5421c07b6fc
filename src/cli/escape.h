#pragma once
// Backslash escapes in delimiters and formats: \n \r \t \0 \\ \xHH.

#include "base/result.h"

namespace walrus::cli {

Result<std::string> unescape(Bytes);

}  // namespace walrus::cli
