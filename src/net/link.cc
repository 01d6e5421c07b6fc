#include "net/link.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "net/rpc_state.h"

namespace walrus::net {
namespace {

std::int64_t cost_of(std::size_t payload) {
  return static_cast<std::int64_t>(payload) + kMessageCost;
}

std::size_t index_of(Priority priority) { return static_cast<std::size_t>(priority); }

Priority priority_of(const FrameHeader& header) {
  return (header.flags & kControl) != 0 ? Priority::kControl : Priority::kBulk;
}

std::unexpected<Error> violation(const char* what) { return fail(Code::kCorrupt, "{}", what); }

}  // namespace

void Occupied::release() {
  const auto cost = std::exchange(cost_, 0);
  if (cost == 0) return;
  if (const auto link = link_.lock()) link->release(priority_, cost);
}

Link::Link(std::shared_ptr<RpcState> state, LinkTerms terms,
           std::unique_ptr<io::Connection> connection, FrameSplitter splitter)
    : state_(std::move(state)),
      terms_(std::move(terms)),
      connection_(std::move(connection)),
      splitter_(std::move(splitter)),
      work_(state_->loop.make_gate()) {
  const auto mine = state_->limits();
  splitter_.set_body_bytes_max(mine.message_bytes_max + kCallPreludeBytes);
  auto& bulk = windows_[index_of(Priority::kBulk)];
  auto& control = windows_[index_of(Priority::kControl)];
  bulk.available = terms_.theirs.bulk_window;
  control.available = terms_.theirs.control_window;
  bulk.size = bulk.left = mine.bulk_window;
  control.size = control.left = mine.control_window;
}

Link::~Link() = default;

void Link::start(std::string first_bytes) {
  out_ = std::move(first_bytes);
  ++state_->stats.links;
  state_->loop.spawn(run_reader(shared_from_this()));
  state_->loop.spawn(run_writer(shared_from_this()));
}

void Link::close(const Error& why, const Refusal* farewell) {
  if (std::exchange(closed_, true)) return;
  const auto self = shared_from_this();  // what is called back may drop the last other one
  if (farewell != nullptr && !writing_) {
    std::string body;
    append_refusal(body, *farewell);
    append_frame(farewell_, state_->header(FrameType::kRefuse), state_->options.self.cluster, body);
  } else {
    connection_->close();
  }
  work_->open();
  for (auto* gate : asking_) gate->open();
  account(-held_);
  waiting_.clear();
  for (auto& answers : answers_) answers.clear();
  for (auto& [id, served] : std::exchange(served_, {})) *served.over = true;
  for (auto& [key, stream] : std::exchange(streams_, {})) {
    stream->detach();
    stream->break_off(why);
  }
  state_->link_closed(*this, why);
  for (const auto id : std::exchange(sent_, {})) state_->complete(id, std::unexpected(why));
}

boost::asio::awaitable<void> Link::run_reader(std::shared_ptr<Link> self) {
  auto result = co_await self->read_frames();
  if (!result && !self->closed_) {
    const auto& why = result.error();
    const bool wrong = why.code != Code::kIo && why.code != Code::kTimeout;
    if (wrong) self->state_->violation(why);
    const Refusal farewell{RefusalReason::kProtocol, why.message};
    const Error broken{
        Code::kIo, fmt::format("connection to node {}: {}", self->terms_.peer.value, why.message)};
    self->close(broken, wrong ? &farewell : nullptr);
  }
}

boost::asio::awaitable<void> Link::run_writer(std::shared_ptr<Link> self) {
  auto result = co_await self->write_frames();
  if (!result)
    self->close({Code::kIo, fmt::format("connection to node {}: {}", self->terms_.peer.value,
                                        result.error().message)});
  if (!self->farewell_.empty()) (void)co_await self->say_farewell();
  self->connection_->close();
  self->state_->link_over(*self);
}

io::Task<void> Link::read_frames() {
  while (!closed_) {
    auto size =
        co_await connection_->read_some(splitter_.space(), state_->options.keepalive_interval);
    if (closed_) break;
    if (!size && size.error().code == Code::kTimeout) {
      // Reads are counted, not time: a process that stood still itself has heard nobody.
      if (++silent_reads_ * state_->options.keepalive_interval >= state_->options.silence_max)
        co_return fail(Code::kTimeout, "silent for too long");
      ping_owed_ = true;
      wake();
      continue;
    }
    if (!size) co_return fail(Code::kIo, "{}", size.error().message);
    if (*size == 0) co_return fail(Code::kIo, "the peer has closed it");
    silent_reads_ = 0;
    state_->stats.bytes_received += *size;
    splitter_.received(*size);
    while (!closed_) {
      WALRUS_CO_ASSIGN(auto frame, splitter_.next());
      if (!frame) break;
      WALRUS_CO_TRY(take(*frame));
    }
  }
  co_return Result<void>();
}

Result<void> Link::take(const Frame& frame) {
  if (frame.header.incarnation != terms_.incarnation)
    return fail(Code::kFenced, "a frame of incarnation {}, the connection is of {}",
                frame.header.incarnation.value, terms_.incarnation.value);
  switch (frame.header.type) {
    case FrameType::kCall:
    case FrameType::kSend:
    case FrameType::kOpen: return take_request(frame);
    case FrameType::kReply:
    case FrameType::kError:
    case FrameType::kAccept: return take_answer(frame);
    case FrameType::kCancel: return take_cancel(frame);
    case FrameType::kData: return take_data(frame);
    case FrameType::kCredit: return take_credit(frame);
    case FrameType::kPing:
      pong_owed_ = true;  // one for all that come before it is written
      pong_id_ = frame.header.id;
      wake();
      return {};
    case FrameType::kPong:
      answered_ = std::max(answered_, std::min(asked_, frame.header.id));
      for (auto* gate : asking_) gate->open();
      return {};
    case FrameType::kRefuse: refuse_by_peer(frame); return {};
    case FrameType::kHello:
    case FrameType::kWelcome: break;
  }
  return violation("a second handshake");
}

io::Task<bool> Link::answers(io::Nanos within) {
  const auto self = shared_from_this();
  const auto deadline = moment_after(state_->env.mono(), within);
  const auto id = ++asked_;
  const auto gate = state_->loop.make_gate();
  asking_.push_back(gate.get());
  ping_owed_ = true;
  wake();
  while (!closed_ && answered_ < id) {
    const auto left = deadline - state_->env.mono();
    if (left <= io::Nanos(0)) break;
    co_await gate->wait(left);
  }
  std::erase(asking_, gate.get());
  co_return !closed_ && answered_ >= id;
}

void Link::refuse_by_peer(const Frame& frame) {
  const auto refusal = parse_refusal(frame.body);
  const Error why = refusal ? refused(*refusal) : refusal.error();
  close({Code::kIo, fmt::format("node {}: {}", terms_.peer.value, why.message)});
}

Result<void> Link::charge(Priority priority, std::size_t payload) {
  auto& window = windows_[index_of(priority)];
  const auto cost = cost_of(payload);
  if (cost > window.left) return violation("more than was granted");
  window.left -= cost;
  account(cost);
  return {};
}

void Link::release(Priority priority, std::int64_t cost) {
  if (closed_) return;
  auto& window = windows_[index_of(priority)];
  window.owed += cost;
  account(-cost);
  if (window.owed >= window.size / 8) wake();
}

void Link::account(std::int64_t bytes) {
  held_ += bytes;
  auto& stats = state_->stats;
  stats.occupied_bytes += bytes;
  stats.occupied_bytes_max = std::max(stats.occupied_bytes_max, stats.occupied_bytes);
}

Result<void> Link::take_request(const Frame& frame) {
  WALRUS_ASSIGN(const auto call, parse_call(frame.body));
  const auto priority = priority_of(frame.header);
  if (priority == Priority::kControl && call.payload.size() > state_->options.control_bytes_max)
    return violation("a control message that is too large");
  WALRUS_TRY(charge(priority, call.payload.size()));
  ++state_->stats.served;
  const auto id = frame.header.id;
  Request request{
      .from = terms_.peer,
      .incarnation = terms_.incarnation,
      .proved = terms_.proved,
      .method = frame.header.method,
      .body = std::string(call.payload),
      .deadline = moment_after(state_->env.mono(), std::chrono::milliseconds(call.timeout_ms)),
      .over = {},
      .occupied = {weak_from_this(), priority, cost_of(call.payload.size())}};
  if (frame.header.type != FrameType::kSend) {
    auto [served, added] = served_.try_emplace(id, Served{std::make_shared<bool>(false)});
    if (!added || streams_.contains({.mine = false, .id = id}))
      return violation("a request whose id is in use");
    request.over = served->second.over;
  }
  if (priority == Priority::kBulk && (!waiting_.empty() || !has_room()))
    waiting_.push_back({frame.header, std::move(request)});
  else serve(frame.header, std::move(request));
  return {};
}

bool Link::has_room() const {
  return running_ < state_->options.handlers_max &&
         answers_bytes_ < static_cast<std::int64_t>(state_->options.replies_bytes_max);
}

void Link::serve_waiting() {
  while (!closed_ && !waiting_.empty() && has_room()) {
    auto [header, request] = std::move(waiting_.front());
    waiting_.pop_front();
    if (request.cancelled()) continue;
    if (header.type != FrameType::kSend && request.deadline <= state_->env.mono())
      answer(header, fail(Code::kTimeout, "waited here for too long"));
    else serve(header, std::move(request));
  }
}

void Link::serve(const FrameHeader& header, Request request) {
  if (header.type == FrameType::kOpen) return serve_stream(header, std::move(request));
  if (header.type == FrameType::kSend) {
    const auto found = state_->send_handlers.find(header.method);
    if (found == state_->send_handlers.end()) {
      ++state_->stats.unhandled;
      return;
    }
    const auto handler = found->second;
    (*handler)(std::move(request));
    return;
  }
  const auto found = state_->handlers.find(header.method);
  if (found == state_->handlers.end())
    return answer(header, fail(Code::kNotFound, "no method {}", header.method.value));
  if (priority_of(header) == Priority::kBulk) ++running_;
  ++state_->handlers_running;
  state_->loop.spawn(run_call(shared_from_this(), header, found->second, std::move(request)));
}

boost::asio::awaitable<void> Link::run_call(std::shared_ptr<Link> self, FrameHeader header,
                                            std::shared_ptr<const Rpc::Handler> handler,
                                            Request request) {
  auto result = co_await (*handler)(std::move(request));
  if (priority_of(header) == Priority::kBulk) --self->running_;
  self->answer(header, std::move(result));
  self->serve_waiting();
  self->state_->handler_ended();
}

void Link::serve_stream(const FrameHeader& header, Request request) {
  const auto found = state_->stream_handlers.find(header.method);
  if (found == state_->stream_handlers.end())
    return answer(header, fail(Code::kNotFound, "no stream method {}", header.method.value));
  if (peer_streams_ >= state_->options.streams_max)
    return answer(header, fail(Code::kBusy, "{} streams are open", peer_streams_));
  served_.erase(header.id);
  ++peer_streams_;
  const Key key{.mine = false, .id = header.id};
  auto stream = std::make_shared<StreamState>(state_->env, state_->loop);
  stream->attach(*this, key, terms_.peer, terms_.theirs.stream_window,
                 static_cast<std::int64_t>(state_->options.stream_window));
  stream->accept_owed = true;
  streams_.emplace(key, stream);
  ++state_->handlers_running;
  state_->loop.spawn(run_stream(shared_from_this(), found->second, std::move(request),
                                std::make_unique<Stream>(std::move(stream))));
  wake();
}

boost::asio::awaitable<void> Link::run_stream(std::shared_ptr<Link> self,
                                              std::shared_ptr<const Rpc::StreamHandler> handler,
                                              Request request, std::unique_ptr<Stream> stream) {
  auto result = co_await (*handler)(std::move(request), *stream);
  if (result) stream->end();
  else stream->cancel(std::move(result).error());
  stream.reset();
  self->state_->handler_ended();
}

void Link::answer(const FrameHeader& request, Result<std::string> result) {
  if (closed_ || served_.erase(request.id) == 0) return;  // cancelled
  const std::size_t max = terms_.theirs.message_bytes_max;
  if (result && result->size() > max)
    result = fail(Code::kTooLarge, "a reply of {} bytes, the limit is {}", result->size(), max);
  Answer answer{state_->header(FrameType::kReply, request.id), {}, 0};
  answer.header.flags = kYours | (request.flags & kControl);
  if (result) {
    answer.body = *std::move(result);
  } else {
    answer.header.type = FrameType::kError;
    append_error(answer.body, result.error());
  }
  answer.cost = cost_of(answer.body.size());
  const auto priority = priority_of(request);
  if (priority == Priority::kBulk) answers_bytes_ += answer.cost;
  answers_[index_of(priority)].push_back(std::move(answer));
  wake();
}

Result<void> Link::take_answer(const Frame& frame) {
  const auto& header = frame.header;
  if ((header.flags & kYours) == 0) return violation("an answer to no call");
  if (header.type != FrameType::kAccept) {
    const auto cost = cost_of(frame.body.size());
    WALRUS_TRY(charge(priority_of(header), frame.body.size()));
    release(priority_of(header), cost);  // it is read here and now
  }
  if (!sent_.contains(header.id)) return {};  // given up
  auto* const pending = state_->pending(header.id);
  CHECK(pending != nullptr);
  const bool opens = pending->type == FrameType::kOpen;
  if (header.type != FrameType::kError && opens != (header.type == FrameType::kAccept))
    return violation("an answer of the wrong kind");
  if (header.type == FrameType::kError) {
    WALRUS_ASSIGN(auto error, parse_error(frame.body));
    sent_.erase(header.id);
    state_->complete(header.id, std::unexpected(std::move(error)));
    return {};
  }
  sent_.erase(header.id);
  if (opens) {
    const Key key{.mine = true, .id = header.id};
    pending->stream->attach(*this, key, terms_.peer, terms_.theirs.stream_window,
                            static_cast<std::int64_t>(state_->options.stream_window));
    streams_.emplace(key, pending->stream);
  }
  state_->complete(header.id, std::string(frame.body));
  return {};
}

Result<void> Link::take_cancel(const Frame& frame) {
  WALRUS_ASSIGN(const auto why, parse_error(frame.body));
  const Key key{.mine = (frame.header.flags & kYours) != 0, .id = frame.header.id};
  const auto stream = streams_.find(key);
  if (stream != streams_.end()) {
    stream->second->peer_cancelled(why);
    wake();
  } else if (!key.mine) {
    const auto served = served_.extract(key.id);
    if (!served.empty()) *served.mapped().over = true;
  }
  return {};
}

Result<void> Link::take_data(const Frame& frame) {
  const Key key{.mine = (frame.header.flags & kYours) != 0, .id = frame.header.id};
  const bool end = (frame.header.flags & kEnd) != 0;
  if (frame.body.empty() && !end) return violation("data without bytes");
  const auto found = streams_.find(key);
  if (found == streams_.end()) return {};  // cancelled here meanwhile
  if (!found->second->receive(frame.body, end)) return violation("more data than was granted");
  if (end) wake();
  return {};
}

Result<void> Link::take_credit(const Frame& frame) {
  constexpr std::int64_t kMax = std::int64_t{1} << 40;
  WALRUS_ASSIGN(const auto credit, parse_credit(frame.body));
  if (credit.window == WindowKind::kStream) {
    const Key key{.mine = (frame.header.flags & kYours) != 0, .id = frame.header.id};
    const auto found = streams_.find(key);
    if (found != streams_.end()) found->second->granted(credit.bytes);
  } else {
    auto& window = windows_[static_cast<std::size_t>(credit.window)];
    window.available = std::min(window.available + credit.bytes, kMax);
  }
  wake();
  return {};
}

void Link::give_up(std::uint64_t id) {
  if (closed_ || sent_.erase(id) == 0) return;
  given_up_.push_back(id);
  wake();
}

void Link::forget(const Key& key) {
  const auto found = streams_.extract(key);
  if (found.empty()) return;
  found.mapped()->detach();
  if (!key.mine) --peer_streams_;
}

}  // namespace walrus::net
