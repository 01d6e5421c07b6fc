#pragma once
// RaftRun: one seed of the raft world: clients that write and read, faults of the plan for most of
// 60 simulated seconds, then everything is healed and the group has to go on within bounded time.

#include "kv_history.h"
#include "raft_world.h"

namespace walrus::sim {

class RaftRun final : public RaftWorld {
 public:
  explicit RaftRun(std::uint64_t seed);
  void run();

 private:
  struct Client {
    std::uint32_t sequence = 0;                   // of the last command that was acknowledged
    RaftCommand command{};                        // that is under way, or of a read: its key
    std::size_t operation = 0;                    // in the history
    std::array<std::uint32_t, kRaftKeys> seen{};  // what it was told last
    std::uint32_t tries = 0;                      // names the try that runs
    bool busy = false, reading = false, lease = false;
    raft::Index floor = 0;  // what a read has to see at least
    NodeId target{};        // who it asks, if it thinks that it knows
    Nanos done_at = 0;      // when the last operation ended
  };
  enum Nemesis : std::size_t {
    kCut,
    kSplit,
    kIsolate,
    kCrash,
    kCrashAll,
    kSlow,
    kStuck,
    kFail,
    kPause,
    kMember,
    kTransfer,
    kNemeses,
  };

  void client_turn(std::size_t client, std::uint64_t what) override;
  void nemesis_turn(std::size_t nemesis) override;
  void answer(Node&, const raft::Answer&) override;
  void read_answer(Node&, const raft::ReadAnswer&) override;
  void acknowledge(Node&, const Waiter&, bool kept) override;

  void begin(std::size_t client);
  void record(std::size_t client);
  void record_answer(std::size_t client, const Node&, raft::Index);
  void ask(std::size_t client);
  void retry(std::size_t client, raft::Nanos after);
  void end(std::size_t client);
  Node* someone(const Client&);
  Node* random_node(bool up);
  Client* client_of(raft::Ticket);
  raft::Nanos every(std::size_t nemesis) const;

  void cut_some();
  void split();
  void isolate_leader();
  void disturb_disk(std::size_t nemesis);
  void change_members();
  std::vector<raft::MemberChange> draw_change(Node& leader);
  void transfer();
  void heal();
  void check_end();
  void check_history();
  void cut(std::size_t from, std::size_t to, Nanos until);

  std::vector<Client> clients_{};
  KvHistory history_{};
  raft::Index known_ = 0;  // the highest index that some client was told of
  NodeId transfer_to_{};
};

}  // namespace walrus::sim
