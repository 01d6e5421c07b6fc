#include "net/rpc_state.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace walrus::net {
namespace {

std::int64_t whole_ms(io::Nanos nanos) { return std::chrono::ceil<Millis>(nanos).count(); }

std::int64_t cost_of(const Outgoing& request) {
  return static_cast<std::int64_t>(request.body.size()) + kMessageCost;
}

std::size_t index_of(Priority priority) { return static_cast<std::size_t>(priority); }

}  // namespace

RpcState::RpcState(io::Env& e, io::Loop& l, Transport& t, const RpcOptions& o)
    : env(e),
      loop(l),
      transport(t),
      options(o),
      handlers_idle(l.make_gate()),
      timers_(std::make_unique<Timers>(e, l)) {}

PeerLimits RpcState::limits() const {
  const auto u32 = [](std::size_t bytes) { return static_cast<std::uint32_t>(bytes); };
  return {.message_bytes_max = u32(options.message_bytes_max),
          .bulk_window = u32(options.bulk_window),
          .control_window = u32(options.control_window),
          .stream_window = u32(options.stream_window),
          .streams_max = u32(options.streams_max)};
}

FrameHeader RpcState::header(FrameType type, std::uint64_t id) const {
  return {.type = type, .id = id, .incarnation = options.self.incarnation};
}

Result<std::uint64_t> RpcState::begin(Start start, Done done, std::shared_ptr<StreamState> stream) {
  const auto priority = start.options.priority;
  const auto max =
      priority == Priority::kControl ? options.control_bytes_max : options.message_bytes_max;
  if (stopped) return fail(Code::kClosed, "this node's connections are closed");
  if (start.body.size() > max)
    return fail(Code::kTooLarge, "a message of {} bytes, the limit is {}", start.body.size(), max);
  const auto found = peers_.find(start.to);
  if (found == peers_.end()) return fail(Code::kNotFound, "no node {}", start.to.value);
  auto& to = *found->second;
  if (start.options.only_if_there && !to.link && to.backs_off && to.refused)
    return fail(Code::kIo, "{}", to.last_error);
  auto& queued = to.queued[index_of(priority)];
  Outgoing request{.type = start.type,
                   .method = start.method,
                   .body = std::move(start.body),
                   .deadline = moment_after(env.mono(), start.options.timeout),
                   .only_if_there = start.options.only_if_there};
  const auto cost = cost_of(request);
  if (queued + cost > static_cast<std::int64_t>(options.queue_bytes_max))
    return fail(Code::kBusy, "{} bytes wait for node {} already", queued, start.to.value);
  const auto id = ++last_id_;
  Pending pending{.to = start.to,
                  .type = start.type,
                  .priority = priority,
                  .done = std::move(done),
                  .stream = std::move(stream)};
  pending.timer = timers_->at(request.deadline, [this, id, timeout = start.options.timeout] {
    give_up(id, late(this->pending(id)->to, timeout));
  });
  queued += cost;
  stats.queued_bytes += cost;
  stats.queued_bytes_max = std::max(stats.queued_bytes_max, stats.queued_bytes);
  ++(start.type == FrameType::kSend ? stats.sends : stats.calls);
  to.queues[index_of(priority)].emplace(id, std::move(request));
  pending_.emplace(id, std::move(pending));
  if (to.link) to.link->wake();
  else want_connection(found->second);
  return id;
}

Error RpcState::late(NodeId to, io::Nanos timeout) {
  const auto* const known = peer(to);
  const auto why = known != nullptr ? known->last_error : "";
  return {Code::kTimeout, fmt::format("no answer from node {} within {} ms{}{}", to.value,
                                      whole_ms(timeout), why.empty() ? "" : "; ", why)};
}

// An error at the start reaches `done` in a turn of the loop of its own.
std::uint64_t RpcState::begin_or_fail(Start start, Done done, std::shared_ptr<StreamState> stream) {
  const auto to = start.to;
  const auto type = start.type;
  // Kept here until it is known who gets it.
  auto kept = std::make_shared<Done>(std::move(done));
  auto begun = begin(
      std::move(start), [kept](Result<std::string> result) { (*kept)(std::move(result)); },
      std::move(stream));
  if (begun) return *begun;
  ++stats.calls;
  const auto id = ++last_id_;
  pending_.emplace(id, Pending{.to = to, .type = type, .done = std::move(*kept)});
  loop.post([self = shared_from_this(), id, why = std::move(begun).error()]() mutable {
    self->complete(id, std::unexpected(std::move(why)));
  });
  return id;
}

RpcState::Pending* RpcState::pending(std::uint64_t id) {
  const auto found = pending_.find(id);
  return found == pending_.end() ? nullptr : &found->second;
}

Peer* RpcState::peer(NodeId id) {
  const auto found = peers_.find(id);
  return found == peers_.end() ? nullptr : found->second.get();
}

