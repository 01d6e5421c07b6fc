#pragma once
// Core: one member of one Raft group, as a pure state machine. Events go in, actions come out; no
// I/O, no clock, no random numbers of its own. References are to the Raft paper (extended version)
// and to Ongaro's thesis.
//
//   auto core = Core::open(options, what_the_disk_held, now);
//   core->step(now, events, actions);   // any number of events that are at hand
//   start writing actions.writes; send actions.messages; restore, then apply; answer
//   ... and when the writes are on the disk: step(now, Persisted{writes.id})
//
// Owner: one driver, on one loop. Not thread-safe; step() is never entered again from within.
//
// What is durable when: no message claims what is not on the disk. A vote is answered after term
// and vote are durable; an append is answered up to what is durable; a candidate asks for votes
// after its own vote is durable and claims the durable part of its log only; a leader counts its
// own copy only when durable, but sends entries to others at once (thesis §10.2.1). So the driver
// may send messages before it writes, and group writes of many cores into one sync.
//
// After a crash the driver opens a new Core on what it finds; there is nothing else to do.
//
// Memory: the log behind the last compaction is held in memory, its payloads as views of what the
// driver gave, never copied per peer. log_bytes_max refuses proposals before it grows without end.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "raft/entry_log.h"
#include "raft/event.h"
#include "raft/membership.h"
#include "raft/progress.h"

namespace walrus::raft {

struct Options {
  NodeId id{};
  std::uint64_t seed = 0;  // of the election timeouts; another one on each node and start
  Nanos heartbeat = std::chrono::milliseconds(100);  // twice that where nothing is to be told
  // A node that heard from a leader within the minimum votes for nobody else. Its own patience is
  // drawn anew between the two; an election that nobody won is tried again after one to two
  // heartbeats, then twice that, and so on up to this.
  Nanos election_timeout_min = std::chrono::milliseconds(500);
  Nanos election_timeout_max = std::chrono::milliseconds(1000);
  // How much faster or slower than true time any member's clock may run: the margin of leases.
  std::uint32_t clock_drift_ppm_max = 10'000;
  std::uint32_t priority = 2;  // 0..2; each step below 2 waits half the spread longer to campaign
  std::uint64_t append_bytes_max = 256 << 10;   // payloads a message; one entry always fits
  std::uint64_t in_flight_bytes_max = 4 << 20;  // a peer; above it, wait for answers
  std::size_t in_flight_messages_max = 64;
  std::uint64_t proposal_bytes_max = 1 << 20;
  std::uint64_t uncommitted_bytes_max = 64 << 20;  // a leader's; above it, kBusy
  std::uint64_t log_bytes_max = 256 << 20;         // in memory; above it, kBusy: take a snapshot
  std::uint64_t log_bytes_kept = 16 << 20;  // behind a snapshot, for peers that are a little late
  std::uint64_t snapshot_chunk_bytes = 256 << 10;
  std::uint64_t snapshot_chunks_in_flight_max = 8;
  std::size_t reads_max = 1 << 16;  // that wait for their round
  Index promotion_lag_max = 1000;   // entries
  // A leader whose oldest write takes longer than this hands over to a voter that is up to date.
  Nanos disk_stall = std::chrono::milliseconds(1000);
};

enum class Role : std::uint8_t { kFollower, kPreCandidate, kCandidate, kLeader, kFailed };

struct Status {
  struct Peer {
    NodeId id{};
    Index match = 0;
    Progress::State state{};
  };
  NodeId self{}, leader{};  // leader: nobody if not known
  Role role = Role::kFollower;
  Term term = 0;
  Index commit = 0, last = 0;
  Index durable = 0;  // on this node's disk, of its present log
  EntryId snapshot{};
  std::uint64_t log_bytes = 0;
  NodeId transfer_to{};
  std::vector<Peer> peers{};  // a leader's
};

class Core {
 public:
  // kInvalid: options out of range; kCorrupt: the durable state contradicts itself. The first step
  // (of a Tick, say) may already write and send.
  static Result<std::unique_ptr<Core>> open(const Options&, Durable, Instant now);

  // Handles the events in their order, then fills `out` with what follows from all of them.
  // `events` are left moved from.
  void step(Instant now, std::span<Event> events, Actions& out);

