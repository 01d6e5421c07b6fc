#pragma once
// Owners: which node of a cluster is the coordinator of a consumer group, and which has the queue
// and the named consumers of a topic; and what of that this node is. One for a process, on the
// cluster's loop; coordinator_of() and owner_of() may be called from any loop.
//
// A group or a topic hashes to a partition of an internal topic (kGroupsStream, kCursorsStream),
// and belongs to the node that leads that partition. Such a topic is made when something of it is
// first asked for: always fsync, on three nodes, or as many as there are, and on more as they come.
// When the image of the metadata says that this node leads a partition, it reads all of it and
// takes over (Coordinators, CursorKeeper); when it says that another one does, or when the journal
// finds that somebody else has written (LogJournal), it lets go. What an image says is a hint only:
// it is the journal that keeps owners apart.
//
// The queue and the consumers of a topic read it through ReachLog (reach_log.h), wherever it is.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/broker.h"
#include "broker/cluster/bridge.h"
#include "broker/cursor_keeper.h"
#include "broker/group/coordinators.h"
#include "broker/log_journal.h"
#include "net/rpc.h"

namespace walrus::broker {

constexpr Bytes kCursorsStream = "__cursors";

struct OwnersOptions {
  std::size_t partitions = 8;  // of an internal topic that is made here
  std::uint32_t replication_factor = 3;
  io::Nanos retry = std::chrono::milliseconds(100);  // of what failed to be taken over
  LogJournalOptions journal{};
};

class Owners : public std::enable_shared_from_this<Owners> {
 public:
  // Tells the broker that its cursors are kept here, the bridge that it wants to see images, and
  // the Rpc what it answers. Broker and Rpc outlive what is served; after the broker's catalogue,
  // in the turn of the loop in which the Rpc was started.
  static std::shared_ptr<Owners> start(std::shared_ptr<Bridge>, net::Rpc&, Broker&,
                                       std::shared_ptr<Coordinators>, const OwnersOptions&);
  ~Owners();

  // Nothing is taken over any more; what this node has it keeps until its loops end.
  void stop();

  // From any loop. Waits until there is one, for `timeout`; then kBusy. Only a hint: who is asked
  // may know better, and answers kFenced.
  io::Task<NodeId> coordinator_of(io::Loop& here, std::string group, io::Nanos timeout);
  io::Task<NodeId> owner_of(io::Loop& here, std::string topic, io::Nanos timeout);
  // Likewise who coordinates the groups of each partition. Empty: there never was a group.
  io::Task<std::vector<NodeId>> coordinators(io::Loop& here, io::Nanos timeout);

 private:
  enum Kind : std::size_t { kGroups, kCursors, kKinds };
  struct Part {
    bool ours = false;                       // it was taken over
    bool retrying = false;                   // and will be looked at again
    std::shared_ptr<CursorKeeper> keeper{};  // of kCursors; shared with the queues
  };
  struct Internal {
    Bytes name{};
    Uuid id{};  // zero: it is not there yet
    bool making = false;
    std::vector<Part> parts{};
  };

  Owners(std::shared_ptr<Bridge>, net::Rpc&, Broker&, std::shared_ptr<Coordinators>,
         const OwnersOptions&);
  void learned(const ImageRef&);
  Result<std::shared_ptr<Cursors>> open_cursors(const Topic&);
  void see(Kind);
  void renew(Kind, const Uuid& id, std::size_t partitions);
  const meta::Segment* tail(const Internal&, std::size_t partition) const;
  void consider(Kind, std::size_t partition);
  void take_over(Kind, std::size_t partition);
  void let_go(Kind, std::size_t partition);
  void lost(Kind, std::size_t partition);
  static boost::asio::awaitable<void> look_again(std::weak_ptr<Owners>, io::Loop&, Kind,
                                                 std::size_t partition, io::Nanos after);
  static boost::asio::awaitable<void> open_keeper(std::shared_ptr<Owners>,
                                                  std::shared_ptr<CursorKeeper>);
  void forget_topics(CursorKeeper&) const;
  io::Task<NodeId> find(Kind, std::string name, io::Nanos timeout);
  io::Task<std::vector<NodeId>> find_all(Kind, io::Nanos timeout);
  Result<void> want(const Internal&, std::vector<std::size_t> partitions);
  io::Task<void> await_change(Bytes what, io::Nanos deadline);
  static boost::asio::awaitable<void> make(std::shared_ptr<Owners>, Kind);
  void grow_replicas(const Internal&);
  static boost::asio::awaitable<void> propose(std::shared_ptr<Owners>, meta::AlterTopic);
  std::uint32_t nodes() const;

  const std::shared_ptr<Bridge> bridge_;  // shared with all that is of the cluster
  io::Loop& loop_;
  net::Rpc& rpc_;
  Broker& broker_;
  const std::shared_ptr<Coordinators> coordinators_;  // shared with the sessions
  const OwnersOptions options_;
  ImageRef image_;
  Internal internal_[kKinds];
  Waiters changed_{};  // wait for another image
  bool proposing_ = false, stopped_ = false;
};

}  // namespace walrus::broker