Outgoing RpcState::unqueue(Peer& from, Priority priority, std::uint64_t id) {
  auto request = from.queues[index_of(priority)].extract(id);
  CHECK(!request.empty());
  const auto cost = cost_of(request.mapped());
  from.queued[index_of(priority)] -= cost;
  stats.queued_bytes -= cost;
  return std::move(request.mapped());
}

// The one place where a call ends: out of the table first, so that nothing can end it twice.
void RpcState::complete(std::uint64_t id, Result<std::string> result) {
  auto found = pending_.extract(id);
  if (found.empty()) return;
  auto& pending = found.mapped();
  if (timers_) timers_->cancel(pending.timer);
  if (auto* const to = peer(pending.to);
      to != nullptr && to->queues[index_of(pending.priority)].contains(id))
    unqueue(*to, pending.priority, id);
  if (pending.type == FrameType::kSend) {
    if (!result) ++stats.sends_dropped;
    return;
  }
  ++stats.completed;
  if (pending.done) pending.done(std::move(result));
}

void RpcState::give_up(std::uint64_t id, Error why) {
  const auto* const found = pending(id);
  if (found == nullptr) return;
  if (found->link != nullptr) found->link->give_up(id);
  complete(id, std::unexpected(std::move(why)));
}

void RpcState::fail_queue(Peer& of, const Error& why) {
  for (auto& queue : of.queues) {
    std::vector<std::uint64_t> ids;
    for (const auto& [id, request] : queue) ids.push_back(id);
    for (const auto id : ids) complete(id, std::unexpected(why));
  }
}

// Of what is not to wait for another attempt.
void RpcState::fail_unreached(Peer& of, const Error& why) {
  for (auto& queue : of.queues) {
    std::vector<std::uint64_t> ids;
    for (const auto& [id, request] : queue)
      if (request.only_if_there) ids.push_back(id);
    for (const auto id : ids) complete(id, std::unexpected(why));
  }
}

void RpcState::add_peer(NodeId id, std::string at) {
  if (stopped) return;
  auto& known = peers_[id];
  if (!known) {
    known = std::make_shared<Peer>(Peer{.id = id});
    known->retry = loop.make_gate();
  }
  known->added = true;
  known->address = std::move(at);
  known->retry->open();
  want_connection(known);
}

void RpcState::registered(NodeId id, Incarnation life) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return;
  auto& peer = *found->second;
  peer.registered = std::max(peer.registered, life);
  peer.known = std::max(peer.known, life);
}

void RpcState::remove_peer(NodeId id) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return;
  const auto removed = found->second;
  const Error why{Code::kNotFound, fmt::format("node {} was removed", id.value)};
  removed->gone = true;
  abandon_attempt(*removed);
  fail_queue(*removed, why);
  if (const auto link = removed->link) link->close(why);
  peers_.erase(id);
}

void RpcState::link_closed(Link& link, const Error& why) {
  ++stats.links_lost;
  --stats.links;
  log(LogLevel::kInfo, "peer_disconnected", link.terms(), why.message);
  const auto found = peers_.find(link.terms().peer);
  if (found == peers_.end() || found->second->link.get() != &link) return;
  found->second->link.reset();
  if (found->second->registered != Incarnation{}) found->second->known = found->second->registered;
  found->second->last_error = why.message;
  want_connection(found->second);
}

void RpcState::link_over(const Link& link) {
  if (!link.terms().connected && acceptor_) acceptor_->release(link.terms().remote);
}

void RpcState::violation(const Error& why) {
  ++stats.violations;
  stats.last_violation = why.message;
}

void RpcState::handler_ended() {
  if (--handlers_running == 0) handlers_idle->open();
}

void RpcState::shut() {
  if (std::exchange(stopped, true)) return;
  const auto self = shared_from_this();
  const Error why{Code::kClosed, "this node's connections are closed"};
  const Refusal farewell{RefusalReason::kStopping, "the node stops"};
  if (acceptor_) acceptor_->close();
  for (auto* const greeting : std::exchange(greetings_, {})) greeting->close();
  for (const auto& [id, known] : peers_) {
    known->gone = true;
    abandon_attempt(*known);
    if (const auto link = known->link) link->close(why, &farewell);
  }
  while (!pending_.empty()) complete(pending_.begin()->first, std::unexpected(why));
  peers_.clear();
  timers_.reset();
}

// Of a stranger, maybe: within a limit.
void RpcState::log_refusal(Bytes event, Bytes remote, Bytes why) {
  if (options.log == nullptr || !refusals_.admit(env.mono())) return;
  log_line(*options.log, LogLevel::kWarning, event, {{"address", remote}, {"why", why}});
}

void RpcState::log(LogLevel level, Bytes event, const LinkTerms& terms, Bytes why) {
  if (options.log == nullptr) return;
  log_line(*options.log, level, event,
           {{"node", terms.peer.value}, {"address", terms.remote}, {"why", why}});
}

}  // namespace walrus::net
