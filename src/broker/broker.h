#pragma once
// The broker: what the server does in no protocol's terms. Topics of one or more partitions, each a
// Log (log.h) out of a Catalogue (catalogue.h); produce, read, the queue behind GET, named
// consumers.
//
// Names that begin with __ are the broker's own: kGroupsStream is the coordinator's
// (group/groups.h), kUsersStream holds the users (auth/users.h). They are no topics, for anybody.
//
// Threads. Broker is shared and holds nothing that changes but atomics. Local is the broker as one
// loop sees it: its own view of the topics, the queues that this loop owns. A Local is used on its
// loop only; where another loop must act, the call goes there and comes back.
//
// Lifetimes: loops, engine and catalogue outlive what is made of them; everything that waits is
// ended by Local::stop(), or by the close of the engine.

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/catalogue.h"
#include "broker/cursors.h"
#include "broker/log.h"
#include "broker/queue.h"
#include "broker/topic_config.h"
#include "broker/waiters.h"
#include "io/network.h"
#include "log/engine.h"

namespace walrus::broker {

struct BrokerOptions {
  std::uint64_t node_id = 1;
  TopicConfig topic_defaults{};
  std::size_t decompressed_bytes_max = 64 << 20;         // of a batch whose records are looked at
  io::Nanos append_wait_max = std::chrono::seconds(30);  // for room in the journal, then kBusy
  std::int64_t read_bytes_max = 8 << 20;                 // whatever a reader asks for
  std::int64_t read_records_max = 2'000;
};

class Local;

class Broker {
 public:
  // Without a catalogue: a LocalCatalogue of the engine, at home on the first loop.
  Broker(log::Engine&, std::vector<io::Loop*> loops, const BrokerOptions&,
         std::unique_ptr<Catalogue> = nullptr);
  ~Broker();

  Local& local(std::size_t loop) { return *locals_[loop]; }
  std::size_t loops() const { return locals_.size(); }
  log::Engine& engine() { return engine_; }
  Catalogue& catalogue() { return *catalogue_; }
  const BrokerOptions& options() const { return options_; }

  // Positions of readers are kept there, on the first loop, and not in the topics' own streams. To
  // be told before anything is served.
  // kFenced: they are kept by another node; kBusy: here, or nowhere, for now.
  using OpenCursors = std::function<Result<std::shared_ptr<Cursors>>(const Topic&)>;
  // A partition as who owns its queue reads it, where no copy of it need be.
  using Reach = std::function<LogRef(const LogRef&)>;
  void keep_cursors(OpenCursors open, Reach reach) {
    open_cursors_ = std::move(open);
    reach_ = std::move(reach);
  }

  // Set by whoever watches the disk: appends are refused with kNoSpace before the disk is full.
  void set_storage_low(bool low) { storage_low_.store(low, std::memory_order_relaxed); }
  bool storage_low() const { return storage_low_.load(std::memory_order_relaxed); }

 private:
  friend class Local;
  // Where its queue is.
  Local& owner(Bytes topic);
  // Where its consumers are, for who is at `here`.
  Local& home(Local& here) { return open_cursors_ ? *locals_[0] : here; }

