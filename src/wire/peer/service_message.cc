#include "wire/peer/service_message.h"

#include "base/coding.h"
#include "wire/peer/raft_message.h"
#include "wire/peer/spoiling_decoder.h"

namespace walrus::wire::peer {
namespace {

constexpr std::uint8_t kMessageVersion = 1;
constexpr std::size_t kOutcomeBytesMin = 3, kMemberBytesMin = 4;

void append_byte(std::string& to, unsigned value) { to.push_back(static_cast<char>(value)); }

void append_body(std::string& to, const ProposeRequest& body) {
  append_uvarint(to, body.session);
  append_uvarint(to, body.answered);
  append_uvarint(to, body.first);
  append_uvarint(to, body.commands.size());
  for (const auto& command : body.commands) append_string(to, command);
}
void append_body(std::string& to, const QueryRequest& body) {
  append_byte(to, static_cast<unsigned>(body.level));
  append_uvarint(to, body.index);
  append_string(to, body.question);
}
void append_body(std::string&, const OpenSessionRequest&) {}
void append_body(std::string& to, const FindSessionRequest& body) {
  append_uvarint(to, body.session);
}
void append_body(std::string& to, const ChangeRequest& body) {
  append_byte(to, static_cast<unsigned>(body.kind));
  append_uvarint(to, body.id.value);
  append_string(to, body.address);
}
void append_body(std::string& to, const JoinRequest& body) {
  append_string(to, body.name);
  append_uvarint(to, body.id.value);
  append_string(to, body.address);
}
void append_body(std::string&, const StatusRequest&) {}

void append_body(std::string& to, const Failed& body) {
  append_byte(to, static_cast<unsigned>(body.error.code));
  append_byte(to, body.again ? 1 : 0);
  append_string(to, body.error.message);
}
void append_body(std::string& to, const ProposeAnswer& body) {
  append_uvarint(to, body.outcomes.size());
  for (const auto& [refused, index, text] : body.outcomes) append_outcome(to, refused, index, text);
}
void append_body(std::string& to, const QueryAnswer& body) {
  append_uvarint(to, body.index);
  append_string(to, body.answer);
}
void append_body(std::string& to, const SessionAnswer& body) {
  append_uvarint(to, body.session);
  append_uvarint(to, body.last_sequence);
  append_uvarint(to, body.index);
  append_uvarint(to, body.command_bytes_max);
}
void append_body(std::string&, const DoneAnswer&) {}
void append_body(std::string& to, const ServiceStatus& body) {
  append_string(to, body.name);
  append_string(to, body.cluster_id);
  append_uvarint(to, body.self.value);
  append_uvarint(to, body.leader.value);
  append_byte(to, static_cast<unsigned>(body.role));
  for (const auto number : {body.term, body.commit_index, body.applied_index, body.snapshot_index,
                            body.log_bytes, body.sessions})
    append_uvarint(to, number);
  append_uvarint(to, body.members.size());
  for (const auto& member : body.members) {
    append_uvarint(to, member.peer.id.value);
    append_string(to, member.peer.address);
    append_byte(to, member.voter ? 1 : 0);
    append_uvarint(to, member.match_index);
  }
  append_string(to, body.failure);
}

class Parser : public SpoilingDecoder {
 public:
  using SpoilingDecoder::SpoilingDecoder;

