// The part of Session that serves a node of a cluster: where its requests go, and what comes back.
//
// Appends are placed in the order in which they came, here or at the nodes that lead their
// partitions, as far as possible without waiting for answers; answers go out in the order of the
// requests. What is certainly not stored, because its node did not lead any more, is placed anew.
// Of one partition nothing is placed at another node while something is unanswered at the first, so
// that its records stay in order. No partition waits for another one's node to be placed: where a
// node is gone, hundreds change hands at once.

#include <algorithm>

#include "base/check.h"
#include "frontend/native/groups.h"
#include "frontend/native/session.h"
#include "frontend/native/target.h"
#include "record/batch.h"
#include "wire/native/errors.h"
#include "wire/native/reply.h"

namespace walrus::frontend::native {
namespace {

namespace text = wire::native::text;
using wire::native::Request;

constexpr io::Nanos kPatience = std::chrono::seconds(10);  // for a partition to have a leader
constexpr io::Nanos kAcknowledgedWait = std::chrono::seconds(5);   // beyond it, for a leader's word
constexpr io::Nanos kPause = std::chrono::milliseconds(10);        // before it is looked again
constexpr io::Nanos kReachAgain = std::chrono::milliseconds(100);  // a node that was out of reach
constexpr io::Nanos kFindTimeout = std::chrono::seconds(2);        // for who keeps something
constexpr io::Nanos kReplyTimeout = std::chrono::seconds(30);      // beside what the request waits
constexpr io::Nanos kReplySlice = std::chrono::seconds(1);         // then it is looked who leads
// At one node and not answered. What it sends back for so many has room in its stream's window, so
// that it goes on reading whatever happens.
constexpr std::size_t kForwardedMax = 1'024;
constexpr std::size_t kForwardedBytesMax = 1 << 20;
constexpr Bytes kNoLeader = "ERR no leader for ";

// Of an append; none: it is another request. Const as the request is.
template <class OfRequest>
auto append_target(OfRequest& request)
    -> decltype(&std::get_if<wire::native::Put>(&request)->target) {
  using namespace wire::native;
  if (auto* put = std::get_if<Put>(&request)) return &put->target;
  if (auto* plain = std::get_if<Append>(&request)) return &plain->target;
  if (auto* at = std::get_if<AppendAt>(&request)) return &at->target;
  if (auto* batch = std::get_if<Batch>(&request)) return &batch->target;
  return nullptr;
}

// What the leader of a partition serves beside appends.
std::optional<wire::native::Target> read_target(const Request& request) {
  using namespace wire::native;
  if (auto* read = std::get_if<Read>(&request)) return read->target;
  if (auto* read = std::get_if<ReadBatch>(&request)) return read->target;
  if (auto* find = std::get_if<Find>(&request)) return find->target;
  if (auto* state = std::get_if<State>(&request)) return state->target;
  return std::nullopt;
}

std::optional<std::int64_t> read_offset(const Request& request) {
  if (auto* read = std::get_if<wire::native::Read>(&request)) return read->offset;
  if (auto* read = std::get_if<wire::native::ReadBatch>(&request)) return read->offset;
  return std::nullopt;
}

io::Nanos waits(const Request& request) {
  using namespace wire::native;
  std::int64_t wait_ms = 0;
  if (auto* read = std::get_if<Read>(&request)) wait_ms = read->wait_ms;
  if (auto* read = std::get_if<ReadBatch>(&request)) wait_ms = read->wait_ms;
  if (auto* poll = std::get_if<Poll>(&request)) wait_ms = poll->wait_ms;
  if (auto* get = std::get_if<Get>(&request)) wait_ms = get->wait_ms;
  return Millis(wait_ms);
}

// Of a queue, of a consumer.
std::optional<wire::native::Target> queue_target(const Request& request) {
  using namespace wire::native;
  if (auto* get = std::get_if<Get>(&request)) return get->target;
  if (auto* poll = std::get_if<Poll>(&request)) return poll->target;
  if (auto* commit = std::get_if<Commit>(&request)) return commit->target;
  return std::nullopt;
}

std::optional<Bytes> group_of(const Request& request) {
  using namespace wire::native;
  if (auto* describe = std::get_if<DescribeGroup>(&request)) return describe->group;
  if (auto* set = std::get_if<SetGroup>(&request)) return set->group;
  if (auto* remove = std::get_if<DeleteGroup>(&request)) return remove->group;
  return std::nullopt;
}

// Sent twice it is done once, or changes nothing: what a GET has taken and nobody was given comes
// back first.
bool repeatable(const Request& request) {
  using namespace wire::native;
  if (read_target(request) || queue_target(request) || group_of(request)) return true;
  auto* batch = std::get_if<Batch>(&request);
  if (batch == nullptr) return false;
  auto view = record::BatchView::parse(batch->batch);
  return view && view->producer_id() >= 0;
}

std::string refused_target(const Request& request) {
  using namespace wire::native;
  if (auto read = read_target(request)) return name_of(*read);
  if (auto queue = queue_target(request)) return name_of(*queue);
  if (auto group = group_of(request)) return fmt::format("group {}", *group);
  const auto* target = append_target(request);
  return target ? name_of(*target) : "";
}

std::string body_of(const Request& request) {
  std::string frame;
  wire::native::append_request(frame, request);
  return frame.substr(wire::native::kFrameHeaderBytes);
}

std::string error_reply(Bytes why) {
  std::string frame;
  wire::native::append_error(frame, why);
  return frame;
}

std::string frame_of(Bytes body) {
  std::string frame;
  wire::native::append_frame(frame, body);
  return frame;
}

}  // namespace

// What the reader takes; all of it is placed by the writer.
void Session::push_clustered(Request request, Bytes body) {
  if (options_.forwarded && stopping_) return;  // behind a refusal
  bool settled = is_append(request) && name_partition(request);
  push({.kind = Slot::kRequest, .bytes = settled ? body_of(request) : std::string(body)});
}

// Which partition is in turn is settled once, however often the request is tried. Whether it was
// changed.
bool Session::name_partition(Request& request) {
  auto& target = *append_target(request);
  if (target.partition) return false;
  auto topic = local_.find(target.topic);
  if (!topic || (*topic)->partitions.size() < 2) return false;
  bool first = std::holds_alternative<wire::native::AppendAt>(request);
  target.partition =
      static_cast<std::int32_t>(first ? 0 : broker::Local::put_partition(**topic, std::nullopt));
  return true;
}

Session::Route Session::route_of(const wire::native::Target& target) {
  auto topic = local_.find(target.topic, partition_of(target));
  if (!topic) return {};  // refused here
  const auto& log = (*topic)->partitions[partition_of(target).value_or(0)];
  auto bounds = log->bounds();
  Route route{.node = bounds ? bounds->leader : NodeId{}, .partition = log, .log = log->name()};
  route.led = route.node != NodeId{};
  if (route.node == options_.forwarding.self) route.node = NodeId{};
  return route;
}

// Whether the node that was given a request would be given it now.
io::Task<bool> Session::serves_still(const Request& request, NodeId given) {
  if (const auto* target = append_target(request)) co_return route_of(*target).node == given;
  if (const auto target = read_target(request)) co_return route_of(*target).node == given;
  if (!repeatable(request)) co_return true;
  const auto serves = co_await server_of(request);
  co_return serves && *serves == given;
}

// A partition that cannot be placed now holds up what is behind it of its own, and nothing else; a
// node that has been given enough holds up all.
io::Task<void> Session::place_appends() {
  const auto now = local_.engine().env().mono();
  if (now < place_again_) co_return Result<void>();
  std::map<NodeId, std::string> frames;
  std::set<std::string> held;
  std::optional<std::size_t> first_held;
  auto at = placed_;
  for (; at < slots_.size(); ++at) {
    auto& slot = slots_[at];  // a deque moves none of its elements when others come behind
    if (slot.kind != Slot::kRequest) continue;
    auto request = wire::native::parse_request(slot.bytes);
    if (!request) co_return std::unexpected(std::move(request).error());  // was parsed when it came
    if (!is_append(*request)) break;
    co_await learn(*append_target(*request));
    auto route = route_of(*append_target(*request));
    bool placeable = !held.contains(route.log) && may_place(route);
    if (options_.forwarded && !placeable) break;
    if (options_.forwarded && route.node != NodeId{}) {
      placed_ = at;
      refuse_moved(name_of(*append_target(*request)));
      co_return Result<void>();
    }
    if (!placeable) {
      held.insert(std::move(route.log));
      first_held = first_held.value_or(at);
      continue;
    }
    PipelineRef pipeline;
    if (route.node == NodeId{}) {
      pipeline = pipeline_of(route.log);
      WALRUS_CO_TRY(co_await place_here(slot, *request, pipeline));
    } else if (!place_there(at, route.node, frames[route.node])) {
      break;
    }
    if (slot.kind == Slot::kReply) continue;
    auto& placement = placements_[route.log];
    placement.node = route.node;
    ++placement.unanswered;
    placement.pipeline = std::move(pipeline);
    slot.log = std::move(route.log);
  }
  placed_ = first_held.value_or(at);
  if (first_held) place_again_ = now + kPause / 2;
  for (auto& [node, bytes] : frames)
    if (!bytes.empty()) co_await send_to(node, std::move(bytes));
  co_return Result<void>();
}

// What is unanswered of a partition here is sent away together, if any of it is.
Session::PipelineRef Session::pipeline_of(const std::string& log) const {
  auto found = placements_.find(log);
  return found != placements_.end() ? found->second.pipeline
                                    : std::make_shared<replica::Pipeline>();
}

// Not while something of it is unanswered elsewhere; and a node that is out of reach is not tried
// all the time, which would keep all others waiting.
bool Session::may_place(const Route& route) {
  auto found = placements_.find(route.log);
  if (found != placements_.end() && found->second.node != route.node) return false;
  auto away = out_of_reach_.find(route.node);
  if (away == out_of_reach_.end()) return true;
  if (local_.engine().env().mono() < away->second) return false;
  out_of_reach_.erase(away);
  return true;
}

// A topic that was made a moment ago, perhaps by another node, is known before anything is refused
// for the want of it.
boost::asio::awaitable<void> Session::learn(wire::native::Target target) {
  (void)co_await local_.find_current(target.topic, partition_of(target));
}

io::Task<void> Session::place_here(Slot& slot, const Request& request, PipelineRef pipeline) {
  patience(slot);
  WALRUS_CO_ASSIGN(auto appended, co_await append_request(request, std::move(pipeline)));
  --unexecuted_;
  if (appended.kind == Slot::kReply) {
    slot_bytes_ = slot_bytes_ - slot.bytes.size() + appended.bytes.size();
    slot.bytes = std::move(appended.bytes);
  }
  slot.kind = appended.kind;
  slot.shape = appended.shape;
  slot.appending = std::move(appended.appending);
  slot.origin = std::move(appended.origin);
  co_return Result<void>();
}

// False: enough is under way there. That does not hold up the slot at the front, for which all
// others wait.
bool Session::place_there(std::size_t at, NodeId node, std::string& frames) {
  auto& slot = slots_[at];
  patience(slot);
  auto& there = upstreams_[node];
  bool full = there.unanswered.size() >= kForwardedMax ||
              there.bytes + slot.bytes.size() > kForwardedBytesMax;
  if (at > 0 && full && !there.unanswered.empty()) return false;
  there.unanswered.push_back(popped_ + at);
  there.bytes += slot.bytes.size();
  slot.kind = Slot::kForwarded;
  slot.node = node;
  wire::native::append_frame(frames, slot.bytes);
  return true;
}

void Session::patience(Slot& slot) {
  if (slot.give_up == io::Nanos{}) slot.give_up = local_.engine().env().mono() + kPatience;
}

// Where a leader has to wait for others, which may be cut off from it, not for ever.
io::Task<void> Session::acknowledged(Slot& slot) {
  auto owed = slot.appending.owed;
  if (!owed) co_return Result<void>();
  auto left = slot.give_up + kAcknowledgedWait - local_.engine().env().mono();
  co_return co_await owed->wait(left);
}

// An error takes back what was placed there.
boost::asio::awaitable<void> Session::send_to(NodeId node, std::string frames) {
  if (!upstreams_[node].way) {
    auto opened = co_await Upstream::open(
        options_.forwarding, local_.loop(), node,
        {.user = user().substr(0, wire::peer::kForwardTextBytesMax),
         .client = connection_->peer().substr(0, wire::peer::kForwardTextBytesMax)});
    if (!opened) {
      out_of_reach_[node] = local_.engine().env().mono() + kReachAgain;
      co_return co_await take_back(node, false);
    }
    upstreams_[node].way = std::move(*opened);
  }
  auto way = upstreams_[node].way;
  if (auto sent = co_await way->send(std::move(frames)); !sent) co_await take_back(node, true);
}

// Who answers of what is readable: the leader of the partition. While a segment is there that
// nobody leads, this node may not know all that was acknowledged, so that it waits for a leader;
// after kPatience it tells what it has. kBusy: who has handed it on is to wait.
io::Task<NodeId> Session::reader_of(const wire::native::Target& target) {
  auto& env = local_.engine().env();
  auto give_up = env.mono() + kPatience;
  while (true) {
    auto route = route_of(target);
    if (route.led || !route.partition || env.mono() >= give_up) co_return route.node;
    auto confirmed = co_await route.partition->confirm();  // no segment is open: then all is known
    if (confirmed || confirmed.error().code != Code::kBusy) co_return NodeId{};
    if (options_.forwarded) co_return std::unexpected(std::move(confirmed).error());
    co_await local_.loop().sleep(kPause);
  }
}

// What is sealed and has copies here, or at least what comes behind it, is read here.
bool Session::reads_sealed(const wire::native::Target& target,
                           std::optional<std::int64_t> offset) const {
  if (!offset) return false;
  auto topic = local_.find(target.topic, partition_of(target));
  if (!topic) return false;
  auto bounds = (*topic)->partitions[partition_of(target).value_or(0)]->bounds();
  return bounds && bounds->here && *offset >= bounds->log_start.value &&
         *offset < bounds->sealed_end.value;
}

// The node that serves it, which is no append; 0: this one, or nobody is known.
io::Task<NodeId> Session::server_of(const Request& request) {
  const auto& way = options_.forwarding;
  if (auto target = read_target(request)) {
    if (reads_sealed(*target, read_offset(request))) co_return NodeId{};
    co_return co_await reader_of(*target);
  }
  Result<NodeId> found = NodeId{};
  if (auto target = queue_target(request); target && way.owner_of) {
    if (!local_.find(target->topic, partition_of(*target))) co_return NodeId{};
    found = co_await way.owner_of(local_.loop(), std::string(target->topic), kFindTimeout);
  } else if (auto group = group_of(request); group && way.coordinator_of) {
    found = co_await way.coordinator_of(local_.loop(), std::string(*group), kFindTimeout);
  }
  co_return found && *found != way.self ? *found : NodeId{};
}

// The request at the front, where another node serves it. False: this one does. An append was taken
// back since it was placed, and is placed anew.
io::Task<bool> Session::forward_front(const Request& request) {
  if (is_append(request)) {
    co_await local_.loop().sleep(kPause);
    co_return true;
  }
  if (auto target = read_target(request)) co_await learn(*target);
  else if (auto queue = queue_target(request)) co_await learn(*queue);
  auto node = co_await server_of(request);
  if (node && *node == NodeId{}) co_return false;
  if (!node || options_.forwarded) {
    auto target = refused_target(request);
    refuse_moved(target);
    co_return true;
  }
  WALRUS_CO_TRY(co_await flush());  // it may take long: what is answered already goes out
  std::string frames;
  CHECK(place_there(0, *node, frames));
  co_await send_to(*node, std::move(frames));
  co_return true;
}

// The next reply of the node that has the slot at the front. It may be that of a slot behind, which
// was given to the node before this one was: then it waits there for its turn.
io::Task<void> Session::answer_forwarded() {
  auto node = slots_.front().node;
  auto way = upstreams_[node].way;
  CHECK(way != nullptr && !upstreams_[node].unanswered.empty());  // or it had been taken back
  auto at = static_cast<std::size_t>(upstreams_[node].unanswered.front() - popped_);
  auto& slot = slots_[at];
  auto request = wire::native::parse_request(slot.bytes);
  if (!way->has_reply()) WALRUS_CO_TRY(co_await flush());  // what is answered does not wait for it
  auto left = kReplyTimeout + (request ? waits(*request) : io::Nanos(0));
  auto reply = co_await way->reply(std::min(left, kReplySlice));
  // It may stand still, or be cut off, long before its connection ends. What it does not lead any
  // more it acknowledges no more, and what it has read may be old by now; and nobody else leads it
  // before somebody asks for that.
  while (!reply && reply.error().code == Code::kTimeout && left > kReplySlice) {
    const auto still = request ? co_await serves_still(*request, node) : Result<bool>(true);
    if (!still || !*still) {
      if (request && !is_append(*request)) slot.give_up = local_.engine().env().mono() + kPatience;
      break;
    }
    left -= kReplySlice;
    reply = co_await way->reply(std::min(left, kReplySlice));
  }
  if (!reply) {
    co_await take_back(node, reply.error().code != Code::kClosed);
  } else if (reply->starts_with(kNoLeader)) {
    co_await settle_there(node);
  } else {
    bool got = request && std::holds_alternative<wire::native::Get>(*request);
    auto& there = upstreams_[node];
    there.unanswered.pop_front();
    there.bytes -= slot.bytes.size();
    answered(slot.log);
    if (reply->starts_with("ERR ")) ++errors_;
    if (at > 0) {
      reply_in(slot, frame_of(*reply));
      co_return Result<void>();
    }
    wire::native::append_frame(out_, *reply);
    pop();
    // It was the only one under way: nothing is placed behind a request that is no append.
    if (got && reply->starts_with("OK "))
      unsent_.push_back({.end = written_ + std::ssize(out_), .node = node});
  }
  co_return Result<void>();
}

// One request that is asked of another node by itself, and its reply. It has to be one that may be
// asked twice. kBusy: it was refused for now.
io::Task<std::string> Session::ask_there(NodeId node, const Request& request) {
  WALRUS_CO_ASSIGN(
      auto way, co_await Upstream::open(
                    options_.forwarding, local_.loop(), node,
                    {.user = user().substr(0, wire::peer::kForwardTextBytesMax),
                     .client = connection_->peer().substr(0, wire::peer::kForwardTextBytesMax)}));
  std::string frame;
  wire::native::append_request(frame, request);
  WALRUS_CO_TRY(co_await way->send(std::move(frame)));
  WALRUS_CO_ASSIGN(auto reply, co_await way->reply(kFindTimeout));
  if (reply.starts_with("ERR ")) co_return fail(Code::kBusy, "node {}: {}", node.value, reply);
  co_return std::string(reply);
}

io::Task<std::string> Session::list_groups_once() {
  const auto& way = options_.forwarding;
  WALRUS_CO_ASSIGN(auto found, co_await way.coordinators(local_.loop(), kFindTimeout));
  std::vector<std::string> lists;
  for (auto node : std::set<NodeId>(found.begin(), found.end())) {
    auto list = node == way.self ? co_await list_groups({local_, options_.groups})
                                 : co_await ask_there(node, wire::native::ListGroups{});
    if (!list) co_return std::unexpected(std::move(list).error());
    lists.push_back(std::move(*list));
  }
  co_return merge_group_lists(lists);
}

// What all coordinators have. While one of them is away, its groups are nobody's: the answer waits.
io::Task<std::string> Session::list_all_groups() {
  auto& env = local_.engine().env();
  auto give_up = env.mono() + kPatience;
  while (true) {
    auto listed = co_await list_groups_once();
    bool over = listed || listed.error().code == Code::kClosed || env.mono() >= give_up;
    if (over) co_return listed;
    co_await local_.loop().sleep(kPause);
  }
}

// The node has refused the first slot that it had not answered, and looks at nothing that it had
// not taken by then: what it had taken it answers, and ends.
boost::asio::awaitable<void> Session::settle_there(NodeId node) {
  auto& there = upstreams_[node];
  auto way = there.way;
  auto next = [&] {
    auto at = static_cast<std::size_t>(there.unanswered.front() - popped_);
    there.unanswered.pop_front();
    answered(slots_[at].log);
    return at;
  };
  try_again(next());
  while (!there.unanswered.empty()) {
    auto reply = co_await way->reply(kReplyTimeout);
    if (!reply) co_return co_await take_back(node, reply.error().code != Code::kClosed);
    auto at = next();
    if (reply->starts_with(kNoLeader)) {
      try_again(at);
    } else {
      reply_in(slots_[at], frame_of(*reply));
    }
  }
  co_await take_back(node, false);
}

// The partition of the slot at the front, which was refused here, and all others of which something
// was refused by now and nothing is open any more.
std::set<std::string> Session::refused_here() const {
  std::set<std::string> refused, open;
  for (const auto& slot : slots_) {
    if (slot.kind != Slot::kAppended || !slot.appending.owed) continue;
    const auto& owed = *slot.appending.owed;
    if (!owed.settled()) open.insert(slot.log);
    else if (is_refusal(slot, owed.outcome())) refused.insert(slot.log);
  }
  std::erase_if(refused, [&](const auto& log) { return open.contains(log); });
  refused.insert(slots_.front().log);
  return refused;
}

// What else was given to them has its answer as well.
boost::asio::awaitable<void> Session::settle_here() {
  if (options_.forwarded) {
    answered(slots_.front().log);
    answer_slot(slots_.front(), refusal_of(slots_.front().bytes));
    drop_unplaced();
    co_return;
  }
  const auto refused = refused_here();
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    auto& slot = slots_[i];
    if (slot.kind != Slot::kAppended || !refused.contains(slot.log)) continue;
    auto owed = slot.appending.owed;
    (void)co_await acknowledged(slot);
    answered(slot.log);
    slot.log.clear();
    if (!owed || !owed->settled() || !is_refusal(slot, owed->outcome())) continue;
    slot.appending = {};
    try_again(i);
  }
  co_await local_.loop().sleep(kPause);
}

