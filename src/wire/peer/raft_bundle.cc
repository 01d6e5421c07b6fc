#include "wire/peer/raft_bundle.h"

#include "base/versioned.h"

namespace walrus::wire::peer {
namespace {

constexpr std::uint8_t kVersion = 1;

// About what a message takes: its size, which comes before it, nearly always has as many digits.
std::size_t expected_bytes(const RaftMessage& message) {
  constexpr std::size_t kHead = 64, kEntryHead = 8;
  if (const auto* chunk = std::get_if<SnapshotChunk>(&message.body))
    return kHead + chunk->bytes.size();
  const auto* append = std::get_if<Append>(&message.body);
  if (append == nullptr || append->entries.empty()) return kHead;
  std::size_t bytes = kHead;
  for (const auto& entry : append->entries) bytes += kEntryHead + entry.payload.size();
  return bytes;
}

}  // namespace

void begin_bundle(std::string& to) { to.push_back(static_cast<char>(kVersion)); }

void append_bundled(std::string& to, std::uint64_t group, const RaftMessage& message) {
  append_le(to, group);
  auto at = to.size();
  auto expected = expected_bytes(message);
  auto room = static_cast<std::size_t>(uvarint_size(expected));
  to.reserve(at + room + expected);
  to.append(room, '\0');
  append_raft_message(to, message);
  char bytes[kVarintBytesMax];
  auto length = static_cast<std::size_t>(store_uvarint(bytes, to.size() - at - room) - bytes);
  to.replace(at, room, bytes, length);  // moves the message only if it was not as expected
}

Result<BundleReader> BundleReader::open(Bytes bundle) {
  WALRUS_ASSIGN(auto from, open_versioned(bundle, kVersion, "raft bundle"));
  return BundleReader(from.rest());
}

Result<bool> BundleReader::next(Bundled& out) {
  if (rest_.empty()) return false;
  Decoder from(rest_);
  out.group = from.le<std::uint64_t>().value_or(0);
  out.message = from.string().value_or(Bytes{});
  if (!from.ok()) return fail(Code::kCorrupt, "malformed raft bundle");
  rest_ = from.rest();
  return true;
}

std::string encode_read_index_request(const ReadIndexRequest& request) {
  std::string to(1, static_cast<char>(kVersion));
  to.push_back(request.lease ? 1 : 0);
  append_le(to, request.group);
  return to;
}

Result<ReadIndexRequest> parse_read_index_request(Bytes bytes) {
  WALRUS_ASSIGN(auto from, open_versioned(bytes, kVersion, "read index request"));
  auto flags = from.le<std::uint8_t>().value_or(0xff);
  ReadIndexRequest request{.lease = flags == 1, .group = from.le<std::uint64_t>().value_or(0)};
  if (!from.ok() || !from.at_end() || flags > 1)
    return fail(Code::kCorrupt, "malformed read index request");
  return request;
}

std::string encode_read_index_reply(Index index) {
  std::string to(1, static_cast<char>(kVersion));
  append_uvarint(to, index);
  return to;
}

Result<Index> parse_read_index_reply(Bytes bytes) {
  WALRUS_ASSIGN(auto from, open_versioned(bytes, kVersion, "read index reply"));
  auto index = from.uvarint();
  if (!index || !from.at_end()) return fail(Code::kCorrupt, "malformed read index reply");
  return *index;
}

}  // namespace walrus::wire::peer
