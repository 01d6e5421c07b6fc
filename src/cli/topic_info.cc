#include "cli/topic_info.h"

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace walrus::cli {
namespace {

std::optional<std::int64_t> number(const nlohmann::json& object, const char* name) {
  auto found = object.find(name);
  if (found == object.end() || !found->is_number_integer()) return std::nullopt;
  return found->get<std::int64_t>();
}

}  // namespace

Result<std::vector<PartitionInfo>> describe_partitions(Client& client, Bytes topic) {
  WALRUS_ASSIGN(auto text, client.describe(topic));
  auto malformed = fail(Code::kCorrupt, "DESCRIBE: not the reply of a Walrus server");
  auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("partitions") || !json["partitions"].is_array())
    return malformed;
  std::vector<PartitionInfo> result;
  for (const auto& item : json["partitions"]) {
    if (!item.is_object()) return malformed;
    auto partition = number(item, "partition");
    auto start = number(item, "log_start"), end = number(item, "high_watermark");
    if (!partition || !start || !end) return malformed;
    result.push_back({static_cast<std::int32_t>(*partition), Offset{*start}, Offset{*end}});
  }
  return result;
}

}  // namespace walrus::cli