  // Handles a heartbeat, or the answer to one, as step() would, if nothing can follow from it but
  // that its sender was heard, and an answer: all messages of an idle group are such. False: it is
  // for step(), and nothing has happened.
  bool hear(Instant now, Message&, Actions& out);
  // The same of a Tick: the heartbeat of a leader whose peers all have what it has, and answer.
  bool beat(Instant now, Actions& out);

  // hear() or step() will be called soon: what they look at first comes out of memory meanwhile.
  void fetch_ahead() const;

  Status status() const;
  NodeId id() const { return options_.id; }
  Role role() const { return role_; }
  Term term() const { return hard_.term; }
  NodeId leader() const { return leader_; }
  Index commit() const { return commit_; }
  std::uint64_t log_bytes() const { return log_.bytes(); }
  const EntryLog& log() const { return log_; }
  // In force: the newest in the log, committed or not (thesis §4.1).
  const Membership& membership() const { return memberships_.back().membership; }
  Index membership_index() const { return memberships_.back().index; }
  const SnapshotMeta& snapshot() const { return snapshot_; }
  // The metadata of a snapshot of the state after `applied`, without id and size. None: a newer one
  // is there or on its way, or the configuration at that index is not known, because a newcomer's
  // log does not hold the first one.
  std::optional<SnapshotMeta> snapshot_at(Index applied) const;
  // The driver keeps the bytes of a snapshot while this is true.
  bool sends_snapshot(std::uint64_t id) const;

 private:
  struct PlacedMembership {
    Index index = 0;
    Membership membership{};
  };
  struct PendingWrite {
    WriteId id = 0;
    EntryId last{};  // of the log on the disk once it is there, as far as it is the log's
    bool hard_state = false;
    Instant since{};
  };
  struct WaitingRead {
    Ticket ticket = 0;
    std::uint64_t round = 0;  // a quorum has to answer this one or a later one
    Index index = 0;
  };
  struct PendingPiece {  // of which snapshot how much is in a batch
    WriteId write = 0;
    std::uint64_t id = 0, position = 0;
    NodeId from{};
  };

  Core(const Options& options, Instant now);
  Result<void> load(Durable&&);

  // core.cc: events, time, durability
  void handle(Tick);
  void handle(Receive&);
  void handle(Persisted&);
  void handle(PersistFailed&);
  void refuse(const Event&, Refusal);
  bool handle_at_rest(Instant now, Event&, Actions& out);
  bool rests() const;
  bool is_no_news(const Message&) const;
  bool takes_term_of(const Message&);
  void answer_old_term(const Message&);
  void on(NodeId from, SnapshotChunk&);
  void on(NodeId from, SnapshotReply&);
  void on(NodeId from, Append&);
  void on(NodeId from, AppendReply&);
  void on(const Message&, VoteRequest&);
  void on(const Message&, VoteReply&);
  void on(NodeId from, TimeoutNow&);
  void tick_leader();
  bool all_heard(Instant now) const;
  Instant next_heartbeat() const;
  Instant next_heartbeat(Nanos interval) const;
  Nanos interval_at_rest() const;
  Instant next_tick() const { return role_ == Role::kLeader ? heartbeat_at_ : election_at_; }
  void hard_state_is_durable();
  void finish();
  void put_writes();
  void put_committed();
  void send(NodeId to, Term term, wire::peer::RaftBody body);
  Index durable_match() const;
  std::uint64_t random();
  Nanos random_below(Nanos end);

  // core_election.cc
  void handle(LeaderGone&);
  void enter_term(Term term, NodeId vote);
  void become_follower(Term term, NodeId leader);
  void become_leader();
  void stop_leading();
  void campaign(bool pre, bool forced);
  void ask_for_votes(bool pre);
  void count_votes();
  void vote_of(NodeId from, bool granted);
  bool heard_from_leader(NodeId from);
  void await_election();
  void await_retry();
  bool heard_lately() const;
  bool may_campaign() const;

  // core_replication.cc
  void handle(Propose&);
  Index append_local(EntryKind kind, Payload payload);
  bool is_sound_append(const Append&) const;
  void adopt(Append&);
  void truncate(Index first_dropped);
  void reply_append();
  void reject_append(NodeId from, const Append&);
  void replicate();
  void replicate_to(Progress&);
  void send_entries(Progress&);
  void send_empty(Progress&);
  void probe(Progress&, Index next);
  void begin_round();
  Instant began(std::uint64_t round) const;
  void note_round(Progress&, std::uint64_t round);
  void maybe_commit();
  void set_commit(Index);
  Progress* peer(NodeId);

