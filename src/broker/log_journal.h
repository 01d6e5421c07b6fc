#pragma once
// LogJournal: a journal on a Log, which may be replicated and be written by several nodes one after
// the other. For one partition of an internal topic, by the node that leads it.
//
// Whose it is. load() reads up to the end that the log confirms; from then on every append names
// the offset at which it has to be stored. If anybody else has written since, that offset is taken
// and the append is refused: the journal is lost, for good, and its owner has to begin anew with
// another one. So the records of two owners never mix, whichever of them believes to be the leader,
// and whatever became of the epochs in between. An append of which it is not known whether it was
// stored loses the journal as well.
//
// One append is under way at a time; what comes meanwhile goes with the next one, in one batch.
//
// Keeping it small. Replicas of a log are the same to the byte, and nobody compacts them. Once it
// has many more records than keys, the owner writes those at its beginning anew that are the last
// of their key, and trims what lies before: of each key the last value is in the log at any time.
//
// Lives on its loop.

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "broker/journal.h"
#include "broker/log.h"
#include "broker/waiters.h"

namespace walrus::broker {

struct LogJournalOptions {
  std::size_t append_bytes_max = 8 << 20;   // of keys and values; more is kTooLarge
  std::size_t batch_bytes_max = 512 << 10;  // appends go together up to this
  std::size_t queue_bytes_max = 8 << 20;    // that wait to be appended, then kBusy
  std::int64_t fetch_bytes_max = 1 << 20;
  io::Nanos retry = std::chrono::milliseconds(50);  // after kBusy, of what can only be waited for
  // So many records more than keys are let lie.
  std::int64_t waste_records_min = 20'000;
};

class LogJournal final : public Journal {
 public:
  // Engine and loop outlive this. `lost` is called once, in a turn of its own, and not after this
  // has gone.
  LogJournal(log::Engine&, io::Loop&, LogRef, const LogJournalOptions&, std::function<void()> lost);
  ~LogJournal() override;

  io::Task<void> load(Apply) override;
  Result<void> append(std::span<const JournalRecord>, log::Done<void> done) override;
  void when_room(log::Done<void>) override;
  io::Task<void> confirm() override;
  std::int64_t now_ms() override;

 private:
  class State;
  const std::shared_ptr<State> state_;  // shared with what is under way
};

}  // namespace walrus::broker
