#include "frontend/native/forward.h"

#include <algorithm>
#include <cstring>

#include "broker/run_on.h"

namespace walrus::frontend::native {
namespace {

// Whoever is asked for it may just have died: then it is time to look who leads now. A dead process
// refuses at once, a host that is cut off says nothing. A connection that takes longer goes on
// being made, and serves the next attempt.
constexpr io::Nanos kOpenTimeout = std::chrono::milliseconds(250);
constexpr io::Nanos kSendTimeout = std::chrono::seconds(10);
constexpr io::Nanos kReadSlice = std::chrono::seconds(5);
constexpr std::size_t kReplyBytesMax = 128 << 20;  // of another node, which has limits of its own

}  // namespace

Upstream::Upstream(io::Loop& here, io::Loop& there, std::shared_ptr<Shared> shared)
    : here_(here),
      there_(there),
      shared_(std::move(shared)),
      splitter_({.frame_bytes_max = kReplyBytesMax, .drain_bytes_max = 0}) {}

// The stream goes on its own loop, behind the calls that use it.
Upstream::~Upstream() {
  there_.post([shared = std::move(shared_)] {
    shared->stream->end();  // what was sent still arrives
    shared->stream.reset();
  });
}

io::Task<std::shared_ptr<Upstream>> Upstream::open(Forwarding way, io::Loop& here, NodeId node,
                                                   wire::peer::ForwardOpen opening) {
  std::string body;
  append_forward_open(body, opening);
  auto shared = std::make_shared<Shared>();
  auto open = [way, node, body = std::move(body), shared]() -> io::Task<void> {
    return open_stream(way.rpc, node, body, shared);
  };
  WALRUS_CO_TRY(co_await broker::run_on<void>(here, *way.loop, std::move(open)));
  co_return std::shared_ptr<Upstream>(new Upstream(here, *way.loop, std::move(shared)));
}

io::Task<void> Upstream::open_stream(net::Rpc* rpc, NodeId node, std::string body,
                                     std::shared_ptr<Shared> shared) {
  WALRUS_CO_ASSIGN(shared->stream,
                   co_await rpc->open(node, kForwardNative, std::move(body),
                                      {.timeout = kOpenTimeout, .only_if_there = true}));
  co_return Result<void>();
}

io::Task<void> Upstream::send(std::string frames) {
  auto shared = shared_;
  co_return co_await broker::run_on<void>(here_, there_,
                                          [shared, frames = std::move(frames)]() mutable {
                                            return write(std::move(shared), std::move(frames));
                                          });
}

io::Task<void> Upstream::write(std::shared_ptr<Shared> shared, std::string bytes) {
  co_return co_await shared->stream->write(std::move(bytes), kSendTimeout);
}

io::Task<std::string> Upstream::read(std::shared_ptr<Shared> shared, io::Nanos timeout) {
  co_return co_await shared->stream->read(timeout);
}

bool Upstream::has_reply() {
  if (!next_) next_ = splitter_.next();
  return next_.has_value();
}

io::Task<Bytes> Upstream::reply(io::Nanos timeout) {
  using Kind = wire::native::FrameSplitter::Kind;
  while (true) {
    if (has_reply()) {
      auto event = *std::exchange(next_, std::nullopt);
      if (event.kind == Kind::kFrame) co_return event.body;
      co_return fail(Code::kCorrupt, "a reply of another node that is none");
    }
    auto shared = shared_;
    WALRUS_CO_ASSIGN(auto bytes,
                     co_await broker::run_on<std::string>(
                         here_, there_, [shared, timeout] { return read(shared, timeout); }));
    if (bytes.empty()) co_return fail(Code::kClosed, "the other node has ended");
    for (Bytes rest = bytes; !rest.empty();) {
      auto space = splitter_.space();
      auto size = std::min(space.size(), rest.size());
      std::memcpy(space.data(), rest.data(), size);
      splitter_.received(size);
      rest.remove_prefix(size);
    }
  }
}

io::Task<std::size_t> ForwardedConnection::read_some(std::span<char> to, io::Nanos timeout) {
  // In slices, because close() has no way to wake a read: what was written still has to arrive.
  for (auto left = timeout; taken_ == read_.size(); left -= kReadSlice) {
    if (closed_) co_return fail(Code::kClosed, "closed");
    auto got = co_await stream_->read(std::min(left, kReadSlice));
    if (!got && got.error().code == Code::kTimeout && left > kReadSlice) continue;
    if (!got) co_return std::unexpected(std::move(got).error());
    if (got->empty()) co_return std::size_t{0};
    read_ = std::move(*got);
    taken_ = 0;
  }
  auto size = std::min(to.size(), read_.size() - taken_);
  std::memcpy(to.data(), read_.data() + taken_, size);
  taken_ += size;
  co_return size;
}

io::Task<void> ForwardedConnection::write(Bytes bytes, io::Nanos timeout) {
  if (closed_) co_return fail(Code::kClosed, "closed");
  WALRUS_CO_TRY(co_await stream_->write(std::string(bytes), timeout));
  written_ += std::ssize(bytes);
  co_return Result<void>();
}

std::string ForwardedConnection::peer() const {
  return fmt::format("{} by node {}", opened_.client, from_.value);
}

}  // namespace walrus::frontend::native
