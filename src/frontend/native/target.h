#pragma once
// `topic` or `topic/partition`, from the wire's terms into the broker's.

#include <string>

#include "broker/broker.h"
#include "wire/native/request.h"

namespace walrus::frontend::native {

inline broker::Partition partition_of(const wire::native::Target& target) {
  if (!target.partition) return std::nullopt;
  return static_cast<std::size_t>(*target.partition);
}

inline std::string name_of(const wire::native::Target& target) {
  if (!target.partition) return std::string(target.topic);
  return fmt::format("{}/{}", target.topic, *target.partition);
}

}  // namespace walrus::frontend::native
