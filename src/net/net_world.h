#pragma once
// NetWorld: nodes of a simulated world that exchange calls, one-way messages and streams while a
// seed breaks links, connections and processes, and the checks that hold whatever happens:
//   a call ends exactly once, and by its deadline unless its own process stood still;
//   a reply is the answer to that very call, by that very node;
//   what arrives on a stream to its end is what was written;
//   an object that a lane acknowledged is byte for byte on the receiver's disk, and stays there;
//   memory is within what the windows and queues allow;
//   after healing everything answers again.

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/test_log.h"
#include "io/sim/sim_world.h"
#include "net/lane.h"
#include "net/rpc.h"
#include "net/tls_transport.h"

namespace walrus::net {

using namespace std::chrono_literals;

struct Outcomes {
  std::map<std::string, std::int64_t> calls, streams, lanes;  // by how they ended
  std::int64_t lane_bytes = 0, lane_bytes_sent = 0;           // of those that were acknowledged
  std::int64_t one_ways = 0, links = 0, violations = 0, crashes = 0;
  void add(const Outcomes& other);
};

// Flips a bit of what is read now and then: what TCP's own checksum has let through.
class FlippingTransport final : public Transport {
 public:
  FlippingTransport(io::Env& env, double probability) : env_(env), probability_(probability) {}
  double& probability() { return probability_; }
  Result<std::unique_ptr<io::Listener>> listen(io::Loop&, const std::string& address) override;
  io::Task<Channel> connect(io::Loop&, std::string address, NodeId, io::Nanos timeout) override;
  io::Task<Channel> accepted(io::Loop&, std::unique_ptr<io::Connection>,
                             io::Nanos timeout) override;

 private:
  io::Env& env_;
  double probability_;
};

// One life of a node's process; what refers to the Rpc goes before it.
struct NetNode {
  io::Env* env = nullptr;
  std::unique_ptr<io::Loop> loop{};
  std::unique_ptr<FlippingTransport> transport{};
  std::unique_ptr<TlsTransport> tls{};  // around it, if the world has TLS
  std::unique_ptr<FileWorker> worker{};
  std::unique_ptr<Rpc> rpc{};
  std::unique_ptr<LaneReceiver> receiver{};
};

class NetWorld {
 public:
  static constexpr int kNodes = 3;

  // With TLS the bytes differ from run to run: a seed repeats the plan, not the trace.
  explicit NetWorld(std::uint64_t seed, bool tls = false);
  ~NetWorld();
  void go(int slices);  // faults and load, then healing and the demand for progress

  std::uint64_t trace_hash() const { return world_.trace_hash(); }
  const Outcomes& outcomes() const { return outcomes_; }
  io::FaultHits hits() const { return world_.hits(); }

  static RpcOptions options();
  struct Call {
    int from = 0, to = 0;
    io::Nanos deadline{};
    int completed = 0;
  };

 private:
  void start(int node);
  void write_certificates();
  Transport& secure(int node);
  void end_life(int node);
  void load(int node);
  void start_call(int node, int to);
  void start_send(int node, int to);
  void start_stream(int node, int to);
  void start_lane(int node, int to);
  void lane_ended(int to, const std::string& name, const std::string& bytes,
                  const Result<LaneResult>&);
  void cancel_some(int node);
  void break_something();
  void heal();
  void demand_progress();
  void check_memory(int node);
  void finish(std::uint64_t tag, const Result<std::string>&);
  std::uint64_t draw(std::uint64_t below) { return world_.random() % below; }

  NoLog log_;
  Metrics metrics_;
  io::World world_;
  const bool tls_;
  std::vector<NetNode> nodes_;
  std::vector<io::Nanos> paused_until_;
  std::map<int, io::Nanos> restarts_due_;
  std::uint64_t last_tag_ = 0;
  std::map<std::uint64_t, Call> calls_;
  std::vector<std::pair<int, Rpc::CallId>> cancellable_;
  std::map<std::pair<int, std::string>, std::string> acknowledged_;  // objects, by node and name
  std::size_t lanes_running_ = 0;
  Outcomes outcomes_;
};

}  // namespace walrus::net
