#pragma once
// Rpc: calls, one-way messages and streams between nodes.
//
//   auto rpc = net::Rpc::start(env, loop, transport, {.self = me, .listen = "127.0.0.1:9093"});
//   (*rpc)->handle(kAppend, [this](net::Request request) { return on_append(std::move(request));
//   });
//   (*rpc)->add_peer(NodeId{2}, "127.0.0.1:9103");
//   auto reply = co_await (*rpc)->call(NodeId{2}, kAppend, body, {.timeout = 500ms});
//
// Lives on its loop and is used on its loop's thread alone; from elsewhere post(). It goes before
// its loop; the Transport and what handlers use go after the loop has stopped. One connection a
// pair of nodes, made by whoever has something to send first, carries everything both ways. It is
// made again after it broke, with jittered exponential back-off, as long as something waits for it.
//
// A call completes exactly once, never within the call itself: with its reply, the handler's error,
// or an error of ours:
//   kTimeout   the deadline passed, which covers connecting and waiting for room
//   kIo        the connection broke after the request was handed over: it may have been executed
//   kBusy      queue_bytes_max wait for this peer already: not sent
//   kTooLarge  above a limit of ours or of the peer: not sent
//   kNotFound  no such peer (not sent), or no such method there
//   kFenced    the peer knows a later incarnation of this node: not sent
//   kMismatch  it is of another cluster, or another node: not sent
//   kClosed    cancelled, or this Rpc has gone
//
// Flow control. Each receiver grants windows in bytes: one for bulk messages, one for control
// messages, one for each stream. A message costs its payload and kMessageCost; it occupies the
// window until the handler lets the Request go (a reply until it was read). Who sends more than was
// granted is cut off. What finds no room waits at the sender, within queue_bytes_max a peer.
// Nothing else makes a reader stop reading, so that control messages are never stuck behind bulk.
//
// Identity. Where the Transport proves who is there, a node that calls itself another one is
// refused. A frame of another cluster, of another node or incarnation than the handshake's, or
// damaged, ends its connection. Of two lives of a node the later one is served, the earlier
// refused.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/log_line.h"
#include "io/network.h"
#include "net/frame.h"
#include "net/identity.h"
#include "net/stream.h"
#include "net/transport.h"

namespace walrus::net {

constexpr std::int64_t kMessageCost = 256;  // of the window, beside the payload

enum class Priority : std::uint8_t {
  kBulk,
  kControl,  // heartbeats and votes: goes first; at most control_bytes_max
};

struct RpcOptions {
  Identity self{};
  std::string listen{};                                    // empty: connects only
  std::size_t message_bytes_max = (1 << 20) + (64 << 10);  // a MiB, and what says what it is
  std::size_t control_bytes_max = 64 << 10;
  std::size_t bulk_window = 4 << 20, control_window = 1 << 20, stream_window = 512 << 10;
  std::size_t streams_max = 64;             // open at once, by one peer
  std::size_t queue_bytes_max = 8 << 20;    // that wait for one peer; control: as much again
  std::size_t replies_bytes_max = 4 << 20;  // bulk replies of one connection that the peer does not
  std::size_t handlers_max = 256;           // take; bulk handlers of one connection: then it waits
  std::size_t connections_max = 1'024;      // accepted, those without a handshake included
  std::size_t connections_per_address_max = 256;
  std::size_t peers_max = 1'024;  // that connected without add_peer()
  // Guests (net/identity.h) may come from any node whose certificate is good: several processes of
  // one node at once, as lanes have them. Without it a node is who its certificate says.
  bool guests = false;
  io::Nanos connect_timeout = std::chrono::seconds(3);
  io::Nanos handshake_timeout = std::chrono::seconds(5);
  io::Nanos write_timeout = std::chrono::seconds(10);  // in which the peer takes nothing
  io::Nanos keepalive_interval = std::chrono::seconds(2);
  io::Nanos silence_max = std::chrono::seconds(8);  // then the connection is given up
  io::Nanos backoff_min = std::chrono::milliseconds(20), backoff_max = std::chrono::seconds(2);
  LogSink* log = nullptr;  // connections made and lost, refusals of known peers
};

class Link;
class RpcState;

// Gives a message's bytes back to the window when it goes. On the loop only.
class Occupied {
 public:
  Occupied() = default;
  Occupied(std::weak_ptr<Link> link, Priority priority, std::int64_t cost)
      : link_(std::move(link)), priority_(priority), cost_(cost) {}
  Occupied(Occupied&& other) noexcept
      : link_(std::move(other.link_)),
        priority_(other.priority_),
        cost_(std::exchange(other.cost_, 0)) {}
  Occupied& operator=(Occupied&& other) noexcept {
    release();
    link_ = std::move(other.link_);
    priority_ = other.priority_;
    cost_ = std::exchange(other.cost_, 0);
    return *this;
  }
  ~Occupied() { release(); }
  void release();