  log::Engine& engine_;
  const BrokerOptions options_;
  std::unique_ptr<Catalogue> catalogue_;
  OpenCursors open_cursors_;  // none: the topics' own streams
  Reach reach_;               // likewise
  std::vector<std::unique_ptr<Local>> locals_;
  std::atomic<bool> storage_low_{false};
};

using Partition = std::optional<std::size_t>;  // none: in turn, or 0

struct TopicSummary {
  std::string name;
  std::uint64_t id = 0;
  std::size_t partitions = 0;
  std::int64_t records = 0, bytes = 0;
  std::size_t stale = 0;  // partitions of which only this node's own knowledge is told
};

struct ReadRequest {
  Offset from{};
  std::int64_t bytes_max = 1 << 20;  // of payload; one record always fits
  io::Nanos wait{0};
};

struct Record {
  Offset offset{};
  std::int64_t timestamp_ms = 0;
  std::optional<std::string> value{};
};

struct ReadResult {
  std::vector<Record> records;
  Offset next{};
  std::size_t partition = 0;  // that was read
};

// What a client's batch has to hold beside what the format says.
struct ProduceRules {
  bool zstd = true;  // the client's protocol knows this codec
  AppendRules append{};
};

// What was stored of it, and where.
struct Stored {
  Appending appending{};
  std::optional<std::int64_t> append_time_ms{};  // set where the topic wants that time
};
// Why records of a batch are refused that is whole and sound itself.
struct BadRecord {
  std::int32_t index = 0;  // in the batch
  std::string why{};
};
using BadRecords = std::vector<BadRecord>;

// Ends what a coroutine waits for: set once, on its loop, by Local::interrupt().
struct Interrupt {
  bool set = false;
  std::uint64_t waiter = 0;  // 0: nothing waits
};

// A read of several partitions at once, whole batches as stored.
struct FetchPart {
  LogRef log{};
  Offset from{};
  std::int64_t bytes_max = 1 << 20;
};
struct FetchPlan {
  std::vector<FetchPart> parts;
  std::int64_t bytes_min = 1, bytes_max = 50 << 20;
  io::Nanos wait{0};  // for bytes_min; any error ends it
  // What memory there is for the answer at the moment at which it is read, without what was read
  // for it already; none: as much as is asked for.
  std::function<std::int64_t()> room{};
  std::function<void(std::int64_t)> hold{};  // told of what was read, if there
};
struct FetchedPart {
  Result<void> result{};  // kOutOfRange, kNotFound, or what ails the storage
  std::string bytes{};
  Bounds bounds{};
};

struct TimedOffset {
  Offset offset{};
  std::int64_t timestamp_ms = 0;
};

class Local {
 public:
  Local(Broker&, io::Loop&);

  io::Loop& loop() { return loop_; }
  Broker& broker() { return broker_; }
  log::Engine& engine() { return broker_.engine_; }
  NodeId self() const { return NodeId{broker_.options_.node_id}; }

  // kNotFound. `partition`, if any, must exist.
  Result<TopicRef> find(Bytes topic, Partition = {});
  // The same, and certainly what was made before the call, on whichever node.
  io::Task<TopicRef> find_current(Bytes topic, Partition = {});  // the name outlives it
  Result<TopicRef> find_id(const Uuid& id);
  Result<TopicRef> find_own(Bytes topic);  // whose name begins with __
  io::Task<std::vector<TopicSummary>> list(std::string prefix);
  std::vector<TopicRef> list_topics();  // by name

  // As those of the Catalogue.
  using Change = Catalogue::Change;
  io::Task<void> create(NewTopic);
  io::Task<void> grow(std::string topic, std::size_t partitions);
  io::Task<void> remove(std::string topic);
  io::Task<TopicConfig> configure(std::string topic, Change change);
  io::Task<std::int64_t> new_producer_id();

  // Takes at once, in the order of the calls. kBusy: no room for now; room() waits for it. kNoSpace
  // also while storage is low. Acknowledge after acknowledged(), or what an AppendRun says.
  Result<Appending> append(Log&, std::span<const walrus::Record>, const AppendRules& = {});
  // One batch of a stranger's producer, checked (the CRC once) and encoded at once; where the topic
  // asks for another codec or time, rebuilt before. kCorrupt: cut short or the CRC does not hold;
  // kTooLarge; kVersion: a codec that is not allowed; kInvalid: what the records hold; kOutOfRange:
  // a timestamp. kMismatch, kFenced, kBusy, kNoSpace as append().
  Result<Stored> produce(const Topic&, std::size_t partition, Bytes batch, const ProduceRules&,
                         BadRecords* = nullptr);
  io::Task<void> room(LogRef);  // kBusy after append_wait_max
  io::Task<Placed> acknowledged(Appending);
  io::Task<void> durable(log::Pending);  // of the node's engine
  // The partition of the next append or read that names none.
  static std::size_t put_partition(Topic&, Partition);

