#include "wire/native/request.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "base/base64.h"
#include "base/utf8.h"
#include "wire/native/errors.h"
#include "wire/native/frame.h"
#include "wire/sasl/mechanism.h"

namespace walrus::wire::native {
namespace {

std::unexpected<Error> refuse(Bytes text) {
  return std::unexpected(Error{Code::kInvalid, std::string(text)});
}

constexpr Bytes kWhitespace = " \t\r\n\v\f";

Bytes without_trailing_whitespace(Bytes text) {
  auto last = text.find_last_not_of(kWhitespace);
  return last == Bytes::npos ? Bytes() : text.substr(0, last + 1);
}

Result<std::int64_t> parse_number(Bytes token) {
  if (!is_utf8(token)) return refuse(text::kInvalidUtf8);
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(token.begin(), token.end(), value);
  if (token.empty() || token[0] < '0' || token[0] > '9' || error != std::errc() ||
      end != token.end())
    return refuse(text::invalid_number(token.size() > 64 ? token.substr(0, 64) : token));
  return value;
}

// Takes tokens off the front of the text behind the command; one space separates.
class Tokens {
 public:
  Tokens(Bytes command, std::optional<Bytes> rest) : command_(command), rest_(rest) {}

  bool at_end() const { return !rest_; }
  std::optional<Bytes> next() {
    if (!rest_) return std::nullopt;
    auto space = rest_->find(' ');
    auto token = rest_->substr(0, space);
    if (space == Bytes::npos) rest_.reset();
    else rest_->remove_prefix(space + 1);
    return token;
  }
  std::optional<Bytes> rest() { return std::exchange(rest_, std::nullopt); }

  std::unexpected<Error> missing(Bytes what) const {
    return refuse(text::requires_(command_, what));
  }

  Result<Bytes> topic() {
    auto token = next();
    if (!token || (token->empty() && (!rest_ || rest_->empty()))) return missing("a topic");
    if (!is_utf8(*token)) return refuse(text::kInvalidUtf8);
    if (!valid_topic_name(*token)) return refuse(text::kInvalidTopicName);
    return *token;
  }
  Result<Target> target() {
    auto token = next();
    if (!token || (token->empty() && (!rest_ || rest_->empty()))) return missing("a topic");
    if (!is_utf8(*token)) return refuse(text::kInvalidUtf8);
    auto slash = token->find('/');
    Target target{.topic = token->substr(0, slash)};
    if (!valid_topic_name(target.topic)) return refuse(text::kInvalidTopicName);
    if (slash == Bytes::npos) return target;
    auto digits = token->substr(slash + 1);
    std::int32_t partition = 0;
    auto [end, error] = std::from_chars(digits.begin(), digits.end(), partition);
    bool canonical = digits == "0" || (!digits.empty() && digits[0] >= '1' && digits[0] <= '9');
    if (!canonical || error != std::errc() || end != digits.end())
      return refuse(text::kInvalidTopicName);
    target.partition = partition;
    return target;
  }
  Result<std::int64_t> number(Bytes what) {
    auto token = next();
    if (!token) return missing(what);
    return parse_number(*token);
  }
  Result<std::int64_t> number_or(std::int64_t otherwise) {
    auto token = next();
    if (!token) return otherwise;
    return parse_number(*token);
  }
  Result<Bytes> consumer() {
    auto token = next();
    if (!token || token->empty()) return missing("a consumer");
    if (!valid_topic_name(*token)) return refuse(text::kInvalidConsumerName);
    return *token;
  }
  Result<void> end() const {
    if (rest_) return refuse(text::kUnexpectedArgument);
    return {};
  }

