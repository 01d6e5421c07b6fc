#pragma once
// `topic` or `topic/partition`, as users write it.

#include "base/result.h"
#include "wire/native/request.h"

namespace walrus::client {

Result<wire::native::Target> parse_target(Bytes text);

}  // namespace walrus::client