  io::Task<ReadResult> read(TopicRef, std::size_t partition, ReadRequest);
  struct BatchesResult {
    std::string bytes;
    Offset next{};
  };
  io::Task<BatchesResult> read_batches(TopicRef, std::size_t partition, ReadRequest);

  // The first part that has data gives at least one batch whatever the limits say; after it a batch
  // that does not fit is left out. Ends at bytes_min, at an error, at a part that is full, when
  // there is no room for more, after the wait, or when interrupted (kClosed). One result per part,
  // in their order.
  io::Task<std::vector<FetchedPart>> fetch(FetchPlan, Interrupt&);
  void interrupt(Interrupt&);
  // The first record not older, with its timestamp; none: there is none.
  static io::Task<std::optional<TimedOffset>> find_time(LogRef, std::int64_t timestamp_ms);
  // The record with the greatest timestamp, the first of several.
  static io::Task<std::optional<TimedOffset>> find_newest(LogRef);

  // Named consumers: a durable position per partition. poll() makes one on first use.
  io::Task<ReadResult> poll(TopicRef, Partition, std::string consumer, ReadRequest);
  io::Task<void> commit(TopicRef, std::size_t partition, std::string consumer, Offset next);

  // The queue behind GET, from any loop. See Queue.
  io::Task<std::vector<Claim>> take(TopicRef, Partition, Queue::Limits);
  io::Task<bool> settle(TopicRef, Partition);
  io::Task<bool> wait_available(TopicRef, Partition, io::Nanos timeout);
  void delivered(const TopicRef&, std::vector<ClaimId>);
  void restore(const TopicRef&, std::vector<Claim>);
  // Ends the queues of this loop whose positions are kept elsewhere now: waits end with kFenced.
  void end_lost_queues();

  void stop();             // ends all waits on this loop with kClosed
  io::Task<void> flush();  // the queues of this loop: their positions become durable

 private:
  friend class Broker;
  Result<TopicRef> open(Bytes topic);
  Result<std::shared_ptr<Queue>> queue(const Topic&);
  void drop_queue(const Uuid& id);
  void see_catalogue();
  log::Done<void> waking(std::uint64_t waiter);
  io::Task<void> wait_readable(LogRef, Offset, io::Nanos timeout);
  struct FetchProgress;
  static io::Task<bool> fetch_round(const FetchPlan&, FetchProgress&);
  static io::Task<void> fetch_part(const FetchPlan&, FetchProgress&, std::size_t part,
                                   std::int64_t bytes_max);
  io::Task<void> wait_any(const FetchPlan&, const FetchProgress&, io::Nanos timeout, Interrupt&);
  io::Task<std::vector<Claim>> take_here(TopicRef, Partition, Queue::Limits);
  io::Task<bool> settle_here(TopicRef, Partition);
  io::Task<bool> wait_available_here(TopicRef, Partition, io::Nanos timeout);
  io::Task<ReadResult> poll_here(TopicRef, Partition, std::string consumer, ReadRequest);
  io::Task<void> commit_here(TopicRef, std::size_t partition, std::string consumer, Offset next);
  Result<TopicRef> mine(const Topic&);  // as its owner has it
  Result<std::shared_ptr<Cursors>> cursors(const Topic&);
  io::Task<Offset> consumer_position(TopicRef, std::size_t partition, std::string consumer);
  io::Task<void> wait_any_position(TopicRef, std::string consumer, io::Nanos timeout);
  io::Task<ReadResult> read_now(LogRef, ReadRequest);

  Broker& broker_;
  io::Loop& loop_;
  std::uint64_t seen_version_ = 0;
  std::unordered_map<std::string, TopicRef> topics_;
  std::map<Uuid, std::string> names_;  // of topics, by id; may be outdated
  std::map<Uuid, TopicRef> owned_;     // by mine(), of those that are read from elsewhere too
  std::map<Uuid, std::shared_ptr<Queue>> queues_;  // by the topic's id
  std::shared_ptr<Waiters> waiters_ = std::make_shared<Waiters>();
  bool stopped_ = false;
};

}  // namespace walrus::broker
