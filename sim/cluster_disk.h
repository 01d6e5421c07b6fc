#pragma once
// ClusterDisk: what one simulated node has on its disk and in its page cache. All copies of the
// node share one journal: a crash leaves a prefix of what was written, over all of them.

#include <deque>
#include <map>
#include <set>

#include "io/sim/sim_random.h"
#include "replica/follower.h"

namespace walrus::sim {

struct StoredCopy {
  std::int64_t start = 0, watermark = 0;
  Durability::Kind durability{};
  replica::CopyState state{};
  std::optional<wire::peer::Payload> producers{};  // of the start
  std::map<std::int64_t, wire::peer::Batch> batches{};
  std::set<std::int64_t> rotten{};  // bases of batches that are not what was written
  std::int64_t lost_to = 0;  // up to here it was synced, until the end of the journal turned bad

  std::int64_t end() const;          // up to the first gap or rotten batch
  std::int64_t written_end() const;  // the same, if nobody has looked at the bytes again
  bool damaged() const;              // something lies behind that
  bool lost_end() const { return written_end() < lost_to; }
  replica::Copy found() const;
  // At most `parts` of the write's parts, in their order.
  bool apply(const replica::CopyWrite&, std::size_t parts = SIZE_MAX);
  wire::peer::Run read(const replica::Attach&, bool with_producers) const;
};

struct ClusterDisk {
  struct Waiting {
    std::int64_t done_at = 0;
    SegmentId segment{};
    std::int64_t start = 0;
    Durability::Kind durability{};
    replica::CopyWrite write{};
  };
  bool identity = false;     // the node was here before
  replica::Losses losses{};  // durable at once: nothing is answered before
  bool torn = false;         // the journal ends in a bad frame; told at the next start
  bool rebooted = false;     // by a power cut, since the last start
  std::map<SegmentId, StoredCopy> durable{}, cached{};
  std::deque<Waiting> waiting{};

  void write(Waiting);  // into the page cache
  void synced();        // the oldest that waits
  // The process goes; of the page cache everything stays, or all but a part of the last write.
  void kill(io::SimRandom&);
  // Of what waited, some prefix stays.
  void power_cut(io::SimRandom&, bool all_lost);
  void wipe();
  // The frame that was synced last, if it is of batches alone: no mark in the journal tells it,
  // when it turns bad, from one that is torn. Null: there is none.
  const std::pair<SegmentId, std::int64_t>* newest() const { return newest_ ? &*newest_ : nullptr; }
  void rot_newest();  // the power has to go next, and everything behind it

 private:
  static bool apply(std::map<SegmentId, StoredCopy>&, const Waiting&, std::size_t parts = SIZE_MAX);

  std::optional<std::pair<SegmentId, std::int64_t>> newest_{};  // and its first offset
};

}  // namespace walrus::sim
