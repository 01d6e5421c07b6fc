#include "net/lane_message.h"

#include <algorithm>

#include "base/coding.h"

namespace walrus::net {
namespace {

constexpr std::uint8_t kVersion = 1, kProgress = 1, kDone = 2;

std::unexpected<Error> bad(const char* what) {
  return fail(Code::kCorrupt, "a malformed {} of a lane", what);
}

std::optional<Sha256Digest> take_digest(Decoder& from) {
  const auto bytes = from.take(std::tuple_size_v<Sha256Digest>);
  if (!bytes) return std::nullopt;
  Sha256Digest digest;
  std::ranges::copy(*bytes, digest.begin());
  return digest;
}

void append(std::string& to, const Sha256Digest& digest) {
  to.append(digest.data(), digest.size());
}

bool in_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

}  // namespace

bool valid_lane_name(Bytes name) {
  return !name.empty() && name.size() <= kLaneNameBytesMax && name.front() != '.' &&
         !name.ends_with(".part") && std::ranges::all_of(name, in_name);
}

std::string encode(const LaneOffer& offer) {
  std::string bytes;
  append_le(bytes, kVersion);
  append_le(bytes, offer.size);
  return bytes + offer.name;
}

std::string encode(const LaneStart& start) {
  std::string bytes;
  append_le(bytes, start.have);
  append(bytes, start.digest);
  return bytes;
}

std::string encode_from(std::int64_t from) {
  std::string bytes;
  append_le(bytes, from);
  return bytes;
}

std::string encode_progress(std::int64_t durable) {
  std::string bytes;
  append_le(bytes, kProgress);
  append_le(bytes, durable);
  return bytes;
}

std::string encode_done(std::int64_t size, const Sha256Digest& digest) {
  std::string bytes;
  append_le(bytes, kDone);
  append_le(bytes, size);
  append(bytes, digest);
  return bytes;
}

Result<LaneOffer> parse_lane_offer(Bytes bytes) {
  Decoder from(bytes);
  const auto version = from.le<std::uint8_t>();
  if (version && *version != kVersion)
    return fail(Code::kVersion, "a lane of version {}, this is {}", *version, kVersion);
  const auto size = from.le<std::int64_t>();
  if (!size || *size < 0) return bad("offer");
  if (!valid_lane_name(from.rest()))
    return fail(Code::kInvalid, "a lane's name is 1 to {} of [A-Za-z0-9._-], with no dot first",
                kLaneNameBytesMax);
  return LaneOffer{*size, std::string(from.rest())};
}

Result<LaneStart> parse_lane_start(Bytes bytes) {
  Decoder from(bytes);
  const auto have = from.le<std::int64_t>();
  const auto digest = take_digest(from);
  if (!have || !digest || *have < 0 || !from.at_end()) return bad("start");
  return LaneStart{*have, *digest};
}

Result<std::int64_t> parse_lane_from(Bytes bytes) {
  Decoder from(bytes);
  const auto position = from.le<std::int64_t>();
  if (!position || *position < 0 || !from.at_end()) return bad("position");
  return *position;
}

Result<Sha256Digest> parse_lane_digest(Bytes bytes) {
  Decoder from(bytes);
  const auto digest = take_digest(from);
  if (!digest || !from.at_end()) return bad("digest");
  return *digest;
}

Result<std::optional<LaneReport>> parse_lane_report(Bytes bytes) {
  Decoder from(bytes);
  const auto kind = from.le<std::uint8_t>();
  if (!kind) return std::nullopt;
  if (*kind != kProgress && *kind != kDone) return bad("report");
  LaneReport report{.done = *kind == kDone};
  const auto durable = from.le<std::int64_t>();
  if (durable && *durable < 0) return bad("report");
  if (report.done) report.digest = take_digest(from).value_or(Sha256Digest{});
  if (!from.ok()) return std::nullopt;
  report.durable = *durable;
  report.bytes = report.done ? kLaneDoneBytes : kLaneProgressBytes;
  return report;
}

}  // namespace walrus::net