// Nothing more is expected of the node: what it has not answered is placed anew, or refused where
// that is over. `unknown`: it may have been done, or still be, once the node goes on; then what is
// behind it in its partition is refused, which would come before it otherwise.
boost::asio::awaitable<void> Session::take_back(NodeId node, bool unknown) {
  upstreams_.erase(node);
  std::set<std::string> lost;  // partitions
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    auto& slot = slots_[i];
    bool there = slot.kind == Slot::kForwarded && slot.node == node;
    if (!there && (slot.kind != Slot::kRequest || lost.empty())) continue;
    auto request = wire::native::parse_request(slot.bytes);
    if (!there) {
      auto* target = request ? append_target(*request) : nullptr;
      if (target && lost.contains(route_of(*target).log))
        answer_slot(slot, text::no_leader(name_of(*target)));
      continue;
    }
    answered(slot.log);
    if (unknown && !(request && repeatable(*request))) {
      if (!slot.log.empty()) lost.insert(slot.log);
      answer_slot(slot, text::kTimedOut);
    } else {
      try_again(i);
    }
  }
  co_await local_.loop().sleep(kPause);
}

// Of an append that was given to a partition here and certainly not taken, because another node
// leads it or nobody does.
bool Session::is_refusal(const Slot& slot, const Result<broker::Placed>& outcome) const {
  return clustered() && slot.appending.owed && !outcome && outcome.error().code == Code::kBusy;
}

