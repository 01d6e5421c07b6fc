#pragma once
// One seed of the node world: processes with the engine, the connections and the Raft driver that
// ship, each with several groups, on simulated disks and a simulated network. Clients propose and
// read; processes are killed or cut off from power, links break, disks are slow, full or fail,
// members come and go, snapshots are tiny and taken all the time. Then everything is healed, and
// every group has to go on, and all its members to have the same state, within bounded time.
//
// Checked: what sim/node_truth.h says, in every group by itself.

#include <memory>
#include <string>
#include <vector>

#include "io/sim/sim_world.h"
#include "log/engine.h"
#include "net/rpc.h"
#include "node_machine.h"
#include "node_truth.h"
#include "raft/host.h"
#include "raft/membership.h"
#include "repairs.h"
#include "tally.h"

namespace walrus::sim {

// What a run of many seeds has to have hit.
const std::vector<std::string>& node_families();

class NodeRun {
 public:
  explicit NodeRun(std::uint64_t seed, std::int64_t operations);
  ~NodeRun();
  NodeRun(const NodeRun&) = delete;
  NodeRun& operator=(const NodeRun&) = delete;

  void run();
  const Verdict& violation() const { return violation_; }
  const Tally& tally() const { return tally_; }
  void narrate(bool on) { narrating_ = on; }

 private:
  struct Process {  // of one node; what refers to the others goes first
    std::size_t place = 0;
    std::uint64_t life = 0;
    bool up = false, broken = false;  // broken: it has to be started again
    io::Nanos start_at{};
    std::unique_ptr<io::Loop> loop{};
    std::unique_ptr<log::Engine> engine{};
    std::unique_ptr<net::TcpTransport> transport{};
    std::unique_ptr<net::Rpc> rpc{};
    std::unique_ptr<raft::Host> host{};
    raft::HostStats counted{};
  };
  struct Group {
    raft::GroupId id{};
    raft::Membership founders{};
    NodeTruth truth{};
    std::vector<std::shared_ptr<bool>> fails{};  // by node: the next command does
    std::vector<bool> busy{};                    // by node: it is opened or closed
  };
  struct Client {
    std::size_t group = 0;
    std::uint32_t number = 0, sequence = 0;
    std::uint64_t attempt = 0;  // names what is under way
    bool reading = false, idle = true;
    std::size_t target = 0;
    std::int64_t done = 0;
  };

  // node_run.cc: the course of a run
  void draw_options();
  void let_pass();
  void heal();
  bool settled();
  void check_end();
  void flag(const std::string& rule, std::string detail);
  void say(const std::string& line);
  std::uint64_t draw(std::uint64_t below) { return world_->random() % below; }
  io::Nanos draw_ms(std::uint64_t low, std::uint64_t high) {
    return Millis(static_cast<std::int64_t>(low + draw(high - low + 1)));
  }

  // node_processes.cc
  void start_due();
  bool start(Process&);
  void reap();
  void end(Process&, io::Nanos down_for);
  void count(Process&);
  static boost::asio::awaitable<void> open_groups(NodeRun&, std::size_t place, std::uint64_t life);
  static boost::asio::awaitable<void> open_group(NodeRun&, std::size_t place, std::uint64_t life,
                                                 std::size_t group);
  static boost::asio::awaitable<void> reopen_group(NodeRun&, std::size_t place, std::uint64_t life,
                                                   std::size_t group);
  bool lives(std::size_t place, std::uint64_t life) const;
  void changed(std::size_t place, std::size_t group, const raft::NodeStatus&);
  raft::Node* node(std::size_t place, std::size_t group);
  raft::Node* leader(std::size_t group);

  // node_clients.cc
  void turn(std::size_t client, std::uint64_t attempt);
  void again(std::size_t client, io::Nanos after);
  void proposed(std::size_t client, const NodeCommand&, const raft::Proposal&);
  void was_read(std::size_t client, std::uint64_t attempt, raft::Index floor,
                const Result<raft::Index>&);

  // node_faults.cc
  void break_something();
  void break_network();
  void break_process();
  void break_disk();
  void change_members();
  void disturb_group();
  void before_write(std::size_t place);
  bool receives(std::size_t place);
  void linger(io::Env&, bool told_to_fail);
  void look_after_groups();

  const std::int64_t operations_;
  std::unique_ptr<io::World> world_;
  raft::NodeOptions node_options_{};
  log::EngineOptions engine_options_{};
  std::vector<Process> processes_{};
  std::vector<Group> groups_{};
  std::vector<Client> clients_{};
  std::uint64_t attempts_ = 0;
  Repairs repairs_{};
  std::size_t founders_ = 0;
  bool healed_ = false, narrating_ = false;
  Tally tally_{};
  Verdict violation_{};
};

}  // namespace walrus::sim
