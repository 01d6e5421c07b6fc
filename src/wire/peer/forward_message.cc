#include "wire/peer/forward_message.h"

#include "base/coding.h"

namespace walrus::wire::peer {
namespace {

constexpr std::uint8_t kForwardVersion = 1;

std::unexpected<Error> malformed() {
  return fail(Code::kCorrupt, "malformed opening of a forwarded connection");
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

}  // namespace walrus::wire::peer
