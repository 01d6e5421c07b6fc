#pragma once
// ClusterCatalogue: the topics of the cluster, as metadata has them; made and changed by proposals,
// from any node. A change is answered when it is committed and this node has learned it.
//
// Settings that the node's configuration gives to topics beside Walrus's own defaults are written
// into a topic when it is made, so that all nodes take it in the same way. A topic of which nobody
// says how many copies it has gets Options::replication_factor, or as many as there are nodes;
// acknowledged is what a majority of them holds, unless min.insync.replicas says otherwise.

#include "broker/catalogue.h"
#include "broker/cluster/bridge.h"

namespace walrus::broker {

class ClusterCatalogue final : public Catalogue {
 public:
  struct Options {
    TopicConfig defaults{};
    std::uint32_t replication_factor = 3;
    io::Nanos timeout = std::chrono::seconds(10);      // of one change
    io::Nanos look_timeout = std::chrono::seconds(2);  // for the word of those who write
    std::uint32_t producer_ids = 1'000;                // taken at once
  };
  ClusterCatalogue(std::shared_ptr<Bridge>, Options);

  std::uint64_t version() const override { return version_->load(std::memory_order_acquire); }
  Result<TopicRef> open(io::Loop&, Bytes topic) override;
  std::vector<TopicName> list(Bytes prefix) const override;
  io::Task<void> catch_up(io::Loop&) override;
  io::Task<void> create(io::Loop&, NewTopic) override;
  io::Task<void> grow(io::Loop&, std::string topic, std::size_t partitions) override;
  io::Task<void> remove(io::Loop&, std::string topic) override;
  io::Task<TopicConfig> configure(io::Loop&, std::string topic, Change change) override;
  io::Task<std::int64_t> new_producer_id(io::Loop&) override;
  std::uint32_t replicas_max() const override;
  io::Task<std::vector<Result<LogStatus>>> look(io::Loop&, std::vector<LogRef>, Look) override;

 private:
  Result<meta::CreateTopic> plan_topic(const NewTopic&, const meta::State&) const;
  io::Task<void> catch_up_here();
  io::Task<void> create_here(NewTopic);
  io::Task<void> grow_here(std::string topic, std::size_t partitions);
  io::Task<void> remove_here(std::string topic);
  io::Task<TopicConfig> configure_here(std::string topic, Change change);
  io::Task<std::int64_t> take_producer_id();
  Uuid new_uuid();

  const std::shared_ptr<Bridge> bridge_;
  const Options options_;
  // Raised with each image that has other topics than the one before. Shared with the bridge, which
  // may outlive this.
  const std::shared_ptr<std::atomic<std::uint64_t>> version_;
  std::int64_t next_producer_ = 0, end_producer_ = 0;  // on the cluster's loop
};

// A topic's settings as metadata keeps them, and back. What a later release may have known is kept.
meta::Settings settings_of(const TopicConfig&);
TopicConfig config_of(const meta::Topic&);

}  // namespace walrus::broker
