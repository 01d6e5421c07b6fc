#pragma once
// Catalogue: what topics there are, and the one who makes and changes them. LocalCatalogue keeps
// them as streams of this node's engine; another may keep them for a cluster.
//
// Threads: any loop, which each call is told. Tasks stay on it.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/coding.h"
#include "base/uuid.h"
#include "broker/log.h"
#include "broker/topic_config.h"
#include "broker/waiters.h"

namespace walrus::broker {

constexpr Bytes kGroupsStream = "__consumer_offsets";

// A topic as one loop sees it. Kept by who uses it; calls on a topic that was removed meanwhile
// answer kNotFound.
struct Topic {
  std::string name;
  Uuid id{};  // never given twice
  std::vector<LogRef> partitions;
  TopicConfig config;
  std::uint32_t replication_factor = 1;
  std::size_t put_turn = 0, poll_turn = 0;

  // The id in short, for what has no room for all of it.
  std::uint64_t number() const { return load_be<std::uint64_t>(id.bytes.data() + 8); }
};
using TopicRef = std::shared_ptr<Topic>;

struct NewTopic {
  std::string name{};
  std::size_t partitions = 1;
  TopicConfig config{};
  std::uint32_t replication_factor = 0;  // 0: as many copies as the catalogue makes by default
  bool internal = false;                 // the broker's own: its name begins with __
};

struct TopicName {
  std::string name{};
  Uuid id{};
};

class Catalogue {
 public:
  virtual ~Catalogue() = default;

  // Another one whenever a topic was made, changed or removed.
  virtual std::uint64_t version() const = 0;
  // For use on this loop. Names that begin with __ too. kNotFound.
  virtual Result<TopicRef> open(io::Loop&, Bytes topic) = 0;
  virtual std::vector<TopicName> list(Bytes prefix) const = 0;  // by name
  // Done when all that was made before the call, by whomever, is found here. kTimeout, kClosed,
  // kIo.
  virtual io::Task<void> catch_up(io::Loop&) = 0;

  virtual io::Task<void> create(io::Loop&, NewTopic) = 0;  // kExists
  // kNotFound; kInvalid: it has as many.
  virtual io::Task<void> grow(io::Loop&, std::string topic, std::size_t partitions) = 0;
  virtual io::Task<void> remove(io::Loop&, std::string topic) = 0;
  // `change` sees what the topic has, perhaps more than once.
  using Change = std::function<Result<void>(TopicConfig&)>;
  virtual io::Task<TopicConfig> configure(io::Loop&, std::string topic, Change change) = 0;

  // A producer id that was never given before.
  virtual io::Task<std::int64_t> new_producer_id(io::Loop&) = 0;
  // The highest replication factor that there are nodes for now.
  virtual std::uint32_t replicas_max() const = 0;

  // How far these partitions of it are, by the word of whoever writes each, in their order.
  // kNotFound, of one: it was removed.
  enum class Look { kSizes, kSegments };
  virtual io::Task<std::vector<Result<LogStatus>>> look(io::Loop&, std::vector<LogRef>, Look) = 0;
};

// Topics as streams of the engine: partition 0 of topic t is the stream "t", partition p is the
// stream "t/p". A topic is made from its last partition to its first and removed in the same order,
// so that the existence of "t" makes the topic exist and its partitions are always numbered without
// a gap. Changes are made on the loop `home`, one at a time. A topic's id is half the directory's
// and half the stream's.
class LocalCatalogue final : public Catalogue {
 public:
  // All outlive it.
  LocalCatalogue(log::Engine&, io::Loop& home, NodeId self, const TopicConfig& defaults);

  std::uint64_t version() const override { return version_.load(std::memory_order_acquire); }
  Result<TopicRef> open(io::Loop&, Bytes topic) override;
  std::vector<TopicName> list(Bytes prefix) const override;
  io::Task<void> catch_up(io::Loop&) override;
  io::Task<void> create(io::Loop&, NewTopic) override;
  io::Task<void> grow(io::Loop&, std::string topic, std::size_t partitions) override;
  io::Task<void> remove(io::Loop&, std::string topic) override;
  io::Task<TopicConfig> configure(io::Loop&, std::string topic, Change change) override;
  io::Task<std::int64_t> new_producer_id(io::Loop&) override;
  std::uint32_t replicas_max() const override { return 1; }
  io::Task<std::vector<Result<LogStatus>>> look(io::Loop&, std::vector<LogRef>, Look) override;

 private:
  Result<TopicRef> build(Bytes topic);
  Uuid topic_id(const log::StreamRef& first) const;
  io::Task<void> create_here(NewTopic);
  io::Task<void> create_partition(NewTopic, std::size_t number, log::Pending& made);
  io::Task<void> grow_here(std::string topic, std::size_t partitions);
  io::Task<void> remove_here(std::string topic);
  io::Task<TopicConfig> configure_here(std::string topic, Change change);
  io::Task<void> durable(io::Loop&, log::Pending);
  io::Task<void> take_turn();
  void end_turn();

  log::Engine& engine_;
  io::Loop& home_;
  const NodeId self_;
  const TopicConfig defaults_;
  std::string directory_;  // its uuid
  std::atomic<std::uint64_t> version_{1};
  bool busy_ = false;  // on home_
  Waiters turns_;
};

std::string partition_name(Bytes topic, std::size_t partition);

}  // namespace walrus::broker
