// How a connection comes to be, from both sides, and which one stays when both connect at once.

#include <algorithm>
#include <utility>

#include "net/rpc_state.h"

namespace walrus::net {
namespace {

constexpr std::size_t kGreetingBytesMax = 2 << 10;  // of a body, before the peer is known
constexpr io::Nanos kRefusalTimeout = std::chrono::seconds(1);
// Which a life that is to be replaced has to answer in, if it goes on. One that has ended has lost
// its connection, as a rule, and is not waited for.
constexpr io::Nanos kAnswerTimeout = std::chrono::milliseconds(400);

struct FirstFrame {
  FrameHeader header;
  std::string body;
};

io::Task<FirstFrame> read_frame(io::Env& env, io::Connection& from, FrameSplitter& splitter,
                                io::Nanos deadline) {
  while (true) {
    WALRUS_CO_ASSIGN(const auto frame, splitter.next());
    if (frame) co_return FirstFrame{frame->header, std::string(frame->body)};
    const auto left = std::max(deadline - env.mono(), io::Nanos(0));
    WALRUS_CO_ASSIGN(const auto size, co_await from.read_some(splitter.space(), left));
    if (size == 0) co_return fail(Code::kIo, "{}: the peer has closed it", from.peer());
    splitter.received(size);
  }
}

RefusalReason reason_of(const Error& error) {
  if (error.code == Code::kVersion) return RefusalReason::kVersion;
  if (error.code == Code::kMismatch) return RefusalReason::kWrongCluster;
  return RefusalReason::kProtocol;
}

// A window must hold two messages of the largest size, or the second may wait for ever.
bool plausible(const PeerLimits& limits) {
  const auto least = 2 * (std::int64_t{limits.message_bytes_max} + kMessageCost);
  return limits.bulk_window >= least && limits.control_window >= 2 * kMessageCost &&
         limits.stream_window > 0;
}

// What an operator has to look at; that nobody is there, or is busy, passes.
bool is_telling(Code code) {
  return code != Code::kIo && code != Code::kTimeout && code != Code::kBusy &&
         code != Code::kClosed;
}

// Waiting does not mend it. (A version that is wrong may be a damaged frame.)
bool is_final(Code code) {
  return code == Code::kMismatch || code == Code::kFenced || code == Code::kExists;
}

}  // namespace

Error refused(const Refusal& refusal) {
  const auto code = [&] {
    switch (refusal.reason) {
      case RefusalReason::kProtocol: return Code::kCorrupt;
      case RefusalReason::kVersion: return Code::kVersion;
      case RefusalReason::kWrongCluster:
      case RefusalReason::kWrongNode: return Code::kMismatch;
      case RefusalReason::kOldIncarnation: return Code::kFenced;
      case RefusalReason::kSimultaneous:
      case RefusalReason::kTooMany: return Code::kBusy;
      case RefusalReason::kStopping: return Code::kClosed;
      case RefusalReason::kTaken: return Code::kExists;
    }
    return Code::kCorrupt;
  };
  return {code(), "refused: " + refusal.text};
}

// Closes the connection when its coroutine is left, and lets it be closed from outside meanwhile.
class Greeting {
 public:
  Greeting(RpcState& state, io::Connection& connection) : state_(state), connection_(&connection) {
    state_.greetings_.insert(connection_);
    ++state_.stats.handshakes;
  }
  ~Greeting() {
    state_.greetings_.erase(connection_);
    --state_.stats.handshakes;
  }
  Greeting(const Greeting&) = delete;
  Greeting& operator=(const Greeting&) = delete;