  // core_reads.cc
  void handle(Read&);
  bool lease_holds() const;
  Instant quorum_time() const;
  std::uint64_t quorum_round() const;
  void answer_reads();
  void refuse_reads(Refusal);

  // core_membership.cc
  void handle(ChangeMembers&);
  void handle(Transfer&);
  Refusal change_refusal(const ChangeMembers&) const;
  void membership_appended(Index, Membership);
  void memberships_truncated(Index first_dropped);
  void memberships_covered(Index snapshot);
  void follow_membership();
  void order_election(NodeId);
  void membership_committed();
  void step_aside();
  void try_transfer();
  NodeId best_successor() const;

  // core_snapshot.cc
  void handle(SnapshotSaved&);
  void handle(SnapshotRead&);
  void offer_snapshot(Progress&);
  void request_pieces(Progress&);
  void install(const SnapshotMeta&);
  void take_piece(NodeId from, SnapshotChunk&);
  void acknowledge_pieces(WriteId);
  void reoffer_snapshots();
  void compact();

  // No cluster gets that far; what claims more is broken, and sums stay within range.
  static constexpr Term kTermMax = Term{1} << 62;
  static constexpr Index kIndexMax = Index{1} << 62;

  const Options options_;
  Instant now_{};
  Actions* out_ = nullptr;  // of the step that runs
  std::uint64_t random_state_;

  // ---- Persistent state (Figure 2), and how much of it is on the disk ----
  HardState hard_{};
  bool hard_durable_ = true;  // hard_ is on the disk
  bool hard_dirty_ = false;   // hard_ is in no batch yet
  EntryLog log_{};
  Index written_ = 0;  // entries up to here are in a batch or on the disk
  // A lower bound of the last entry on the disk that this node ever vouched for. Never falls but by
  // a truncation, which only a leader of a newer term may order, of entries that cannot be
  // committed.
  EntryId durable_{};
  std::deque<PendingWrite> pending_{};
  WriteId last_write_ = 0;
  SnapshotMeta snapshot_{};
  std::optional<LogBase> new_base_{};  // to be written
  // Configurations in force, oldest first: the snapshot's, then those in the log behind it.
  std::vector<PlacedMembership> memberships_{};

  // ---- Volatile state ----
  Role role_ = Role::kFollower;
  NodeId leader_{};
  EntryId rests_at_{};         // the last entry, if rests() was so after the last step; else none
  Index commit_ = 0;           // never falls
  Index emitted_ = 0;          // given out in Actions::committed
  WriteId restore_write_ = 0;  // the batch that installs a snapshot; 0: none waits
  bool restore_ready_ = false;
  Instant heard_at_{};  // a leader's sign of life, or the start: nobody else is voted for so long
  Instant election_at_{};  // when patience ends
  std::vector<std::pair<NodeId, bool>> votes_{};
  bool forced_ = false;      // this candidacy
  std::uint32_t tries_ = 0;  // pre-votes since a leader was heard
  NodeId owed_vote_{};       // granted, and not durable yet

  // A follower's
  Index matched_ = 0;  // the log agrees with that of this term's leader up to here
  bool owes_reply_ = false;
  std::uint64_t reply_round_ = 0, replied_round_ = 0;
  Index reply_previous_ = 0, replied_match_ = 0;
  std::optional<Durable::Unfinished> incoming_{};
  std::vector<PendingPiece> pieces_{};

  // A leader's
  std::vector<Progress> peers_{};
  Index noop_index_ = 0;
  std::uint64_t uncommitted_bytes_ = 0;
  Instant heartbeat_at_{}, elected_at_{};
  static constexpr std::uint64_t kRoundsKept = 1024;
  std::uint64_t round_ = 0;  // rises over all terms
  Instant round_at_{};       // when it began
  bool round_due_ = false;
  std::vector<WaitingRead> reads_{};  // rounds rise
  NodeId transfer_to_{};
  Instant transfer_until_{};
  bool transfer_asked_ = false;         // it was told to start an election
  bool sent_timeout_now_ = false;       // in this term: its leases are over (thesis §6.4.1)
  bool steps_aside_ = false;            // the committed configuration has no place for this leader
  std::vector<Instant> round_began_{};  // by round, of those that were not answered in time
};

}  // namespace walrus::raft
