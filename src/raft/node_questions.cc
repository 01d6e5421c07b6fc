// What users of a Node ask for: proposals, changes of members, transfers, reads.

#include <algorithm>
#include <utility>

#include "net/timers.h"
#include "raft/host_state.h"
#include "raft/node_state.h"
#include "wire/peer/raft_bundle.h"

namespace walrus::raft {

// ---- Proposals, changes, transfers ----

void NodeState::propose(std::string command, Nanos timeout, Node::ProposalDone done) {
  Asked asked{.kind = Asked::Kind::kPropose,
              .deadline = net::moment_after(host_->env.mono(), timeout),
              .done = std::move(done)};
  if (!usable()) {
    loop().post([done = std::move(asked.done)]() mutable { done({}); });
    return;
  }
  asked_.push_back(std::move(asked));
  auto owner = std::make_shared<const std::string>(std::move(command));
  Bytes view = *owner;
  push(Propose{.ticket = ++last_ticket_,
               .payload = view.empty() ? Payload() : Payload(view, std::move(owner))});
}

void NodeState::change_members(std::vector<MemberChange> changes, Nanos timeout,
                               Node::ProposalDone done) {
  if (!usable()) {
    loop().post([done = std::move(done)]() mutable { done({}); });
    return;
  }
  asked_.push_back({.kind = Asked::Kind::kChange,
                    .deadline = net::moment_after(host_->env.mono(), timeout),
                    .done = std::move(done)});
  push(ChangeMembers{.ticket = ++last_ticket_, .changes = std::move(changes)});
}

void NodeState::transfer(NodeId to, Nanos timeout, Node::Done done) {
  if (!usable()) {
    loop().post(
        [done = std::move(done)]() mutable { done(fail(Code::kClosed, "the node has stopped")); });
    return;
  }
  asked_.push_back({.kind = Asked::Kind::kTransfer,
                    .deadline = net::moment_after(host_->env.mono(), timeout),
                    .transferred = std::move(done)});
  push(Transfer{.ticket = ++last_ticket_, .to = to});
}

void NodeState::take_answers(std::vector<Answer>& answers) {
  for (const auto& answer : answers) {
    auto asked = std::move(asked_.front());
    asked_.pop_front();
    answered(std::move(asked), answer);
  }
}

void NodeState::answered(Asked asked, const Answer& answer) {
  next_deadline_ = std::min(next_deadline_, asked.deadline);
  if (asked.kind != Asked::Kind::kTransfer) {
    if (answer.refusal == Refusal::kNone)
      waiting_.emplace(answer.at.index, Waiting{answer.at.term, asked.kind == Asked::Kind::kChange,
                                                asked.deadline, std::move(asked.done)});
    else asked.done(refused(answer.refusal));
    return;
  }
  auto code = answer.refusal == Refusal::kNotLeader      ? Code::kMismatch
              : answer.refusal == Refusal::kTransferring ? Code::kBusy
              : answer.refusal == Refusal::kFailed       ? Code::kIo
                                                         : Code::kInvalid;
  if (answer.refusal == Refusal::kNone)
    transfers_.push_back({asked.deadline, std::move(asked.transferred)});
  else asked.transferred(fail(code, "transfer refused: {}", refusal_name(answer.refusal)));
}

Proposal NodeState::refused(Refusal refusal) const {
  return {.end = Proposal::End::kRefused, .refusal = refusal, .leader = core_->leader()};
}

void NodeState::settle_transfers() {
  if (transfers_.empty()) return;
  auto leader = core_->leader();
  if (leader == NodeId{} || leader == core_->id()) return;
  for (auto& one : std::exchange(transfers_, {})) one.done({});
}

// ---- Reads ----

void NodeState::read(ReadLevel level, Nanos timeout, Node::ReadDone done) {
  Result<Index> now = applied_.index;
  bool busy = reads_.size() + round_.size() + reads_behind_.size() >= options_.core.reads_max;
  if (!usable()) now = fail(Code::kClosed, "the node has stopped");
  else if (failure_) now = fail(Code::kIo, "{}", failure_->message);
  else if (level != ReadLevel::kLocal && busy)
    now = fail(Code::kBusy, "{} reads wait", options_.core.reads_max);
  if (!now || level == ReadLevel::kLocal) {
    loop().post([done = std::move(done), now = std::move(now)]() mutable { done(std::move(now)); });
    return;
  }
  auto deadline = net::moment_after(host_->env.mono(), timeout);
  next_deadline_ = std::min(next_deadline_, deadline);
  reads_.push_back({level == ReadLevel::kLease, deadline, std::move(done)});
  start_reads();
  host_->look_at(*this);
}

// One round at a time answers all reads that were there when it began.
void NodeState::start_reads() {
  if (round_runs_ || reads_.empty() || failure_) return;
  if (core_->leader() == NodeId{}) return;  // looked at again when there is one
  round_runs_ = true;
  ++round_number_;
  round_ = std::exchange(reads_, {});
  bool lease = std::ranges::all_of(round_, &Reading::lease);
  if (core_->leader() != core_->id()) {
    ask_leader(lease);
    return;
  }
  serve_read_index(lease, [self = weak_from_this(), number = round_number_](ReadAnswer answer) {
    auto state = self.lock();
    if (!state || number != state->round_number_) return;
    if (answer.refusal == Refusal::kNone) state->round_over(answer.index);
    else state->round_over(fail(Code::kBusy, "{}", refusal_name(answer.refusal)));
  });
}

void NodeState::ask_leader(bool lease) {
  auto body = wire::peer::encode_read_index_request({.lease = lease, .group = group_.value});
  net::CallOptions options{.timeout = options_.core.election_timeout_min,
                           .priority = net::Priority::kControl};
  host_->rpc.call(core_->leader(), net::Method{wire::peer::kRaftReadIndexMethod}, std::move(body),
                  options,
                  [self = weak_from_this(), number = round_number_](Result<std::string> reply) {
                    auto state = self.lock();
                    if (!state || number != state->round_number_) return;
                    if (reply) state->round_over(wire::peer::parse_read_index_reply(*reply));
                    else state->round_over(std::unexpected(reply.error()));
                  });
}

// A round that failed is tried again at a tick, by which there may be another leader.
void NodeState::round_over(Result<Index> index) {
  round_runs_ = false;
  auto round = std::exchange(round_, {});
  if (!usable()) return;
  if (!index) {
    std::ranges::move(reads_, std::back_inserter(round));
    reads_ = std::move(round);
    host_->look_at(*this);
    return;
  }
  for (auto& one : round) {
    if (applied_.index >= *index) one.done(applied_.index);
    else reads_behind_.emplace(*index, std::move(one));
  }
  start_reads();
}

// For a round of this node's, and for those of others.
void NodeState::serve_read_index(bool lease, std::move_only_function<void(ReadAnswer)> done) {
  if (!usable()) {
    done({.refusal = Refusal::kFailed});
    return;
  }
  read_tickets_.emplace(++last_ticket_, std::move(done));
  push(Read{.ticket = last_ticket_, .lease = lease});
}

void NodeState::take_reads(std::vector<ReadAnswer>& answers) {
  for (const auto& answer : answers) {
    auto found = read_tickets_.extract(answer.ticket);
    if (!found.empty()) found.mapped()(answer);
  }
}

// ---- What ends without an answer ----

namespace {

// Takes those out that are due; the others' earliest deadline becomes part of `next`.
template <class Container, class Item, class Give>
void take_expired(Container& all, Instant now, Instant& next, const Item& item, const Give& give) {
  for (auto at = all.begin(); at != all.end();) {
    auto& one = item(*at);
    if (one.deadline > now) {
      next = std::min(next, one.deadline);
      ++at;
      continue;
    }
    give(*at);
    at = all.erase(at);
  }
}

}  // namespace

void NodeState::expire(Instant now) {
  auto next = Instant::max();
  std::vector<std::move_only_function<void()>> calls;
  auto itself = [](auto& one) -> auto& { return one; };
  auto second = [](auto& one) -> auto& { return one.second; };
  auto read_late = [&](Reading& one) {
    calls.emplace_back([done = std::move(one.done)]() mutable {
      done(fail(Code::kTimeout, "the read was not confirmed in time"));
    });
  };
  auto unknown = [&](Node::ProposalDone& done, EntryId at) {
    calls.emplace_back([done = std::move(done), at, leader = core_->leader()]() mutable {
      done({.end = Proposal::End::kUnknown, .leader = leader, .at = at});
    });
  };
  take_expired(waiting_, now, next, second,
               [&](auto& one) { unknown(one.second.done, {one.second.term, one.first}); });
  take_expired(changes_, now, next, itself,
               [&](Waiting& one) { unknown(one.done, {one.term, applied_.index}); });
  take_expired(reads_, now, next, itself, read_late);
  take_expired(round_, now, next, itself, read_late);
  take_expired(reads_behind_, now, next, second, [&](auto& one) { read_late(one.second); });
  take_expired(transfers_, now, next, itself, [&](Transferring& one) {
    calls.emplace_back([done = std::move(one.done)]() mutable {
      done(fail(Code::kTimeout, "leadership was not taken over in time"));
    });
  });
  next_deadline_ = next;
  for (auto& call : calls) call();
}

void NodeState::fail_waiting(Code code, const std::string& why) {
  std::vector<std::move_only_function<void()>> calls;
  auto unknown = [&](Node::ProposalDone& done, EntryId at) {
    calls.emplace_back([done = std::move(done), at]() mutable {
      done({.end = Proposal::End::kUnknown, .at = at});
    });
  };
  auto fail_one = [&](auto& done) {
    calls.emplace_back(
        [done = std::move(done), code, why]() mutable { done(fail(code, "{}", why)); });
  };
  for (auto& one : std::exchange(asked_, {})) {
    if (one.done) unknown(one.done, {});
    if (one.transferred) fail_one(one.transferred);
  }
  for (auto& [index, one] : waiting_) unknown(one.done, {one.term, index});
  for (auto& one : changes_) unknown(one.done, {one.term, applied_.index});
  for (auto* all : {&reads_, &round_})
    for (auto& one : std::exchange(*all, {})) fail_one(one.done);
  for (auto& [index, one] : reads_behind_) fail_one(one.done);
  for (auto& one : transfers_) fail_one(one.done);
  waiting_.clear();
  changes_.clear();
  reads_behind_.clear();
  transfers_.clear();
  for (auto& [ticket, done] : std::exchange(read_tickets_, {}))
    done({.ticket = ticket, .refusal = Refusal::kFailed});
  for (auto& call : calls) call();
}

}  // namespace walrus::raft
