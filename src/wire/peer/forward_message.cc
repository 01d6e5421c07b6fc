#include "wire/peer/forward_message.h"

#include <algorithm>

#include "base/coding.h"

namespace walrus::wire::peer {
namespace {

constexpr std::uint8_t kForwardVersion = 1, kHandedVersion = 1, kAcksMax = 2;

std::unexpected<Error> malformed() {
  return fail(Code::kCorrupt, "malformed opening of a forwarded connection");
}

std::unexpected<Error> malformed_appends() {
  return fail(Code::kCorrupt, "malformed appends of another node");
}

Result<void> check_version(Decoder& from, Bytes what) {
  auto version = from.le<std::uint8_t>();
  if (!version) return malformed_appends();
  if (*version == kHandedVersion) return {};
  return fail(Code::kVersion, "{} of version {}, this node knows {}", what, *version,
              kHandedVersion);
}

}  // namespace

void append_forward_open(std::string& to, const ForwardOpen& open) {
  to.push_back(static_cast<char>(kForwardVersion));
  append_string(to, open.user);
  append_string(to, open.client);
}

Result<ForwardOpen> parse_forward_open(Bytes bytes) {
  Decoder from(bytes);
  auto version = from.le<std::uint8_t>();
  if (version && *version != kForwardVersion)
    return fail(Code::kVersion, "forwarded connection of version {}, this node knows {}", *version,
                kForwardVersion);
  auto user = from.string(), client = from.string();
  if (!client || !from.at_end() || user->size() > kForwardTextBytesMax ||
      client->size() > kForwardTextBytesMax)
    return malformed();
  return ForwardOpen{.user = std::string(*user), .client = std::string(*client)};
}

void append_handed(std::string& to, const HandedAppends& handed) {
  to.push_back(static_cast<char>(kHandedVersion));
  to.append(handed.partition.topic.bytes.data(), handed.partition.topic.bytes.size());
  append_uvarint(to, handed.partition.index);
  append_uvarint(to, handed.wait_ms);
  append_uvarint(to, handed.appends.size());
  for (const auto& append : handed.appends) {
    to.push_back(static_cast<char>(append.acks));
    append_string(to, append.batch);
  }
}

Result<HandedAppends> parse_handed(Bytes bytes) {
  Decoder from(bytes);
  WALRUS_TRY(check_version(from, "appends"));
  HandedAppends handed;
  auto topic = from.take(handed.partition.topic.bytes.size());
  auto index = from.uvarint().value_or(0);
  handed.wait_ms = from.uvarint().value_or(0);
  auto count = from.uvarint().value_or(0);
  if (!topic || !from.ok() || index > UINT32_MAX || count == 0 || count > kHandedAppendsMax)
    return malformed_appends();
  std::ranges::copy(*topic, handed.partition.topic.bytes.begin());
  handed.partition.index = static_cast<std::uint32_t>(index);
  for (std::uint64_t i = 0; i < count; ++i) {
    auto acks = from.le<std::uint8_t>();
    auto batch = from.string();
    if (!batch || *acks > kAcksMax) return malformed_appends();
    handed.appends.push_back({*acks, std::string(*batch)});
  }
  if (!from.at_end()) return malformed_appends();
  return handed;
}

void append_handed_replies(std::string& to, const std::vector<HandedReply>& replies) {
  to.push_back(static_cast<char>(kHandedVersion));
  append_uvarint(to, replies.size());
  for (const auto& reply : replies) {
    to.push_back(static_cast<char>(reply.refusal));
    append_uvarint(to, static_cast<std::uint64_t>(reply.first));
  }
}

Result<std::vector<HandedReply>> parse_handed_replies(Bytes bytes) {
  Decoder from(bytes);
  WALRUS_TRY(check_version(from, "replies to appends"));
  auto count = from.uvarint().value_or(0);
  if (!from.ok() || count > kHandedAppendsMax) return malformed_appends();
  std::vector<HandedReply> replies;
  for (std::uint64_t i = 0; i < count; ++i) {
    auto refusal = from.le<std::uint8_t>();
    auto first = from.uvarint();
    if (!first || *first > INT64_MAX) return malformed_appends();
    replies.push_back({*refusal, static_cast<std::int64_t>(*first)});
  }
  if (!from.at_end()) return malformed_appends();
  return replies;
}

}  // namespace walrus::wire::peer