// Places it anew, or refuses it where it was tried for long enough.
void Session::try_again(std::size_t at) {
  auto& slot = slots_[at];
  if (local_.engine().env().mono() >= slot.give_up)
    return answer_slot(slot, refusal_of(slot.bytes));
  if (!slot.unexecuted()) ++unexecuted_;
  slot.kind = Slot::kRequest;
  slot.log.clear();
  placed_ = std::min(placed_, at);
}

void Session::answered(const std::string& log) {
  auto found = placements_.find(log);
  if (found != placements_.end() && --found->second.unanswered == 0) placements_.erase(found);
}

std::string Session::refusal_of(Bytes body) {
  auto request = wire::native::parse_request(body);
  return request ? text::no_leader(refused_target(*request)) : std::string(text::kBusy);
}

// Of the GETs that another node has handed on and was answered: its client has the records.
void Session::take_delivered() {
  std::map<broker::TopicRef, std::vector<broker::ClaimId>> delivered;
  std::size_t count = 0;
  for (; count < unsent_.size() && unsent_[count].end <= written_; ++count)
    delivered[unsent_[count].topic].push_back(
        {unsent_[count].claim.partition, unsent_[count].claim.offset});
  unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(count));
  for (auto& [topic, claims] : delivered) local_.delivered(topic, std::move(claims));
}

