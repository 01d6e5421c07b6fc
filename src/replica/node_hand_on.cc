// Appends that come to a node after it has rolled a partition to another one: for a moment they go
// on there, so that a producer that has not learned of it is served, in the order of its batches;
// also to the next one, where that one dies. One call a partition is under way; what comes
// meanwhile waits for it.

#include "record/batch.h"
#include "replica/node_methods.h"
#include "replica/node_state.h"
#include "wire/peer/forward_message.h"

namespace walrus::replica {
namespace {

using wire::peer::HandedAppends;
using wire::peer::HandedReply;

constexpr std::size_t kHandedBytes = 1 << 20;  // of one call; one batch always fits
constexpr Nanos kAgain = std::chrono::milliseconds(2);

static_assert(static_cast<int>(Acks::kNone) == 0 && static_cast<int>(Acks::kLeader) == 1 &&
              static_cast<int>(Acks::kAll) == 2);
static_assert(static_cast<int>(Refusal::kNone) == 0 && static_cast<int>(Refusal::kUnknown) == 9);

// Errors of a call that was not made.
bool was_not_sent(Code code) {
  return code == Code::kBusy || code == Code::kNotFound || code == Code::kFenced ||
         code == Code::kMismatch || code == Code::kTooLarge;
}

// kInvalid: a batch that no broker has taken.
Result<void> check_batches(const HandedAppends& handed, std::size_t bytes_max) {
  for (const auto& append : handed.appends) {
    auto batch = record::BatchView::parse(append.batch);
    bool sound = batch && batch->bytes().size() == append.batch.size() &&
                 append.batch.size() <= bytes_max && batch->crc_holds();
    if (!sound) return fail(Code::kInvalid, "a batch that is not sound");
  }
  return {};
}

}  // namespace

// Whether what waits may go to `leader` now. One that is away is followed by another one soon, in
// less time than a client pauses that is told of none; and to that one things go for as long again.
bool NodeState::may_go_on(Part& part, NodeId leader, Instant now) {
  if (out_of_reach_.contains(leader)) return false;
  if (now >= part.hand_on_until) return true;  // it is told who leads
  auto before = std::exchange(part.handed_to, leader);
  if (before != leader && before != NodeId{})
    part.hand_on_until = now + options_.limits.hand_on_max;
  return rpc_.connected(leader);
}

// All that waits leaves: for `leader`, where it may, else it is refused; also what comes behind a
// batch that was, which the other one has not seen either.
void NodeState::hand_on(const PartitionId& id, Part& part, NodeId leader, Instant now) {
  HandedAppends handed{.partition = id};
  std::size_t bytes = 0;
  bool open = now < part.hand_on_until;
  while (!part.waiting.empty()) {
    auto& front = part.waiting.front();
    if (front.sequence) arrears_.come(id, *front.sequence);
    bool goes = open && front.request.hand_on && !is_behind(id, front);
    bool full = bytes + front.batch.size() > kHandedBytes ||
                handed.appends.size() == wire::peer::kHandedAppendsMax;
    if (goes && full && !handed.appends.empty()) break;
    auto one = leave(part);
    if (!goes) {
      refuse(id, one, Refusal::kNotLeader);
      continue;
    }
    bytes += one.batch.size();
    handed.appends.push_back({static_cast<std::uint8_t>(one.request.acks), one.batch});
    part.handed.push_back(std::move(one));
  }
  if (handed.appends.empty()) return;
  auto left = part.hand_on_until - now;
  handed.wait_ms = static_cast<std::uint64_t>(std::chrono::floor<Millis>(left).count());
  std::string request;
  append_handed(request, handed);
  auto timeout = left + options_.limits.hand_on_max;  // the call's own way, too
  loop_.spawn(run_hand_on(shared_from_this(), id, leader, std::move(request), timeout));
}

boost::asio::awaitable<void> NodeState::run_hand_on(std::shared_ptr<NodeState> self, PartitionId id,
                                                    NodeId leader, std::string request,
                                                    Nanos timeout) {
  auto replies =
      co_await self->rpc_.call(leader, kHandedAppends, std::move(request), {.timeout = timeout});
  if (!self->stopped_) self->take_handed(id, replies);
}

// What was not taken waits again, before all that came since.
void NodeState::take_handed(const PartitionId& id, const Result<std::string>& bytes) {
  auto found = parts_.find(id);
  if (found == parts_.end()) return;
  auto& part = found->second;
  auto handed = std::exchange(part.handed, {});
  Result<std::vector<HandedReply>> replies =
      bytes ? wire::peer::parse_handed_replies(*bytes) : std::unexpected(bytes.error());
  bool answered = replies && replies->size() == handed.size();
  auto otherwise =
      !bytes && was_not_sent(bytes.error().code) ? Refusal::kNotLeader : Refusal::kUnknown;
  auto now = env_.mono();
  std::deque<Waiting> again;
  for (std::size_t i = 0; i < handed.size(); ++i) {
    auto& one = handed[i];
    auto refusal = answered ? static_cast<Refusal>((*replies)[i].refusal) : otherwise;
    // The next leader knows what there is of a producer.
    bool may_go_again = is_passing(refusal) || (refusal == Refusal::kUnknown && one.sequence);
    if (refusal == Refusal::kNone) {
      ++stats_.appends_handed_on;
      if (one.sequence) arrears_.settle(id, *one.sequence);
      calls_.push_back([done = std::move(one.done), first = (*replies)[i].first]() mutable {
        done({Refusal::kNone, Offset{first}});
      });
    } else if (may_go_again && now < std::min(one.until, part.hand_on_until)) {
      ++waiting_count_;
      waiting_bytes_ += one.batch.size();
      again.push_back(std::move(one));
    } else {
      refuse(id, one, refusal > Refusal::kUnknown ? Refusal::kUnknown : refusal);
    }
  }
  if (!again.empty()) {
    part.feed_again = now + kAgain;
    look_at_ = std::min(look_at_, part.feed_again);
  }
  part.waiting.insert(part.waiting.begin(), std::make_move_iterator(again.begin()),
                      std::make_move_iterator(again.end()));
  if (!part.waiting.empty()) hungry_.insert(id);
  mark(id, part);
}

// Appends of another node's clients, in their order. It hands nothing on itself.
io::Task<std::string> NodeState::serve_handed(std::shared_ptr<NodeState> self,
                                              net::Request request) {
  if (!self || self->stopped_) co_return fail(Code::kClosed, "stopped");
  WALRUS_CO_ASSIGN(auto handed, wire::peer::parse_handed(request.body));
  WALRUS_CO_TRY(check_batches(handed, self->options_.leader.batch_bytes_max));
  request.body = {};
  struct Shared {  // with what answers the appends
    std::vector<HandedReply> replies{};
    std::size_t open = 0;
    std::move_only_function<void(Result<void>)> over{};
  };
  auto shared = std::make_shared<Shared>();
  io::Signal signal(self->loop_);
  shared->open = handed.appends.size();
  shared->replies.resize(handed.appends.size());
  shared->over = signal.setter();
  auto wait = std::min<Nanos>(Millis(std::min<std::uint64_t>(handed.wait_ms, 3'600'000)),
                              self->options_.limits.hand_on_max);
  for (std::size_t i = 0; i < handed.appends.size(); ++i) {
    auto& append = handed.appends[i];
    self->append(handed.partition, std::move(append.batch),
                 {.acks = static_cast<Acks>(append.acks), .wait = wait, .in_sequence = true},
                 [shared, i](Appended appended) {
                   auto refusal =
                       appended.refusal == Refusal::kNoRoom ? Refusal::kBusy : appended.refusal;
                   shared->replies[i] = {static_cast<std::uint8_t>(refusal), appended.first.value};
                   if (--shared->open == 0) shared->over({});
                 });
  }
  WALRUS_CO_TRY(co_await signal.wait());
  std::string reply;
  append_handed_replies(reply, shared->replies);
  co_return reply;
}

}  // namespace walrus::replica
