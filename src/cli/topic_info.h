#pragma once
// What DESCRIBE says of a topic, as far as verbs act on it.

#include <vector>

#include "walrus/client.h"

namespace walrus::cli {

struct PartitionInfo {
  std::int32_t partition = 0;
  Offset log_start{}, high_watermark{};
};

Result<std::vector<PartitionInfo>> describe_partitions(Client&, Bytes topic);

}  // namespace walrus::cli
