#pragma once
// Leader: the single writer of one open segment, as a pure state machine: events in, actions out;
// no I/O, no clock of its own. It assigns offsets, pushes batches to all replicas, counts what they
// hold durably, acknowledges in order, and ends the segment at what it acknowledged.
//
// It holds no copy. The copy on its own node is a Follower that is told what the others are told,
// answers as they do, is fenced as they are, and is not needed for a quorum (R43). So the driver
// delivers messages to the own node, too.
//
// Owner: one driver, on one loop, with the Lease of the node. Not thread-safe; step() is never
// entered again from within. Nothing of it is durable: a process that restarts has no Leader of a
// segment that it led before (R42), and open() refuses to make one.
//
// Memory: batches behind what is acknowledged and is in the own log, which window_bytes_max bounds;
// above it appends are refused. A replica that is further behind is read for from the own log, one
// read at a time. Batches are views; none is copied per replica.

#include <deque>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "log/producers.h"
#include "record/batch.h"
#include "replica/segment.h"

namespace walrus::replica {

using Ticket = std::uint64_t;  // the driver's name for what it asked

enum class Acks : std::uint8_t { kNone, kLeader, kAll };

// Appends of one client to a partition that are sent before those in front are answered: once one
// of them is sent away, and may come again, so is all that comes behind it, to keep their order.
// Looked at by the thread of the node's loop alone.
struct Pipeline {
  bool broken = false;
};

enum class Refusal : std::uint8_t {  // nodes tell them each other by their numbers
  kNone,
  kNotLeader,      // fenced, sealed, or on the way there: ask metadata who is next
  kNoLease,        // not now; the writer cannot tell whether it still is one
  kBusy,           // window_bytes_max or in flight: try again
  kNotReady,       // the producer state of the segments before is not here yet
  kInvalid,        // no sound batch
  kOutOfOrder,     // of its producer's sequence
  kStaleProducer,  // a higher epoch of its producer is known
  kMismatch,       // the expected offset is not the next
  kUnknown,        // taken, and it is not known whether it will stay: send it again (R9)
  kNoRoom,         // too few disks have room for it; never told another node
};
const char* refusal_name(Refusal);
// Not taken, and another time, or elsewhere, it may be.
constexpr bool is_passing(Refusal refusal) {
  return refusal == Refusal::kNotLeader || refusal == Refusal::kNoLease ||
         refusal == Refusal::kBusy || refusal == Refusal::kNotReady;
}

class Leader {
 public:
  struct Options {
    NodeId self{};
    std::uint64_t incarnation = 0;  // of this process
    std::uint64_t window_bytes_max = 64 << 20;
    std::uint64_t window_bytes_kept = 4 << 20;  // for replicas that are a little late
    std::size_t confirms_max = 1 << 16;         // that wait for their round
    std::uint64_t batch_bytes_max = 64 << 20;
    std::uint64_t message_bytes_max = 1 << 20;    // batches a message; one always fits
    std::uint64_t in_flight_bytes_max = 8 << 20;  // a replica; above it, wait for answers
    std::size_t in_flight_messages_max = 64;
    Nanos retry = std::chrono::milliseconds(500);          // without an answer
    Nanos watermark_delay = std::chrono::milliseconds(2);  // R8: at most 5 ms
    Nanos drain_max = std::chrono::milliseconds(50);       // of a planned roll; then close without
    Nanos away_max = std::chrono::seconds(10);             // a replica, until a roll is asked for
    std::int64_t lag_records_max = 1'000'000;              // a replica, until a roll is asked for
    // A replica is slow that has lacked for so long what was acknowledged; or not as long, and so
    // many bytes came since.
    Nanos slow_after = std::chrono::seconds(30), slow_bytes_after = std::chrono::seconds(10);
    std::uint64_t slow_bytes = 256 << 20;
    std::int64_t records_max = 1'000'000, bytes_max = 1 << 30;  // until a roll is asked for
  };
  // Where the producer state is to be had, if there were records before this segment.
  struct Previous {
    SegmentId segment{};
    std::vector<NodeId> replicas{};
  };

