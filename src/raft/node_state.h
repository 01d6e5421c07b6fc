#pragma once
// The inside of a Node. Lives on the Host's loop. node_state.cc: the Core and what it asks for;
// node_machine.cc: the Machine; node_snapshots.cc: taking and sending snapshots; node_questions.cc:
// proposals, reads, transfers.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "net/file_worker.h"
#include "raft/machine.h"
#include "raft/node.h"
#include "raft/snapshot_store.h"
#include "raft/store.h"
#include "raft/writer.h"

namespace walrus::raft {

class HostState;

class NodeState : public std::enable_shared_from_this<NodeState> {
 public:
  NodeState(std::shared_ptr<HostState>, GroupId, NodeOptions, std::unique_ptr<Machine>);

  // ---- What the Host does with it ----
  Result<void> start(Store::Loaded, Instant now);
  void push(Event);
  void step(Instant now, Actions&);
  // Core::hear(), and all that a step would do of it. False: it is for push().
  bool hear(Instant now, Message&, Actions&);
  // At next_look(): its Core, what has waited too long, what is tried again.
  void tick(Instant now, Actions&);
  Instant next_look() const;
  void shut();               // answers everything that waits; nothing is taken any more
  io::Task<void> stopped();  // nothing of it runs or is written any more
  void disk_waits(std::string why) { waits_for_ = std::move(why); }
  void serve_read_index(bool lease, std::move_only_function<void(ReadAnswer)>);
  GroupId group() const { return group_; }
  const Core* core() const { return core_.get(); }
  bool is_shut() const { return shut_; }
  // It will be looked at soon.
  void fetch_ahead() const;
  void fetch_for_push() const { __builtin_prefetch(this); }
  bool marked = false;          // it is among those that the Host's turn steps
  std::size_t slot = SIZE_MAX;  // of the Host's list of who is looked at when; none before enter()

  // ---- What its user does ----
  void propose(std::string, Nanos timeout, Node::ProposalDone);
  void change_members(std::vector<MemberChange>, Nanos timeout, Node::ProposalDone);
  void read(ReadLevel, Nanos timeout, Node::ReadDone);
  void transfer(NodeId, Nanos timeout, Node::Done);
  void take_snapshot();
  void at_machine(std::move_only_function<void(Machine&)>);
  NodeStatus status() const;
  io::Loop& loop();

 private:
  // A proposal, a change or a transfer that the Core was asked for; answered in that order.
  struct Asked {
    enum class Kind : std::uint8_t { kPropose, kChange, kTransfer } kind{};
    Instant deadline{};
    Node::ProposalDone done{};
    Node::Done transferred{};
  };
  struct Waiting {  // accepted, by index
    Term term = 0;
    bool change = false;
    Instant deadline{};
    Node::ProposalDone done{};
  };
  struct Reading {
    bool lease = false;
    Instant deadline{};
    Node::ReadDone done{};
  };
  struct Transferring {
    Instant deadline{};
    Node::Done done{};
  };

  // What the Machine is to do, in order.
  struct ApplyTask {
    Index first = 0;
    std::vector<Entry> entries{};
  };
  struct RestoreTask {
    SnapshotRef snapshot{};
  };
  struct FreezeTask {};
  struct CallTask {
    std::move_only_function<void(Machine&)> call{};
  };
  using Task = std::variant<ApplyTask, RestoreTask, FreezeTask, CallTask>;

  // node_state.cc
  void submit(StoreJob);
  void job_done(Result<StoreJob>, std::size_t place);
  void take_writes(Writes&);
  void take_messages(std::vector<Message>&);
  void route(Message&);
  void note_reply(const Message&);
  void note_changes();
  void fail_with(const Error&);
  void fail_waiting(Code, const std::string& why);
  bool usable() const { return core_ && !shut_; }
  bool rests() const;
  void take_at_rest(Actions&);

  // node_machine.cc
  void take_committed(Actions&);
  void enqueue(Task);
  void settle_committed(Index first, const std::vector<Entry>&);
  static boost::asio::awaitable<void> run_machine(std::shared_ptr<NodeState>);
  static boost::asio::awaitable<void> run_task(std::shared_ptr<NodeState>, Task);
  static boost::asio::awaitable<void> apply(std::shared_ptr<NodeState>, ApplyTask);
  static boost::asio::awaitable<void> restore(std::shared_ptr<NodeState>, RestoreTask);
  static boost::asio::awaitable<void> freeze(std::shared_ptr<NodeState>);
  static boost::asio::awaitable<void> call(std::shared_ptr<NodeState>, CallTask);
  void applied_batch(const ApplyTask&, std::vector<std::string> replies);
  void answer_applied(Index index, Term term, std::string reply);
  void membership_applied(Index, const Membership&);
  void applied_to(Index);