 private:
  RpcState& state_;
  io::Connection* const connection_;
};

Result<void> RpcState::listen() {
  if (options.listen.empty()) return {};
  WALRUS_ASSIGN(auto listener, transport.listen(loop, options.listen));
  acceptor_ = Acceptor::over({&loop},
                             {.listen = options.listen,
                              .connections_max = options.connections_max,
                              .connections_per_address_max = options.connections_per_address_max},
                             std::move(listener));
  address = acceptor_->address();
  std::string body, refusal;
  append_refusal(body, {RefusalReason::kTooMany, "too many connections"});
  append_frame(refusal, header(FrameType::kRefuse), options.self.cluster, body);
  std::weak_ptr<RpcState> weak = weak_from_this();
  acceptor_->start(
      [weak](std::size_t, std::unique_ptr<io::Connection> connection) {
        if (const auto self = weak.lock())
          self->loop.spawn(run_accepted(self, std::move(connection)));
      },
      std::move(refusal));
  return {};
}

bool RpcState::wanted(const Peer& peer) const {
  return !stopped && !peer.gone && !peer.link && !peer.address.empty() && !peer.idle();
}

void RpcState::want_connection(const PeerRef& peer) {
  if (peer->connecting || !wanted(*peer)) return;
  peer->connecting = true;
  loop.spawn(run_connect(shared_from_this(), peer));
}

void RpcState::abandon_attempt(Peer& peer) {
  ++peer.attempt;
  if (peer.greeting != nullptr) std::exchange(peer.greeting, nullptr)->close();
  peer.retry->open();
}

boost::asio::awaitable<void> RpcState::run_connect(std::shared_ptr<RpcState> self, PeerRef peer) {
  while (self->wanted(*peer)) {
    const auto number = ++peer->attempt;
    peer->yielded = false;
    auto made = co_await attempt(self, peer, number);
    if (peer->attempt == number) peer->greeting = nullptr;
    if (!self->wanted(*peer)) break;
    if (made || peer->attempt != number) continue;  // lost again, or another address
    ++self->stats.connects_failed;
    peer->last_error =
        fmt::format("node {} at {}: {}", peer->id.value, peer->address, made.error().message);
    if (is_telling(made.error().code) && peer->last_error != peer->told_error) {
      peer->told_error = peer->last_error;
      self->log_refusal("peer_refused_us", peer->address, peer->last_error);
    }
    if (is_final(made.error().code)) self->fail_queue(*peer, {made.error().code, peer->last_error});
    if (peer->refused) self->fail_unreached(*peer, {Code::kIo, peer->last_error});
    ++peer->failures;
    peer->backs_off = true;
    co_await peer->retry->wait(self->backoff(*peer));
    peer->backs_off = false;
  }
  peer->connecting = false;
}

// Doubles with each failure in a row; of that, half for sure and half by chance.
io::Nanos RpcState::backoff(const Peer& peer) {
  auto full = options.backoff_min;
  for (auto i = 1U; i < peer.failures && full < options.backoff_max; ++i) full *= 2;
  full = std::min(full, options.backoff_max);
  const auto half = static_cast<std::uint64_t>(full.count() / 2);
  return io::Nanos(static_cast<std::int64_t>(half + env.random() % (half + 1)));
}

io::Task<void> RpcState::attempt(std::shared_ptr<RpcState> self, PeerRef peer,
                                 std::uint64_t number) {
  const auto& options = self->options;
  const auto unwanted = [&] { return peer->attempt != number; };
  auto connected = co_await self->transport.connect(self->loop, peer->address, peer->id,
                                                    options.connect_timeout);
  peer->refused = !connected && connected.error().code == Code::kIo;
  if (!connected) co_return std::unexpected(std::move(connected).error());
  auto channel = *std::move(connected);
  if (unwanted()) co_return fail(Code::kClosed, "not wanted any more");
  peer->greeting = channel.bytes.get();
  const auto deadline = moment_after(self->env.mono(), options.handshake_timeout);
  Hello hello{.from = options.self.node,
              .to = peer->id,
              .link = self->env.random() | 1,
              .last_link = peer->last_link,
              .limits = self->limits()};
  std::string body, bytes;
  append_hello(body, hello);
  append_frame(bytes, self->header(FrameType::kHello), options.self.cluster, body);
  WALRUS_CO_TRY(co_await channel.bytes->write(bytes, options.handshake_timeout));
  FrameSplitter splitter(options.self.cluster, kGreetingBytesMax);
  auto answer = co_await read_frame(self->env, *channel.bytes, splitter, deadline);
  if (unwanted()) co_return fail(Code::kClosed, "not wanted any more");
  if (!answer) {
    self->met(answer.error(), splitter);
    co_return std::unexpected(std::move(answer).error());
  }
  const auto first = *std::move(answer);
  if (first.header.type == FrameType::kRefuse) {
    WALRUS_CO_ASSIGN(const auto refusal, parse_refusal(first.body));
    co_return std::unexpected(refused(refusal));
  }
  if (first.header.type != FrameType::kWelcome)
    co_return fail(Code::kCorrupt, "the first frame is no welcome");
  WALRUS_CO_ASSIGN(const auto welcome, parse_welcome(first.body));
  const auto there = channel.proved.value_or(welcome.from);
  if (welcome.from != peer->id || there != peer->id)
    co_return fail(Code::kMismatch, "it is node {}{}", there.value,
                   there == welcome.from ? "" : ", which says that it is another one");
  if (welcome.link != hello.link || !plausible(welcome.limits))
    co_return fail(Code::kCorrupt, "the welcome is not for this connection");
  if (first.header.incarnation < peer->known)
    co_return fail(Code::kFenced, "it is incarnation {}, a later one, {}, is known",
                   first.header.incarnation.value, peer->known.value);
  peer->greeting = nullptr;
  LinkTerms terms{.peer = peer->id,
                  .incarnation = first.header.incarnation,
                  .nonce = hello.link,
                  .connected = true,
                  .theirs = welcome.limits,
                  .remote = channel.bytes->peer(),
                  .proved = channel.proved};
  self->adopt(peer, std::move(terms), std::move(channel), std::move(splitter), {});
  co_return Result<void>();
}

boost::asio::awaitable<void> RpcState::run_accepted(std::shared_ptr<RpcState> self,
                                                    std::unique_ptr<io::Connection> connection) {
  const auto remote = connection->peer();
  const auto taken = co_await greet_back(self, std::move(connection));
  if ((!taken || !*taken) && self->acceptor_) self->acceptor_->release(remote);
}

// True: a Link has it, and will give the place at the acceptor back.
io::Task<bool> RpcState::greet_back(std::shared_ptr<RpcState> self,
                                    std::unique_ptr<io::Connection> connection) {
  const auto& options = self->options;
  const auto deadline = moment_after(self->env.mono(), options.handshake_timeout);
  if (self->stopped) co_return false;
  WALRUS_CO_ASSIGN(auto channel, co_await self->transport.accepted(
                                     self->loop, std::move(connection), options.handshake_timeout));
  if (self->stopped) co_return false;
  const Greeting greeting(*self, *channel.bytes);
  FrameSplitter splitter(options.self.cluster, kGreetingBytesMax);
  auto first = co_await read_frame(self->env, *channel.bytes, splitter, deadline);
  if (self->stopped) co_return false;
  std::optional<Refusal> refusal;
  Result<Hello> hello = fail(Code::kCorrupt, "the first frame is no hello");
  if (!first && (first.error().code == Code::kIo || first.error().code == Code::kTimeout))
    co_return false;  // it said nothing
  if (!first) self->met(first.error(), splitter);
  if (first && first->header.type == FrameType::kHello) hello = parse_hello(first->body);
  if (!first) refusal = Refusal{reason_of(first.error()), first.error().message};
  else if (!hello) refusal = Refusal{RefusalReason::kProtocol, hello.error().message};
  else {
    WALRUS_CO_ASSIGN(refusal, co_await judge_all(self, first->header, *hello, channel));
    if (self->stopped) co_return false;
  }
  std::string body, bytes;
  if (refusal) {
    ++self->stats.refused;
    const bool asks_who_is_there =
        !first && first.error().code == Code::kMismatch && splitter.foreign() == ClusterId{};
    if (refusal->reason != RefusalReason::kSimultaneous && !asks_who_is_there)
      self->log_refusal("peer_refused", channel.bytes->peer(), refusal->text);
    append_refusal(body, *refusal);
    append_frame(bytes, self->header(FrameType::kRefuse), options.self.cluster, body);
    WALRUS_CO_TRY(co_await channel.bytes->write(bytes, kRefusalTimeout));
    channel.bytes->shutdown_write();
    char dropped[512];
    WALRUS_CO_TRY(co_await channel.bytes->read_some(dropped, kRefusalTimeout));
    co_return false;
  }
  const auto peer = self->make_peer(hello->from);
  append_welcome(body, {options.self.node, hello->link, self->limits()});
  append_frame(bytes, self->header(FrameType::kWelcome), options.self.cluster, body);
  self->abandon_attempt(*peer);
  LinkTerms terms{.peer = peer->id,
                  .incarnation = first->header.incarnation,
                  .nonce = hello->link,
                  .connected = false,
                  .theirs = hello->limits,
                  .remote = channel.bytes->peer(),
                  .proved = channel.proved};
  self->adopt(peer, std::move(terms), std::move(channel), std::move(splitter), std::move(bytes));
  co_return true;
}

// Who asks who is there greets with no cluster.
void RpcState::met(const Error& why, const FrameSplitter& from) {
  if (why.code != Code::kMismatch || from.foreign() == ClusterId{} || !on_foreign_cluster) return;
  const auto call = on_foreign_cluster;
  call(from.foreign());
}

std::optional<Refusal> RpcState::judge(const FrameHeader& header, const Hello& hello,
                                       const Channel& channel) {
  const auto self = options.self.node;
  if (hello.to.value != 0 && hello.to != self)
    return Refusal{RefusalReason::kWrongNode,
                   fmt::format("this is node {}, not {}", self.value, hello.to.value)};
  if (hello.from == self)
    return Refusal{RefusalReason::kWrongNode, fmt::format("this is node {} too", self.value)};
  const bool guest = options.guests && is_guest(hello.from);
  if (channel.proved && *channel.proved != hello.from && !guest)
    return Refusal{RefusalReason::kWrongNode,
                   fmt::format("the certificate is of node {}", channel.proved->value)};
  if (!plausible(hello.limits))
    return Refusal{RefusalReason::kProtocol, "windows below two messages"};
  const auto peer = make_peer(hello.from);
  if (!peer) return Refusal{RefusalReason::kTooMany, "too many nodes"};
  // The life that counts, and a later one is connected that was not registered (yet).
  const bool counts = peer->registered != Incarnation{} && header.incarnation >= peer->registered;
  if (header.incarnation < peer->known && counts)
    return Refusal{RefusalReason::kSimultaneous,
                   fmt::format("another process of node {} is connected", hello.from.value)};
  if (header.incarnation < peer->known)
    return Refusal{RefusalReason::kOldIncarnation,
                   fmt::format("incarnation {} of node {}, a later one, {}, is known",
                               header.incarnation.value, hello.from.value, peer->known.value)};
  return judge_crossing(*peer, header, hello);
}

// A directory has one process at a time, so a later life of it comes when the earlier one has
// ended. If that still answers, who comes is on another directory, and has to go.
io::Task<std::optional<Refusal>> RpcState::judge_all(std::shared_ptr<RpcState> self,
                                                     FrameHeader header, Hello hello,
                                                     const Channel& channel) {
  auto refusal = self->judge(header, hello, channel);
  const auto peer = self->make_peer(hello.from);
  if (refusal || !peer->link || header.incarnation <= peer->known) co_return refusal;
  const auto link = peer->link;
  WALRUS_CO_ASSIGN(const auto lives, co_await link->answers(kAnswerTimeout));
  if (lives)
    co_return Refusal{RefusalReason::kTaken,
                      fmt::format("node {} is there already, in another data directory: stop that "
                                  "process first, or take another node id",
                                  hello.from.value)};
  co_return self->judge(header, hello, channel);
}

// Who connects anew knows that the last connection is gone, unless both connected at once: then the
// one of the lower id stays.
std::optional<Refusal> RpcState::judge_crossing(Peer& peer, const FrameHeader& header,
                                                const Hello& hello) {
  const Refusal mine{RefusalReason::kSimultaneous, "this node connects at the same time"};
  if (peer.link) {
    if (header.incarnation > peer.known) return std::nullopt;
    // It accepted our connection and gave up this attempt, which comes late. Else it has lost it.
    const bool late = peer.link->terms().connected && hello.last_link != peer.link->terms().nonce;
    return late ? std::optional(mine) : std::nullopt;
  }
  if (peer.greeting == nullptr || options.self.node > hello.from) return std::nullopt;
  // A second attempt of the peer means that ours did not get there.
  return std::exchange(peer.yielded, true) ? std::nullopt : std::optional(mine);
}

RpcState::PeerRef RpcState::make_peer(NodeId id) {
  const auto found = peers_.find(id);
  if (found != peers_.end()) return found->second;
  const auto strangers =
      std::ranges::count_if(peers_, [](const auto& one) { return !one.second->added; });
  if (std::cmp_greater_equal(strangers, options.peers_max)) {
    const auto unused = std::ranges::find_if(peers_, [](const auto& one) {
      return !one.second->added && !one.second->link && one.second->idle();
    });
    if (unused == peers_.end()) return nullptr;
    peers_.erase(unused);
  }
  auto made = std::make_shared<Peer>(Peer{.id = id});
  made->retry = loop.make_gate();
  return peers_.emplace(id, std::move(made)).first->second;
}

void RpcState::adopt(const PeerRef& peer, LinkTerms terms, Channel channel, FrameSplitter splitter,
                     std::string first_bytes) {
  peer->known = terms.incarnation;
  peer->last_link = terms.nonce;
  peer->failures = 0;
  peer->last_error.clear();
  peer->told_error.clear();
  auto link = std::make_shared<Link>(shared_from_this(), std::move(terms), std::move(channel.bytes),
                                     std::move(splitter));
  const auto replaced = std::exchange(peer->link, link);
  ++stats.links_made;
  link->start(std::move(first_bytes));
  peer->retry->open();
  log(LogLevel::kInfo, "peer_connected", link->terms(), link->terms().connected ? "out" : "in");
  if (replaced)
    replaced->close({Code::kIo, fmt::format("connection to node {}: a newer one has replaced it",
                                            peer->id.value)});
}

}  // namespace walrus::net
