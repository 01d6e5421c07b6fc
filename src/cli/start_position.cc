#include "cli/start_position.h"

#include <charconv>

#include "base/result.h"
#include "cli/time_text.h"

namespace walrus::cli {
namespace {

std::optional<std::int64_t> parse_number(Bytes text) {
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

Result<void> check_start(Bytes from) {
  if (from == "earliest" || from == "latest" || parse_number(from) || parse_time(from)) return {};
  return fail(Code::kInvalid,
              "'{}' is not earliest, latest, an offset, -N or a time as 2026-05-13T08:00:00Z",
              from);
}

Result<Offset> start_position(Client& client, Bytes target, const PartitionInfo& info, Bytes from) {
  if (from == "earliest") return info.log_start;
  if (from == "latest") return info.high_watermark;
  if (auto number = parse_number(from)) {
    if (from.starts_with('-'))
      return std::max(info.log_start, Offset{info.high_watermark.value + *number});
    if (*number < info.log_start.value || *number > info.high_watermark.value)
      return fail(Code::kOutOfRange, "offset out of range {}..{}", info.log_start.value,
                  info.high_watermark.value);
    return Offset{*number};
  }
  WALRUS_TRY(check_start(from));
  return client.find(target, *parse_time(from));
}

}  // namespace walrus::cli
