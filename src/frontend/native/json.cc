#include "frontend/native/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "wire/native/request.h"

namespace walrus::frontend::native {
namespace {

using Json = nlohmann::ordered_json;

Json config_object(const broker::TopicConfig& topic) {
  Json config = Json::object();
  for (auto& [name, value] : broker::list_config(topic)) config[name] = value;
  return config;
}

Json nodes(const std::vector<NodeId>& ids) {
  Json array = Json::array();
  for (auto id : ids) array.push_back(id.value);
  return array;
}

Json segment_array(const std::vector<broker::LogSegment>& segments) {
  Json array = Json::array();
  std::int64_t number = 0;
  for (const auto& segment : segments)
    array.push_back({{"segment", ++number},
                     {"epoch", segment.epoch},
                     {"base_offset", segment.base_offset},
                     {"end_offset", segment.end_offset},
                     {"records", segment.records},
                     {"bytes", segment.bytes},
                     {"state", segment.sealed ? "sealed" : "open"},
                     {"leader", segment.leader.value},
                     {"replicas", nodes(segment.replicas)}});
  return array;
}

}  // namespace

Result<std::string> state_json(const broker::Topic& topic, std::size_t partition) {
  const auto& log = *topic.partitions[partition];
  WALRUS_ASSIGN(auto bounds, log.bounds());
  auto segments = log.segments();
  auto sealed = Json::object(), leaders = Json::object();
  std::int64_t number = 0, sealed_records = 0;
  for (const auto& segment : segments) {
    auto key = std::to_string(++number);
    leaders[key] = segment.leader.value;
    if (!segment.sealed) continue;
    sealed[key] = segment.records;
    sealed_records += segment.records;
  }
  if (segments.empty()) {  // nothing written yet: the first segment is the open one
    number = 1;
    leaders["1"] = bounds.leader.value;
  } else if (segments.back().sealed) {  // the next record opens another
    leaders[std::to_string(++number)] = bounds.leader.value;
  }
  return Json{{"current_segment", number},
              {"leader_node", bounds.leader.value},
              {"last_sealed_entry_offset", sealed_records},
              {"sealed_segments", sealed},
              {"segment_leaders", leaders},
              {"partitions", topic.partitions.size()}}
      .dump();
}

std::string metrics_json(broker::Local& local, Bytes address) {
  auto node = local.broker().options().node_id;
  auto id = std::to_string(node);
  // What a single node has in place of a metadata log: its catalogue, one entry per stream made.
  std::uint64_t last_index = 0;
  for (const auto& stream : local.engine().list(""))
    last_index = std::max(last_index, log::stream_id(stream));
  Json log_id{{"leader_id", {{"term", 1}, {"node_id", node}}}, {"index", last_index}};
  auto healthy = local.engine().health();
  Json running = healthy ? Json{{"Ok", nullptr}} : Json{{"Err", healthy.error().message}};
  Json membership{{"configs", {{node}}}, {"nodes", {{id, {{"addr", address}}}}}};
  return Json{{"running_state", running},
              {"id", node},
              {"current_term", 1},
              {"vote", {{"leader_id", {{"term", 1}, {"node_id", node}}}, {"committed", true}}},
              {"last_log_index", last_index},
              {"last_applied", log_id},
              {"snapshot", nullptr},
              {"purged", nullptr},
              {"state", "Leader"},
              {"current_leader", node},
              {"millis_since_quorum_ack", 0},
              {"last_quorum_acked", nullptr},
              {"membership_config", {{"log_id", nullptr}, {"membership", membership}}},
              {"heartbeat", {{id, nullptr}}},
              {"replication", {{id, log_id}}}}
      .dump(2);
}

std::string list_json(const std::vector<broker::TopicSummary>& topics) {
  auto array = Json::array();
  for (const auto& topic : topics) {
    if (!wire::native::valid_topic_name(topic.name)) continue;  // made by the embedded face
    auto& item = array.emplace_back(Json{{"name", topic.name},
                                         {"id", topic.id},
                                         {"partitions", topic.partitions},
                                         {"records", topic.records},
                                         {"bytes", topic.bytes}});
    if (topic.stale > 0) item["stale_partitions"] = topic.stale;
  }
  return array.dump();
}

Result<std::string> describe_json(const broker::Topic& topic,
                                  const std::vector<Result<broker::LogStatus>>& statuses) {
  auto partitions = Json::array();
  for (std::size_t i = 0; i < statuses.size(); ++i) {
    if (!statuses[i]) return std::unexpected(statuses[i].error());
    const auto& [current, leader, epoch, info, segments] = *statuses[i];
    auto& item = partitions.emplace_back(Json{{"partition", i},
                                              {"leader", leader.value},
                                              {"epoch", epoch},
                                              {"log_start", info.log_start.value},
                                              {"high_watermark", info.high_watermark.value},
                                              {"log_end", info.log_end.value},
                                              {"bytes", info.bytes},
                                              {"segments", segment_array(segments)}});
    if (!current) item["stale"] = true;
  }
  return Json{{"name", topic.name},
              {"id", topic.number()},
              {"config", config_object(topic.config)},
              {"partitions", partitions}}
      .dump();
}

std::string config_json(const broker::TopicConfig& topic) { return config_object(topic).dump(); }

std::string users_json(const broker::UserTable& table) {
  auto array = Json::array();
  for (const auto& [name, credentials] : table.users()) {
    auto list = Json::array();
    for (const auto& [mechanism, credential] : credentials)
      list.push_back({{"mechanism", wire::sasl::scram_name(mechanism)},
                      {"iterations", credential.iterations}});
    array.push_back({{"name", name}, {"credentials", list}});
  }
  return array.dump();
}

}  // namespace walrus::frontend::native
