#pragma once
// Requests of the native protocol (docs/native-protocol.md): text, split on single spaces; payloads
// are all bytes that follow their space, kept exactly. Pure; views into the frame's body.
//
// Codec only: whether a topic exists, or an offset is in range, is the broker's to say.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "wire/sasl/scram.h"

namespace walrus::wire::native {

constexpr std::size_t kTopicNameBytesMax = 249;
constexpr std::int32_t kPartitionsMax = 4096;
constexpr std::size_t kGroupBytesMax = 1024;  // of a consumer group's name
constexpr std::int64_t kReadBytesDefault = 256 << 10;
constexpr std::int64_t kWaitMillisMax = 300'000;  // a longer wait is cut to this

// `topic` or `topic/partition`.
struct Target {
  Bytes topic{};
  std::optional<std::int32_t> partition{};
  bool operator==(const Target&) const = default;
};

struct Register {
  Bytes topic{};
  bool operator==(const Register&) const = default;
};
struct Put {
  Target target{};
  Bytes payload{};
  bool operator==(const Put&) const = default;
};
struct Get {
  Target target{};
  std::int64_t wait_ms = 0;
  bool operator==(const Get&) const = default;
};
struct State {
  Target target{};
  bool operator==(const State&) const = default;
};
struct Metrics {
  bool operator==(const Metrics&) const = default;
};
struct Append {
  Target target{};
  Bytes payload{};
  bool operator==(const Append&) const = default;
};
struct AppendAt {
  Target target{};
  std::int64_t offset = 0;
  Bytes payload{};
  bool operator==(const AppendAt&) const = default;
};
struct Producer {
  bool operator==(const Producer&) const = default;
};
struct Batch {  // one record batch v2, not looked into here
  Target target{};
  Bytes batch{};
  bool operator==(const Batch&) const = default;
};
struct Read {
  Target target{};
  std::int64_t offset = 0, bytes_max = kReadBytesDefault, wait_ms = 0;
  bool operator==(const Read&) const = default;
};
struct ReadBatch {
  Target target{};
  std::int64_t offset = 0, bytes_max = kReadBytesDefault, wait_ms = 0;
  bool operator==(const ReadBatch&) const = default;
};
struct Poll {
  Target target{};
  Bytes consumer{};
  std::int64_t bytes_max = kReadBytesDefault, wait_ms = 0;
  bool operator==(const Poll&) const = default;
};
struct Commit {
  Target target{};
  Bytes consumer{};
  std::int64_t next = 0;
  bool operator==(const Commit&) const = default;
};
struct List {
  Bytes prefix{};
  bool operator==(const List&) const = default;
};
struct Delete {
  Bytes topic{};
  bool operator==(const Delete&) const = default;
};
struct Help {
  Bytes command{};
  bool operator==(const Help&) const = default;
};
// Topic administration. CREATE t [partitions=N] [name=value]...: an error where the topic exists.
// CONFIG t [name=value | -name]...: sets, puts back to the server's default, answers all as JSON.
struct Setting {
  Bytes name{};
  std::optional<Bytes> value{};  // none: back to the default
  bool operator==(const Setting&) const = default;
};
struct Create {
  Bytes topic{};
  std::vector<Setting> settings{};
  bool operator==(const Create&) const = default;
};
struct Configure {
  Bytes topic{};
  std::vector<Setting> settings{};
  bool operator==(const Configure&) const = default;
};
struct Describe {
  Bytes topic{};
  bool operator==(const Describe&) const = default;
};
struct Find {  // FIND t <timestamp_ms>: OK <first offset not older>
  Target target{};
  std::int64_t timestamp_ms = 0;
  bool operator==(const Find&) const = default;
};
// AUTH mechanism token: one message of a SASL exchange, any bytes. AUTH alone: which are offered?
struct Auth {
  Bytes mechanism{};  // empty: AUTH alone
  Bytes token{};
  bool operator==(const Auth&) const = default;
};
// Users, who are kept by what SCRAM checks a password by: the password itself never travels.
struct UserCredential {  // SCRAM-SHA-256:<iterations>:<salt>:<stored key>:<server key>, in base64
  sasl::ScramMechanism mechanism = sasl::ScramMechanism::kSha256;
  sasl::ScramCredential credential{};
  bool operator==(const UserCredential&) const = default;
};
struct ListUsers {
  bool operator==(const ListUsers&) const = default;
};
struct AddUser {  // an error where the user exists
  Bytes name{};
  std::vector<UserCredential> credentials{};
  bool operator==(const AddUser&) const = default;
};
struct SetUser {  // replaces all of a user's credentials; an error where it does not exist
  Bytes name{};
  std::vector<UserCredential> credentials{};
  bool operator==(const SetUser&) const = default;
};
struct DeleteUser {
  Bytes name{};
  bool operator==(const DeleteUser&) const = default;
};
// Consumer groups of Kafka clients. A group's name is the last word and goes to the end of the
// text: it may have spaces.
struct ListGroups {
  bool operator==(const ListGroups&) const = default;
};
struct DescribeGroup {
  Bytes group{};
  bool operator==(const DescribeGroup&) const = default;
};
struct GroupOffset {  // where the group reads a partition on
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  bool operator==(const GroupOffset&) const = default;
};
struct SetGroup {  // GROUPSET topic <partition>=<offset>[,...] group: all of them or none
  Bytes topic{};
  std::vector<GroupOffset> offsets{};
  Bytes group{};
  bool operator==(const SetGroup&) const = default;
};
struct DeleteGroup {
  Bytes group{};
  bool operator==(const DeleteGroup&) const = default;
};
// The cluster. CLUSTER status | health: JSON. CLUSTER segments t: JSON. CLUSTER drain | activate n,
// CLUSTER remove n [force]: a node moves from state to state. CLUSTER replace n m [force]: m takes
// over what n has. CLUSTER seal t[/p]: JSON, what survives of segments that are being sealed;
// CLUSTER seal t/p accept segment epoch end: it ends there, whatever is lost.
struct ClusterRequest {
  enum class Verb : std::uint8_t {
    kStatus,
    kHealth,
    kSegments,
    kDrain,
    kActivate,
    kRemove,
    kReplace,
    kSeal,
  };
  // What an operator was shown, and accepts: of a segment, in the epoch of its recovery.
  struct Loss {
    std::uint64_t segment = 0, epoch = 0;
    std::int64_t end = 0;  // it keeps what lies below
    bool operator==(const Loss&) const = default;
  };
  Verb verb = Verb::kStatus;
  Target target{};             // of kSegments (a topic), kSeal
  std::uint64_t node = 0;      // of kDrain, kActivate, kRemove, kReplace
  std::uint64_t by = 0;        // of kReplace
  bool force = false;          // of kRemove, kReplace: whatever copies it has
  std::optional<Loss> loss{};  // of kSeal, and then a partition is named
  bool operator==(const ClusterRequest&) const = default;
};

using OneRequest =
    std::variant<Register, Put, Get, State, Metrics, Append, AppendAt, Producer, Batch, Read,
                 ReadBatch, Poll, Commit, List, Delete, Help, Create, Configure, Describe, Find,
                 Auth, ListUsers, AddUser, SetUser, DeleteUser, ListGroups, DescribeGroup, SetGroup,
                 DeleteGroup, ClusterRequest>;
// To be looked at as the variant that it is. Copied, moved and destroyed in one source: with so
// many alternatives that takes a second in each that does it.
struct Request : OneRequest {
  using OneRequest::OneRequest;
  Request(const Request&);
  Request(Request&&) noexcept;
  Request& operator=(const Request&);
  Request& operator=(Request&&) noexcept;
  ~Request();
};

// The error's message is the text of the reply, without `ERR `.
Result<Request> parse_request(Bytes body);
// Appends the request as a whole frame. parse_request() of its body gives the same request.
void append_request(std::string& to, const Request&);

bool valid_topic_name(Bytes);  // [A-Za-z0-9._-]{1,249}, not "." nor ".."

// The text of HELP, for one command or for all.
Result<std::string> help_text(Bytes command);

}  // namespace walrus::wire::native
