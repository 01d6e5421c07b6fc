#pragma once
// Lanes: move a file, or bytes that are like one, to another node, whole or not at all.
//
// The receiver writes `NAME.part` in its directory, in pieces of sync_bytes, each synced before the
// next one's first byte is written: so after any crash all but the last piece that has begun is
// known to be on its disk. After a cut the sender offers again and goes on behind that place, when
// the SHA-256 of what is there is that of its own first bytes; else from the start. At the end the
// receiver compares the SHA-256 of the whole, syncs, renames to NAME, syncs the directory, and only
// then acknowledges. Every frame on the way has a CRC-32C (net/frame.h). What was sent before is
// acknowledged at once when it is sent again under its name.
//
// A sender and a receiver live on the loop of their Rpc; files are touched on a FileWorker only.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "net/file_worker.h"
#include "net/rpc.h"
#include "net/sha256.h"

namespace walrus::net {

// Of lanes that are no part of a cluster (walrus/lane.h): senders are guests, and the receiver is
// node 1, or the node of its certificate.
constexpr ClusterId kLaneCluster{0x77616c7275732d6c, 0x616e650000000000};
constexpr NodeId kLaneReceiver{1};

// What is sent: the same bytes at each reading. Used on the FileWorker, by one job at a time.
class LaneSource {
 public:
  virtual ~LaneSource() = default;
  virtual std::int64_t size() const = 0;
  virtual Result<void> read(std::int64_t position, std::span<char> to) = 0;  // all of it
};

// A range of a file; by default all of it. kOutOfRange, and what opening it gives.
struct LaneRange {
  std::int64_t position = 0, length = -1;  // bytes; -1: up to the end
};
Result<std::shared_ptr<LaneSource>> open_lane_file(io::Disk&, const io::Path&, LaneRange = {});
std::shared_ptr<LaneSource> lane_bytes(std::string bytes);

struct LaneProgress {
  std::int64_t durable = 0, size = 0;  // bytes; durable: on the receiver's disk
};
struct LaneResult {
  std::int64_t size = 0, sent = 0;  // bytes of the object, and those that had to be sent
  Sha256Digest digest{};            // of what the receiver has synced
};

struct LaneSend {
  NodeId to{};
  std::string name{};
  std::shared_ptr<LaneSource> source{};              // shared with the jobs that read it
  std::int64_t bytes_per_s = 0;                      // 0: no limit
  io::Nanos timeout = std::chrono::hours(24);        // for all attempts together
  io::Nanos silence_max = std::chrono::seconds(30);  // without a byte taken: then no more attempts
  std::function<void(const LaneProgress&)> progress{};
  std::shared_ptr<const bool> cancelled{};  // shared with who sets it; looked at between pieces
};

// Resumes by itself after a cut until one of the two times is over. Errors: kInvalid: the name;
// kTooLarge, kNoSpace, kExists (another object has the name), kReadOnly: of the receiver; kCorrupt:
// what arrived was not what was read; kClosed: cancelled; kTimeout; those of reading the source.
// The Rpc and the worker must outlive it.
io::Task<LaneResult> send_lane(io::Env&, io::Loop&, Rpc&, FileWorker&, LaneSend);

struct LaneReceived {
  NodeId from{};  // as its certificate proves, else as it calls itself
  std::string name{};
  io::Path path{};
  std::int64_t size = 0;
  Sha256Digest digest{};
};

struct LaneReceiverOptions {
  io::Path directory{};  // made if need be; nothing outside of it is touched
  std::int64_t bytes_max = std::int64_t{64} << 30;  // of one object
  std::int64_t directory_bytes_max = 0;     // of all files in the directory, this one; 0: no limit
  std::int64_t free_bytes_min = 256 << 20;  // left on the disk besides the object
  std::int64_t sync_bytes = 8 << 20;
  std::size_t transfers_max = 8;  // at once
  io::Nanos silence_max = std::chrono::seconds(30);
  std::function<void(const LaneReceived&)> received{};  // on the loop, after the object is durable
};

class LaneReceiver {
 public:
  // Serves offers of the Rpc's peers from now on. The Rpc is stopped before it goes.
  LaneReceiver(io::Env&, Rpc&, FileWorker&, const LaneReceiverOptions&);
  ~LaneReceiver();

 private:
  struct State;
  const std::shared_ptr<State> state_;  // shared with the transfers under way
};

}  // namespace walrus::net
