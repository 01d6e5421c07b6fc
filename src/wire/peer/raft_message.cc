#include "wire/peer/raft_message.h"

#include "base/coding.h"
#include "wire/peer/spoiling_decoder.h"

namespace walrus::wire::peer {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kEntryBytesMin = 3;   // kind, term, size
constexpr std::size_t kMemberBytesMin = 3;  // id, flags, size of the address

void append_byte(std::string& to, unsigned value) { to.push_back(static_cast<char>(value)); }

unsigned flags_of(bool one, bool two = false, bool four = false) {
  return (one ? 1u : 0u) | (two ? 2u : 0u) | (four ? 4u : 0u);
}

void append_id(std::string& to, const EntryId& id) {
  append_uvarint(to, id.term);
  append_uvarint(to, id.index);
}

void append_body(std::string& to, const VoteRequest& body) {
  append_byte(to, flags_of(body.pre, body.forced));
  append_id(to, body.last);
}
void append_body(std::string& to, const VoteReply& body) {
  append_byte(to, flags_of(body.pre, body.granted));
}
void append_body(std::string& to, const Append& body) {
  append_id(to, body.previous);
  append_uvarint(to, body.commit);
  append_uvarint(to, body.round);
  append_uvarint(to, body.entries.size());
  for (const auto& entry : body.entries) append_entry(to, entry);
}
void append_body(std::string& to, const AppendReply& body) {
  append_byte(to, flags_of(body.rejected));
  append_uvarint(to, body.round);
  append_uvarint(to, body.match);
  append_uvarint(to, body.previous);
  append_id(to, body.hint);
}
void append_body(std::string& to, const SnapshotChunk& body) {
  append_snapshot_meta(to, body.meta);
  append_uvarint(to, body.position);
  append_string(to, body.bytes.bytes());
}
void append_body(std::string& to, const SnapshotReply& body) {
  append_byte(to, flags_of(body.resume));
  append_le(to, body.id);
  append_uvarint(to, body.position);
}
void append_body(std::string&, const TimeoutNow&) {}

class Parser : public SpoilingDecoder {
 public:
  Parser(Bytes bytes, const std::shared_ptr<const void>& owner)
      : SpoilingDecoder(bytes), owner_(owner) {}

  std::uint64_t fixed() { return from_.le<std::uint64_t>().value_or(0); }
  unsigned flags(unsigned known) {
    auto value = byte();
    if ((value & ~known) != 0) spoil();
    return value;
  }
  EntryId id() {
    EntryId id;
    id.term = number();
    id.index = number();
    return id;
  }
  Payload payload() {
    auto bytes = from_.string().value_or(Bytes{});
    if (bytes.empty()) return {};
    return owner_ ? Payload(bytes, owner_) : Payload::copy_of(bytes);
  }
  Entry entry() {
    Entry entry;
    auto kind = byte();
    if (kind < 1 || kind > 3) spoil();
    entry.kind = static_cast<EntryKind>(kind);
    entry.term = number();
    entry.payload = payload();
    if (entry.term == 0) spoil();
    if (ok() && entry.kind == EntryKind::kMembership && !parse_membership(entry.payload.bytes()))
      spoil();
    return entry;
  }
  Membership membership() {
    Membership membership;
    if (byte() != kVersion) spoil();
    membership.joint = flags(1) != 0;
    auto left = count(kMemberBytesMin, kMembersMax);
    membership.members.reserve(left);
    for (NodeId before; left > 0 && ok(); --left) {
      membership.members.push_back(member(membership.joint));
      if (membership.members.back().id <= before) spoil();
      before = membership.members.back().id;
    }
    return membership;
  }
  SnapshotMeta meta() {
    SnapshotMeta meta;
    meta.last = id();
    meta.id = fixed();
    meta.size = number();
    meta.membership = membership();
    return meta;
  }

 private:
  Member member(bool joint) {
    Member member;
    member.id = node();
    auto bits = flags(joint ? 7 : 1);
    member.voter = (bits & 1) != 0;
    member.voter_before = (bits & 2) != 0;
    member.leaves = (bits & 4) != 0;
    auto address = from_.string().value_or(Bytes{});
    if (address.size() > kAddressBytesMax || (member.leaves && member.voter)) spoil();
    else member.address = address;
    return member;
  }

