#pragma once
// CopyStore: the copies of segments that are on this node's disk, and what a node remembers over
// its starts. Does what Followers want written, in their order, and tells when it is durable.
// Bytes: copy_format.h.
//
// A write is encoded into the journal at once if there is room; otherwise it waits, and those of
// the same copy behind it. Of what waits nothing is lost but by the process. Everything of a copy
// lies in one journal, so that a crash leaves a prefix of it.
//
// Lives on its loop and is used on its loop's thread, but for read(). Goes before the engine.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "log/engine.h"
#include "raft/mailbox.h"
#include "replica/copy_format.h"

namespace walrus::replica {

struct StoredCopy {
  CopyAttributes attributes{};
  Copy copy{};
};

class CopyStore {
 public:
  // What became of a copy's writes: Persisted or PersistFailed. On the loop, and it only takes
  // note.
  using Happened = std::function<void(SegmentId, Follower::Event)>;

  CopyStore(log::Engine&, raft::Mailbox, Happened);
  ~CopyStore();  // nothing is told any more; what waits is dropped
  CopyStore(const CopyStore&) = delete;
  CopyStore& operator=(const CopyStore&) = delete;

  // Looks what there is. kCorrupt, kVersion.
  Result<void> open();
  std::vector<SegmentId> segments() const;
  bool has(SegmentId segment) const { return copies_.contains(segment); }
  bool failed(SegmentId) const;  // something of it could not be written
  // As of what was encoded. kNotFound; kCorrupt, kVersion.
  Result<StoredCopy> load(SegmentId) const;
  Result<CopyState> state(SegmentId) const;
  std::optional<Payload> opening(SegmentId) const;  // the producer state of the start
  std::int64_t end(SegmentId) const;                // 0: not there
  std::int64_t bytes(SegmentId) const;
  log::StreamRef stream(SegmentId) const;  // null: not there

  // How often a copy of durability kInterval is synced. Where that cannot be changed for now
  // nothing happens: it may be said again.
  void set_interval(SegmentId, Millis);
  // Makes the copy if it is not there. Its first write is durable only together with its name.
  void write(SegmentId, const CopyAttributes&, CopyWrite);
  // Tries again what waits without being woken, and looks what others have synced meanwhile.
  void poll();
  // All of it goes. Nothing is told of it any more. The next write makes it anew.
  void remove(SegmentId);

  // What is stored from `what.from` on, of a stream of this store. Any thread. kOutOfRange: not
  // there (any more). kCorrupt: what begins there is not what was written.
  static Result<Run> read(log::Engine&, const log::StreamRef&, const Attach& what);

  // What the last start left; none: there was none.
  Result<std::optional<NodeRecord>> node_record() const;
  // Durable when called back.
  void put_node_record(const NodeRecord&, log::Done<void>);

 private:
  struct Part {  // of a write: how far it is encoded
    enum class Step : std::uint8_t { kCut, kState, kProducers, kBatches, kWatermark, kDone };
    Step step = Step::kCut;
    std::size_t batch = 0;
  };
  struct Encoded {
    WriteId id = 0;
    log::Pending place{};
  };
  struct One {
    CopyAttributes attributes{};
    log::StreamRef stream{};
    std::uint64_t life = 0;              // told apart from an earlier one of the same segment
    bool named = true;                   // its name is durable
    bool failed = false, asked = false;  // asked: for room
    std::deque<CopyWrite> waiting{};
    Part part{};           // of waiting.front()
    log::Pending place{};  // of its newest frame
    std::deque<Encoded> unsynced{};
    WriteId owed = 0;  // persisted, and not told before it is named
    bool owed_synced = false;
  };

  Result<void> make(SegmentId, One&);
  void advance(SegmentId, One&);
  Result<void> encode(One&);
  Result<void> encode_step(One&, CopyWrite&);
  void encoded(SegmentId, One&, const CopyWrite&);
  void await_room(SegmentId, One&);
  void await(SegmentId, const One&, WriteId, log::Pending);
  void persisted(SegmentId, One&, WriteId, bool synced);
  void fail_copy(SegmentId, One&);
  One* find(SegmentId, std::uint64_t life);

  log::Engine& engine_;
  raft::Mailbox mailbox_;
  const Happened happened_;
  log::StreamRef own_{};
  std::map<SegmentId, One> copies_{};
  std::set<SegmentId> busy_{};      // of copies_: writes wait, or may not be synced yet
  std::set<SegmentId> removing_{};  // there was no room for it yet
  std::uint64_t lives_ = 0;
  std::shared_ptr<CopyStore*> self_;  // null once it is gone: callbacks may come later
};

}  // namespace walrus::replica
