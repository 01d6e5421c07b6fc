#pragma once
// Topics as users write them. What would change the request that it goes into is refused here.

#include "base/result.h"
#include "wire/native/request.h"

namespace walrus::client {

Result<wire::native::Target> parse_target(Bytes text);  // `topic` or `topic/partition`
Result<Bytes> parse_topic(Bytes text);                  // `topic`

}  // namespace walrus::client
