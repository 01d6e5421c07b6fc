#pragma once
// Bridge: the way of the broker, from any loop, to what lives on the cluster's loop: the copies and
// writers of this node (replica::Node) and the metadata.
//
// Threads: what says so is for any thread, everything else is for the cluster's loop. The loop and
// the engine outlive it, Rpc, node and metadata until stop(). Shared with everything that is under
// way.
//
// What a loop sees of a partition is a PartitionView: told by the cluster's loop whenever the node
// knows better, so that looking costs no way there. It may be a moment old; whoever waits for
// something newer, or asks for it, has it in the view before the answer.

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/cluster/mailbox.h"
#include "broker/log.h"
#include "broker/waiters.h"
#include "replica/node.h"

namespace walrus::broker {

using replica::ImageRef;

struct BridgeParts {
  io::Env& env;
  io::Loop& loop;  // the cluster's
  log::Engine& engine;
  net::Rpc& rpc;
  replica::Node& node;
  replica::Metadata& metadata;
  NodeId self{};
};

// One partition as this node has it. Any thread reads; the cluster's loop writes.
class PartitionView {
 public:
  explicit PartitionView(const PartitionId& id) : id_(id) {}
  const PartitionId& id() const { return id_; }
  // kNotFound: it was removed.
  Result<Bounds> load() const;
  Offset high_watermark() const { return Offset{high_watermark_.load(std::memory_order_acquire)}; }
  void store(const Bounds&);
  void advance(Offset high_watermark, Offset log_end);
  void set_gone() { gone_.store(true, std::memory_order_release); }

  // On the cluster's loop: the node tells when more is readable; it has told of the partition.
  bool followed = false, known = false;

 private:
  const PartitionId id_;
  std::atomic<bool> gone_{false};
  // Written from the end to the start and read from the start to the end, so that what is read is
  // in order.
  std::atomic<std::int64_t> log_start_{0}, high_watermark_{0}, log_end_{0};
  std::atomic<std::int32_t> epoch_{0};
  std::atomic<std::uint64_t> leader_{0};
  std::atomic<bool> here_{false};
  std::atomic<std::int64_t> sealed_end_{0}, hands_on_until_{0}, leaderless_since_{0};
};
using ViewRef = std::shared_ptr<PartitionView>;  // shared between the loops

// An append on its way to the writer, and its answer on the way back.
struct OutwardAppend {
  ViewRef view{};
  std::string batch{};
  replica::AppendRequest request{};
  std::move_only_function<void(Result<Placed>)> done{};  // on the cluster's loop
};

class Bridge : public std::enable_shared_from_this<Bridge> {
 public:
  static std::shared_ptr<Bridge> make(const BridgeParts&);

  // ---- Any thread ----
  io::Env& env() { return parts_.env; }
  io::Loop& loop() { return parts_.loop; }
  log::Engine& engine() { return parts_.engine; }
  NodeId self() const { return parts_.self; }
  ImageRef image() const { return image_.load(std::memory_order_acquire); }  // never null
  ViewRef view(const PartitionId&);
  void append(OutwardAppend append) { appends_->put(std::move(append)); }

  // ---- The cluster's loop ----
  // Each image that metadata publishes, after the node has learned it.
  void learned(ImageRef);
  // Called with each image that learned() was told of; for good.
  void on_image(std::function<void(const ImageRef&)> call) { on_image_.push_back(std::move(call)); }
  // Nothing of node and metadata is used any more; what waits for an image ends with kClosed.
  void stop();
  Result<replica::Node*> node();          // kClosed
  Result<replica::Metadata*> metadata();  // kClosed
  net::Rpc& rpc() { return parts_.rpc; }  // until stop()
  void refresh(PartitionView&);
  // Until an image at least as new was learned. kTimeout.
  io::Task<void> seen(meta::Version, io::Nanos timeout);
  // As the node's, by an id that any thread may have drawn; the view is told before `done` is.
  void when_readable(std::uint64_t id, const ViewRef&, Offset, log::Done<void> done);
  void cancel(std::uint64_t id);
  std::uint64_t next_ticket() { return last_ticket_.fetch_add(1) + 1; }  // any thread

 private:
  explicit Bridge(const BridgeParts& parts) : parts_(parts) {}
  void take(OutwardAppend&&);
  void follow(const ViewRef&);
  void watch(const ViewRef&);
  void advance(PartitionView&);
  void reach_changed(const std::set<NodeId>&);

  const BridgeParts parts_;
  bool stopped_ = false;
  std::atomic<ImageRef> image_{std::make_shared<const meta::State>()};
  std::shared_ptr<Mailbox<OutwardAppend>> appends_;
  std::vector<std::function<void(const ImageRef&)>> on_image_;
  Waiters seen_;
  std::map<std::uint64_t, std::uint64_t> tickets_;  // the node's, by ours
  std::atomic<std::uint64_t> last_ticket_{0};
  Lock lock_;
  std::map<PartitionId, std::weak_ptr<PartitionView>> views_;  // under lock_
};

// What became of an append, in the broker's words. kBusy: it was not taken; where the leader is
// another node, that one is to be asked. kTimeout: it is not known whether it will stay.
Result<Placed> placed_of(const replica::Appended&, std::int64_t records);

}  // namespace walrus::broker
