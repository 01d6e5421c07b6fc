#include "frontend/native/groups.h"

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

// Nothing: its topic, or the one that it was committed for, is not there.
std::optional<Json> describe_offset(broker::Local& local, const broker::CommittedOffset& one) {
  auto topic = local.find(one.topic, static_cast<std::size_t>(one.partition));
  if (!topic || (*topic)->number() != one.topic_id) return std::nullopt;
  auto bounds = (*topic)->partitions[static_cast<std::size_t>(one.partition)]->bounds();
  if (!bounds) return std::nullopt;
  auto end = bounds->high_watermark.value;
  return Json{
      {"topic", one.topic},
      {"partition", one.partition},
      {"offset", one.offset},
      {"log_start", bounds->log_start.value},
      {"high_watermark", end},
      {"lag", std::max<std::int64_t>(end - std::max(one.offset, bounds->log_start.value), 0)},
      {"metadata", one.metadata}};
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

io::Task<std::string> describe_group(GroupCall call, std::string group) {
  auto& loop = call.local.loop();
  WALRUS_CO_ASSIGN(auto found, co_await call.groups->ask(loop, &broker::Groups::describe, group));
  if (!found) co_return refuse(text::unknown_group(group));
  WALRUS_CO_ASSIGN(auto committed,
                   co_await call.groups->ask(loop, &broker::Groups::committed, group));
  auto offsets = Json::array();
  for (const auto& one : committed)
    if (auto described = describe_offset(call.local, one)) offsets.push_back(std::move(*described));
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
  std::vector<broker::CommittedOffset> commits;
  for (const auto& one : offsets) {
    auto place = static_cast<std::size_t>(one.partition);
    if (place >= found->partitions.size())
      co_return refuse(text::unknown_topic(fmt::format("{}/{}", topic, one.partition)));
    WALRUS_CO_ASSIGN(auto bounds, found->partitions[place]->bounds());
    if (Offset{one.offset} < bounds.log_start || Offset{one.offset} > bounds.high_watermark)
      co_return refuse(text::out_of_range(bounds.log_start.value, bounds.high_watermark.value));
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