  // ---- Events ----
  struct Tick {};
  struct Receive {
    Message message{};
  };
  struct Append {
    Ticket ticket = 0;
    std::string batch{};  // one record batch v2 that record::validate() took
    Acks acks = Acks::kAll;
    std::optional<std::int64_t> expected_next{};
    // Where nothing is known of its producer, only the first batch of all (sequence 0) is in order;
    // or any, where what is missing in front of it will not come any more.
    bool any_sequence = false;
  };
  // Answered when Qa replicas confirmed that the segment is not fenced (R15).
  struct Confirm {
    Ticket ticket = 0;
  };
  // The answer to a LogRequest.
  struct LogRead {
    NodeId replica{};
    Run run{};  // no batches: it cannot be read
  };
  // A planned roll (R27): drain, then end the segment at what is acknowledged. Qa copies are on the
  // disk up to there, whatever the durability: what is not yet is synced while appends go on.
  struct Close {};
  struct Deposed {};  // metadata says that the segment is not open any more
  // Where the producer state is to be had now. Nowhere: all records before this segment were
  // deleted, and with them what their producers could send again.
  struct Before {
    std::optional<Previous> previous{};
  };
  using Event = std::variant<Tick, Receive, Append, Confirm, LogRead, Close, Deposed, Before>;

  // ---- Actions ----
  struct Appended {
    Ticket ticket = 0;
    Refusal refusal = Refusal::kNone;
    std::int64_t offset = 0;  // of the first record
  };
  struct Confirmed {
    Ticket ticket = 0;
    Refusal refusal = Refusal::kNone;
    std::int64_t watermark = 0;
  };
  struct LogRequest {
    NodeId replica{};  // for whom
    std::int64_t from = 0;
    std::uint64_t bytes_max = 0;
  };
  // kQuorumLost: fewer than Qa copies are what they were, so that this writer can neither
  // acknowledge nor close; recovery has to end the segment (R41).
  enum class Roll : std::uint8_t { kNo, kFull, kReplicaAway, kReplicaLost, kQuorumLost };
  struct Actions {
    std::vector<Message> messages{};  // to the own node, too
    std::vector<Appended> appended{};
    std::vector<Confirmed> confirmed{};
    std::vector<LogRequest> log_requests{};
    // One compare-and-swap in metadata: still open -> sealed here, and the next one opened. Given
    // once; repeat it until metadata says what became of the segment.
    std::optional<std::int64_t> close_at{};
    Roll roll = Roll::kNo;  // wanted; the driver decides, and sends Close, or has it recovered
    Instant wake_at{};      // send a Tick then

    void clear();
  };
  enum class Role : std::uint8_t { kWriter, kDraining, kClosing, kDeposed };

  // kInvalid: not this node's to write, or another life's of it (R1, R42). The lease outlives it.
  static Result<std::unique_ptr<Leader>> open(const Options&, const Segment&,
                                              const std::optional<Previous>&, const Lease&);
  void step(Instant now, std::span<Event>, Actions&);

  const Segment& segment() const { return segment_; }
  Role role() const { return role_; }
  std::int64_t watermark() const { return watermark_; }
  std::int64_t log_end() const { return log_end_; }
  std::uint64_t window_bytes() const { return window_bytes_; }
  bool knows_producers() const { return producers_known_; }
  // Whether the replica has answered for what it was sent, but for the last moments.
  bool keeps_up(NodeId) const;
  // Whether a replica has lost its copy, or has not come further for so long though there is more.
  bool lags(Instant now, Nanos longer_than) const {
    return std::ranges::any_of(replicas_, [&](const Replica& one) {
      return one.lost || (one.match < one.goal && now - one.goal_at >= longer_than) ||
             (one.behind_since != Instant::max() && now - one.behind_since >= longer_than);
    });
  }
  // Who holds up nobody and is behind for long, see Options; but for those that lost their copy.
  std::vector<NodeId> slow(Instant now) const;
  // Whether a FetchReply of this segment is for this leader.
  bool waits_for(SegmentId segment) const {
    return !producers_known_ && previous_ && previous_->segment == segment;
  }

