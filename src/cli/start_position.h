#pragma once
// Where --from begins: earliest | latest | OFFSET | -N | TIME.

#include "cli/topic_info.h"

namespace walrus::cli {

Result<void> check_start(Bytes from);  // kInvalid: none of these
Result<Offset> start_position(Client&, Bytes target, const PartitionInfo&, Bytes from);

}  // namespace walrus::cli
