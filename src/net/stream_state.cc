#include "net/stream_state.h"

#include <utility>

#include "base/check.h"
#include "base/result.h"
#include "net/link.h"
#include "net/stream.h"
#include "net/timers.h"

namespace walrus::net {
namespace {

constexpr std::size_t kPieceBytes = 32 << 10;  // smaller pieces are joined to what waits

}  // namespace

Stream::Stream(std::shared_ptr<StreamState> state) : state_(std::move(state)) {}
Stream::~Stream() { state_->dropped(); }
NodeId Stream::peer() const { return state_->peer(); }
io::Task<void> Stream::write(std::string bytes, io::Nanos timeout) {
  return StreamState::write(state_, std::move(bytes), timeout);
}
io::Task<std::string> Stream::read(io::Nanos timeout) { return StreamState::read(state_, timeout); }
void Stream::end() { state_->end(); }
void Stream::cancel(Error why) { state_->cancel(why); }

StreamState::StreamState(io::Env& env, io::Loop& loop)
    : env_(env), writable_(loop.make_gate()), readable_(loop.make_gate()) {}

StreamState::~StreamState() { drop_received(); }

io::Task<void> StreamState::write(std::shared_ptr<StreamState> self, std::string bytes,
                                  io::Nanos timeout) {
  const auto deadline = moment_after(self->env_.mono(), timeout);
  CHECK(self->out_.empty());
  if (self->write_error_) co_return std::unexpected(*self->write_error_);
  if (self->end_owed_ || self->end_sent_)
    co_return walrus::fail(Code::kClosed, "this side of the stream has ended");
  self->out_ = bytes;
  self->wake_link();
  while (!self->out_.empty()) {
    const auto left = deadline == io::Nanos::max() ? deadline : deadline - self->env_.mono();
    if (co_await self->writable_->wait(std::max(left, io::Nanos(0))) || self->out_.empty())
      continue;
    if (self->env_.mono() < deadline) continue;
    const Error late{Code::kTimeout, "the peer does not read the stream"};
    self->cancel(late);
    co_return std::unexpected(late);
  }
  if (self->write_error_) co_return std::unexpected(*self->write_error_);
  co_return Result<void>();
}

io::Task<std::string> StreamState::read(std::shared_ptr<StreamState> self, io::Nanos timeout) {
  const auto deadline = moment_after(self->env_.mono(), timeout);
  while (true) {
    if (!self->received_.empty()) {
      auto piece = std::move(self->received_.front());
      self->received_.pop_front();
      const auto size = std::ssize(piece);
      self->received_bytes_ -= size;
      self->owed_ += size;
      if (self->link_ != nullptr) self->link_->account(-size);
      self->wake_link();
      co_return piece;
    }
    if (self->read_error_) co_return std::unexpected(*self->read_error_);
    if (self->peer_ended_) co_return std::string();
    const auto now = self->env_.mono();
    if (now >= deadline) co_return walrus::fail(Code::kTimeout, "nothing came on the stream");
    co_await self->readable_->wait(deadline == io::Nanos::max() ? deadline : deadline - now);
  }
}

void StreamState::end() {
  if (write_error_ || end_owed_ || end_sent_) return;
  end_owed_ = true;
  wake_link();
}

void StreamState::cancel(const Error& why) {
  if (ended() || broken_) return;
  if (link_ != nullptr) cancel_owed = why;
  break_off(why);
}

void StreamState::dropped() {
  cancel({Code::kClosed, "the other side has dropped the stream"});
  drop_received();
  wake_link();
}

void StreamState::peer_cancelled(const Error& why) {
  if (!peer_ended_) return break_off(why);
  // It wants no more from here; what it had to say is said.
  write_error_ = why;
  end_owed_ = false;
  end_sent_ = true;
  out_ = {};
  writable_->open();
}

void StreamState::break_off(const Error& why) {
  broken_ = true;
  const bool all_read = peer_ended_ && received_.empty();
  drop_received();
  if (!write_error_) write_error_ = why;
  if (!read_error_ && !all_read) read_error_ = why;
  if (!out_.empty()) end_owed_ = false;  // not all that was to come before the end went out
  out_ = {};
  writable_->open();
  readable_->open();
  wake_link();
}

void StreamState::attach(Link& link, const Key& key, NodeId peer, std::int64_t send_window,
                         std::int64_t window) {
  link_ = &link;
  key_ = key;
  peer_ = peer;
  available_ = send_window;
  window_ = left_ = window;
}

void StreamState::wake_link() {
  if (link_ != nullptr) link_->wake();
}

bool StreamState::has_output() const {
  return accept_owed || cancel_owed || (!out_.empty() && available_ > 0) ||
         (out_.empty() && end_owed_);
}

StreamState::Piece StreamState::next_piece(std::size_t max) const {
  const auto room = std::min(max, static_cast<std::size_t>(available_));
  const auto bytes = out_.substr(0, room);
  return {bytes, end_owed_ && bytes.size() == out_.size()};
}

void StreamState::sent(const Piece& piece) {
  available_ -= std::ssize(piece.bytes);
  const auto rest = out_.substr(piece.bytes.size());
  if (piece.end) {
    end_owed_ = false;
    end_sent_ = true;
  }
  const bool all = !out_.empty() && rest.empty();
  out_ = rest;
  if (all) writable_->open();
}

void StreamState::granted(std::int64_t bytes) { available_ += bytes; }

bool StreamState::receive(Bytes bytes, bool end) {
  const auto size = std::ssize(bytes);
  if (peer_ended_ || size > left_) return false;
  peer_ended_ = end;
  if (broken_) return true;  // cancelled here, and the peer does not know yet
  left_ -= size;
  received_bytes_ += size;
  if (size > 0 && link_ != nullptr) link_->account(size);
  if (!received_.empty() && received_.back().size() + bytes.size() <= kPieceBytes)
    received_.back().append(bytes);
  else if (size > 0) received_.emplace_back(bytes);
  readable_->open();
  return true;
}

bool StreamState::finished() const {
  if (cancel_owed) return false;
  return broken_ || (ended() && received_.empty());
}

std::int64_t StreamState::take_credit_owed() {
  if (peer_ended_ || broken_ || owed_ < std::max<std::int64_t>(window_ / 4, 1)) return 0;
  left_ += owed_;
  return std::exchange(owed_, 0);
}

void StreamState::drop_received() {
  if (link_ != nullptr) link_->account(-received_bytes_);
  received_.clear();
  received_bytes_ = 0;
}

}  // namespace walrus::net