 private:
  std::weak_ptr<Link> link_{};
  Priority priority_{};
  std::int64_t cost_ = 0;
};

struct Request {
  NodeId from{};
  Incarnation incarnation{};       // of the sender
  std::optional<NodeId> proved{};  // the sender's node, by its certificate; none: nothing is proved
  Method method{};
  std::string body{};
  io::Nanos deadline{};  // by this node's Env::mono(); max: none
  std::shared_ptr<const bool>
      over{};  // shared with the connection: true when nobody waits any more
  Occupied occupied{};
  bool cancelled() const { return over && *over; }
};

struct CallOptions {
  io::Nanos timeout = std::chrono::seconds(5);
  Priority priority = Priority::kBulk;
  // It does not wait for somebody who is not there: where nobody lets us in (the port is closed:
  // the process is gone) it ends with kIo, and was not sent.
  bool only_if_there = false;
};

struct RpcStats {
  std::uint64_t calls = 0, completed = 0;      // started and completed here, opens included
  std::uint64_t sends = 0, sends_dropped = 0;  // dropped: not handed over within their timeout
  std::uint64_t served = 0;                    // requests, one-way messages and opens of others
  std::uint64_t unhandled = 0;                 // one-way messages of no known method
  std::uint64_t links_made = 0, links_lost = 0, connects_failed = 0;
  std::uint64_t refused = 0;     // connections of others, by the handshake
  std::uint64_t violations = 0;  // connections cut because of what came on them
  std::string last_violation{};
  std::uint64_t bytes_sent = 0, bytes_received = 0;
  std::int64_t occupied_bytes = 0, occupied_bytes_max = 0;  // of all windows granted, now and ever
  std::int64_t queued_bytes = 0, queued_bytes_max = 0;      // that wait to be sent
  std::size_t links = 0, handshakes = 0;                    // now
};

class Rpc {
 public:
  using Done = std::move_only_function<void(Result<std::string>)>;
  using CallId = std::uint64_t;
  // Coroutines run beside each other. The result is the reply; an error reaches the caller with its
  // code and text.
  using Handler = std::function<io::Task<std::string>(Request)>;
  // Called in the order of arrival, one after the other. Keep the Request (moved) to keep its bytes
  // accounted for.
  using SendHandler = std::function<void(Request)>;
  // The stream lives until the coroutine ends: with an error, which cancels it; else this side
  // ends, and what the peer still sends is refused.
  using StreamHandler = std::function<io::Task<void>(Request, Stream&)>;

  // Serves when it returns, so that handlers may still be added until the loop's next turn.
  // kInvalid: the options; kExists: the port is in use.
  static Result<std::unique_ptr<Rpc>> start(io::Env&, io::Loop&, Transport&, const RpcOptions&);
  // Completes what is pending with kClosed, before it returns. Handlers that still run keep what
  // they hold and answer nobody: stop() first waits for them. Not from within a callback of ours.
  ~Rpc();
  io::Task<void> stop(io::Nanos timeout);  // kTimeout: handlers still run

  void handle(Method, Handler);
  void handle_send(Method, SendHandler);
  void handle_stream(Method, StreamHandler);

  // Called when a node of another cluster greets this one, or refuses its greeting; by its
  // certificate it is a node of ours where the transport proves it.
  void on_foreign_cluster(std::function<void(const ClusterId&)>);

  // Known from now on; or a new address of it (an established connection stays).
  void add_peer(NodeId, std::string address);
  // This life of it counts: an earlier one is refused from now on, a later one is believed as long
  // as it is connected. Without this the latest that was seen counts. Of a node that is known.
  void registered(NodeId, Incarnation);
  // Its connection is closed, its calls end with kNotFound.
  void remove_peer(NodeId);

  CallId call(NodeId, Method, std::string body, const CallOptions&, Done);
  io::Task<std::string> call(NodeId, Method, std::string body, CallOptions = {});
  // Completes the call with kClosed at once and tells the peer; nothing when it is over.
  void cancel(CallId);
  // Handed over within the timeout, or dropped without a word. Errors: kBusy, kTooLarge, kNotFound.
  Result<void> send(NodeId, Method, std::string body, const CallOptions& = {});
  // The timeout is for the opening. A stream has no deadline of its own, its reads and writes do.
  io::Task<std::unique_ptr<Stream>> open(NodeId, Method, std::string body, CallOptions = {});

  const std::string& address() const;  // with the port really bound; empty: does not listen
  bool connected(NodeId) const;
  std::size_t message_bytes_max() const;  // of the options
  RpcStats stats() const;

 private:
  explicit Rpc(std::shared_ptr<RpcState>);
  const std::shared_ptr<RpcState> state_;  // shared with the coroutines of its connections
};

}  // namespace walrus::net
