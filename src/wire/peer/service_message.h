#pragma once
// What is asked of a member of a service, by the others and by clients, and its answers. Pure.
//
// A request travels as a call of the peer protocol (docs/peer-protocol.md), which knows the
// cluster, the caller and a checksum; the answer is the reply of that call. Integers are uvarints
// unless a size is given; a string is its size and its bytes.
//
//   request  version u8 = 1 | kind u8 | flags u8 (1 forwarded) | body by kind
//     1 propose        session | answered | first sequence | count | (string) * count
//     2 query          level u8 (0 linearizable, 1 session, 2 stale) | index | string
//     3 open session   nothing
//     4 find session   session
//     5 change         kind u8 (1 add learner, 2 promote, 3 remove, 4 transfer) | id | address
//     6 join           name | id | address
//     7 status         nothing
//   answer   version u8 = 1 | kind u8 | body by kind
//     0 failed         code u8 | flags u8 (1 again) | string
//     1 proposed       count | outcome * count
//     2 answer         index | string
//     3 session        session | last sequence | index | command bytes max
//     4 done           nothing
//     5 status         name | cluster | self | leader | role u8 | term | commit | applied |
//                      snapshot | log bytes | sessions | count | member * count | failure
//   outcome  code u8 (0 applied) | index | string
//   member   id | address | flags u8 (1 voter) | match

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "walrus/service.h"

namespace walrus::wire::peer {

constexpr std::uint16_t kServiceCallMethod = 0x0300;
constexpr std::size_t kProposalsMax = 1'024;  // of one request
constexpr std::size_t kServiceNameBytesMax = 255;

struct ProposeRequest {
  std::uint64_t session = 0, answered = 0, first = 0;  // answered < first
  std::vector<std::string> commands{};  // of the sequences from `first`, at least one
  bool operator==(const ProposeRequest&) const = default;
};
struct QueryRequest {
  Read level = Read::kLinearizable;
  std::uint64_t index = 0;  // kSession: what has to be applied
  std::string question{};
  bool operator==(const QueryRequest&) const = default;
};
struct OpenSessionRequest {
  bool operator==(const OpenSessionRequest&) const = default;
};
struct FindSessionRequest {
  std::uint64_t session = 0;
  bool operator==(const FindSessionRequest&) const = default;
};
enum class ChangeKind : std::uint8_t { kAddLearner = 1, kPromote, kRemove, kTransfer };
struct ChangeRequest {
  ChangeKind kind = ChangeKind::kAddLearner;
  NodeId id{};
  std::string address{};  // of kAddLearner
  bool operator==(const ChangeRequest&) const = default;
};
struct JoinRequest {
  std::string name{};
  NodeId id{};
  std::string address{};
  bool operator==(const JoinRequest&) const = default;
};
struct StatusRequest {
  bool operator==(const StatusRequest&) const = default;
};
struct ServiceRequest {
  bool forwarded = false;  // by a member: not to be passed on again
  std::variant<ProposeRequest, QueryRequest, OpenSessionRequest, FindSessionRequest, ChangeRequest,
               JoinRequest, StatusRequest>
      body{};
  bool operator==(const ServiceRequest&) const = default;
};

struct Failed {
  Error error{};
  bool again = false;  // it may go well at another time, or at another member
  bool operator==(const Failed& other) const {
    return error.code == other.error.code && error.message == other.error.message &&
           again == other.again;
  }
};
struct CommandOutcome {
  Code refused{};           // 0: applied
  std::uint64_t index = 0;  // of the entry with which it was applied; 0: it was not
  std::string text{};       // the reply, or why not
  bool operator==(const CommandOutcome&) const = default;
};
struct ProposeAnswer {
  std::vector<CommandOutcome> outcomes{};  // of the first commands of the request, maybe all
  bool operator==(const ProposeAnswer&) const = default;
};
struct QueryAnswer {
  std::uint64_t index = 0;  // applied when it was answered
  std::string answer{};
  bool operator==(const QueryAnswer&) const = default;
};
struct SessionAnswer {
  std::uint64_t session = 0, last_sequence = 0;
  std::uint64_t index = 0;              // what a read of the session has to see
  std::uint64_t command_bytes_max = 0;  // of one command
  bool operator==(const SessionAnswer&) const = default;
};
struct DoneAnswer {
  bool operator==(const DoneAnswer&) const = default;
};
using ServiceAnswer =
    std::variant<Failed, ProposeAnswer, QueryAnswer, SessionAnswer, DoneAnswer, ServiceStatus>;

// One outcome, as a raft::Machine replies and a ProposeAnswer holds it.
void append_outcome(std::string& to, Code refused, std::uint64_t index, Bytes text);
Result<CommandOutcome> parse_outcome(Bytes);

void append_service_request(std::string& to, const ServiceRequest&);
void append_service_answer(std::string& to, const ServiceAnswer&);
// The whole of `bytes`: kCorrupt, or kVersion for a version that this node does not know.
Result<ServiceRequest> parse_service_request(Bytes bytes);
Result<ServiceAnswer> parse_service_answer(Bytes bytes);

}  // namespace walrus::wire::peer
