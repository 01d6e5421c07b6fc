#pragma once

#include <string>

namespace walrus::cli {

std::string version_line();  // "walrus 0.1.0 (<commit>)"

}  // namespace walrus::cli