 private:
  Bytes command_;
  std::optional<Bytes> rest_;  // behind the last space; none: nothing follows
};

template <class T>
Result<Request> parse_topic_only(Tokens& tokens) {
  T request;
  WALRUS_ASSIGN(request.topic, tokens.topic());
  WALRUS_TRY(tokens.end());
  return request;
}

template <class T>
Result<Request> parse_plain(Tokens& tokens) {
  WALRUS_TRY(tokens.end());
  return T{};
}

// The optional tail `[bytes_max] [wait_ms]`.
template <class T>
Result<void> parse_tail(Tokens& tokens, T& request) {
  WALRUS_ASSIGN(request.bytes_max, tokens.number_or(kReadBytesDefault));
  WALRUS_ASSIGN(request.wait_ms, tokens.number_or(0));
  request.bytes_max = std::max<std::int64_t>(request.bytes_max, 1);
  request.wait_ms = std::min(request.wait_ms, kWaitMillisMax);
  return tokens.end();
}

template <class T>
Result<Request> parse_read(Tokens& tokens) {
  T request;
  WALRUS_ASSIGN(request.target, tokens.target());
  WALRUS_ASSIGN(request.offset, tokens.number("an offset"));
  WALRUS_TRY(parse_tail(tokens, request));
  return request;
}

// Topic before payload in the order of the tokens, but a payload that is missing is said first, as
// the shape of a request comes before the meaning of its parts.
template <class T>
Result<Request> parse_put(Tokens& tokens) {
  T request;
  auto target = tokens.target();
  if (!target && tokens.at_end() && target.error().message == text::kInvalidTopicName)
    return tokens.missing("a payload");
  if (!target) return std::unexpected(std::move(target).error());
  auto payload = tokens.rest();
  if (!payload) return tokens.missing("a payload");
  request.target = *target;
  request.payload = *payload;
  return request;
}

Result<Request> parse_append_at(Tokens& tokens) {
  AppendAt request;
  WALRUS_ASSIGN(request.target, tokens.target());
  WALRUS_ASSIGN(request.offset, tokens.number("an offset"));
  auto payload = tokens.rest();
  if (!payload) return tokens.missing("a payload");
  request.payload = *payload;
  return request;
}

Result<Request> parse_batch(Tokens& tokens) {
  Batch request;
  WALRUS_ASSIGN(request.target, tokens.target());
  auto batch = tokens.rest();
  if (!batch || batch->empty()) return tokens.missing("a batch");
  request.batch = *batch;
  return request;
}

Result<Request> parse_get(Tokens& tokens) {
  Get request;
  WALRUS_ASSIGN(request.target, tokens.target());
  WALRUS_ASSIGN(request.wait_ms, tokens.number_or(0));
  request.wait_ms = std::min(request.wait_ms, kWaitMillisMax);
  WALRUS_TRY(tokens.end());
  return request;
}

Result<Request> parse_state(Tokens& tokens) {
  State request;
  WALRUS_ASSIGN(request.target, tokens.target());
  WALRUS_TRY(tokens.end());
  return request;
}

Result<Request> parse_poll(Tokens& tokens) {
  Poll request;
  WALRUS_ASSIGN(request.target, tokens.target());
  WALRUS_ASSIGN(request.consumer, tokens.consumer());
  WALRUS_TRY(parse_tail(tokens, request));
  return request;
}

Result<Request> parse_commit(Tokens& tokens) {
  Commit request;
  WALRUS_ASSIGN(request.target, tokens.target());
  WALRUS_ASSIGN(request.consumer, tokens.consumer());
  WALRUS_ASSIGN(request.next, tokens.number("an offset"));
  WALRUS_TRY(tokens.end());
  return request;
}

Result<Request> parse_find(Tokens& tokens) {
  Find request;
  WALRUS_ASSIGN(request.target, tokens.target());
  WALRUS_ASSIGN(request.timestamp_ms, tokens.number("a timestamp"));
  WALRUS_TRY(tokens.end());
  return request;
}

Result<Request> parse_list(Tokens& tokens) {
  List request;
  request.prefix = tokens.next().value_or(Bytes());
  WALRUS_TRY(tokens.end());
  return request;
}

Result<Request> parse_help(Tokens& tokens) {
  Help request;
  request.command = tokens.next().value_or(Bytes());
  WALRUS_TRY(tokens.end());
  return request;
}

template <class T>
Result<Request> parse_settings(Tokens& tokens) {
  T request;
  WALRUS_ASSIGN(request.topic, tokens.topic());
  while (auto token = tokens.next()) {
    auto equals = token->find('=');
    if (equals != Bytes::npos && equals > 0)
      request.settings.push_back({token->substr(0, equals), token->substr(equals + 1)});
    else if (token->size() > 1 && token->front() == '-')
      request.settings.push_back({token->substr(1), std::nullopt});
    else return refuse(text::kUnexpectedArgument);
  }
  return request;
}

Result<Request> parse_auth(Tokens& tokens) {
  Auth request;
  if (tokens.at_end()) return request;
  request.mechanism = tokens.next().value_or(Bytes());
  auto legal = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  if (request.mechanism.empty() || !std::ranges::all_of(request.mechanism, legal))
    return tokens.missing("a mechanism");
  auto token = tokens.rest();
  if (!token) return tokens.missing("a token");
  request.token = *token;
  return request;
}

Result<Bytes> parse_user_name(Tokens& tokens) {
  auto name = tokens.next();
  if (!name || name->empty()) return tokens.missing("a user");
  if (!sasl::valid_user_name(*name)) return refuse(text::kInvalidUserName);
  return *name;
}

// Takes what stands before the next colon, or all of it, off the front.
Bytes take_field(Bytes& rest) {
  auto colon = rest.find(':');
  auto field = rest.substr(0, colon);
  rest.remove_prefix(colon == Bytes::npos ? rest.size() : colon + 1);
  return field;
}

Result<UserCredential> parse_credential(Bytes text) {
  UserCredential parsed;
  auto name = take_field(text);
  bool wide = name == sasl::scram_name(sasl::ScramMechanism::kSha512);
  if (wide) parsed.mechanism = sasl::ScramMechanism::kSha512;
  auto number = take_field(text);
  auto& credential = parsed.credential;
  auto [end, error] = std::from_chars(number.begin(), number.end(), credential.iterations);
  credential.salt = parse_base64(take_field(text)).value_or("");
  credential.stored_key = parse_base64(take_field(text)).value_or("");
  credential.server_key = parse_base64(take_field(text)).value_or("");
  bool known = wide || name == sasl::scram_name(sasl::ScramMechanism::kSha256);
  if (!known || error != std::errc() || end != number.end() || !text.empty() ||
      !valid_credential(parsed.mechanism, credential))
    return refuse(text::kInvalidCredential);
  return parsed;
}

template <class T>
Result<Request> parse_user(Tokens& tokens) {
  T request;
  WALRUS_ASSIGN(request.name, parse_user_name(tokens));
  while (auto token = tokens.next()) {
    WALRUS_ASSIGN(auto credential, parse_credential(*token));
    for (const auto& other : request.credentials)
      if (other.mechanism == credential.mechanism) return refuse(text::kInvalidCredential);
    request.credentials.push_back(std::move(credential));
  }
  if (request.credentials.empty()) return tokens.missing("a credential");
  return request;
}

Result<Request> parse_delete_user(Tokens& tokens) {
  DeleteUser request;
  WALRUS_ASSIGN(request.name, parse_user_name(tokens));
  WALRUS_TRY(tokens.end());
  return request;
}

Result<Bytes> parse_group_name(Tokens& tokens) {
  auto name = tokens.rest();
  if (!name || name->empty()) return tokens.missing("a group");
  if (name->size() > kGroupBytesMax) return refuse(text::kInvalidGroupName);
  return *name;
}

template <class T>
Result<Request> parse_group(Tokens& tokens) {
  T request;
  WALRUS_ASSIGN(request.group, parse_group_name(tokens));
  return request;
}

Result<GroupOffset> parse_group_offset(Bytes item) {
  auto equals = item.find('=');
  if (equals == Bytes::npos) return refuse(text::kUnexpectedArgument);
  WALRUS_ASSIGN(auto partition, parse_number(item.substr(0, equals)));
  if (partition >= kPartitionsMax) return refuse(text::invalid_number(item.substr(0, equals)));
  WALRUS_ASSIGN(auto offset, parse_number(item.substr(equals + 1)));
  return GroupOffset{static_cast<std::int32_t>(partition), offset};
}

// Each partition once, so that what is set does not hang on an order.
Result<Request> parse_set_group(Tokens& tokens) {
  SetGroup request;
  WALRUS_ASSIGN(request.topic, tokens.topic());
  auto list = tokens.next();
  if (!list || list->empty()) return tokens.missing("an offset");
  std::array<bool, kPartitionsMax> seen{};
  for (Bytes rest = *list;;) {
    auto comma = rest.find(',');
    WALRUS_ASSIGN(auto one, parse_group_offset(rest.substr(0, comma)));
    auto& named = seen[static_cast<std::size_t>(one.partition)];
    if (std::exchange(named, true)) return refuse(text::kUnexpectedArgument);
    request.offsets.push_back(one);
    if (comma == Bytes::npos) break;
    rest.remove_prefix(comma + 1);
  }
  WALRUS_ASSIGN(request.group, parse_group_name(tokens));
  return request;
}

using ClusterVerb = ClusterRequest::Verb;

constexpr std::pair<Bytes, ClusterVerb> kClusterVerbs[] = {
    {"status", ClusterVerb::kStatus},     {"health", ClusterVerb::kHealth},
    {"segments", ClusterVerb::kSegments}, {"drain", ClusterVerb::kDrain},
    {"activate", ClusterVerb::kActivate}, {"remove", ClusterVerb::kRemove},
    {"replace", ClusterVerb::kReplace},   {"seal", ClusterVerb::kSeal},
};

Bytes cluster_verb_name(ClusterVerb verb) {
  return kClusterVerbs[static_cast<std::size_t>(verb)].first;
}

bool names_node(ClusterVerb verb) {
  using enum ClusterRequest::Verb;
  return verb == kDrain || verb == kActivate || verb == kRemove || verb == kReplace;
}

bool takes_force(ClusterVerb verb) {
  return verb == ClusterVerb::kRemove || verb == ClusterVerb::kReplace;
}

Result<std::uint64_t> parse_node(Tokens& tokens) {
  WALRUS_ASSIGN(auto node, tokens.number("a node"));
  if (node == 0) return refuse(text::invalid_number("0"));
  return static_cast<std::uint64_t>(node);
}

// Behind the topic: nothing, or what is accepted of one partition.
Result<std::optional<ClusterRequest::Loss>> parse_loss(Tokens& tokens, const Target& target) {
  if (tokens.at_end()) return std::nullopt;
  if (tokens.next() != Bytes("accept")) return refuse(text::kUnexpectedArgument);
  if (!target.partition) return tokens.missing("a partition");
  WALRUS_ASSIGN(auto segment, tokens.number("a segment"));
  WALRUS_ASSIGN(auto epoch, tokens.number("an epoch"));
  WALRUS_ASSIGN(auto end, tokens.number("an offset"));
  return ClusterRequest::Loss{static_cast<std::uint64_t>(segment),
                              static_cast<std::uint64_t>(epoch), end};
}

Result<Request> parse_cluster(Tokens& tokens) {
  ClusterRequest request;
  auto word = tokens.next();
  auto verb = std::ranges::find(kClusterVerbs, word.value_or(Bytes()),
                                &std::pair<Bytes, ClusterVerb>::first);
  if (verb == std::end(kClusterVerbs))
    return tokens.missing(
        "one of status, health, segments, drain, activate, remove, replace, seal");
  request.verb = verb->second;
  if (request.verb == ClusterVerb::kSegments) {
    WALRUS_ASSIGN(request.target.topic, tokens.topic());
  }
  if (request.verb == ClusterVerb::kSeal) {
    WALRUS_ASSIGN(request.target, tokens.target());
    WALRUS_ASSIGN(request.loss, parse_loss(tokens, request.target));
  }
  if (names_node(request.verb)) {
    WALRUS_ASSIGN(request.node, parse_node(tokens));
  }
  if (request.verb == ClusterVerb::kReplace) {
    WALRUS_ASSIGN(request.by, parse_node(tokens));
  }
  if (takes_force(request.verb) && !tokens.at_end()) {
    if (tokens.next() != Bytes("force")) return refuse(text::kUnexpectedArgument);
    request.force = true;
  }
  WALRUS_TRY(tokens.end());
  return request;
}

struct Command {
  Bytes name;
  bool payload;  // what follows is not text as a whole: nothing is trimmed, nothing checked
  Result<Request> (*parse)(Tokens&);
  Bytes usage;
};

constexpr std::array kCommands{
    Command{"REGISTER", false, parse_topic_only<Register>,
            "REGISTER t -> OK\n  Makes the topic; nothing happens if it exists.\n"},
    Command{"PUT", true, parse_put<Put>,
            "PUT t payload -> OK\n  Appends the payload: all bytes after the second space.\n"},
    Command{"GET", false, parse_get,
            "GET t [wait_ms] -> OK <payload> | EMPTY\n"
            "  Takes the next record from the topic's shared cursor.\n"},
    Command{"STATE", false, parse_state, "STATE t -> JSON\n  Segments and their leaders.\n"},
    Command{"METRICS", false, parse_plain<Metrics>, "METRICS -> JSON\n  The node and its peers.\n"},
    Command{"APPEND", true, parse_put<Append>,
            "APPEND t payload -> OK <offset>\n  As PUT, and answers the record's offset.\n"},
    Command{"APPENDAT", true, parse_append_at,
            "APPENDAT t offset payload -> OK <offset>\n"
            "  Appends only if the record gets that offset.\n"},
    Command{"PRODUCER", false, parse_plain<Producer>,
            "PRODUCER -> OK <producer id> <epoch>\n  A new producer id, for BATCH.\n"},
    Command{"BATCH", true, parse_batch,
            "BATCH t batch -> OK <first offset> <count>\n"
            "  Appends one record batch v2; a repeat answers the first offset.\n"},
    Command{"READ", false, parse_read<Read>,
            "READ t offset [bytes_max] [wait_ms] -> OK <count> <next offset>, records\n"
            "  Reads and moves nothing.\n"},
    Command{"READBATCH", false, parse_read<ReadBatch>,
            "READBATCH t offset [bytes_max] [wait_ms] -> OK <next offset>, batches\n"
            "  Reads whole record batches; the first may begin before the offset.\n"},
    Command{"POLL", false, parse_poll,
            "POLL t consumer [bytes_max] [wait_ms] -> as READ\n"
            "  Reads from the consumer's committed offset; it is made on first use.\n"},
    Command{"COMMIT", false, parse_commit,
            "COMMIT t consumer next_offset -> OK\n  The next POLL reads from there.\n"},
    Command{"LIST", false, parse_list, "LIST [prefix] -> JSON array\n  The topics.\n"},
    Command{"DELETE", false, parse_topic_only<Delete>,
            "DELETE t -> OK\n  Removes the topic and its records.\n"},
    Command{"CREATE", false, parse_settings<Create>,
            "CREATE t [partitions=N] [name=value]... -> OK\n  An error if the topic exists.\n"},
    Command{"CONFIG", false, parse_settings<Configure>,
            "CONFIG t [name=value | -name]... -> JSON\n"
            "  Sets, puts back to the default, and answers the topic's configuration.\n"},
    Command{"DESCRIBE", false, parse_topic_only<Describe>,
            "DESCRIBE t -> JSON\n  Configuration, partitions, offsets.\n"},
    Command{"FIND", false, parse_find,
            "FIND t timestamp_ms -> OK <offset>\n  The first record that is not older.\n"},
    Command{"AUTH", true, parse_auth,
            "AUTH [mechanism token] -> OK <token>\n"
            "  One message of a SASL exchange; alone: which mechanisms are offered.\n"},
    Command{"USERS", false, parse_plain<ListUsers>, "USERS -> JSON array\n  Who may log in.\n"},
    Command{"USERADD", false, parse_user<AddUser>,
            "USERADD user credential... -> OK\n  An error if the user exists.\n"},
    Command{"USERSET", false, parse_user<SetUser>,
            "USERSET user credential... -> OK\n  Replaces the user's credentials.\n"},
    Command{"USERDELETE", false, parse_delete_user, "USERDELETE user -> OK\n"},
    Command{"GROUPS", false, parse_plain<ListGroups>,
            "GROUPS -> JSON array\n  The consumer groups of Kafka clients.\n"},
    Command{"GROUP", false, parse_group<DescribeGroup>,
            "GROUP group -> JSON\n  Members, and offsets with how far they lag behind.\n"},
    Command{"GROUPSET", false, parse_set_group,
            "GROUPSET topic partition=offset[,partition=offset]... group -> OK\n"
            "  Where a group without members reads on.\n"},
    Command{"GROUPDELETE", false, parse_group<DeleteGroup>,
            "GROUPDELETE group -> OK\n  Removes a group without members, and its offsets.\n"},
    Command{"CLUSTER", false, parse_cluster,
            "CLUSTER status | health -> JSON\n"
            "CLUSTER segments t -> JSON\n  Who holds what of a topic.\n"
            "CLUSTER drain n | activate n | remove n [force] | replace n m [force] -> OK\n"
            "  Moves a node's copies away, gives it some again, takes it out for good, or has\n"
            "  another one take over what it has.\n"
            "CLUSTER seal t[/p] -> JSON\n"
            "  What survives of segments whose writers are gone.\n"
            "CLUSTER seal t/p accept segment epoch end -> OK\n"
            "  Ends one there and gives up the rest, as it was shown.\n"},
    Command{"HELP", false, parse_help, "HELP [command] -> text\n"},
};

void append_target(std::string& to, const Target& target) {
  to.append(target.topic);
  if (target.partition) fmt::format_to(std::back_inserter(to), "/{}", *target.partition);
}

template <class... Args>
void append_format(std::string& to, fmt::format_string<Args...> format, Args&&... args) {
  fmt::format_to(std::back_inserter(to), format, std::forward<Args>(args)...);
}

void append_settings(std::string& to, const std::vector<Setting>& settings) {
  for (const auto& setting : settings) {
    if (setting.value) append_format(to, " {}={}", setting.name, *setting.value);
    else append_format(to, " -{}", setting.name);
  }
}

void append_credentials(std::string& to, const std::vector<UserCredential>& credentials) {
  for (const auto& [mechanism, credential] : credentials)
    append_format(to, " {}:{}:{}:{}:{}", sasl::scram_name(mechanism), credential.iterations,
                  base64(credential.salt), base64(credential.stored_key),
                  base64(credential.server_key));
}

struct Encoder {
  std::string& to;
  void start(Bytes command, const Target& target) const {
    to.append(command).append(" ");
    append_target(to, target);
  }
  void operator()(const Register& r) const { append_format(to, "REGISTER {}", r.topic); }
  void operator()(const Put& r) const {
    start("PUT", r.target);
    to.append(" ").append(r.payload);
  }
  void operator()(const Get& r) const {
    start("GET", r.target);
    if (r.wait_ms > 0) append_format(to, " {}", r.wait_ms);
  }
  void operator()(const State& r) const { start("STATE", r.target); }
  void operator()(const Metrics&) const { to.append("METRICS"); }
  void operator()(const Append& r) const {
    start("APPEND", r.target);
    to.append(" ").append(r.payload);
  }
  void operator()(const AppendAt& r) const {
    start("APPENDAT", r.target);
    append_format(to, " {} ", r.offset);
    to.append(r.payload);
  }
  void operator()(const Producer&) const { to.append("PRODUCER"); }
  void operator()(const Batch& r) const {
    start("BATCH", r.target);
    to.append(" ").append(r.batch);
  }
  void operator()(const Read& r) const {
    start("READ", r.target);
    append_format(to, " {} {} {}", r.offset, r.bytes_max, r.wait_ms);
  }
  void operator()(const ReadBatch& r) const {
    start("READBATCH", r.target);
    append_format(to, " {} {} {}", r.offset, r.bytes_max, r.wait_ms);
  }
  void operator()(const Poll& r) const {
    start("POLL", r.target);
    append_format(to, " {} {} {}", r.consumer, r.bytes_max, r.wait_ms);
  }
  void operator()(const Commit& r) const {
    start("COMMIT", r.target);
    append_format(to, " {} {}", r.consumer, r.next);
  }
  void operator()(const List& r) const {
    to.append(r.prefix.empty() ? "LIST" : "LIST ").append(r.prefix);
  }
  void operator()(const Delete& r) const { append_format(to, "DELETE {}", r.topic); }
  void operator()(const Help& r) const {
    to.append(r.command.empty() ? "HELP" : "HELP ").append(r.command);
  }
  void operator()(const Auth& r) const {
    to.append("AUTH");
    if (!r.mechanism.empty()) to.append(" ").append(r.mechanism).append(" ").append(r.token);
  }
  void operator()(const ListUsers&) const { to.append("USERS"); }
  void operator()(const AddUser& r) const {
    append_format(to, "USERADD {}", r.name);
    append_credentials(to, r.credentials);
  }
  void operator()(const SetUser& r) const {
    append_format(to, "USERSET {}", r.name);
    append_credentials(to, r.credentials);
  }
  void operator()(const DeleteUser& r) const { append_format(to, "USERDELETE {}", r.name); }
  void operator()(const ListGroups&) const { to.append("GROUPS"); }
  void operator()(const DescribeGroup& r) const { to.append("GROUP ").append(r.group); }
  void operator()(const SetGroup& r) const {
    append_format(to, "GROUPSET {} ", r.topic);
    for (const auto& one : r.offsets)
      append_format(to, "{}{}={}", &one == &r.offsets.front() ? "" : ",", one.partition,
                    one.offset);
    to.append(" ").append(r.group);
  }
  void operator()(const DeleteGroup& r) const { to.append("GROUPDELETE ").append(r.group); }
  void operator()(const ClusterRequest& r) const {
    append_format(to, "CLUSTER {}", cluster_verb_name(r.verb));
    if (r.verb == ClusterVerb::kSegments || r.verb == ClusterVerb::kSeal) {
      to.append(" ");
      append_target(to, r.target);
    }
    if (r.loss) append_format(to, " accept {} {} {}", r.loss->segment, r.loss->epoch, r.loss->end);
    if (names_node(r.verb)) append_format(to, " {}", r.node);
    if (r.verb == ClusterVerb::kReplace) append_format(to, " {}", r.by);
    if (takes_force(r.verb) && r.force) to.append(" force");
  }
  void operator()(const Create& r) const {
    append_format(to, "CREATE {}", r.topic);
    append_settings(to, r.settings);
  }
  void operator()(const Configure& r) const {
    append_format(to, "CONFIG {}", r.topic);
    append_settings(to, r.settings);
  }
  void operator()(const Describe& r) const { append_format(to, "DESCRIBE {}", r.topic); }
  void operator()(const Find& r) const {
    start("FIND", r.target);
    append_format(to, " {}", r.timestamp_ms);
  }
};

}  // namespace

Request::Request(const Request&) = default;
Request::Request(Request&&) noexcept = default;
Request& Request::operator=(const Request&) = default;
Request& Request::operator=(Request&&) noexcept = default;
Request::~Request() = default;

Result<Request> parse_request(Bytes body) {
  auto space = body.find(' ');
  auto name = body.substr(0, space);
  if (space == Bytes::npos) name = without_trailing_whitespace(name);
  auto command = std::ranges::find(kCommands, name, &Command::name);
  if (command == kCommands.end() || !command->payload) {
    if (!is_utf8(body)) return refuse(text::kInvalidUtf8);
    body = without_trailing_whitespace(body);
    space = body.find(' ');
  }
  if (command == kCommands.end()) return refuse(text::kUnknownCommand);
  std::optional<Bytes> rest;
  if (space != Bytes::npos) rest = body.substr(space + 1);
  // Without a payload behind it, a trailing line end belongs to no token.
  if (rest && rest->find(' ') == Bytes::npos) {
    rest = without_trailing_whitespace(*rest);
    if (rest->empty()) rest.reset();
  }
  Tokens tokens(command->name, rest);
  return command->parse(tokens);
}

void append_request(std::string& to, const Request& request) {
  auto mark = begin_frame(to);
  std::visit(Encoder{to}, request);
  end_frame(to, mark);
}

bool valid_topic_name(Bytes name) {
  if (name.empty() || name.size() > kTopicNameBytesMax || name == "." || name == "..") return false;
  return std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

Result<std::string> help_text(Bytes name) {
  std::string all;
  for (const auto& command : kCommands) {
    if (command.name == name) return std::string(command.usage);
    all += command.usage;
  }
  if (!name.empty()) return refuse(text::kUnknownCommand);
  return all;
}

}  // namespace walrus::wire::native
