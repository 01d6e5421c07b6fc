#pragma once
// The broker: what the server does in no protocol's terms. Topics of one or more partitions, each a
// stream of the engine; produce, read, the queue behind GET, named consumers.
//
// Names. Partition 0 of topic t is the stream "t", partition p is the stream "t/p". A topic is
// made from its last partition to its first and removed in the same order, so that the existence of
// "t" makes the topic exist and its partitions are always numbered without a gap.
//
// Streams whose names begin with __ are the broker's own: kGroupsStream is the coordinator's
// (group/groups.h), kUsersStream holds the users (auth/users.h). They are no topics, for anybody.
//
// Threads. Broker is shared and holds nothing that changes but atomics. Local is the broker as one
// loop sees it: its own view of the topics, the queues that this loop owns. A Local is used on its
// loop only; where another loop must act, the call goes there and comes back. Administration
// (create, remove, configure) is done on the first loop, one at a time.
//
// Lifetimes: loops and engine outlive the Broker; everything that waits is ended by Local::stop(),
// or by the close of the engine.

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/queue.h"
#include "broker/topic_config.h"
#include "broker/waiters.h"
#include "io/network.h"
#include "log/engine.h"

namespace walrus::broker {

constexpr Bytes kGroupsStream = "__consumer_offsets";

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
  Broker(log::Engine&, std::vector<io::Loop*> loops, const BrokerOptions&);
  ~Broker();

  Local& local(std::size_t loop) { return *locals_[loop]; }
  std::size_t loops() const { return locals_.size(); }
  log::Engine& engine() { return engine_; }
  const BrokerOptions& options() const { return options_; }

  // Set by whoever watches the disk: appends are refused with kNoSpace before the disk is full.
  void set_storage_low(bool low) { storage_low_.store(low, std::memory_order_relaxed); }
  bool storage_low() const { return storage_low_.load(std::memory_order_relaxed); }

 private:
  friend class Local;
  Local& owner(Bytes topic);

  log::Engine& engine_;
  const BrokerOptions options_;
  std::vector<std::unique_ptr<Local>> locals_;
  std::atomic<bool> storage_low_{false};
  std::atomic<std::uint64_t> catalogue_version_{1};  // raised by each create and remove
};

// A topic as one loop sees it. Kept by who uses it; calls on a topic that was removed meanwhile
// answer kNotFound.
struct Topic {
  std::string name;
  std::vector<log::StreamRef> partitions;
  TopicConfig config;
  std::size_t put_turn = 0, poll_turn = 0;
};
using TopicRef = std::shared_ptr<Topic>;
using Partition = std::optional<std::size_t>;  // none: in turn, or 0

struct TopicSummary {
  std::string name;
  std::uint64_t id = 0;
  std::size_t partitions = 0;
  std::int64_t records = 0, bytes = 0;
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
};

// What was stored of it, and where.
struct Stored {
  log::Appended appended{};
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
  log::StreamRef stream{};
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
  log::Bounds bounds{};
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

  // kNotFound. `partition`, if any, must exist.
  Result<TopicRef> find(Bytes topic, Partition = {});
  Result<TopicRef> find_id(std::uint64_t id);  // of partition 0; never given twice
  std::vector<TopicSummary> list(Bytes prefix);
  std::vector<TopicRef> list_topics();  // by name

  struct NewTopic {
    std::string name{};
    std::size_t partitions = 1;
    TopicConfig config{};
  };
  io::Task<void> create(NewTopic);  // kExists
  // kNotFound; kInvalid: it has as many.
  io::Task<void> grow(std::string topic, std::size_t partitions);
  io::Task<void> remove(std::string topic);
  // `change` sees what the topic has.
  using Change = std::function<Result<void>(TopicConfig&)>;
  io::Task<TopicConfig> configure(std::string topic, Change change);

