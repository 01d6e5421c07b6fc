#pragma once
// The inside of a Host: the turn that steps its nodes, the tick, what goes out and comes in.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "net/file_worker.h"
#include "raft/host.h"
#include "raft/mailbox.h"
#include "raft/node_state.h"
#include "raft/writer.h"

namespace walrus::raft {

class HostState : public std::enable_shared_from_this<HostState> {
 public:
  HostState(io::Env&, io::Loop&, log::Engine&, net::Rpc&, const HostOptions&);
  Result<void> start();
  void shut();

  static io::Task<Node*> open(std::shared_ptr<HostState>, GroupId, NodeOptions,
                              std::unique_ptr<Machine>);
  static io::Task<void> close(std::shared_ptr<HostState>, GroupId);
  static io::Task<void> remove(std::shared_ptr<HostState>, GroupId);
  static io::Task<void> stop(std::shared_ptr<HostState>);
  Node* find(GroupId);
  std::vector<GroupId> stored() const;

  // ---- For nodes ----
  void mark(NodeState&);     // it has events: to be stepped in the turn to come
  void look_at(NodeState&);  // its next_look() may be another one
  void write(Writer::Order);
  void send(GroupId, const Message&, net::Priority);
  void learn(const Membership&);  // addresses
  void log(LogLevel, Bytes event, GroupId, Bytes why);
  net::FileWorker& files() { return *files_; }
  net::FileWorker& machines() { return *machines_; }
  // Waits until all of them are durable.
  static io::Task<void> durable(std::shared_ptr<HostState>, std::vector<log::Pending>);

  io::Env& env;
  io::Loop& loop;
  log::Engine& engine;
  net::Rpc& rpc;
  const HostOptions options;
  HostStats stats{};
  bool stopped = false;

 private:
  struct Opened {
    std::shared_ptr<NodeState> state{};
    std::unique_ptr<Node> node{};
  };
  // A tick looks at those whose time has come. Side by side, so that the others cost next to
  // nothing.
  struct Look {
    Instant at = Instant::max();
    std::shared_ptr<NodeState> node{};  // none: free
  };
  struct Outbox {
    std::string bundles[2]{};  // by priority
  };
  struct Peer {
    std::string address{};
    bool connected = true;  // as last looked at or heard; at first as if it had been
    bool asked = false;     // whether it is there
  };

  Result<void> check(const NodeOptions&) const;
  NodeOptions complete(NodeOptions, GroupId);
  void enter(const std::shared_ptr<NodeState>&);
  void leave(NodeState&);
  NodeState* node_of(GroupId, std::size_t& place) const;
  void post_turn();
  void turn();
  static io::Task<Node*> load(std::shared_ptr<HostState>, GroupId, NodeOptions,
                              std::unique_ptr<Machine>);
  void flush(NodeId, Outbox&, net::Priority);
  void take_bundle(net::Request);
  struct Arrived {
    NodeId from{};
    Instant now{};
    std::shared_ptr<const std::string> body{};  // shared with entries that are taken from it
  };
  void take_message(const Arrived&, NodeState*, Bytes);
  static io::Task<std::string> answer_read_index(std::shared_ptr<HostState>, net::Request);
  static boost::asio::awaitable<void> run_ticks(std::shared_ptr<HostState>);
  void tick_those_due(Instant now);
  void look_for_peers();
  static boost::asio::awaitable<void> ask_whether_there(std::shared_ptr<HostState>, NodeId);
  std::vector<NodeState*> led_by(NodeId) const;
  std::size_t limit_of(net::Priority) const;

  Mailbox mailbox_;
  std::unique_ptr<Writer> writer_{};
  std::unique_ptr<net::FileWorker> files_{}, machines_{};
  std::map<GroupId, Opened> nodes_{};
  // The same for messages, in order and side by side: a bundle names many groups.
  std::vector<std::pair<GroupId, NodeState*>> by_group_{};
  std::vector<Look> looks_{};
  Instant next_look_ = Instant::max();  // none of looks_ is earlier
  std::set<GroupId> opening_{};
  std::vector<std::size_t> marked_{};  // slots of looks_, whose nodes have something to do
  // Those that leave while a turn runs, which may be stepping them; until it ends.
  std::vector<std::shared_ptr<NodeState>> left_{};
  bool turn_posted_ = false, turn_runs_ = false;
  Actions actions_{};  // of the step that runs; its memory is used again
  std::vector<std::pair<NodeState*, Bytes>> arrived_{};  // of the bundle that is taken; likewise
  std::vector<Writer::Order> orders_{};
  std::map<NodeId, Outbox> outboxes_{};
  std::map<NodeId, Peer> peers_{};
  std::unique_ptr<io::Gate> ticking_{};
};

}  // namespace walrus::raft
