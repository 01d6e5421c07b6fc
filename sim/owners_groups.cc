// The members of the group.

#include <algorithm>

#include "owners_run.h"

namespace walrus::sim {
namespace {

using namespace std::chrono_literals;
using broker::GroupError;
using broker::Groups;

constexpr std::int32_t kPartitions = 4;
const std::string kGroup = "g", kTopic = "t";

}  // namespace

OwnersRun::Done OwnersRun::act(Member& member) {
  if (finishing_) co_return co_await check_offsets();
  if (member.generation < 0 || !member.synced) co_return co_await join(member);
  switch (draw(16)) {
    case 0:  // dies
      member.id.clear();
      member.generation = -1;
      co_return Result<void>();
    case 1: co_return co_await leave(member);
    case 2:
    case 3: co_return co_await commit_fenced(member);
    case 4:
    case 5: co_return co_await check_offsets();
    case 6: member.generation = -1; co_return Result<void>();  // joins again without a reason
    case 7:
    case 8: co_return co_await heartbeat(member);
    default: co_return co_await commit(member);
  }
}

OwnersRun::Done OwnersRun::join(Member& member) {
  broker::JoinEvent event{.member_id = member.id,
                          .client_id = member.name,
                          .session_timeout = 4s,
                          .rebalance_timeout = 2s,
                          .protocol_type = "consumer",
                          .protocols = {{"random", kTopic}}};
  auto newest = newest_generation_;
  WALRUS_CO_ASSIGN(auto node, co_await find(true));
  WALRUS_CO_ASSIGN(auto answer, co_await ask<broker::JoinAnswer>(node, [event](Face& face) {
                     return face.groups->ask(face.groups->loop(), &Groups::join, kGroup, event);
                   }));
  operation(answer.error == GroupError::kNone);
  say(fmt::format("{} joins as '{}' at {}: error {} generation {} as {}, leader {}", member.name,
                  member.id, node.value, static_cast<int>(answer.error), answer.generation,
                  answer.member_id, answer.leader));
  if (take_error(member, answer.error)) co_return Result<void>();
  if (answer.generation < newest)
    flag("generation-back", fmt::format("{} joins generation {}, {} had an assignment", member.name,
                                        answer.generation, newest));
  member.id = answer.member_id;
  member.generation = answer.generation;
  member.owned.clear();
  member.synced = false;
  co_return co_await sync(member, answer);
}

OwnersRun::Done OwnersRun::sync(Member& member, const broker::JoinAnswer& joined) {
  broker::SyncEvent event{.member_id = member.id, .generation = member.generation};
  std::vector<std::string> ids;
  for (const auto& one : joined.members) ids.push_back(one.member_id);
  auto assign = [this, &ids](broker::SyncEvent& to) {
    std::vector<std::string> parts(ids.size());
    for (std::int32_t p = 0; p < kPartitions && !parts.empty(); ++p)
      parts[draw(parts.size())] += static_cast<char>('0' + p);
    to.assignments.clear();
    for (std::size_t i = 0; i < ids.size(); ++i) to.assignments.emplace_back(ids[i], parts[i]);
  };
  assign(event);
  WALRUS_CO_ASSIGN(auto node, co_await find(true));
  // A leader whose first request is still under way, and who comes to something else now.
  if (!ids.empty() && draw(3) == 0) {
    auto again = event;
    assign(again);
    ++tally_.hits["leader-syncs-again"];
    auto late = [](OwnersRun* run, NodeId to, broker::SyncEvent event,
                   std::string who) -> boost::asio::awaitable<void> {
      auto generation = event.generation;
      auto answer = co_await run->ask<broker::SyncAnswer>(to, [event](Face& face) {
        return face.groups->ask(face.groups->loop(), &Groups::sync, kGroup, event);
      });
      if (answer && answer->error == GroupError::kNone)
        run->check_owner(who, generation, answer->assignment);
    };
    loop_->spawn(late(this, node, again, member.id));
  }
  WALRUS_CO_ASSIGN(auto answer, co_await ask<broker::SyncAnswer>(node, [event](Face& face) {
                     return face.groups->ask(face.groups->loop(), &Groups::sync, kGroup, event);
                   }));
  operation(answer.error == GroupError::kNone);
  say(fmt::format("{} syncs generation {} at {}: error {} assignment '{}'", member.name,
                  member.generation, node.value, static_cast<int>(answer.error),
                  answer.assignment));
  if (take_error(member, answer.error)) co_return Result<void>();
  member.synced = true;
  newest_generation_ = std::max(newest_generation_, member.generation);
  for (char digit : answer.assignment) member.owned.push_back(digit - '0');
  check_owner(member.id, member.generation, answer.assignment);
  co_return co_await check_offsets();
}

void OwnersRun::check_owner(const std::string& who, std::int32_t generation, Bytes assignment) {
  for (char digit : assignment) {
    auto [owner, is_new] = owned_by_.try_emplace({generation, digit - '0'}, who);
    if (owner->second != who)
      flag("two-owners", fmt::format("partition {} of generation {} belongs to {} and to {}", digit,
                                     generation, owner->second, who));
  }
}

OwnersRun::Done OwnersRun::commit(Member& member) {
  if (member.owned.empty()) co_return co_await heartbeat(member);
  auto partition = member.owned[draw(member.owned.size())];
  auto offset = ++last_offset_;
  offsets_[partition].sent = offset;
  broker::MemberEvent event{.member_id = member.id, .generation = member.generation};
  std::vector<broker::CommittedOffset> offsets{
      {.topic = kTopic, .partition = partition, .topic_id = 1, .offset = offset}};
  WALRUS_CO_ASSIGN(auto node, co_await find(true));
  WALRUS_CO_ASSIGN(auto error, co_await ask<GroupError>(node, [event, offsets](Face& face) {
                     return face.groups->ask(face.groups->loop(), &Groups::commit, kGroup, event,
                                             offsets);
                   }));
  operation(error == GroupError::kNone);
  say(fmt::format("{} commits {} of partition {} at {}: error {}", member.name, offset, partition,
                  node.value, static_cast<int>(error)));
  if (take_error(member, error)) co_return Result<void>();
  auto& acknowledged = offsets_[partition].acknowledged;
  acknowledged = std::max(acknowledged, offset);
  co_return Result<void>();
}

// As a member of a generation that is over would: it must not be believed, whoever is asked.
OwnersRun::Done OwnersRun::commit_fenced(Member& member) {
  broker::MemberEvent event{.member_id = member.id, .generation = newest_generation_ - 1};
  if (!member.synced || event.generation < 0) co_return Result<void>();
  std::vector<broker::CommittedOffset> offsets{
      {.topic = kTopic, .partition = 0, .topic_id = 1, .offset = 1LL << 40}};
  // Also where it was coordinated before.
  WALRUS_CO_ASSIGN(auto node, co_await find(true));
  if (draw(2) == 0) node = NodeId{1 + draw(faces_.size())};
  ++tally_.hits["fenced-commit"];
  WALRUS_CO_ASSIGN(auto error, co_await ask<GroupError>(node, [event, offsets](Face& face) {
                     return face.groups->ask(face.groups->loop(), &Groups::commit, kGroup, event,
                                             offsets);
                   }));
  operation(false);
  if (error == GroupError::kNone)
    flag("fenced-accepted", fmt::format("node {} takes a commit of generation {} after {}",
                                        node.value, event.generation, newest_generation_));
  co_return Result<void>();
}

OwnersRun::Done OwnersRun::check_offsets() {
  auto known = offsets_;  // what was acknowledged before the question
  WALRUS_CO_ASSIGN(auto node, co_await find(true));
  if (draw(4) == 0) node = NodeId{1 + draw(faces_.size())};  // also who was it before
  WALRUS_CO_ASSIGN(auto all,
                   co_await ask<std::vector<broker::CommittedOffset>>(node, [](Face& face) {
                     return face.groups->ask(face.groups->loop(), &Groups::committed, kGroup);
                   }));
  ++tally_.reads;
  std::map<std::int32_t, std::int64_t> read;
  for (const auto& one : all) read[one.partition] = one.offset;
  for (std::int32_t p = 0; p < kPartitions; ++p) {
    auto offset = read.contains(p) ? read[p] : -1;
    if (offset < known[p].acknowledged)
      flag("commit-lost", fmt::format("node {} has offset {} of partition {}, {} was acknowledged",
                                      node.value, offset, p, known[p].acknowledged));
    if (offset > offsets_[p].sent)
      flag("commit-invented", fmt::format("node {} has offset {} of partition {}, {} was sent",
                                          node.value, offset, p, offsets_[p].sent));
  }
  co_return Result<void>();
}

OwnersRun::Done OwnersRun::heartbeat(Member& member) {
  broker::MemberEvent event{.member_id = member.id, .generation = member.generation};
  WALRUS_CO_ASSIGN(auto node, co_await find(true));
  WALRUS_CO_ASSIGN(auto error, co_await ask<GroupError>(node, [event](Face& face) {
                     return face.groups->ask(face.groups->loop(), &Groups::heartbeat, kGroup,
                                             event);
                   }));
  operation(error == GroupError::kNone);
  take_error(member, error);
  co_return Result<void>();
}

OwnersRun::Done OwnersRun::leave(Member& member) {
  broker::MemberEvent event{.member_id = std::exchange(member.id, "")};
  member.generation = -1;
  WALRUS_CO_ASSIGN(auto node, co_await find(true));
  WALRUS_CO_ASSIGN(auto error, co_await ask<GroupError>(node, [event](Face& face) {
                     return face.groups->ask(face.groups->loop(), &Groups::leave, kGroup, event);
                   }));
  operation(error == GroupError::kNone);
  co_return Result<void>();
}

bool OwnersRun::take_error(Member& member, GroupError error) {
  switch (error) {
    case GroupError::kNone: return false;
    case GroupError::kUnknownMember: member.id.clear(); break;
    case GroupError::kIllegalGeneration:
    case GroupError::kRebalanceInProgress:
    case GroupError::kNotAvailable: break;
    default: flag("strange-error", fmt::format("{}: {}", member.name, static_cast<int>(error)));
  }
  member.generation = -1;
  member.owned.clear();
  return true;
}

}  // namespace walrus::sim