  // Encodes at once, in the order of the calls. kBusy: no room for now; append_waiting() waits for
  // it. kNoSpace also while storage is low. Acknowledge after durable().
  Result<log::Appended> append(const log::StreamRef&, std::span<const walrus::Record>,
                               const AppendOptions& = {});
  // One batch of a stranger's producer, checked (the CRC once) and encoded at once; where the topic
  // asks for another codec or time, rebuilt before. kCorrupt: cut short or the CRC does not hold;
  // kTooLarge; kVersion: a codec that is not allowed; kInvalid: what the records hold; kOutOfRange:
  // a timestamp. kMismatch, kFenced, kBusy, kNoSpace as append().
  Result<Stored> produce(const Topic&, std::size_t partition, Bytes batch, const ProduceRules&,
                         BadRecords* = nullptr);
  io::Task<void> room(log::StreamRef);  // kBusy after append_wait_max
  io::Task<void> durable(log::Pending);
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
  // Of the segment that is written: Kafka's leader epoch.
  std::int32_t epoch(const log::StreamRef&);
  // The first record not older, with its timestamp; none: there is none.
  Result<std::optional<TimedOffset>> find_time(const log::StreamRef&, std::int64_t timestamp_ms);
  // The record with the greatest timestamp, the first of several.
  Result<std::optional<TimedOffset>> find_newest(const log::StreamRef&);

  // Named consumers: a durable position per partition. poll() makes one on first use.
  io::Task<ReadResult> poll(TopicRef, Partition, std::string consumer, ReadRequest);
  io::Task<void> commit(TopicRef, std::size_t partition, std::string consumer, Offset next);

  // The queue behind GET, from any loop. See Queue.
  io::Task<std::vector<Claim>> take(TopicRef, Partition, Queue::Limits);
  io::Task<bool> settle(TopicRef, Partition);
  io::Task<bool> wait_available(TopicRef, Partition, io::Nanos timeout);
  void delivered(const TopicRef&, std::vector<ClaimId>);
  void restore(const TopicRef&, std::vector<Claim>);

  void stop();             // ends all waits on this loop with kClosed
  io::Task<void> flush();  // the queues of this loop: their positions become durable

 private:
  friend class Broker;
  Result<TopicRef> build(Bytes topic);
  Result<std::shared_ptr<Queue>> queue(const TopicRef&);
  void drop_queue(std::uint64_t id);
  io::Task<void> wait_readable(log::StreamRef, Offset, io::Nanos timeout);
  struct FetchProgress;
  bool fetch_round(const FetchPlan&, FetchProgress&);
  io::Task<void> wait_any(const FetchPlan&, const FetchProgress&, io::Nanos timeout, Interrupt&);
  io::Task<void> create_here(NewTopic);
  io::Task<void> create_partition(std::string topic, std::size_t number, const TopicConfig&,
                                  log::Pending& made);
  io::Task<void> grow_here(std::string topic, std::size_t partitions);
  io::Task<void> remove_here(std::string topic);
  io::Task<TopicConfig> configure_here(std::string topic, Change change);
  io::Task<void> admin_turn();
  void end_admin_turn();
  io::Task<std::vector<Claim>> take_here(TopicRef, Partition, Queue::Limits);
  io::Task<bool> settle_here(TopicRef, Partition);
  io::Task<bool> wait_available_here(TopicRef, Partition, io::Nanos timeout);
  std::shared_ptr<Cursors> cursors(const TopicRef&);
  io::Task<Offset> consumer_position(TopicRef, std::size_t partition, std::string consumer);
  io::Task<void> wait_any_position(TopicRef, std::string consumer, io::Nanos timeout);
  Result<ReadResult> read_now(const log::StreamRef&, const ReadRequest&);

  Broker& broker_;
  io::Loop& loop_;
  std::uint64_t seen_version_ = 0;
  std::unordered_map<std::string, TopicRef> topics_;
  std::unordered_map<std::uint64_t, std::string> names_;  // of topics, by id; may be outdated
  std::unordered_map<std::uint64_t, std::shared_ptr<Queue>> queues_;  // by id of partition 0
  std::shared_ptr<Waiters> waiters_ = std::make_shared<Waiters>();
  bool stopped_ = false, admin_busy_ = false;
  Waiters admin_;
};

std::string partition_name(Bytes topic, std::size_t partition);

}  // namespace walrus::broker
