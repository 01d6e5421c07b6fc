#include "meta/message.h"

#include "meta/fields.h"
#include "meta/layout.h"

namespace walrus::meta {

template <>
struct Range<RollReason> {
  static constexpr auto first = RollReason::kDrain, last = RollReason::kBalance;
};
template <>
struct Range<Leaving> {
  static constexpr auto first = Leaving::kNo, last = Leaving::kSoon;
};
template <>
struct Range<Stuck::Why> {
  static constexpr auto first = Stuck::Why::kNoNodes, last = Stuck::Why::kUnsealable;
};
template <>
struct Fields<Recover> {
  static constexpr std::tuple members{&Recover::partition, &Recover::segment, &Recover::epoch,
                                      &Recover::next};
};
template <>
struct Fields<Roll> {
  static constexpr std::tuple members{&Roll::partition, &Roll::segment, &Roll::reason, &Roll::next};
};
template <>
struct Fields<Copy> {
  static constexpr std::tuple members{&Copy::partition, &Copy::segment,  &Copy::from,
                                      &Copy::to,        &Copy::replaces, &Copy::bytes};
};
template <>
struct Fields<Sight> {
  static constexpr std::tuple members{&Sight::node, &Sight::alive, &Sight::incarnation,
                                      &Sight::since};
};
template <>
struct Fields<Load> {
  static constexpr std::tuple members{&Load::leads, &Load::tails, &Load::sealed,
                                      &Load::sealed_bytes};
};
template <>
struct Fields<Drain> {
  static constexpr std::tuple members{&Drain::node, &Drain::left, &Drain::finishes_in};
};
template <>
struct Fields<Stuck> {
  static constexpr std::tuple members{&Stuck::why, &Stuck::partition, &Stuck::segment};
};

template <>
struct Fields<UnderReplicated> {
  static constexpr std::tuple members{&UnderReplicated::partition, &UnderReplicated::segment,
                                      &UnderReplicated::copies, &UnderReplicated::wanted};
};

template <>
struct Fields<JoinRequest> {
  static constexpr std::tuple members{&JoinRequest::node, &JoinRequest::address,
                                      &JoinRequest::feature_level_max};
};
template <>
struct Fields<RejoinRequest> {
  static constexpr std::tuple members{&RejoinRequest::join, &RejoinRequest::recoveries,
                                      &RejoinRequest::term, &RejoinRequest::index};
};
template <>
struct Fields<EnrollRequest> {
  static constexpr std::tuple members{&EnrollRequest::node};
};
template <>
struct Fields<Enrolled> {
  static constexpr std::tuple members{&Enrolled::outcome};
};
template <>
struct Fields<ProposeRequest> {
  static constexpr std::tuple members{&ProposeRequest::command};
};
template <>
struct Fields<Proposed> {
  static constexpr std::tuple members{&Proposed::index, &Proposed::reply};
};
template <>
struct Fields<Heartbeat> {
  static constexpr std::tuple members{&Heartbeat::incarnation, &Heartbeat::lease_epoch,
                                      &Heartbeat::leaving,     &Heartbeat::wanted,
                                      &Heartbeat::copies,      &Heartbeat::copied_bytes};
};
template <>
struct Fields<Leased> {
  static constexpr std::tuple members{&Leased::granted, &Leased::lease_epoch};
};
template <>
struct Fields<Handout> {
  static constexpr std::tuple members{&Handout::incarnation, &Handout::image, &Handout::recoveries,
                                      &Handout::rolls, &Handout::copies};
};
template <>
struct Fields<Here> {
  static constexpr std::tuple members{&Here::incarnation};
};
template <>
struct Fields<Done> {
  static constexpr std::tuple<> members{};
};
template <>
struct Fields<NotLeader> {
  static constexpr std::tuple members{&NotLeader::leader, &NotLeader::address};
};
template <>
struct Fields<Health> {
  static constexpr std::tuple members{
      &Health::controller, &Health::nodes,       &Health::drains,           &Health::stuck,
      &Health::copies,     &Health::stuck_total, &Health::under_replicated, &Health::searched};
};

template <>
struct Fields<Concerns> {
  static constexpr std::tuple members{&Concerns::lacking};
};
template <>
struct Fields<SlowCopy> {
  static constexpr std::tuple members{&SlowCopy::partition, &SlowCopy::segment, &SlowCopy::node};
};
template <>
struct Fields<DamagedCopy> {
  static constexpr std::tuple members{&DamagedCopy::partition, &DamagedCopy::segment};
};
template <>
struct Fields<Condition> {
  static constexpr std::tuple members{&Condition::incarnation, &Condition::full, &Condition::slow,
                                      &Condition::damaged};
};
template <>
struct Fields<NodeCondition> {
  static constexpr std::tuple members{&NodeCondition::node, &NodeCondition::condition};
};
template <>
struct Fields<Conditions> {
  static constexpr std::tuple members{&Conditions::nodes};
};

namespace {

constexpr std::uint8_t kMessageVersion = 1;
constexpr std::size_t kKinds = std::variant_size_v<Message>;

template <std::size_t place>
bool read_as(FieldReader& from, Message& message) {
  from.get(message.emplace<place>());
  return true;
}

}  // namespace

std::string encode(const Message& message) {
  std::string bytes(1, static_cast<char>(kMessageVersion));
  bytes.push_back(static_cast<char>(message.index() + 1));
  std::visit([&](const auto& body) { put(bytes, body); }, message);
  return bytes;
}

Result<Message> parse_message(Bytes bytes) {
  FieldReader from(bytes);
  const auto version = from.byte(0, UINT8_MAX);
  if (from.ok() && version != kMessageVersion)
    return fail(Code::kVersion, "a message about metadata of version {}, this node knows {}",
                version, kMessageVersion);
  const auto kind = from.byte(1, kKinds);
  Message message{};
  auto read = [&]<std::size_t... places>(std::index_sequence<places...>) {
    return ((kind == places + 1 && read_as<places>(from, message)) || ...);
  };
  if (!from.ok() || !read(std::make_index_sequence<kKinds>{}) || !from.whole())
    return fail(Code::kCorrupt, "malformed message about metadata");
  return message;
}

template <class T>
Result<T> parse_as(Bytes bytes) {
  WALRUS_ASSIGN(auto message, parse_message(bytes));
  if (auto* body = std::get_if<T>(&message)) return std::move(*body);
  return fail(Code::kCorrupt, "a message of kind {} about metadata is not expected here",
              message.index() + 1);
}
template Result<JoinRequest> parse_as(Bytes);
template Result<RejoinRequest> parse_as(Bytes);
template Result<EnrollRequest> parse_as(Bytes);
template Result<Enrolled> parse_as(Bytes);
template Result<ProposeRequest> parse_as(Bytes);
template Result<Proposed> parse_as(Bytes);
template Result<Heartbeat> parse_as(Bytes);
template Result<Leased> parse_as(Bytes);
template Result<Handout> parse_as(Bytes);
template Result<Here> parse_as(Bytes);
template Result<Done> parse_as(Bytes);
template Result<NotLeader> parse_as(Bytes);
template Result<Health> parse_as(Bytes);
template Result<Condition> parse_as(Bytes);

}  // namespace walrus::meta
