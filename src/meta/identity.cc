#include "meta/identity.h"

#include <algorithm>

#include "base/versioned.h"
#include "meta/fields.h"
#include "net/who_is.h"

namespace walrus::meta {

template <>
struct Range<Begins> {
  static constexpr auto first = Begins::kNot, last = Begins::kAnew;
};

namespace {

constexpr std::uint8_t kIdentityVersion = 1;
constexpr Bytes kStream = "__cluster";
constexpr std::uint64_t kClockMax = 0x8000'0000;  // a clock that is further is not believed
constexpr io::Nanos kAskTimeout = std::chrono::seconds(2),
                    kAskAgain = std::chrono::milliseconds(200);

Uuid draw_uuid(io::Env& env) {
  Uuid uuid;
  store_le(uuid.bytes.data(), env.random());
  store_le(uuid.bytes.data() + 8, env.random());
  return uuid;
}

// The least incarnation of this second. The high half of an incarnation counts, and is a time where
// a clock is right: so a process that was started on an old copy of a directory, or on a new one,
// which does not know how far it was counted, comes above as well.
std::uint64_t clock_of(io::Env& env) {
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(env.wall().time_since_epoch()).count();
  return std::min(static_cast<std::uint64_t>(std::max<std::int64_t>(seconds, 1)), kClockMax) << 32;
}

Result<void> check_node(NodeId node) {
  if (node != NodeId{} && !net::is_guest(node)) return {};
  return fail(Code::kInvalid, "{} is no id of a node", node.value);
}

}  // namespace

net::ClusterId cluster_id_of(const Uuid& id) {
  return {load_be<std::uint64_t>(id.bytes.data()), load_be<std::uint64_t>(id.bytes.data() + 8)};
}

Uuid uuid_of_cluster(const net::ClusterId& id) {
  Uuid uuid;
  store_be(uuid.bytes.data(), id.high);
  store_be(uuid.bytes.data() + 8, id.low);
  return uuid;
}

Uuid next_era(const Uuid& cluster) {
  auto id = cluster_id_of(cluster);
  ++id.low;
  return uuid_of_cluster(id);
}

bool is_later_era(const Uuid& cluster, const Uuid& other) {
  const auto was = cluster_id_of(cluster), is = cluster_id_of(other);
  return is.high == was.high && is.low - was.low - 1 < kRecoveriesMax;
}

net::Identity Identity::peer() const { return {cluster_id_of(cluster), node, {incarnation()}}; }

std::string encode(const Identity& identity) {
  std::string to(1, static_cast<char>(kIdentityVersion));
  put(to, identity.begins);
  put(to, identity.cluster);
  put(to, identity.node.value);
  put(to, identity.directory);
  put(to, identity.confirmed);
  put(to, identity.floor);
  put(to, identity.claimed);
  return to;
}

Result<Identity> parse_identity(Bytes bytes) {
  WALRUS_ASSIGN(const auto opened,
                open_versioned(bytes, kIdentityVersion, "identity of a cluster's node"));
  FieldReader from(opened.rest());
  Identity identity;
  from.get(identity.begins);
  from.get(identity.cluster);
  from.get(identity.node.value);
  from.get(identity.directory);
  from.get(identity.confirmed);
  from.get(identity.floor);
  from.get(identity.claimed);
  auto least = identity.confirmed;
  bool rising = true;
  for (const auto one : identity.claimed) rising &= one > std::exchange(least, one);
  if (!from.whole() || !rising || identity.claimed.size() > kClaimsMax ||
      identity.cluster.is_zero() || identity.directory.is_zero() || !check_node(identity.node))
    return fail(Code::kCorrupt, "malformed identity of a cluster's node");
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

Result<log::Pending> write_identity(log::Engine& engine, const Identity& identity) {
  const auto bytes = encode(identity);
  auto stream = engine.find(kStream);
  if (!stream) {
    WALRUS_ASSIGN(const auto created, engine.create(kStream, {}, log::Engine::Names::kOwn, bytes));
    return created.pending;
  }
  WALRUS_ASSIGN(const auto info, engine.info(*stream));
  return engine.alter(*stream, info.options, bytes);
}

Result<void> store_identity(log::Engine& engine, const Identity& identity) {
  WALRUS_ASSIGN(const auto pending, write_identity(engine, identity));
  return engine.wait(pending);
}

Result<Identity> found_cluster(io::Env& env, log::Engine& engine, NodeId node) {
  WALRUS_TRY(check_node(node));
  WALRUS_ASSIGN(const auto there, load_identity(engine));
  if (there)
    return fail(Code::kExists, "the directory is of node {} of cluster {} already",
                there->node.value, to_string(there->cluster));
  const Identity identity{.cluster = draw_uuid(env),
                          .node = node,
                          .directory = draw_uuid(env),
                          .begins = Begins::kFounds};
  WALRUS_TRY(store_identity(engine, identity));
  return identity;
}

io::Task<Identity> find_cluster(io::Env& env, io::Loop& loop, net::Transport& transport,
                                log::Engine& engine, NodeId node,
                                std::vector<std::string> addresses, io::Nanos timeout) {
  WALRUS_CO_TRY(check_node(node));
  WALRUS_CO_ASSIGN(auto there, load_identity(engine));
  if (there && there->node != node)
    co_return fail(Code::kExists, "the directory is of node {}, not {}", there->node.value,
                   node.value);
  if (there) co_return *std::move(there);
  const auto deadline = env.mono() + timeout;
  std::string last = "no address is given";
  while (env.mono() < deadline) {
    for (const auto& address : addresses) {
      const auto now = clock_of(env);
      auto found = co_await net::who_is(env, loop, transport, address, {{}, node, {now}},
                                        std::min(kAskTimeout, deadline - env.mono()));
      if (!found) {
        last = address + ": " + found.error().message;
        if (found.error().code == Code::kExists) co_return std::unexpected(found.error());
        continue;
      }
      if (found->node == node)
        co_return fail(Code::kExists, "{}: node {} is there already", address, node.value);
      const Identity identity{
          .cluster = uuid_of_cluster(found->cluster), .node = node, .directory = draw_uuid(env)};
      WALRUS_CO_TRY(store_identity(engine, identity));
      co_return identity;
    }
    co_await loop.sleep(kAskAgain);
  }
  co_return fail(Code::kTimeout, "no node of the cluster was reached: {}", last);
}

Result<Identity> claim(io::Env& env, log::Engine& engine, Identity identity) {
  const auto known = std::max(identity.incarnation(), identity.floor);
  const auto high = std::max((known >> 32) + 1, clock_of(env) >> 32);
  if (high > 0xffff'ffff)
    return fail(Code::kOutOfRange, "node {} has had all lives that it may have",
                identity.node.value);
  identity.claimed.push_back(high << 32 | (env.random() & 0xffff'ffff));
  if (identity.claimed.size() > kClaimsMax) identity.claimed.erase(identity.claimed.begin());
  WALRUS_TRY(store_identity(engine, identity));
  return identity;
}

void confirm(Identity& identity) {
  identity.confirmed = identity.incarnation();
  identity.claimed.clear();
}

}  // namespace walrus::meta