  const std::shared_ptr<const void>& owner_;
};

VoteRequest parse_vote_request(Parser& from) {
  auto bits = from.flags(3);
  return {.pre = (bits & 1) != 0, .forced = (bits & 2) != 0, .last = from.id()};
}
VoteReply parse_vote_reply(Parser& from) {
  auto bits = from.flags(3);
  return {.pre = (bits & 1) != 0, .granted = (bits & 2) != 0};
}
Append parse_append(Parser& from) {
  Append body;
  body.previous = from.id();
  body.commit = from.number();
  body.round = from.number();
  auto left = from.count(kEntryBytesMin, SIZE_MAX);
  body.entries.reserve(left);
  for (; left > 0 && from.ok(); --left) body.entries.push_back(from.entry());
  return body;
}
AppendReply parse_append_reply(Parser& from) {
  AppendReply body;
  body.rejected = from.flags(1) != 0;
  body.round = from.number();
  body.match = from.number();
  body.previous = from.number();
  body.hint = from.id();
  return body;
}
SnapshotChunk parse_snapshot_chunk(Parser& from) {
  SnapshotChunk body;
  body.meta = from.meta();
  body.position = from.number();
  body.bytes = from.payload();
  if (body.position > body.meta.size || body.bytes.size() > body.meta.size - body.position)
    from.spoil();
  return body;
}
SnapshotReply parse_snapshot_reply(Parser& from) {
  SnapshotReply body;
  body.resume = from.flags(1) != 0;
  body.id = from.fixed();
  body.position = from.number();
  return body;
}

RaftBody parse_body(unsigned kind, Parser& from) {
  switch (kind) {
    case 1: return parse_vote_request(from);
    case 2: return parse_vote_reply(from);
    case 3: return parse_append(from);
    case 4: return parse_append_reply(from);
    case 5: return parse_snapshot_chunk(from);
    case 6: return parse_snapshot_reply(from);
    case 7: return TimeoutNow{};
    default: from.spoil(); return TimeoutNow{};
  }
}

// `what` names the thing in the error; its bytes are never part of it.
template <class T>
Result<T> whole(const Parser& from, T value, Bytes what) {
  if (!from.whole()) return fail(Code::kCorrupt, "malformed {}", what);
  return value;
}

const std::shared_ptr<const void> kCopies{};

}  // namespace

void append_raft_message(std::string& to, const RaftMessage& message) {
  append_byte(to, kVersion);
  append_byte(to, static_cast<unsigned>(message.body.index()) + 1);
  append_uvarint(to, message.from.value);
  append_uvarint(to, message.to.value);
  append_uvarint(to, message.term);
  std::visit([&](const auto& body) { append_body(to, body); }, message.body);
}

void append_entry(std::string& to, const Entry& entry) {
  append_byte(to, static_cast<unsigned>(entry.kind));
  append_uvarint(to, entry.term);
  append_string(to, entry.payload.bytes());
}

void append_membership(std::string& to, const Membership& membership) {
  append_byte(to, kVersion);
  append_byte(to, flags_of(membership.joint));
  append_uvarint(to, membership.members.size());
  for (const auto& member : membership.members) {
    append_uvarint(to, member.id.value);
    append_byte(to, flags_of(member.voter, member.voter_before, member.leaves));
    append_string(to, member.address);
  }
}

void append_snapshot_meta(std::string& to, const SnapshotMeta& meta) {
  append_id(to, meta.last);
  append_le(to, meta.id);
  append_uvarint(to, meta.size);
  append_membership(to, meta.membership);
}

void append_hard_state(std::string& to, const HardState& state) {
  append_byte(to, kVersion);
  append_uvarint(to, state.term);
  append_uvarint(to, state.vote.value);
}

Result<RaftMessage> parse_raft_message(Bytes bytes, const std::shared_ptr<const void>& owner) {
  Parser from(bytes, owner);
  auto version = from.byte();
  if (from.ok() && version != kVersion)
    return fail(Code::kVersion, "raft message of version {}, this node knows {}", version,
                kVersion);
  RaftMessage message;
  auto kind = from.byte();
  message.from = from.node();
  message.to = from.node();
  message.term = from.number();
  message.body = parse_body(kind, from);
  return whole(from, std::move(message), "raft message");
}

Result<Entry> parse_entry(Bytes bytes, const std::shared_ptr<const void>& owner) {
  Parser from(bytes, owner);
  auto entry = from.entry();
  return whole(from, std::move(entry), "raft entry");
}

Result<Membership> parse_membership(Bytes bytes) {
  Parser from(bytes, kCopies);
  auto membership = from.membership();
  return whole(from, std::move(membership), "membership");
}

Result<SnapshotMeta> parse_snapshot_meta(Bytes bytes) {
  Parser from(bytes, kCopies);
  auto meta = from.meta();
  return whole(from, std::move(meta), "snapshot metadata");
}

Result<HardState> parse_hard_state(Bytes bytes) {
  Parser from(bytes, kCopies);
  if (from.byte() != kVersion) from.spoil();
  HardState state;
  state.term = from.number();
  state.vote = NodeId{from.number()};
  return whole(from, state, "hard state");
}

}  // namespace walrus::wire::peer
