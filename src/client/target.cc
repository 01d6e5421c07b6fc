#include "client/target.h"

#include <charconv>

namespace walrus::client {

Result<wire::native::Target> parse_target(Bytes text) {
  wire::native::Target target;
  auto slash = text.find('/');
  WALRUS_ASSIGN(target.topic, parse_topic(text.substr(0, slash)));
  if (slash == Bytes::npos) return target;
  auto digits = text.substr(slash + 1);
  std::int32_t partition = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), partition);
  if (error != std::errc() || end != digits.data() + digits.size() || partition < 0)
    return fail(Code::kInvalid, "invalid partition {}", digits);
  target.partition = partition;
  return target;
}

Result<Bytes> parse_topic(Bytes text) {
  if (!wire::native::valid_topic_name(text))
    return fail(Code::kInvalid, "invalid topic name: 1 to 249 of A-Z a-z 0-9 . _ -, not . or ..");
  return text;
}

}  // namespace walrus::client
