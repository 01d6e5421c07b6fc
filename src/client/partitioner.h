#pragma once
// Which partition a key belongs to: MurmurHash2 with the seed and the sign rule of Kafka's default
// partitioner (org.apache.kafka.common.utils.Utils.murmur2), so that both faces agree.

#include <cstdint>

#include "walrus/log.h"

namespace walrus::client {

std::uint32_t murmur2(Bytes);
inline std::int32_t partition_of(Bytes key, std::int32_t partitions) {
  return static_cast<std::int32_t>(murmur2(key) & 0x7fffffff) % partitions;
}

}  // namespace walrus::client
