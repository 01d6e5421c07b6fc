#include "frontend/native/groups.h"

#include <map>
#include <nlohmann/json.hpp>

#include "wire/kafka/assignment.h"
#include "wire/native/errors.h"

namespace walrus::frontend::native {
namespace {

namespace text = wire::native::text;
using broker::GroupError;
using Json = nlohmann::ordered_json;

// What Kafka clients call themselves and their groups should be UTF-8, and nobody makes sure.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::unexpected<Error> refuse(std::string why) {
  return std::unexpected(Error{Code::kInvalid, std::move(why)});
}

// In the protocol's words.
Result<void> outcome(GroupError error, Bytes group) {
  switch (error) {
    case GroupError::kNone: return {};
    case GroupError::kInvalidGroup: return refuse(std::string(text::kInvalidGroupName));
    case GroupError::kTooLarge: return fail(Code::kTooLarge, "more offsets than fit into a batch");
    case GroupError::kGroupFull: return fail(Code::kTooLarge, "there are too many groups");
    case GroupError::kUnknownGroup: return refuse(text::unknown_group(group));
    case GroupError::kNotAvailable: return fail(Code::kBusy, "the coordinator is not available");
    default: return refuse(text::group_has_members(group));
  }
}

// What it reads, where its clients are of Kafka's consumer protocol.
Json partitions_of(const broker::GroupSummary& group, const broker::GroupMember& member) {
  auto list = Json::array();
  if (group.protocol_type != "consumer") return list;
  auto assigned = wire::kafka::decode_assignment(member.assignment);
  if (!assigned) return list;
  for (const auto& topic : assigned->topics)
    for (auto partition : topic.partitions)
      list.push_back({{"topic", topic.name}, {"partition", partition}});
  return list;
}

Json members_of(const broker::GroupSummary& group) {
  auto list = Json::array();
  for (const auto& member : group.members)
    list.push_back({{"id", member.id},
                    {"instance_id", member.instance_id ? Json(*member.instance_id) : Json()},
                    {"client_id", member.client_id},
                    {"client_host", member.client_host},
                    {"partitions", partitions_of(group, member)}});
  return list;
}

// What was committed, and its partition; offsets whose topic is not there, or is another one than
// they were committed for, are left out.
struct Committed {
  broker::CommittedOffset offset{};
  broker::LogRef log{};
};
std::vector<Committed> find_partitions(broker::Local& local,
                                       std::vector<broker::CommittedOffset> offsets) {
  std::vector<Committed> found;
  for (auto& one : offsets) {
    auto place = static_cast<std::size_t>(one.partition);
    auto topic = local.find(one.topic, place);
    if (!topic || (*topic)->number() != one.topic_id) continue;
    found.push_back({std::move(one), (*topic)->partitions[place]});
  }
  return found;
}

Json offset_of(const broker::CommittedOffset& one, const broker::LogInfo& info) {
  auto start = info.log_start.value, end = info.high_watermark.value;
  return {{"topic", one.topic},
          {"partition", one.partition},
          {"offset", one.offset},
          {"log_start", start},
          {"high_watermark", end},
          {"lag", std::max<std::int64_t>(end - std::max(one.offset, start), 0)},
          {"metadata", one.metadata}};
}

// By the word of whoever writes them, who need not be this node.
io::Task<std::vector<Result<broker::LogStatus>>> look(broker::Local& local,
                                                      std::vector<broker::LogRef> logs) {
  return local.broker().catalogue().look(local.loop(), std::move(logs),
                                         broker::Catalogue::Look::kSizes);
}

}  // namespace

io::Task<std::string> list_groups(GroupCall call) {
  WALRUS_CO_ASSIGN(auto groups, co_await call.groups->list(call.local.loop()));
  auto list = Json::array();
  for (const auto& group : groups)
    list.push_back({{"name", group.id},
                    {"state", broker::group_state_name(group.state)},
                    {"protocol_type", group.protocol_type}});
  co_return dump(list);
}

Result<std::string> merge_group_lists(const std::vector<std::string>& lists) {
  std::map<std::string, Json> groups;
  for (const auto& list : lists) {
    auto parsed = Json::parse(list, nullptr, false);
    if (!parsed.is_array()) return fail(Code::kCorrupt, "no list of groups");
    for (auto& group : parsed) {
      if (!group.is_object() || !group.contains("name") || !group["name"].is_string())
        return fail(Code::kCorrupt, "no list of groups");
      auto name = group["name"].get<std::string>();
      groups.insert_or_assign(std::move(name), std::move(group));
    }
  }
  auto all = Json::array();
  for (auto& [name, group] : groups) all.push_back(std::move(group));
  return dump(all);
}

io::Task<std::string> describe_group(GroupCall call, std::string group) {
  auto& loop = call.local.loop();
  WALRUS_CO_ASSIGN(auto found, co_await call.groups->ask(loop, &broker::Groups::describe, group));
  if (!found) co_return refuse(text::unknown_group(group));
  WALRUS_CO_ASSIGN(auto committed,
                   co_await call.groups->ask(loop, &broker::Groups::committed, group));
  auto found_offsets = find_partitions(call.local, std::move(committed));
  std::vector<broker::LogRef> logs;
  for (const auto& one : found_offsets) logs.push_back(one.log);
  WALRUS_CO_ASSIGN(auto statuses, co_await look(call.local, std::move(logs)));
  auto offsets = Json::array();
  for (std::size_t i = 0; i < statuses.size(); ++i)
    if (statuses[i]) offsets.push_back(offset_of(found_offsets[i].offset, statuses[i]->info));
  co_return dump({{"name", group},
                  {"state", broker::group_state_name(found->state)},
                  {"protocol_type", found->protocol_type},
                  {"protocol", found->protocol},
                  {"members", members_of(*found)},
                  {"offsets", offsets}});
}

io::Task<void> set_group(GroupCall call, std::string topic,
                         std::vector<wire::native::GroupOffset> offsets, std::string group) {
  WALRUS_CO_ASSIGN(auto found, call.local.find(topic));
  std::vector<broker::LogRef> logs;
  for (const auto& one : offsets) {
    auto place = static_cast<std::size_t>(one.partition);
    if (place >= found->partitions.size())
      co_return refuse(text::unknown_topic(fmt::format("{}/{}", topic, one.partition)));
    logs.push_back(found->partitions[place]);
  }
  WALRUS_CO_ASSIGN(auto statuses, co_await look(call.local, std::move(logs)));
  std::vector<broker::CommittedOffset> commits;
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    const auto& one = offsets[i];
    if (!statuses[i]) co_return std::unexpected(statuses[i].error());
    const auto& info = statuses[i]->info;
    if (Offset{one.offset} < info.log_start || Offset{one.offset} > info.high_watermark)
      co_return refuse(text::out_of_range(info.log_start.value, info.high_watermark.value));
    commits.push_back({.topic = topic,
                       .partition = one.partition,
                       .topic_id = found->number(),
                       .offset = one.offset,
                       .committed_ms = call.local.engine().trusted_ms()});
  }
  WALRUS_CO_ASSIGN(auto error, co_await call.groups->ask(call.local.loop(), &broker::Groups::commit,
                                                         group, broker::MemberEvent{}, commits));
  co_return outcome(error, group);
}

io::Task<void> delete_group(GroupCall call, std::string group) {
  WALRUS_CO_ASSIGN(auto error,
                   co_await call.groups->ask(call.local.loop(), &broker::Groups::remove, group));
  co_return outcome(error, group);
}

}  // namespace walrus::frontend::native