  std::uint64_t positive() {
    const auto value = number();
    if (value == 0) spoil();
    return value;
  }
  bool flag() { return byte(1) != 0; }
  std::string string(std::size_t bytes_max = SIZE_MAX) {
    const auto bytes = from_.string().value_or(Bytes{});
    if (bytes.size() <= bytes_max) return std::string(bytes);
    spoil();
    return {};
  }
  // The answer's kind, or the request's; the version was looked at before.
  unsigned kind() { return from_.le<std::uint8_t>().value_or(0); }
  std::optional<std::uint8_t> version() { return from_.le<std::uint8_t>(); }
};

ProposeRequest parse_propose(Parser& from) {
  ProposeRequest body;
  body.session = from.positive();
  body.answered = from.number();
  body.first = from.positive();
  auto left = from.count(1, kProposalsMax);
  if (left == 0 || body.answered >= body.first || body.first > UINT64_MAX - left) from.spoil();
  body.commands.reserve(left);
  for (; left > 0 && from.ok(); --left) body.commands.push_back(from.string());
  return body;
}
QueryRequest parse_query(Parser& from) {
  QueryRequest body;
  body.level = static_cast<Read>(from.byte(static_cast<unsigned>(Read::kStale)));
  body.index = from.number();
  body.question = from.string();
  return body;
}
ChangeRequest parse_change(Parser& from) {
  ChangeRequest body;
  body.kind = static_cast<ChangeKind>(from.byte(static_cast<unsigned>(ChangeKind::kTransfer), 1));
  body.id = NodeId{from.positive()};
  body.address = from.string(kAddressBytesMax);
  return body;
}
JoinRequest parse_join(Parser& from) {
  JoinRequest body;
  body.name = from.string(kServiceNameBytesMax);
  body.id = NodeId{from.positive()};
  body.address = from.string(kAddressBytesMax);
  return body;
}

decltype(ServiceRequest::body) parse_request_body(unsigned kind, Parser& from) {
  switch (kind) {
    case 1: return parse_propose(from);
    case 2: return parse_query(from);
    case 3: return OpenSessionRequest{};
    case 4: return FindSessionRequest{from.positive()};
    case 5: return parse_change(from);
    case 6: return parse_join(from);
    case 7: return StatusRequest{};
    default: from.spoil(); return StatusRequest{};
  }
}

Failed parse_failed(Parser& from) {
  Failed body;
  body.error.code = static_cast<Code>(from.byte(static_cast<unsigned>(Code::kFenced), 1));
  body.again = from.flag();
  body.error.message = from.string();
  return body;
}
CommandOutcome parse_one_outcome(Parser& from) {
  CommandOutcome outcome;
  outcome.refused = static_cast<Code>(from.byte(static_cast<unsigned>(Code::kFenced)));
  outcome.index = from.number();
  outcome.text = from.string();
  return outcome;
}
ProposeAnswer parse_proposed(Parser& from) {
  ProposeAnswer body;
  auto left = from.count(kOutcomeBytesMin, kProposalsMax);
  body.outcomes.reserve(left);
  for (; left > 0 && from.ok(); --left) body.outcomes.push_back(parse_one_outcome(from));
  return body;
}
QueryAnswer parse_answer(Parser& from) {
  QueryAnswer body;
  body.index = from.number();
  body.answer = from.string();
  return body;
}
SessionAnswer parse_session(Parser& from) {
  SessionAnswer body;
  body.session = from.positive();
  body.last_sequence = from.number();
  body.index = from.number();
  body.command_bytes_max = from.number();
  return body;
}
ServiceStatus parse_status(Parser& from) {
  ServiceStatus body;
  body.name = from.string(kServiceNameBytesMax);
  body.cluster_id = from.string(32);
  body.self = NodeId{from.number()};
  body.leader = NodeId{from.number()};
  body.role = static_cast<Role>(from.byte(static_cast<unsigned>(Role::kFailed)));
  for (auto* number : {&body.term, &body.commit_index, &body.applied_index, &body.snapshot_index,
                       &body.log_bytes, &body.sessions})
    *number = from.number();
  auto left = from.count(kMemberBytesMin, kMembersMax);
  for (; left > 0 && from.ok(); --left) {
    walrus::Member member;
    member.peer.id = NodeId{from.number()};
    member.peer.address = from.string(kAddressBytesMax);
    member.voter = from.flag();
    member.match_index = from.number();
    body.members.push_back(std::move(member));
  }
  body.failure = from.string();
  return body;
}

ServiceAnswer parse_answer_body(unsigned kind, Parser& from) {
  switch (kind) {
    case 0: return parse_failed(from);
    case 1: return parse_proposed(from);
    case 2: return parse_answer(from);
    case 3: return parse_session(from);
    case 4: return DoneAnswer{};
    case 5: return parse_status(from);
    default: from.spoil(); return DoneAnswer{};
  }
}

Result<void> check_version(Parser& from, Bytes what) {
  const auto version = from.version();
  if (version && *version != kMessageVersion)
    return fail(Code::kVersion, "{} of version {}, this node knows {}", what, *version,
                kMessageVersion);
  return {};
}

template <class T>
Result<T> whole(const Parser& from, T value, Bytes what) {
  if (!from.whole()) return fail(Code::kCorrupt, "malformed {}", what);
  return value;
}

}  // namespace

void append_outcome(std::string& to, Code refused, std::uint64_t index, Bytes text) {
  append_byte(to, static_cast<unsigned>(refused));
  append_uvarint(to, index);
  append_string(to, text);
}

Result<CommandOutcome> parse_outcome(Bytes bytes) {
  Parser from(bytes);
  auto outcome = parse_one_outcome(from);
  return whole(from, std::move(outcome), "outcome");
}

void append_service_request(std::string& to, const ServiceRequest& request) {
  append_byte(to, kMessageVersion);
  append_byte(to, static_cast<unsigned>(request.body.index()) + 1);
  append_byte(to, request.forwarded ? 1 : 0);
  std::visit([&](const auto& body) { append_body(to, body); }, request.body);
}

void append_service_answer(std::string& to, const ServiceAnswer& answer) {
  append_byte(to, kMessageVersion);
  append_byte(to, static_cast<unsigned>(answer.index()));
  std::visit([&](const auto& body) { append_body(to, body); }, answer);
}

Result<ServiceRequest> parse_service_request(Bytes bytes) {
  Parser from(bytes);
  WALRUS_TRY(check_version(from, "service request"));
  const auto kind = from.kind();
  ServiceRequest request{.forwarded = from.flag()};
  request.body = parse_request_body(kind, from);
  return whole(from, std::move(request), "service request");
}

Result<ServiceAnswer> parse_service_answer(Bytes bytes) {
  Parser from(bytes);
  WALRUS_TRY(check_version(from, "service answer"));
  const auto kind = from.kind();
  auto answer = parse_answer_body(kind, from);
  return whole(from, std::move(answer), "service answer");
}

}  // namespace walrus::wire::peer
