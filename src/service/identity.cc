#include "service/identity.h"

#include <algorithm>

#include "base/coding.h"
#include "net/sha256.h"
#include "wire/peer/service_message.h"

namespace walrus::service {
namespace {

constexpr std::uint8_t kIdentityVersion = 1;
constexpr Bytes kStream = "__service";

}  // namespace

net::ClusterId cluster_of(Bytes name, std::vector<Peer> founders) {
  std::ranges::sort(founders, {}, &Peer::id);
  std::string text = "walrus service 1\n";
  append_string(text, name);
  for (const auto& founder : founders) {
    append_uvarint(text, founder.id.value);
    append_string(text, founder.address);
  }
  net::Sha256 sum;
  sum.update(text);
  const auto digest = sum.digest();
  return {load_be<std::uint64_t>(digest.data()), load_be<std::uint64_t>(digest.data() + 8)};
}

std::string encode_identity(const Identity& identity) {
  std::string to(1, static_cast<char>(kIdentityVersion));
  append_le(to, identity.cluster.high);
  append_le(to, identity.cluster.low);
  append_uvarint(to, identity.node.value);
  append_uvarint(to, identity.incarnation);
  append_string(to, identity.name);
  return to;
}

Result<Identity> parse_identity(Bytes bytes) {
  Decoder from(bytes);
  const auto version = from.le<std::uint8_t>();
  if (version && *version != kIdentityVersion)
    return fail(Code::kVersion, "service identity of version {}, this node knows {}", *version,
                kIdentityVersion);
  Identity identity;
  identity.cluster.high = from.le<std::uint64_t>().value_or(0);
  identity.cluster.low = from.le<std::uint64_t>().value_or(0);
  identity.node = NodeId{from.uvarint().value_or(0)};
  identity.incarnation = from.uvarint().value_or(0);
  identity.name = from.string().value_or(Bytes{});
  if (!from.ok() || !from.at_end() || identity.node == NodeId{} || identity.incarnation == 0 ||
      identity.name.size() > wire::peer::kServiceNameBytesMax)
    return fail(Code::kCorrupt, "malformed service identity");
  return identity;
}

Result<std::optional<Identity>> load_identity(log::Engine& engine) {
  auto stream = engine.find(kStream);
  if (!stream) {
    if (stream.error().code == Code::kNotFound) return std::nullopt;
    return std::unexpected(std::move(stream).error());
  }
  WALRUS_ASSIGN(auto identity, parse_identity(engine.attributes(*stream)));
  return identity;
}

Result<void> store_identity(log::Engine& engine, const Identity& identity) {
  const auto bytes = encode_identity(identity);
  auto stream = engine.find(kStream);
  if (!stream) {
    WALRUS_ASSIGN(const auto created, engine.create(kStream, {}, log::Engine::Names::kOwn, bytes));
    return engine.wait(created.pending);
  }
  WALRUS_ASSIGN(const auto info, engine.info(*stream));
  WALRUS_ASSIGN(const auto pending, engine.alter(*stream, info.options, bytes));
  return engine.wait(pending);
}

}  // namespace walrus::service
