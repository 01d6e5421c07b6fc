#pragma once
// How far partitions are, by the word of whoever writes each: what a node that is asked of topics
// tells of partitions that others lead. A method of the peer protocol, integers little endian:
//
//   1042  tails  call. version u8 = 1 | count u32 | (topic id 16 bytes | partition u32) * count
//                reply: version u8 = 1 | (led here u8 | log start i64 | high watermark i64 |
//                       log end i64 | bytes i64 | epoch i32 | segment u64) * count, in their order
//
// Errors: damaged, closed.

#include <memory>
#include <string>
#include <vector>

#include "broker/cluster/bridge.h"
#include "net/rpc.h"

namespace walrus::broker {

constexpr net::Method kTailsMethod{0x412};
constexpr std::size_t kTailsMax = 1'000;  // partitions of one request

struct Tail {
  // By whoever writes it, or by metadata where nobody does. Not so: as this node knows it, because
  // nobody said more in time.
  bool current = false;
  Offset log_start{}, high_watermark{}, log_end{};
  std::int64_t bytes = 0;  // of the segment that is being written
  std::int32_t epoch = 0;
  SegmentId segment{};  // that is being written; 0: none
  NodeId leader{};      // likewise
  bool operator==(const Tail&) const = default;
};

// In the order of the partitions. Who does not lead any more is asked for no answer: it is looked
// for who does, within the time. On the cluster's loop. kClosed.
io::Task<std::vector<Tail>> ask_tails(std::shared_ptr<Bridge>, std::vector<PartitionId>,
                                      io::Nanos timeout);
// Answers other nodes. In the turn of the loop in which the Rpc was started.
void serve_tails(net::Rpc&, std::shared_ptr<Bridge>);

std::string encode_tails_request(std::span<const PartitionId>);
Result<std::vector<PartitionId>> decode_tails_request(Bytes);  // kCorrupt, kVersion, kTooLarge
// What is not led here says so alone.
std::string encode_tails_reply(std::span<const Tail>);
Result<std::vector<Tail>> decode_tails_reply(Bytes);  // kCorrupt, kVersion

}  // namespace walrus::broker
