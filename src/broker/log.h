#pragma once
// Log: one partition as the broker sees it, whatever keeps it: LocalLog is a stream of this node's
// engine; other kinds may keep it on several nodes.
//
// Threads: a Log belongs to the loop that its catalogue opened it for (catalogue.h), and is used
// there only; its callbacks may come on any thread, and hand over.
//
// Appends are taken at once, in the order of the calls. Where the offset is known then, what is
// waited for is a place in a journal; where it is not, an Owed answer, which comes with the offset
// once the records are acknowledged. AppendRun waits for both.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/network.h"
#include "log/engine.h"
#include "record/batch.h"
#include "replica/leader.h"
#include "walrus/node_id.h"

namespace walrus::broker {

using replica::Acks;

struct AppendRules {
  std::optional<Offset> expected_next{};  // kMismatch unless it is the next offset
  Acks acks = Acks::kAll;                 // below it: answered before it is safe
  std::optional<io::Nanos> wait{};        // for somebody who takes it, if nobody does now
  bool hand_on = false;  // to who leads now, where this node did until a moment ago
  // As of replica::AppendRequest, of a replicated log.
  bool in_sequence = false, follows = false;
  std::shared_ptr<replica::Pipeline> pipeline{};
};

// Where records were appended.
struct Placed {
  Offset first{}, next{};
};

// The answer to an append that comes later. Lives on the loop of who asked; settled there, once.
class Owed {
 public:
  explicit Owed(io::Loop& loop) : loop_(loop) {}
  void settle(Result<Placed> outcome);
  bool settled() const { return outcome_.has_value(); }
  const Result<Placed>& outcome() const { return *outcome_; }  // once settled
  // Until settled; one at a time. After `timeout` it settles itself as kTimeout, that nobody knows
  // whether the records are there, and what comes later is for nobody.
  io::Task<void> wait(io::Nanos timeout = io::Nanos::max());

 private:
  io::Loop& loop_;
  std::optional<Result<Placed>> outcome_;
  bool expired_ = false;
  std::move_only_function<void(Result<void>)> wake_;
};

// An append that was taken.
struct Appending {
  log::Pending pending{};        // that it is acknowledged after, unless it is owed
  Placed placed{};               // likewise known
  std::shared_ptr<Owed> owed{};  // shared with whoever settles it; none: all is known above
};

// What a run of appends waits for: each journal once, for the last place in it, and what is owed.
class AppendRun {
 public:
  // `until`, by Env::mono(): what is owed is waited for no longer.
  void add(const Appending&, io::Nanos until = io::Nanos::max());
  io::Task<void> wait(log::Engine&, io::Loop&);
  // Of an append that was added, after wait().
  Result<Placed> outcome(const Appending&) const;

 private:
  std::map<log::Shard*, log::Pending> last_;
  std::vector<std::pair<std::shared_ptr<Owed>, io::Nanos>> owed_;
  Result<void> durable_{};
};

// As far as this node knows, without asking anybody: what others acknowledge meanwhile is learnt a
// little later. Log::confirm() asks.
struct Bounds {
  Offset log_start{}, high_watermark{}, log_end{};
  std::int32_t epoch = 0;        // of the segment that is written: Kafka's leader epoch
  NodeId leader{};               // that writes it; 0: nobody does at the moment
  bool here = true;              // this node has a copy of it, or nothing is being written
  Offset sealed_end{};           // what lies below changes no more, and any node may read it
  io::Nanos hands_on_until{};    // by Env::mono(): appends may be given to this node to hand on
  io::Nanos leaderless_since{};  // likewise, as this node saw it; where there is a leader it is 0
};

struct LogInfo {
  Offset log_start{}, high_watermark{}, log_end{};
  std::int64_t bytes = 0;                    // batches that are kept
  std::optional<Time> newest{};              // none: no record
  std::optional<std::int64_t> bytes_here{};  // that this node has of it; none: no copy
};

struct LogSegment {
  std::int64_t base_offset = 0, end_offset = 0, records = 0, bytes = 0;
  std::int32_t epoch = 0;
  bool sealed = false;
  NodeId leader{};                 // its writer; sealed: who that was
  std::vector<NodeId> replicas{};  // where its copies are
};

// A partition by the word of whoever writes it: Catalogue::look().
struct LogStatus {
  bool current = true;  // false: who writes it did not answer: as this node knows it
  NodeId leader{};      // that writes it; 0: nobody does
  std::int32_t epoch = 0;
  LogInfo info{};                      // but for `newest` and `bytes_here`
  std::vector<LogSegment> segments{};  // if they were asked for; the last one is open, or sealed
};

class Log {
 public:
  explicit Log(std::string name) : name_(std::move(name)) {}
  virtual ~Log() = default;
  const std::string& name() const { return name_; }  // topic, or topic/partition

  // kBusy: no room for now, see when_room(). kNotFound: it was removed. kMismatch, kFenced,
  // kTooLarge: at once, or by what is owed.
  virtual Result<Appending> append(std::span<const walrus::Record>, const AppendRules&) = 0;
  // A batch that record::validate() took.
  virtual Result<Appending> append_batch(const record::BatchView&, const AppendRules&) = 0;
  virtual void when_room(log::Done<void>) = 0;

  // Whole batches from the one that holds `from`, as Engine::fetch(): kOutOfRange beyond the log.
  virtual io::Task<log::Fetched> fetch(Offset from, log::FetchOptions) = 0;
  virtual io::Task<Offset> find_time(Time) = 0;  // first record not older; none: the watermark
  // Calls back once when the high watermark is above `offset`, or on an error. The id cancels.
  virtual std::uint64_t when_readable(Offset, log::Done<void>) = 0;
  virtual void cancel(std::uint64_t id) = 0;
  // The high watermark, with everything that was acknowledged by anybody before the call.
  virtual io::Task<Offset> confirm() = 0;
  // Durable on return, which is on the loop that is given.
  virtual io::Task<void> trim(io::Loop&, Offset first_kept) = 0;

  virtual Result<Bounds> bounds() const = 0;
  virtual Result<LogInfo> info() const = 0;
  virtual std::vector<LogSegment> segments() const = 0;  // the last one is open, or sealed

 private:
  const std::string name_;
};
using LogRef = std::shared_ptr<Log>;

// A stream of the engine. Everything is answered at once; any loop may use it.
class LocalLog final : public Log {
 public:
  LocalLog(log::Engine&, log::StreamRef, NodeId self);

  const log::StreamRef& stream() const { return stream_; }

  Result<Appending> append(std::span<const walrus::Record>, const AppendRules&) override;
  Result<Appending> append_batch(const record::BatchView&, const AppendRules&) override;
  void when_room(log::Done<void>) override;
  io::Task<log::Fetched> fetch(Offset from, log::FetchOptions) override;
  io::Task<Offset> find_time(Time) override;
  std::uint64_t when_readable(Offset, log::Done<void>) override;
  void cancel(std::uint64_t id) override;
  io::Task<Offset> confirm() override;
  io::Task<void> trim(io::Loop&, Offset first_kept) override;
  Result<Bounds> bounds() const override;
  Result<LogInfo> info() const override;
  std::vector<LogSegment> segments() const override;

 private:
  log::Engine& engine_;
  const log::StreamRef stream_;
  const NodeId self_;
};

// What keeps it on this node. kInvalid: it is not a stream of this node's engine.
Result<log::StreamRef> local_stream(const LogRef&);

}  // namespace walrus::broker