// If it does not get there, the records come again.
boost::asio::awaitable<void> Session::tell_delivered(std::set<NodeId> nodes) {
  std::string frame;
  wire::native::append_frame(frame, kDelivered);
  for (auto node : nodes) {
    auto found = upstreams_.find(node);
    if (found == upstreams_.end() || !found->second.way) continue;
    auto way = found->second.way;
    (void)co_await way->send(frame);
  }
}

// Of what one node of a cluster keeps for all: true, after a pause, where that is another one now,
// or this one does not have it yet, and the request at the front is to be tried again.
boost::asio::awaitable<bool> Session::worth_again(const Error& error) {
  bool lost = error.code == Code::kFenced || error.code == Code::kBusy;
  if (!lost || !clustered() || options_.forwarded) co_return false;
  auto& slot = slots_.front();
  patience(slot);
  if (local_.engine().env().mono() >= slot.give_up) co_return false;
  co_await local_.loop().sleep(kPause);
  co_return true;
}

// Likewise, where it is over: it is certain that nothing was done here.
std::string Session::describe_lost(const Error& error, Bytes target) {
  bool lost = error.code == Code::kFenced || error.code == Code::kBusy;
  if (!clustered() || !lost) return describe_error(error, target);
  ++errors_;
  return text::no_leader(target);
}

void Session::answer_slot(Slot& slot, Bytes error) {
  ++errors_;
  reply_in(slot, error_reply(error));
}

void Session::reply_in(Slot& slot, std::string frame) {
  slot_bytes_ = slot_bytes_ - slot.bytes.size() + frame.size();
  if (slot.unexecuted()) --unexecuted_;
  slot.bytes = std::move(frame);
  slot.kind = Slot::kReply;
}

// To a node that has handed on what is not led here: nothing is looked at any more that was not
// placed before.
void Session::refuse_moved(const std::string& target) {
  drop_unplaced();
  push({.kind = Slot::kReply, .bytes = error_reply(text::no_leader(target))});
}

void Session::drop_unplaced() {
  while (slots_.size() > placed_) {
    slot_bytes_ -= slots_.back().bytes.size() + kSlotOverheadBytes;
    if (slots_.back().unexecuted()) --unexecuted_;
    slots_.pop_back();
  }
  stopping_ = true;
}

}  // namespace walrus::frontend::native
