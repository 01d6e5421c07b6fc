#pragma once
// Requests that another node serves: handed on over a stream of the peer protocol, one for each
// client connection and node, on which the client's frames go there and the replies come back, in
// order. The other end serves it like a connection of its own (session.h), but hands nothing on
// itself, so that no request goes in a circle: what it does not serve it refuses, and ends the
// stream without looking at what is behind.
//
//   Upstream             at the node that has the client; lives on the session's loop
//   ForwardedConnection  at the node that serves; lives on the loop of its Rpc

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/network.h"
#include "net/rpc.h"
#include "wire/native/frame.h"
#include "wire/peer/forward_message.h"

namespace walrus::frontend::native {

constexpr net::Method kForwardNative{0x400};  // a stream; a wire::peer::ForwardOpen opens it

// What the node that hands on says of the GETs that it was answered: their records are with the
// client. It is no request and has no reply. Without it they were not delivered.
constexpr Bytes kDelivered = "DELIVERED";

// The way to the other nodes, from any loop. The Rpc outlives all sessions.
struct Forwarding {
  // Who has the queue and the consumers of a topic, who coordinates a group; a hint. kBusy: nobody
  // within the time.
  using Find = std::function<io::Task<NodeId>(io::Loop& here, std::string name, io::Nanos timeout)>;
  Find owner_of{}, coordinator_of{};
  // Who coordinates any group, some of them several times; kBusy as above.
  std::function<io::Task<std::vector<NodeId>>(io::Loop& here, io::Nanos timeout)> coordinators{};
  net::Rpc* rpc = nullptr;   // null: there are no other nodes
  io::Loop* loop = nullptr;  // the Rpc's
  NodeId self{};
};

class Upstream {
 public:
  // kIo, kTimeout, kBusy, kNotFound: the node is not within reach; nothing was sent.
  static io::Task<std::shared_ptr<Upstream>> open(Forwarding, io::Loop& here, NodeId,
                                                  wire::peer::ForwardOpen);
  ~Upstream();
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  // Whole frames. An error: a part of it may have got there.
  io::Task<void> send(std::string frames);
  // The body of the next reply. kClosed: the node has ended, and did not look at what it had not
  // answered; other errors: it may have. The view lives until the next call.
  io::Task<Bytes> reply(io::Nanos timeout);
  bool has_reply();  // it is here already

 private:
  struct Shared {  // on the Rpc's loop
    std::unique_ptr<net::Stream> stream;
  };
  Upstream(io::Loop& here, io::Loop& there, std::shared_ptr<Shared>);
  static io::Task<void> open_stream(net::Rpc*, NodeId, std::string body, std::shared_ptr<Shared>);
  static io::Task<void> write(std::shared_ptr<Shared>, std::string bytes);
  static io::Task<std::string> read(std::shared_ptr<Shared>, io::Nanos timeout);

  io::Loop& here_;
  io::Loop& there_;
  std::shared_ptr<Shared> shared_;  // with the calls that are on their way to the other loop
  wire::native::FrameSplitter splitter_;
  std::optional<wire::native::FrameSplitter::Event> next_{};
};

// A stream as a session's connection. `principal` is who the other node has proven to be there.
class ForwardedConnection final : public io::Connection {
 public:
  ForwardedConnection(net::Stream& stream, wire::peer::ForwardOpen opened, NodeId from)
      : stream_(&stream), opened_(std::move(opened)), from_(from) {}

  io::Task<std::size_t> read_some(std::span<char> to, io::Nanos timeout) override;
  io::Task<void> write(Bytes, io::Nanos timeout) override;
  std::int64_t written() const override { return written_; }
  void shutdown_write() override { stream_->end(); }
  // The stream ends with its handler: without an error if everything was answered and
  // shutdown_write() said so, else the other node does not know what was done.
  void close() override { closed_ = true; }
  std::string peer() const override;
  std::string principal() const override { return opened_.user; }

 private:
  net::Stream* const stream_;  // lives until the handler of the stream ends, which waits for this
  const wire::peer::ForwardOpen opened_;
  const NodeId from_;
  std::string read_;  // received, not taken yet
  std::size_t taken_ = 0;
  std::int64_t written_ = 0;
  bool closed_ = false;
};

}  // namespace walrus::frontend::native
