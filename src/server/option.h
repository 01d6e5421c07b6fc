#pragma once
// The option table: every configuration key with its type, default, limits and meaning. The TOML
// file, the environment, --set, --print-config and docs/configuration.md are all derived from it.

#include <cstdint>
#include <limits>
#include <span>

#include "walrus/log.h"

namespace walrus::server {

enum class OptionType {
  kString,
  kInteger,
  kBoolean,
  kList,
  kDurability,
  kAddress,
  kOptionalAddress,
  kAddresses,  // any number of them
  kChoice
};

struct Option {
  Bytes key{};  // "native.frame_bytes_max"
  OptionType type = OptionType::kString;
  Bytes fallback{};  // the default, as it would stand in the environment
  std::int64_t min = 0, max = std::numeric_limits<std::int64_t>::max();  // kInteger
  Bytes help{};
  Bytes choices{};  // kChoice, and each element of a kList: "none|requested|required"
};

std::span<const Option> options();
const Option* find_option(Bytes key);

}  // namespace walrus::server
