#pragma once
// Arrears: of which producers a batch was sent away unwritten, or with an outcome that nobody
// knows, and has not come again since. A producer sends several batches before it has the answer to
// the first, so that what comes behind such a one must not be judged by its sequence: it would be
// refused for good ("out of order"), or, where the log knows nothing of the producer, be taken
// without what belongs before it. It is sent away likewise, and its producer sends all again, in
// their order (KIP-98: the sequences of a producer and a partition are without gaps).
//
// And of which producers a batch came without what belongs before it, though nothing of theirs was
// sent away here. It may have been elsewhere: librdkafka, going from one leader to another, counts
// a refused batch as over before it has queued it again, and sends what is behind it meanwhile.
// Told "out of order" it would raise its epoch and number anew all that it has no answer to, also
// what is stored: twice. And taken, where nothing is known of the producer, it would count what is
// missing for stored, as one that answers to a later batch has all before it. So a gap is believed
// when it lasts: then it is out of order, or a producer's beginning that is kept no longer.
//
// Pure; owned by one loop.

#include <map>
#include <optional>

#include "base/ids.h"
#include "record/batch.h"
#include "replica/segment.h"

namespace walrus::replica {

// Of an idempotent producer's batch.
struct Sequence {
  std::int64_t producer = -1;
  std::int16_t epoch = -1;
  std::int32_t first = -1;
  bool operator==(const Sequence&) const = default;
};
// None: its producer is not idempotent, so that its batches have no order of their own.
std::optional<Sequence> sequence_of(const record::BatchView&);

class Arrears {
 public:
  // A producer that never comes again is forgotten after `kept_max` (clients try again within a
  // second or two; it may have been taken by another node meanwhile); above `producers_max` the
  // oldest of all is. Then the log decides as it finds it.
  explicit Arrears(Nanos gap_max = {}, Nanos kept_max = std::chrono::seconds(20),
                   std::size_t producers_max = 10'000)
      : gap_max_(gap_max), kept_max_(kept_max), producers_max_(producers_max) {}

  // It was sent away.
  void owe(const PartitionId&, const Sequence&, Instant now);
  // Whether one in front of it was, and has not come again.
  bool behind(const PartitionId&, const Sequence&, Instant now) const;
  // What belongs before it is not in the log: it may come for `gap_max` from the first time.
  void miss(const PartitionId&, const Sequence&, Instant now);
  // Whether what may be missing in front of it was waited for, and did not come.
  bool gap_lasted(const PartitionId&, const Sequence&, Instant now) const;
  // It comes (again): it is judged now.
  void come(const PartitionId&, const Sequence&);
  // It is in the log, and with it what belongs before it.
  void settle(const PartitionId&, const Sequence&);
  bool empty() const { return owed_.empty(); }

 private:
  using Key = std::pair<PartitionId, std::int64_t>;
  struct Owed {
    std::int16_t epoch = 0;
    std::int32_t first = 0;  // the first of all that are owed
    Instant until{};
    bool gap = false;
  };

  void enter(const Key&, const Owed&);

  const Nanos gap_max_, kept_max_;
  const std::size_t producers_max_;
  std::map<Key, Owed> owed_{};
};

}  // namespace walrus::replica
