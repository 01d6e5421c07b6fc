#pragma once
// Nodes of one process that hold Raft groups together: each with a loop on a thread of its own, an
// engine in a directory of its own (all on one disk) and TCP over loopback to the others, with TLS
// of both sides where that is asked for.

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "../harness.h"
#include "log/engine.h"
#include "net/rpc.h"
#include "net/tls_transport.h"
#include "raft/host.h"

namespace walrus::bench {

constexpr raft::GroupId kGroup{1};

enum class Wire { kPlain, kTls };

class Nodes {
 public:
  Nodes(const std::filesystem::path& root, std::size_t count, Wire = Wire::kPlain);
  ~Nodes();

  std::size_t count() const { return nodes_.size(); }
  raft::Membership members(std::size_t count) const;  // the first ones, voters
  std::string address(std::size_t place) const { return nodes_[place].address; }
  static NodeId id(std::size_t place) { return NodeId{place + 1}; }
  bool runs(std::size_t place) const { return nodes_[place].host != nullptr; }

  // Nothing is handed over or said to anybody: as if the process had died. Its disk stays.
  void kill(std::size_t place);
  void start(std::size_t place);

  // Runs on the node's loop; returns what it returned.
  template <class Ask>
  auto ask(std::size_t place, Ask ask) {
    using Answer = decltype(ask(*nodes_[place].host));
    std::promise<Answer> answer;
    nodes_[place].loop->post([&] {
      if constexpr (std::is_void_v<Answer>) {
        ask(*nodes_[place].host);
        answer.set_value();
      } else {
        answer.set_value(ask(*nodes_[place].host));
      }
    });
    return answer.get_future().get();
  }
  void open(std::size_t place, raft::GroupId, raft::NodeOptions, std::unique_ptr<raft::Machine>);
  raft::NodeStatus status(std::size_t place, raft::GroupId group = kGroup) {
    return ask(place, [group](raft::Host& host) { return host.find(group)->status(); });
  }
  raft::Proposal propose(std::size_t place, std::string command, io::Nanos timeout);
  raft::Proposal change(std::size_t place, std::vector<raft::MemberChange>);
  // The node that leads and has committed something in its term; waits for one.
  std::size_t leader();

 private:
  struct One {
    std::filesystem::path directory{};
    std::string address{};
    std::uint64_t life = 0;
    std::unique_ptr<net::TlsTransport> tls{};  // none: plain
    std::unique_ptr<io::Loop> loop{};
    std::unique_ptr<log::Engine> engine{};
    std::unique_ptr<net::Rpc> rpc{};
    std::unique_ptr<raft::Host> host{};
    std::unique_ptr<io::Worker> thread{};
  };
  void certify(const std::filesystem::path& directory);

  class NoLog final : public LogSink {
    bool wants(LogLevel) const override { return false; }
    void write(LogLevel, Bytes) override {}
  };
  net::TcpTransport tcp_{};
  NoLog log_{};
  Metrics metrics_{};
  std::vector<One> nodes_{};
};

// Counts commands; `state_bytes` of noise stand for what they add up to.
std::unique_ptr<raft::Machine> counting_machine(std::uint64_t state_bytes = 0);

// Proposals in a closed loop, on the leader's loop: each that is over starts the next one.
struct LoadResult {
  double per_s = 0;
  Histogram latency{};  // nanoseconds
};
LoadResult load(Nodes&, std::size_t leader, int in_flight, double seconds);

// How long a measured part takes.
double seconds_of(const Bench&, double whole);

}  // namespace walrus::bench
