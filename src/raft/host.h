#pragma once
// Host: the Raft groups of one process. They share its loop, one timer, the connections of its Rpc
// (messages of all groups to one node that come up in a turn of the loop share frames), its engine
// (one sync covers what all of them write) and three workers: one that writes, one that reads and
// writes snapshots, one for machines.
//
//   auto host = raft::Host::start(env, loop, *engine, *rpc, {.self = NodeId{1}});
//   auto node = co_await (*host)->open(GroupId{7}, options, std::move(machine));
//
// Lives on its loop and is used on its loop's thread alone. Goes before the Rpc, the engine and the
// loop. The engine may be shared with everything else of the process: a group's streams are named
// __raft/<16 hexadecimal digits>, and the same with /<number> for its snapshots.

#include <memory>
#include <vector>

#include "base/log_line.h"
#include "log/engine.h"
#include "net/rpc.h"
#include "raft/node.h"

namespace walrus::raft {

struct HostOptions {
  NodeId self{};
  std::uint64_t seed = 0;  // 0: drawn from Env::random(); of election timeouts
  // Elections and heartbeats are looked at so often; at most half of any group's heartbeat.
  io::Nanos tick = std::chrono::milliseconds(10);
  // Messages of all groups to one node that are sent together, at most, if each is smaller.
  std::size_t bundle_bytes_max = 256 << 10;
  io::Nanos full_disk_retry = std::chrono::milliseconds(100);
  LogSink* log = nullptr;  // groups that fail, disks that are full
};

struct HostStats {
  std::uint64_t steps = 0, writes = 0, bundles_sent = 0, bundles_refused = 0, messages_sent = 0,
                bundles_received = 0, messages_received = 0,
                messages_dropped = 0;  // dropped: damaged, or of no group
  std::uint64_t snapshots_taken = 0, snapshots_installed = 0, snapshot_bytes_written = 0;
};

class HostState;

class Host {
 public:
  // Registers its methods with the Rpc: kRaftBundle, kRaftReadIndex. kInvalid: options. Removes
  // what a crash left behind of groups that were being removed.
  static Result<std::unique_ptr<Host>> start(io::Env&, io::Loop&, log::Engine&, net::Rpc&,
                                             const HostOptions&);
  // What still waits ends as kUnknown or kClosed before it returns; calls of machines that run are
  // waited for.
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // Opens the group as it is on the disk; if it is not, founds or joins it as the options say. The
  // node takes part when this is done; its Machine may still be restoring.
  //   kExists: it is open; kInvalid: options; kCorrupt, kVersion: what is stored; kBusy, kNoSpace,
  //   kIo: the disk; kClosed.
  io::Task<Node*> open(GroupId, NodeOptions, std::unique_ptr<Machine>);
  // Stops the node: what waits ends as kUnknown or kClosed. What is being written is written, what
  // waits for a full disk is not. kNotFound.
  io::Task<void> close(GroupId);
  // Closes it and removes all that is stored of it; durable when done. This node must not be a
  // member any more, or the group must be over: it forgets its votes. kNotFound: nothing stored.
  io::Task<void> remove(GroupId);
  // Closes all.
  io::Task<void> stop();

  Node* find(GroupId);                  // open; else null
  std::vector<GroupId> stored() const;  // on the disk, in order
  HostStats stats() const;

 private:
  explicit Host(std::shared_ptr<HostState>);
  const std::shared_ptr<HostState> state_;  // shared with coroutines and callbacks
};

}  // namespace walrus::raft
