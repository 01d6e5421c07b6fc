#pragma once
// Follower: one copy of one segment on one node, as a pure state machine: events in, actions out;
// no I/O, no clock of its own. The writer's own copy is a Follower like any other (R43).
//
// Owner: one driver, on one loop. Not thread-safe; step() is never entered again from within.
//
// What is durable when: no message claims what is not on the disk. A batch of the writer is
// answered when it is durable under the segment's durability; a promise, always, when it is synced
// (R3). A promise is written behind the batches that were taken before it, so what a fence's answer
// tells is complete. What is written back or fetched is answered when it is synced, too, and so is
// a writer's question for it before it closes the segment: a sealed end lies nowhere behind what Qa
// disks hold, whatever the durability. The check of the epoch and the taking of a batch are one
// step (R14).
//
// After a crash the driver opens a new Follower on what it finds and what it knows of the crash.

#include <deque>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "log/producers.h"
#include "replica/segment.h"

namespace walrus::replica {

using WriteId = std::uint64_t;  // rises by one a write, from 1

// The small state of a copy: the last value counts.
struct CopyState {
  Epoch promised{};  // below it nothing is taken any more
  Knowledge knowledge = Knowledge::kWhole;
  std::optional<std::int64_t> sealed_end{};
  bool operator==(const CopyState&) const = default;
};

// To be written in the order of the fields, behind all earlier writes of this copy. A crash may
// leave any prefix of it, batch by batch.
struct CopyWrite {
  WriteId id = 0;                      // 0: nothing to write
  std::optional<std::int64_t> cut{};   // what lies at or above it goes
  std::optional<CopyState> state{};    // synced whatever the durability
  std::optional<Payload> producers{};  // the state at the segment's start, before the first batch
  Epoch epoch{};                       // under which the batches were sent (R17)
  std::int64_t watermark = 0;
  std::vector<Batch> batches{};  // a batch that is there already is written over by the same
};

// What a node finds of a copy on its disk, from the start to the first gap or bad batch.
struct Copy {
  CopyState state{};
  std::int64_t end = 0, watermark = 0;
  bool has_producers = false;      // of the start
  log::ProducerTable producers{};  // as of `end`
};

// The driver reads its log from `from`, at most `bytes_max` but at least one batch and not beyond
// `end`, puts the run into the message (with the producer state if `from` is the start), and sends
// it; what cannot be read is left out, and Damaged follows.
struct Attach {
  std::int64_t from = 0, end = 0;
  std::uint64_t bytes_max = 0;
};
struct Outgoing {
  Message message{};
  std::optional<Attach> attach{};
};

class Follower {
 public:
  struct Options {
    NodeId self{};
    SegmentId segment{};
    Durability::Kind durability = Durability::kFsync;
    std::int64_t start = 0;
    Nanos repair_retry = std::chrono::milliseconds(200);
    std::uint64_t repair_bytes_max = 1 << 20;  // a fetch
    std::uint64_t read_bytes_max = 4 << 20;    // an answer, whatever was asked for
  };

  // ---- Events ----
  struct Tick {};
  struct Receive {
    Message message{};
  };
  // Everything in the writes up to this id is in the file; with `synced`, on the disk.
  struct Persisted {
    WriteId id = 0;
    bool synced = true;
  };
  struct PersistFailed {};  // the copy answers nothing any more (R37)
  // A read or a scrub found that what lies at the offset is not what was written (R35).
  struct Damaged {
    std::int64_t from = 0;
  };
  struct Sealed {  // metadata says so
    std::int64_t end = 0;
    std::vector<NodeId> replicas{};
  };
  using Event = std::variant<Tick, Receive, Persisted, PersistFailed, Damaged, Sealed>;

  struct Actions {
    CopyWrite write{};
    std::vector<Outgoing> messages{};  // may go out before `write` is written
    Instant wake_at{};                 // max(): no need

    void clear();
  };

  // None found: a copy that begins. `knowledge`: of the start, see knowledge_of(); it is written
  // before anything is answered.
  static std::unique_ptr<Follower> open(const Options&, const std::optional<Copy>&, Knowledge);
  void step(Instant now, std::span<Event>, Actions&);

