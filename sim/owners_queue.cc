// A producer, those who take from the queue of its topic, and a named consumer of it.

#include <algorithm>

#include "owners_run.h"

namespace walrus::sim {
namespace {

using namespace std::chrono_literals;

const std::string kQueue = "q", kConsumer = "n";

}  // namespace

// One record, at the leader of a partition; what is not known to be stored is not sent again.
OwnersRun::Done OwnersRun::produce() {
  if (finishing_) {
    produced_ = true;
    co_return Result<void>();
  }
  auto& local = faces_.back().broker->local(0);
  auto topic = local.find(kQueue);
  if (!topic) {
    WALRUS_CO_ASSIGN(auto node, co_await find(false));
    (void)node;
    auto made = co_await ask<void>(NodeId{faces_.size()}, [](Face& face) {
      return face.broker->local(0).create({.name = kQueue, .partitions = 2});
    });
    co_return made;
  }
  auto partition = draw(2);
  auto bounds = (*topic)->partitions[partition]->bounds();
  auto leader = bounds ? bounds->leader : NodeId{};
  auto value = fmt::format("v{}", next_value_++);
  auto& stored = stored_[value];
  WALRUS_CO_ASSIGN(
      auto placed, co_await ask<broker::Placed>(leader, [partition, value](Face& face) {
        return [](broker::Local& local, std::size_t partition,
                  std::string value) -> io::Task<broker::Placed> {
          WALRUS_CO_ASSIGN(auto topic, local.find(kQueue, partition));
          walrus::Record record{.value = value};
          WALRUS_CO_ASSIGN(auto appending, local.append(*topic->partitions[partition], {&record, 1},
                                                        {.wait = 500ms}));
          co_return co_await local.acknowledged(appending);
        }(face.broker->local(0), partition, value);
      }));
  operation(true);
  stored.acknowledged_at = ++step_;
  ++acknowledged_;
  say(fmt::format("{} is stored in partition {} at {}", value, partition, placed.first.value));
  co_return Result<void>();
}

OwnersRun::Done OwnersRun::get() {
  WALRUS_CO_ASSIGN(auto owner, co_await find(false));
  // In the end until everything has come, and nothing more does.
  if (finishing_) {
    bool all = produced_ && std::ranges::all_of(stored_, [](const auto& one) {
                 return one.second.acknowledged_at < 0 || one.second.delivered;
               });
    if (all) co_return Result<void>();
    WALRUS_CO_TRY(co_await take(owner));
    co_return fail(Code::kNotFound, "there is more");
  }
  if (draw(4) == 0) co_return co_await settle(owner);
  co_return co_await take(owner);
}

OwnersRun::Done OwnersRun::take(NodeId owner) {
  auto asked = ++step_;
  auto run = [](broker::Local& local) -> io::Task<std::vector<broker::Claim>> {
    WALRUS_CO_ASSIGN(auto topic, local.find(kQueue));
    co_return co_await local.take(topic, std::nullopt, {.records_max = 3});
  };
  WALRUS_CO_ASSIGN(auto claims, co_await ask<std::vector<broker::Claim>>(owner, [run](Face& face) {
                     return run(face.broker->local(0));
                   }));
  operation(true);
  for (const auto& claim : claims) delivered(claim, asked);
  if (claims.empty()) co_return Result<void>();
  // The reply is with the client: its node says so to the owner.
  auto settle = [](broker::Local& local, std::vector<broker::ClaimId> ids) -> io::Task<void> {
    WALRUS_CO_ASSIGN(auto topic, local.find(kQueue));
    local.delivered(topic, std::move(ids));
    co_return Result<void>();
  };
  std::vector<broker::ClaimId> ids;
  for (const auto& claim : claims) ids.push_back({claim.partition, claim.offset});
  co_return co_await ask<void>(
      owner, [settle, ids](Face& face) { return settle(face.broker->local(0), ids); });
}

void OwnersRun::unsent(Face& face, Result<std::vector<broker::Claim>>& claims) {
  auto& local = face.broker->local(0);
  auto topic = local.find(kQueue);
  if (claims && topic) local.restore(*topic, std::move(*claims));
}

void OwnersRun::delivered(const broker::Claim& claim, std::int64_t asked) {
  auto found = stored_.find(claim.payload);
  say(fmt::format("GET gives {} of partition {} at {}", claim.payload, claim.partition,
                  claim.offset.value));
  if (found == stored_.end())
    return flag("phantom", fmt::format("GET gives '{}', which nobody stored", claim.payload));
  auto& stored = found->second;
  if (stored.settled && asked > stored.settled)
    flag("after-empty", fmt::format("GET gives {} again, after an EMPTY", claim.payload));
  if (stored.delivered) ++tally_.hits["redelivered"];
  stored.delivered = true;
}

// EMPTY says that everything acknowledged before had been delivered, and does not come again.
OwnersRun::Done OwnersRun::settle(NodeId owner) {
  auto asked = ++step_;
  std::vector<std::string> before;
  for (const auto& [value, stored] : stored_)
    if (stored.acknowledged_at >= 0 && stored.acknowledged_at < asked) before.push_back(value);
  auto run = [](broker::Local& local) -> io::Task<bool> {
    WALRUS_CO_ASSIGN(auto topic, local.find(kQueue));
    co_return co_await local.settle(topic, std::nullopt);
  };
  WALRUS_CO_ASSIGN(auto empty, co_await ask<bool>(owner, [run](Face& face) {
                     return run(face.broker->local(0));
                   }));
  operation(true);
  if (!empty) co_return Result<void>();
  ++tally_.hits["empty"];
  say(fmt::format("EMPTY at {}", owner.value));
  auto now = ++step_;
  for (const auto& value : before) {
    auto& stored = stored_[value];
    if (!stored.delivered)
      flag("empty-too-early", fmt::format("EMPTY, and {} was not delivered", value));
    if (!stored.settled) stored.settled = now;
  }
  co_return Result<void>();
}

OwnersRun::Done OwnersRun::consume() {
  WALRUS_CO_ASSIGN(auto owner, co_await find(false));
  co_return co_await poll(owner);
}

// Of partition 0; commits part of what it has read.
OwnersRun::Done OwnersRun::poll(NodeId owner) {
  auto known = committed_;
  auto run = [](broker::Local& local) -> io::Task<broker::ReadResult> {
    WALRUS_CO_ASSIGN(auto topic, local.find(kQueue));
    co_return co_await local.poll(topic, 0, kConsumer, {});
  };
  WALRUS_CO_ASSIGN(auto read, co_await ask<broker::ReadResult>(
                                  owner, [run](Face& face) { return run(face.broker->local(0)); }));
  operation(true);
  ++tally_.reads;
  if (read.records.empty()) co_return Result<void>();
  auto first = read.records[0].offset;
  if (first < known)
    flag("consumer-back",
         fmt::format("reads on at {}, {} was committed", first.value, known.value));
  if (first > std::max(committing_, committed_))
    flag("consumer-skips", fmt::format("reads on at {}, committed is {}", first.value,
                                       std::max(committing_, committed_).value));
  auto next = Offset{first.value + 1 + static_cast<std::int64_t>(draw(read.records.size()))};
  committing_ = std::max(committing_, next);
  auto store = [](broker::Local& local, Offset next) -> io::Task<void> {
    WALRUS_CO_ASSIGN(auto topic, local.find(kQueue));
    co_return co_await local.commit(topic, 0, kConsumer, next);
  };
  WALRUS_CO_TRY(co_await ask<void>(
      owner, [store, next](Face& face) { return store(face.broker->local(0), next); }));
  committed_ = std::max(committed_, next);
  say(fmt::format("the consumer has committed {}", next.value));
  co_return Result<void>();
}

void OwnersRun::check_end() {
  for (const auto& [value, stored] : stored_)
    if (stored.acknowledged_at >= 0 && !stored.delivered)
      flag("record-skipped", fmt::format("{} was acknowledged and is not delivered", value));
  tally_.records_read +=
      std::ranges::count_if(stored_, [](const auto& one) { return one.second.delivered; });
}

}  // namespace walrus::sim
