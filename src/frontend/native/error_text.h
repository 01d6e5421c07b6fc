#pragma once
// What the engine and the broker refuse, in the words of the native protocol.

#include <string>

#include "base/result.h"

namespace walrus::frontend::native {

// Without `ERR `. `target` is what the request named. `failed`: the engine has ended after an I/O
// error, so that "closed" does not mean an orderly stop.
std::string error_text(const Error&, Bytes target, bool failed);

}  // namespace walrus::frontend::native
