// What a Link sends, and in which order: what is owed to the peer's state (credit, cancels), then
// control messages, then in turns bulk answers and requests and the streams.

#include <algorithm>
#include <utility>

#include "base/coding.h"
#include "net/link.h"
#include "net/rpc_state.h"

namespace walrus::net {
namespace {

// What is urgent waits for the write under way: so it is not a long one.
constexpr std::size_t kClassBytes = 64 << 10;    // of a class in one write, and one message more
constexpr std::size_t kStreamBytes = 64 << 10;   // of all streams in one write
constexpr std::size_t kDataBytesMax = 32 << 10;  // of one frame of a stream
constexpr std::size_t kIdleBufferBytes = 512 << 10;
constexpr io::Nanos kFarewellTimeout = std::chrono::seconds(1);

std::uint8_t id_flag(bool mine) { return mine ? 0 : kYours; }

std::uint32_t left_ms(io::Nanos deadline, io::Nanos now) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now).count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(left, 0, UINT32_MAX));
}

}  // namespace

void Link::wake() {
  if (!writing_) work_->open();
}

io::Task<void> Link::write_frames() {
  while (!closed_) {
    if (!gather()) {
      co_await work_->wait(io::Nanos::max());
      continue;
    }
    writing_ = true;
    const auto size = out_.size();
    auto written = co_await connection_->write(out_, state_->options.write_timeout);
    writing_ = false;
    if (!written) co_return std::unexpected(std::move(written).error());
    state_->stats.bytes_sent += size;
    out_.clear();
    if (out_.capacity() > kIdleBufferBytes) out_.shrink_to_fit();
  }
  co_return Result<void>();
}

// Half closed and drained before the end, so that the peer gets it and no reset.
io::Task<void> Link::say_farewell() {
  WALRUS_CO_TRY(co_await connection_->write(farewell_, kFarewellTimeout));
  connection_->shutdown_write();
  char dropped[512];
  WALRUS_CO_TRY(co_await connection_->read_some(dropped, kFarewellTimeout));
  co_return Result<void>();
}

// False: there is nothing to send. What is in out_ already is sent too.
bool Link::gather() {
  gather_owed();
  gather_class(Priority::kControl, kClassBytes);
  gather_class(Priority::kBulk, kClassBytes);
  gather_streams(kStreamBytes);
  serve_waiting();
  return !out_.empty();
}

void Link::append(const FrameHeader& header, Bytes body) {
  append_frame(out_, header, state_->options.self.cluster, body);
}

void Link::gather_owed() {
  if (std::exchange(ping_owed_, false)) append(state_->header(FrameType::kPing, asked_), {});
  if (std::exchange(pong_owed_, false)) append(state_->header(FrameType::kPong, pong_id_), {});
  for (std::size_t i = 0; i < kPriorities; ++i) {
    auto& window = windows_[i];
    if (window.owed < window.size / 8) continue;
    std::string body;
    append_credit(body, {WindowKind(i), static_cast<std::uint32_t>(window.owed)});
    append(state_->header(FrameType::kCredit), body);
    window.left += std::exchange(window.owed, 0);
  }
  if (given_up_.empty()) return;
  std::string body;
  append_error(body, {Code::kClosed, "given up"});
  for (const auto id : std::exchange(given_up_, {}))
    append(state_->header(FrameType::kCancel, id), body);
}

void Link::gather_class(Priority priority, std::size_t budget) {
  const auto i = static_cast<std::size_t>(priority);
  auto& window = windows_[i];
  auto& answers = answers_[i];
  const auto full = [this, start = out_.size(), budget] { return out_.size() - start >= budget; };
  while (!answers.empty() && answers.front().cost <= window.available && !full()) {
    const auto& answer = answers.front();
    window.available -= answer.cost;
    if (priority == Priority::kBulk) answers_bytes_ -= answer.cost;
    append(answer.header, answer.body);
    answers.pop_front();
  }
  auto* const peer = state_->peer(terms_.peer);
  if (peer == nullptr || peer->link.get() != this) return;
  auto& queue = peer->queues[i];
  while (!queue.empty() && !full()) {
    const auto& [id, request] = *queue.begin();
    const std::size_t max = terms_.theirs.message_bytes_max;
    if (request.body.size() > max) {
      state_->complete(id, fail(Code::kTooLarge, "a message of {} bytes, node {} takes {}",
                                request.body.size(), terms_.peer.value, max));
      if (closed_) return;  // by who was called back
      continue;
    }
    const auto cost = static_cast<std::int64_t>(request.body.size()) + kMessageCost;
    if (cost > window.available) return;
    window.available -= cost;
    gather_request(id, priority);
  }
}

void Link::gather_request(std::uint64_t id, Priority priority) {
  auto* const pending = state_->pending(id);
  auto* const peer = state_->peer(terms_.peer);
  const auto request = state_->unqueue(*peer, priority, id);
  auto header = state_->header(request.type, request.type == FrameType::kSend ? 0 : id);
  header.method = request.method;
  if (priority == Priority::kControl) header.flags = kControl;
  const auto mark = begin_frame(out_);
  append_le(out_, left_ms(request.deadline, state_->env.mono()));
  out_.append(request.body);
  end_frame(out_, mark, header, state_->options.self.cluster);
  if (request.type == FrameType::kSend) return state_->complete(id, std::string());
  pending->link = this;
  sent_.insert(id);
}

// One piece each in turn, beginning behind the one that had the last turn.
void Link::gather_streams(std::size_t budget) {
  const auto start = out_.size();
  const auto max = std::min<std::size_t>(kDataBytesMax, terms_.theirs.message_bytes_max);
  for (bool any = true; any && !streams_.empty() && out_.size() - start < budget;) {
    any = false;
    for (auto left = streams_.size(); left > 0 && out_.size() - start < budget; --left) {
      auto next = streams_.upper_bound(last_stream_);
      if (next == streams_.end()) next = streams_.begin();
      const auto stream = next->second;  // may be forgotten
      last_stream_ = stream->key();
      const auto before = out_.size();
      gather_stream(*stream, max);
      any = any || out_.size() > before;
      if (stream->finished()) forget(stream->key());
    }
  }
}

void Link::gather_stream(StreamState& stream, std::size_t max) {
  const auto [mine, id] = stream.key();
  const auto header = [&](FrameType type) {
    auto made = state_->header(type, id);
    made.flags = id_flag(mine);
    return made;
  };
  if (std::exchange(stream.accept_owed, false)) append(header(FrameType::kAccept), {});
  if (const auto owed = stream.take_credit_owed(); owed > 0) {
    std::string body;
    append_credit(body, {WindowKind::kStream, static_cast<std::uint32_t>(owed)});
    append(header(FrameType::kCredit), body);
  }
  if (!stream.has_output()) return;
  if (const auto piece = stream.next_piece(max); piece.end || !piece.bytes.empty()) {
    auto data = header(FrameType::kData);
    if (piece.end) data.flags |= kEnd;
    append(data, piece.bytes);
    stream.sent(piece);
  }
  if (const auto why = std::exchange(stream.cancel_owed, std::nullopt)) {
    std::string body;
    append_error(body, *why);
    append(header(FrameType::kCancel), body);
  }
}

}  // namespace walrus::net
