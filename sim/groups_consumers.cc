#include <algorithm>
#include <ranges>

#include "groups_run.h"
#include "kafka_peer.h"
#include "wire/kafka/cluster.h"

namespace walrus::sim {
namespace {

using namespace wire::kafka;
using namespace std::chrono_literals;

constexpr Bytes kGroup = "g", kTopic = "t";
enum Error : std::int16_t {
  kNotAvailable = 15,
  kIllegalGeneration = 22,
  kUnknownMember = 25,
  kRebalancing = 27,
  kMemberIdRequired = 79,
  kFencedInstance = 82
};

// Its views are of what it was made from.
template <class Consumer>
SyncGroupRequest sync_request(const Consumer& consumer, const std::vector<std::string>& parts) {
  SyncGroupRequest request{
      .group_id = kGroup, .generation_id = consumer.generation, .member_id = consumer.member_id};
  if (consumer.instance) request.group_instance_id = *consumer.instance;
  for (std::size_t i = 0; i < parts.size(); ++i)
    request.assignments.push_back({.member_id = consumer.led[i], .assignment = parts[i]});
  return request;
}

}  // namespace

// One connection: joins, and does what members do until it breaks, leaves or dies.
GroupsRun::Done GroupsRun::consume(Consumer& consumer) {
  if (finishing_) co_return Result<void>();
  WALRUS_CO_ASSIGN(auto connection, co_await loop_->connect(options_.kafka.listen, 10s));
  KafkaPeer peer(std::move(connection));
  MetadataRequest metadata{.topics = std::vector<MetadataRequest::Topic>{{.name = kTopic}}};
  WALRUS_CO_ASSIGN(auto described, co_await peer.ask<MetadataResponse>(metadata, 9));
  if (described.topics.at(0).error_code != 0) co_return fail(Code::kBusy, "no topic yet");
  // Whoever is a member still asks what it has.
  if (consumer.generation >= 0) WALRUS_CO_TRY(co_await sync(consumer, peer));
  while (!violation_ && !finishing_) {
    if (consumer.generation < 0) WALRUS_CO_TRY(co_await join(consumer, peer));
    if (consumer.generation < 0) continue;
    switch (draw(16)) {
      case 0: die(consumer); co_return fail(Code::kClosed, "dies");
      case 1: co_return co_await leave(consumer, peer);
      case 2: WALRUS_CO_TRY(co_await commit_fenced(consumer, peer)); break;
      case 3: WALRUS_CO_TRY(co_await check_offsets(consumer, peer)); break;
      case 4: consumer.generation = -1; break;  // joins again without a reason
      case 5:
      case 6: WALRUS_CO_TRY(co_await heartbeat(consumer, peer)); break;
      default: WALRUS_CO_TRY(co_await commit(consumer, peer));
    }
    co_await loop_->sleep(Millis(draw(30)));
  }
  co_return Result<void>();
}

GroupsRun::Done GroupsRun::join(Consumer& consumer, KafkaPeer& peer) {
  JoinGroupRequest request{.group_id = kGroup,
                           .session_timeout_ms = 400,
                           .rebalance_timeout_ms = 600,
                           .member_id = consumer.member_id,
                           .protocol_type = "consumer"};
  if (consumer.instance) request.group_instance_id = *consumer.instance;
  request.protocols.push_back({.name = "random", .metadata = kTopic});
  WALRUS_CO_ASSIGN(auto answer, co_await peer.ask<JoinGroupResponse>(request, 7));
  operation(answer.error_code == 0);
  say(fmt::format("{} joins as '{}': error {} generation {} member {} leader {}", consumer.name,
                  consumer.member_id, answer.error_code, answer.generation_id, answer.member_id,
                  answer.leader));
  if (answer.error_code == kMemberIdRequired) consumer.member_id = answer.member_id;
  if (answer.error_code != 0) {
    take_error(consumer, answer.error_code);
    co_return Result<void>();
  }
  if (consumer.instance && consumer.member_id.empty() && answer.generation_id > 1)
    ++tally_.hits["static-rejoin"];
  consumer.member_id = answer.member_id;
  consumer.generation = answer.generation_id;
  consumer.led.clear();
  for (const auto& member : answer.members) consumer.led.push_back(member.member_id);
  consumer.synced = false;
  co_return co_await sync(consumer, peer);
}

// By a leader: who gets what. Another one each time.
std::vector<std::string> GroupsRun::assignment(const Consumer& leader) {
  std::vector<std::string> parts(leader.led.size());
  for (std::int32_t p = 0; p < options_.kafka.session.node.partitions_default && !parts.empty();
       ++p)
    parts[draw(parts.size())] += static_cast<char>('0' + p);
  return parts;
}

GroupsRun::Done GroupsRun::sync(Consumer& consumer, KafkaPeer& peer) {
  SyncGroupResponse answer;
  if (!consumer.led.empty() && draw(3) == 0) {
    WALRUS_CO_TRY(co_await sync_twice(consumer, peer, answer));
  } else {
    auto parts = assignment(consumer);
    WALRUS_CO_ASSIGN(answer,
                     co_await peer.ask<SyncGroupResponse>(sync_request(consumer, parts), 5));
  }
  operation(answer.error_code == 0);
  say(fmt::format("{} syncs generation {}: error {} assignment '{}'", consumer.name,
                  consumer.generation, answer.error_code, answer.assignment));
  if (take_error(consumer, answer.error_code)) co_return Result<void>();
  consumer.synced = true;
  consumer.owned.clear();
  for (char digit : answer.assignment) consumer.owned.push_back(digit - '0');
  check_owners(consumer, answer);
  co_return co_await check_offsets(consumer, peer);
}

// A leader that has waited for too long asks again, on another connection, and has come to
// something else meanwhile. The power may go as soon as it knows what holds.
GroupsRun::Done GroupsRun::sync_twice(Consumer& consumer, KafkaPeer& peer,
                                      SyncGroupResponse& answer) {
  ++tally_.hits["sync-again"];
  WALRUS_CO_ASSIGN(auto connection, co_await loop_->connect(options_.kafka.listen, 10s));
  KafkaPeer other(std::move(connection));
  auto first = assignment(consumer), second = assignment(consumer);
  WALRUS_CO_TRY(co_await peer.send(sync_request(consumer, first), 5));
  co_await loop_->sleep(std::chrono::microseconds(draw(3'000)));
  WALRUS_CO_ASSIGN(answer,
                   co_await other.ask<SyncGroupResponse>(sync_request(consumer, second), 5));
  if (answer.error_code == 0 && draw(2) == 0) {
    ++tally_.hits["cut-after-sync"];
    cut_now_ = true;
  }
  WALRUS_CO_ASSIGN(auto older, co_await peer.receive<SyncGroupResponse>(5));
  if (older.error_code == 0) check_owners(consumer, older);
  co_return Result<void>();
}

void GroupsRun::check_owners(const Consumer& consumer, const SyncGroupResponse& answer) {
  auto who = consumer.instance.value_or(consumer.member_id);
  for (char digit : answer.assignment) {
    auto [owner, is_new] = owners_.try_emplace({consumer.generation, digit - '0'}, who);
    if (owner->second != who)
      flag("two-owners", fmt::format("partition {} of generation {} belongs to {} and to {}", digit,
                                     consumer.generation, owner->second, who));
  }
}

GroupsRun::Done GroupsRun::check_offsets(Consumer& consumer, KafkaPeer& peer) {
  OffsetFetchRequest request{.group_id = kGroup};
  auto& topic = request.topics.emplace().emplace_back();
  topic.name = kTopic;
  for (std::int32_t p = 0; p < options_.kafka.session.node.partitions_default; ++p)
    topic.partitions.push_back(p);
  auto known = offsets_;  // what was acknowledged before the question
  WALRUS_CO_ASSIGN(auto answer, co_await peer.ask<OffsetFetchResponse>(request, 7));
  ++tally_.reads;
  if (answer.error_code != 0) {
    take_error(consumer, answer.error_code);
    co_return Result<void>();
  }
  for (const auto& part : answer.topics.at(0).partitions) {
    if (part.offset < known[part.index].acknowledged)
      flag("commit-lost", fmt::format("partition {}: offset {}, {} was acknowledged", part.index,
                                      part.offset, known[part.index].acknowledged));
    if (part.offset > offsets_[part.index].sent)
      flag("commit-invented", fmt::format("partition {}: offset {}, {} was sent", part.index,
                                          part.offset, offsets_[part.index].sent));
  }
  co_return Result<void>();
}

GroupsRun::Done GroupsRun::commit(Consumer& consumer, KafkaPeer& peer) {
  if (consumer.owned.empty()) co_return co_await heartbeat(consumer, peer);
  auto partition = consumer.owned[draw(consumer.owned.size())];
  OffsetCommitRequest request{
      .group_id = kGroup, .generation_id = consumer.generation, .member_id = consumer.member_id};
  if (consumer.instance) request.group_instance_id = *consumer.instance;
  auto offset = ++last_offset_;
  offsets_[partition].sent = offset;
  request.topics.push_back(
      {.name = kTopic, .partitions = {{.index = partition, .offset = offset}}});
  WALRUS_CO_ASSIGN(auto answer, co_await peer.ask<OffsetCommitResponse>(request, 8));
  auto code = answer.topics.at(0).partitions.at(0).error_code;
  operation(code == 0);
  say(fmt::format("{} commits {} of partition {}: error {}", consumer.name, offset, partition,
                  code));
  if (code == 0) {
    // The next owner may have committed more before this answer came.
    auto& acknowledged = offsets_[partition].acknowledged;
    acknowledged = std::max(acknowledged, offset);
  }
  take_error(consumer, code);
  co_return Result<void>();
}

// As a member of a generation that is over would: it must not be believed. The present one is
// durable once its assignment was given out; until then a crash may bring back the one before.
GroupsRun::Done GroupsRun::commit_fenced(Consumer& consumer, KafkaPeer& peer) {
  OffsetCommitRequest request{.group_id = kGroup,
                              .generation_id = consumer.generation - 1,
                              .member_id = consumer.member_id};
  if (draw(3) == 0) request.member_id = "stranger";
  if (consumer.instance && draw(2) == 0) request.group_instance_id = *consumer.instance;
  if (!consumer.synced || request.generation_id < 0) co_return Result<void>();
  request.topics.push_back({.name = kTopic, .partitions = {{.index = 0, .offset = 1LL << 40}}});
  WALRUS_CO_ASSIGN(auto answer, co_await peer.ask<OffsetCommitResponse>(request, 8));
  auto code = answer.topics.at(0).partitions.at(0).error_code;
  ++tally_.hits["fenced-commit"];
  if (code == 0)
    flag("fenced-accepted", fmt::format("a commit of generation {} while {} is the present one",
                                        request.generation_id, consumer.generation));
  co_return Result<void>();
}

GroupsRun::Done GroupsRun::heartbeat(Consumer& consumer, KafkaPeer& peer) {
  HeartbeatRequest request{
      .group_id = kGroup, .generation_id = consumer.generation, .member_id = consumer.member_id};
  if (consumer.instance) request.group_instance_id = *consumer.instance;
  WALRUS_CO_ASSIGN(auto answer, co_await peer.ask<HeartbeatResponse>(request, 4));
  operation(answer.error_code == 0);
  take_error(consumer, answer.error_code);
  co_return Result<void>();
}

GroupsRun::Done GroupsRun::leave(Consumer& consumer, KafkaPeer& peer) {
  LeaveGroupRequest request{.group_id = kGroup};
  request.members.push_back({.member_id = consumer.member_id});
  if (consumer.instance) request.members[0].group_instance_id = *consumer.instance;
  WALRUS_CO_ASSIGN(auto answer, co_await peer.ask<LeaveGroupResponse>(request, 4));
  auto code = answer.members.at(0).error_code;
  operation(code == 0);
  say(fmt::format("{} leaves: error {}", consumer.name, code));
  if (code == 0) {
    ++tally_.hits["client-leaves"];
    ++tally_.hits["commit-after-leave"];
    OffsetCommitRequest late{
        .group_id = kGroup, .generation_id = consumer.generation, .member_id = consumer.member_id};
    late.topics.push_back({.name = kTopic, .partitions = {{.index = 0, .offset = 1LL << 41}}});
    WALRUS_CO_ASSIGN(auto refused, co_await peer.ask<OffsetCommitResponse>(late, 8));
    if (refused.topics.at(0).partitions.at(0).error_code == 0)
      flag("fenced-accepted", fmt::format("a commit of {}, who has left", consumer.member_id));
  }
  consumer.member_id.clear();
  consumer.generation = -1;
  co_return fail(Code::kClosed, "leaves");
}

// What a client does about an error; whether there was one.
bool GroupsRun::take_error(Consumer& consumer, std::int16_t code) {
  if (code == 0) return false;
  switch (code) {
    case kUnknownMember:
    case kFencedInstance: consumer.member_id.clear(); break;
    case kIllegalGeneration:
    case kRebalancing:
    case kNotAvailable:
    case kMemberIdRequired: break;
    default: flag("strange-error", fmt::format("{} is answered error {}", consumer.name, code));
  }
  consumer.generation = -1;
  consumer.owned.clear();
  return true;
}

void GroupsRun::die(Consumer& consumer) {
  say(fmt::format("{} dies", consumer.name));
  ++tally_.hits["client-crash"];
  consumer.member_id.clear();
  consumer.generation = -1;
  consumer.owned.clear();
}

}  // namespace walrus::sim
