#pragma once
// Cluster: what makes a server a node of one: connections to the other nodes, its part in the
// metadata, its copies of segments. Composes them, ties one to the other, and takes them down again
// in order; decides nothing itself.
//
// Lives on its loop, where also everything in it lives: start(), join() and stop() run there, and
// what it gives out is used there only. image() and failure() are for any thread. Goes before the
// engine, the transport and the loop.

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/event.h"
#include "base/log_line.h"
#include "base/metrics.h"
#include "meta/member.h"
#include "raft/host.h"
#include "replica/node.h"

namespace walrus::server {

// The log of the metadata is in the engine, too: what a batch of it takes, and a journal that holds
// four.
constexpr std::int64_t kCommandBatchBytes = meta::kCommandBytesMax + (4 << 10),
                       kClusterJournalBytesMin = 4 * kCommandBatchBytes;

struct ClusterOptions {
  std::string listen = "127.0.0.1:9093";  // for the other nodes
  std::string advertise{};                // to them; empty: what is listened on
  std::string rack{};
  std::vector<std::string> join{};  // peer addresses of nodes
  std::uint32_t voters_max = 3;
  std::uint32_t replication_factor = 3;  // of a topic whose maker names none
  std::size_t batch_bytes_max = 64 << 20;
  std::int64_t scrub_bytes_per_s = 4 << 20;  // 0: sealed copies are not read for damage
  io::Nanos scrub_every = std::chrono::hours(24);
  io::Nanos stop_timeout = std::chrono::seconds(10);
  std::uint32_t feature_level = meta::kFeatureLevel;  // that the node says it knows; at most that
};

struct ClusterParts {
  io::Env& env;
  io::Loop& loop;
  log::Engine& engine;
  net::Transport& transport;
  Metrics& metrics;
  LogSink& log;
};

class Cluster {
 public:
  // With a new life of `identity`, claimed here. Listens, and takes part in nothing yet: the rest
  // of the server adds its handlers in the same turn of the loop.
  static Result<std::unique_ptr<Cluster>> start(const ClusterParts&, ClusterOptions,
                                                meta::Identity);
  ~Cluster();

  // In the turn of start(): how clients reach this node. Done when metadata is followed.
  io::Task<void> join(std::vector<meta::Listener> of_clients);
  // Done when this life of the node is known and its copies are at work. As of
  // meta::Member::registered(), and this node's part goes by what metadata says. May be called
  // again after kTimeout.
  io::Task<void> registered(io::Nanos timeout);
  // Called with each image of the metadata, after the copies have learned it; set before join().
  void on_image(std::function<void(const replica::ImageRef&)> call) { on_image_ = std::move(call); }
  // The node is about to stop: nothing more is to be placed on it, and what it leads is rolled to
  // the others while it still serves. Appends go on there, and clients who ask anybody afterwards
  // are told of the next leader. What nobody takes is left to stop().
  io::Task<void> give_away();
  // Leads nothing any more when it is done. Nothing of it may be used then.
  io::Task<void> stop();
  // Without a word, when the loop has ended.
  void drop();

  net::Rpc& rpc() { return *rpc_; }
  replica::Node& node() { return *node_; }
  replica::Metadata& metadata() { return metadata_; }
  const std::shared_ptr<meta::Member>& member() { return member_; }  // null before join()
  const std::string& address() const { return address_; }            // that it listens on
  NodeId self() const { return identity_.node; }
  const Uuid& id() const { return identity_.cluster; }

  // Any thread. Never null; a hint where to go.
  std::shared_ptr<const meta::State> image() const { return image_.load(); }
  // Any thread: whether this node's disk has no room to speak of. The cluster gives it nothing new
  // meanwhile, and takes from it what it leads.
  void set_storage_low(bool low) { storage_low_.store(low); }
  // Any thread: why this node takes part no more, for good; a process that is started again may.
  Result<void> failure() const;
  // Any thread, as of a moment ago: whether the metadata is within reach; who leads it, 0: nobody
  // is known.
  bool has_quorum() const { return has_quorum_.load(); }
  NodeId leads_metadata() const { return NodeId{leads_metadata_.load()}; }

 private:
  // What the copies ask of metadata, asked of the member.
  class Metadata final : public replica::Metadata {
   public:
    explicit Metadata(Cluster& cluster) : cluster_(cluster) {}
    io::Task<std::vector<meta::Outcome>> propose(meta::Command) override;
    io::Task<replica::ImageRef> current() override;
    void want(std::vector<PartitionId>) override;

   private:
    Cluster& cluster_;
  };
  struct Gauges;

  Cluster(const ClusterParts&, ClusterOptions, meta::Identity);
  Result<void> open();
  void learned(std::shared_ptr<const meta::State>);
  void work(const meta::Work&);
  static boost::asio::awaitable<void> look(std::weak_ptr<Cluster*>);
  void look_once();

  const ClusterParts parts_;
  const ClusterOptions options_;
  meta::Identity identity_;
  Metadata metadata_{*this};
  std::unique_ptr<net::Rpc> rpc_;
  std::unique_ptr<raft::Host> host_;
  std::unique_ptr<replica::Node> node_;
  std::shared_ptr<meta::Member> member_;  // shared with its coroutines
  std::function<void(const replica::ImageRef&)> on_image_;
  std::string address_;
  bool registered_ = false, stopped_ = false;
  std::atomic<std::shared_ptr<const meta::State>> image_{std::make_shared<const meta::State>()};
  std::atomic<bool> has_quorum_{false}, storage_low_{false};
  std::atomic<std::uint64_t> leads_metadata_{0};
  mutable Lock lock_;
  std::string failure_;  // under lock_
  std::unique_ptr<Gauges> gauges_;
  std::shared_ptr<Cluster*> alive_;  // what its own coroutines look whether it is there by
};

}  // namespace walrus::server