 private:
  struct InFlight {
    std::int64_t end = 0;
    std::uint64_t bytes = 0;
    Instant sent_at{};
  };
  struct Replica {
    NodeId id{};
    std::int64_t match = 0;       // durable there; never falls
    std::int64_t synced = 0;      // on the disk there, as far as it was asked
    std::int64_t sync_asked = 0;  // `match` when it was asked last
    Instant sync_asked_at{};
    std::int64_t next = 0;  // to be sent
    std::deque<InFlight> in_flight{};
    std::uint64_t in_flight_bytes = 0;
    Instant sent_at{}, progress_at{};       // the newest message to it; when `match` rose
    Instant behind_since = Instant::max();  // max(): it holds all
    // What was acknowledged when it last held all of an earlier goal; when that was, and how much
    // had been written by then.
    std::int64_t goal = 0;
    Instant goal_at{};
    std::uint64_t goal_bytes = 0;
    std::int64_t watermark_told = -1, watermark_sent = -1;  // told: and answered for
    std::uint64_t sent_round = 0;                           // of the newest message to it
    Instant watermark_due = Instant::max();
    std::uint64_t round = 0;  // the highest that it answered
    Instant read_after{};     // the own log could not be read for it
    bool reading = false, lost = false;
  };
  struct Waiting {
    Ticket ticket = 0;
    std::int64_t first = 0, end = 0;
    Acks acks = Acks::kAll;
  };
  struct Asking {
    Ticket ticket = 0;
    std::uint64_t round = 0;
  };

  Leader(const Options&, const Segment&, const std::optional<Previous>&, const Lease&);

  void handle(Tick&) {}
  void handle(Receive&);
  void handle(Append&);
  void handle(Confirm&);
  void handle(LogRead&);
  void handle(Close&);
  void handle(Deposed&) { depose(); }
  void handle(Before&);
  void on(const Message&, const ReplicateReply&);
  void on(const FetchReply&);

  Refusal refusal(const Append&) const;
  Refusal take(Append&);
  Refusal check_producer(const record::BatchView&, bool any_sequence,
                         std::optional<std::int64_t>& first) const;
  void assign(Append&);
  void wait(Waiting);
  void advance();
  void set_goals();
  void acknowledge();
  void answer_confirms();
  void replicate();
  void replicate_to(Replica&);
  Instant retry_at(const Replica&) const;
  bool send_batches(Replica&);
  enum class Empty : std::uint8_t { kNo, kQuiet, kAsking };  // a message without batches
  Empty empty_due(const Replica&) const;
  bool wants_synced(const Replica&) const;
  bool sync_is_due(const Replica&) const;
  void send(Replica&, Run, bool quiet = false);
  std::int64_t quorum_match() const;
  std::int64_t on_quorum_of_disks() const;
  void trim_window();
  void begin_without_producers();
  void choose_source();
  void fetch_producers();
  void want_roll();
  void try_close();
  void depose();
  void set_wake();
  Replica* find(NodeId);

  const Options options_;
  const Segment segment_;
  std::optional<Previous> previous_;
  const Lease& lease_;  // the node's, owned by the driver
  Instant now_{};
  Actions* out_ = nullptr;            // of the step that runs
  Refusal blocked_ = Refusal::kNone;  // an append of this step waits: those behind it do as well

  Role role_ = Role::kWriter;
  std::vector<Replica> replicas_{};
  std::deque<Batch> window_{};  // up to log_end_
  std::uint64_t window_bytes_ = 0, bytes_ = 0;
  std::int64_t window_start_ = 0;
  std::int64_t log_end_ = 0;
  std::int64_t watermark_ = 0;  // never falls; once closing, it is the end
  std::uint64_t round_ = 0;
  std::deque<Waiting> waiting_{};             // ends rise
  std::deque<Asking> asking_{};               // rounds rise
  std::optional<std::int64_t> sync_first_{};  // to be closed: on Qa disks before it drains
  Instant drain_until_{};

  log::ProducerTable producers_{};
  std::optional<Payload> opening_{};  // the same, as it was at the start
  bool producers_known_ = false;
  std::size_t next_source_ = 0;
  Instant fetch_at_{};
};

}  // namespace walrus::replica