  // node_snapshots.cc
  void maybe_snapshot();
  void frozen(std::unique_ptr<Frozen>);
  static boost::asio::awaitable<void> write_snapshot(std::shared_ptr<NodeState>,
                                                     std::shared_ptr<Frozen>, SnapshotMeta);
  static io::Task<SnapshotRef> write_pieces(std::shared_ptr<NodeState>, std::shared_ptr<Frozen>,
                                            SnapshotMeta, std::uint64_t number);
  void snapshot_written(Result<SnapshotRef>);
  void adopt_snapshot(SnapshotRef);
  void release_snapshots();
  static boost::asio::awaitable<void> send_piece(std::shared_ptr<NodeState>, SnapshotRequest);
  SnapshotRef find_snapshot(std::uint64_t id) const;

  // node_questions.cc
  void take_answers(std::vector<Answer>&);
  void take_reads(std::vector<ReadAnswer>&);
  void answered(Asked, const Answer&);
  void start_reads();
  void ask_leader(bool lease);
  void round_over(Result<Index>);
  void settle_transfers();
  void expire(Instant now);
  Proposal refused(Refusal) const;

  // ---- What every step looks at, side by side: of a thousand idle groups memory is the cost ----
  const std::shared_ptr<HostState> host_;  // the Host lets go of its nodes when it goes
  std::unique_ptr<Core> core_{};
  std::vector<Event> events_{};
  bool shut_ = false, snapshotting_ = false, snapshot_wanted_ = false;
  bool restoring_ = false, machine_runs_ = false;
  Instant wake_at_ = Instant::max(), next_deadline_ = Instant::max();
  Instant snapshot_after_{};  // not before
  EntryId applied_{};
  std::uint64_t bytes_since_snapshot_ = 0;
  Index snapshot_tried_ = 0;
  Term sent_term_ = 0;
  struct Told {  // to on_change and to the Host, as last
    Role role{};
    Term term = 0;
    NodeId leader{};
    Index membership = 0;
    bool failed = false;
    bool operator==(const Told&) const = default;
  };
  Told told_{};
  // Appends that went out among bulk messages and are not answered, by peer, and what came back: an
  // empty one must not overtake them.
  struct Sent {
    NodeId peer{};
    Index sent = 0, match = 0;
  };
  std::vector<Sent> sent_{};
  std::vector<Transferring> transfers_{};
  std::vector<Reading> reads_{};            // that wait for a round to begin
  std::vector<SnapshotRef> older_{};        // that may be being sent
  std::unique_ptr<const Error> failure_{};  // none: all is well

  // ---- The rest ----
  const GroupId group_;
  const NodeOptions options_;
  std::shared_ptr<Machine> machine_;  // shared with jobs of workers
  std::unique_ptr<net::FileWorker> own_worker_{};
  net::FileWorker* runner_ = nullptr;  // null: the loop
  std::shared_ptr<Store> store_{};
  std::string waits_for_{};
  std::size_t running_ = 0;  // coroutines and jobs that refer to this
  std::unique_ptr<io::Gate> idle_{};

  // Jobs at the Writer, oldest first: the Core learns of them in their order.
  struct Job {
    WriteId write = 0;
    std::optional<Result<StoreJob>> result{};
  };
  std::deque<Job> jobs_{};
  std::size_t jobs_over_ = 0;  // that left jobs_ so far

  // The Machine.
  std::deque<Task> tasks_{};
  std::unique_ptr<io::Gate> work_{};

  // Snapshots.
  SnapshotRef snapshot_{};
  std::shared_ptr<SnapshotBuilder> builder_{};  // shared with its worker

  // Questions.
  Ticket last_ticket_ = 0;
  std::deque<Asked> asked_{};
  std::multimap<Index, Waiting> waiting_{};
  std::vector<Waiting> changes_{};  // committed, but the configuration is a joint one still
  std::map<Ticket, std::move_only_function<void(ReadAnswer)>> read_tickets_{};
  std::vector<Reading> round_{};  // that the round under way is for
  bool round_runs_ = false;
  std::uint64_t round_number_ = 0;
  std::multimap<Index, Reading> reads_behind_{};  // that wait for the Machine
};

}  // namespace walrus::raft
