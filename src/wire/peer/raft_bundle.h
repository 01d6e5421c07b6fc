#pragma once
// Messages of many Raft groups in one message between nodes, and the question for a leader's index.
// Pure. Methods of the peer protocol:
//
//   256  bundle      one-way. version u8 = 1 | (group u64 le | size uvarint | raft message)*
//   257  read index  call. version u8 = 1 | flags u8 (1: a lease will do) | group u64 le
//                    reply: version u8 = 1 | index uvarint; or an error: mismatch (it does not
//                    lead), not found (no such group here), busy, closed
//
// A raft message is as in raft_message.h and of the node that sent the bundle.

#include <cstdint>
#include <functional>
#include <string>

#include "wire/peer/raft_message.h"

namespace walrus::wire::peer {

constexpr std::uint16_t kRaftBundleMethod = 256, kRaftReadIndexMethod = 257,
                        kRaftThereMethod = 258;      // is answered with nothing
constexpr std::size_t kBundledOverheadMax = 8 + 10;  // of a message in a bundle

void begin_bundle(std::string& to);
void append_bundled(std::string& to, std::uint64_t group, const RaftMessage&);

// Takes the messages one by one; views into `bytes`.
struct Bundled {
  std::uint64_t group = 0;
  Bytes message{};
};
class BundleReader {
 public:
  // kVersion, kCorrupt.
  static Result<BundleReader> open(Bytes bundle);
  // False: that was all. kCorrupt.
  Result<bool> next(Bundled&);

 private:
  explicit BundleReader(Bytes rest) : rest_(rest) {}
  Bytes rest_;
};

struct ReadIndexRequest {
  bool lease = false;
  std::uint64_t group = 0;
  bool operator==(const ReadIndexRequest&) const = default;
};
std::string encode_read_index_request(const ReadIndexRequest&);
Result<ReadIndexRequest> parse_read_index_request(Bytes);
std::string encode_read_index_reply(Index);
Result<Index> parse_read_index_reply(Bytes);

}  // namespace walrus::wire::peer
