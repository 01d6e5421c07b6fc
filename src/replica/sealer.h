#pragma once
// Sealer: ends segments whose writer is gone or has no say any more, as a pure state machine:
// events in, actions out; no I/O, no clock of its own. The controller's; any node may run one,
// several may race, and one may begin where another stopped at any point: everything is decided by
// compare-and-swap in metadata, and what is written back first makes all of them decide the same
// (R21, R28).
//
// Of one segment, in this order (R11):
//   claim   CAS open or sealing -> sealing, with a new recovery epoch
//   fence   every replica promises that epoch, durably, and tells what it holds
//   copy    what at least one of them holds goes to the others, under that epoch, until Qa hold it
//   end     CAS sealing with that epoch -> sealed at that end
// Many segments at once: all commands of a step belong into one metadata command, all messages to
// one node into one parcel.
//
// Where a segment ends (R16..R19, R41), of the answers so far: `decide_end`.
//
// Owner: one driver, on one loop. Not thread-safe; step() is never entered again from within.
// Nothing of it is durable.

#include <map>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "replica/segment.h"

namespace walrus::replica {

// What one replica of a segment told a recoverer; or that it never will.
struct Told {
  NodeId replica{};
  bool answered = false;
  Knowledge knowledge = Knowledge::kLimbo;
  std::int64_t durable = 0;    // all below is held
  std::int64_t watermark = 0;  // the highest that it was told of
  std::uint64_t round = 0;     // of the newest write-back that it answered
  bool gone = false;           // an operator removed the node: unknown, and answered (R19)
};

struct End {
  enum Kind : std::uint8_t {
    kWait,  // for more answers
    kAt,    // `end`: nothing at or above it was acknowledged
    kLost,  // all have answered, and what was at `end` and above may be lost (R41)
  } kind = kWait;
  std::int64_t end = 0;
  std::int64_t known = 0;  // kLost: acknowledged up to here at least, as far as anybody knows
};
// Pure. `cover`: QC, how many plain negatives it takes.
End decide_end(std::int64_t start, std::size_t cover, std::span<const Told>);

class Sealer {
 public:
  struct Options {
    NodeId self{};
    Nanos retry = std::chrono::milliseconds(200);  // without an answer (R20)
    std::uint64_t copy_bytes_max = 1 << 20;        // a read, and a message that writes back
    std::size_t segments_max = 100'000;            // at once
  };

  // ---- Events ----
  struct Tick {};
  struct Receive {
    Message message{};
  };
  struct Seal {
    Segment segment{};  // as metadata has it: open or sealing
    std::vector<NodeId> gone{};
    std::optional<std::int64_t> accepted{};  // see AcceptLoss
  };
  // What became of a Command: whether it took effect, and how metadata has the segment now.
  struct Decided {
    Segment segment{};
    bool taken = false;
  };
  struct Learned {  // metadata has the segment so; it may be another's turn
    Segment segment{};
  };
  // An operator's word (R41): what lies above the end may be lost, if it is no lower than this.
  struct AcceptLoss {
    SegmentId segment{};
    std::int64_t end_min = 0;
  };
  // An operator took the node out of the cluster: unknown, and answered (R19).
  struct Removed {
    NodeId node{};
  };
  using Event = std::variant<Tick, Receive, Seal, Decided, Learned, AcceptLoss, Removed>;

  // ---- Actions ----
  struct Command {
    enum Kind : std::uint8_t {
      kClaim,  // state and recovery epoch as in `segment` -> sealing, the recovery epoch is new
      kEnd,    // sealing under `segment.recovery` -> sealed at `end`
    } kind = kClaim;
    Segment segment{};  // as it has to be for the command to take effect
    std::int64_t end = 0;
    bool lost = false;       // kEnd: records may be lost; `known`
    std::int64_t known = 0;  // acknowledged up to here
  };
  struct Blocked {  // waits for an operator: all have answered, and it is not known what is lost
    SegmentId segment{};
    Epoch recovery{};  // in which this was found: what a later one found is newer
    End end{};
    std::vector<NodeId> limbo{};
  };
  struct Actions {
    std::vector<Command> commands{};
    std::vector<Message> messages{};
    std::vector<SegmentId> done{};  // sealed, or another's
    std::vector<Blocked> blocked{};
    Instant wake_at{};

    void clear();
  };

  // What is known of one segment so far.
  struct Survey {
    Epoch recovery{};
    std::int64_t start = 0;
    End end{};  // kLost: it is an operator's to say so, if the durability is fsync
    bool needs_operator = false;
    std::vector<Told> told{};
  };

  explicit Sealer(const Options& options) : options_(options) {}
  void step(Instant now, std::span<Event>, Actions&);
  bool has(SegmentId id) const { return tasks_.contains(id); }
  std::size_t size() const { return tasks_.size(); }
  std::optional<Survey> survey(SegmentId) const;  // none: it is not being sealed here

 private:
  enum class Phase : std::uint8_t { kClaim, kFence, kEnd };
  struct Task {
    Segment segment{};
    Phase phase = Phase::kClaim;
    bool blocked_told = false;
    std::optional<std::int64_t> accepted{};
    std::vector<Told> told{};
    End end{};
    Instant acted_at{};  // commands and fences are repeated after Options::retry
    std::uint64_t round = 0;
    std::map<NodeId, Instant> copied_at{};  // when the newest read for, or write to it went out
  };

  void handle(Tick&) {}
  void handle(Receive&);
  void handle(Seal&);
  void handle(Decided&);
  void handle(Learned&);
  void handle(AcceptLoss&);
  void handle(Removed&);
  void on(Task&, const Message&, FenceReply&);
  void on(Task&, const Message&, const ReplicateReply&);

  void drive(Task&);
  void claim(Task&);
  void fence(Task&);
  void decide(Task&);
  void copy(Task&);
  void read_for(Task&, const Told& target);
  void write_back(Task&, Run&);
  void finish(Task&);
  void forget(SegmentId);
  bool is_due(const Task& task) const { return now_ - task.acted_at >= options_.retry; }
  void send(const Task&, NodeId to, wire::peer::SegmentBody);

  const Options options_;
  Instant now_{};
  Actions* out_ = nullptr;  // of the step that runs
  std::map<SegmentId, Task> tasks_{};
};

}  // namespace walrus::replica