  SegmentId segment() const { return options_.segment; }
  std::int64_t start() const { return options_.start; }
  std::int64_t accepted() const { return accepted_; }
  std::int64_t durable() const { return durable_; }
  std::int64_t watermark() const { return watermark_; }
  // What a reader may be shown (R7).
  std::int64_t readable() const;
  // Acknowledged, as far as it knows: also what was damaged here since.
  std::int64_t acknowledged() const { return std::max(known_, readable()); }
  const CopyState& state() const { return state_; }
  bool failed() const { return failed_; }
  // Sealed, and all of it is here.
  bool complete() const { return state_.sealed_end && durable_ == *state_.sealed_end; }
  // Everything that it wrote is on the disk, and it owes nothing: it may be closed, and opened
  // again on what is there.
  bool idle() const {
    return synced_ == last_write_ && fences_.empty() && !reply_.due && !syncing_;
  }
  const log::ProducerTable& producers() const { return producers_; }
  bool has_producers() const { return has_producers_; }

 private:
  struct Pending {  // written, not yet counted
    WriteId id = 0;
    std::int64_t end = 0;
    bool once_synced = false;  // whatever the durability
  };
  struct OwedFence {  // answered when the write is durable
    std::optional<WriteId> after{};
    NodeId to{};
    Epoch epoch{};
    Fence request{};
  };
  struct OwedReply {  // to the one whose epoch is in force
    NodeId to{};
    Epoch epoch{};
    std::uint64_t round = 0;
    std::int64_t told = -1;  // how much was durable when it was last told
    bool due = false, at_once = false;
  };
  struct OwedSync {  // kSynced, when the write is synced; one at a time
    NodeId to{};
    Epoch epoch{};
    std::optional<WriteId> after{};
    std::int64_t end = 0;
  };

  explicit Follower(const Options& options) : options_(options) {}
  void handle(Tick&) {}
  void handle(Receive&);
  void handle(Persisted&);
  void handle(PersistFailed&) { failed_ = true; }
  void handle(Damaged&);
  void handle(Sealed&);
  void on(const Message&, Replicate&);
  void on(const Message&, Fence&);
  void on(const Message&, Fetch&);
  void on(const Message&, FetchReply&);
  void on(const Message&, ReplicateReply&) {}
  void on(const Message&, FenceReply&) {}

  bool promise(Epoch);
  std::optional<Answer> refusal(const Message&, const Replicate&) const;
  bool take(Run&);
  bool take_producers(const Run&);
  void refuse(const Message&, std::uint64_t round, Answer);
  void answer_fences();
  void answer_replicate();
  void answer_sync();
  void put_write();
  void number_write(CopyWrite&);
  void cut(std::int64_t end);
  void repair();
  void settle();
  void send(NodeId to, Epoch, wire::peer::SegmentBody, std::optional<Attach> = {});

  static constexpr std::size_t kFencesOwedMax = 64;

  const Options options_;
  Instant now_{};
  Actions* out_ = nullptr;  // of the step that runs
  bool failed_ = false;

  CopyState state_{};         // as it will be on the disk
  bool state_dirty_ = false;  // state_ is in no write yet
  WriteId state_write_ = 0;   // the newest write that changed the state
  WriteId synced_ = 0;        // all up to it is on the disk
  WriteId counted_ = 0;       // all up to it is durable under the segment's durability
  WriteId last_write_ = 0;
  std::int64_t accepted_ = 0, durable_ = 0;  // durable_ <= accepted_, and never falls but by a cut
  std::int64_t watermark_ = 0;               // never falls
  log::ProducerTable producers_{};           // as of accepted_
  bool has_producers_ = false;
  std::int64_t known_ = 0;  // readable() before damage
  std::deque<Pending> pending_{};
  bool sync_write_ = false;  // what this step writes counts once it is synced
  std::vector<OwedFence> fences_{};
  OwedReply reply_{};
  std::optional<OwedSync> syncing_{};

  // Of a sealed segment: where the rest is fetched from.
  std::vector<NodeId> replicas_{};
  std::size_t source_ = 0;
  Instant fetch_at_{}, fetched_at_{};  // the next question; the newest answer that helped
};

}  // namespace walrus::replica
