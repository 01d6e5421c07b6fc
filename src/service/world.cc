#include "service/world.h"

#include "base/check.h"

namespace walrus {
namespace {

constexpr int kNodesMax = 64;
constexpr int kPort = 9093;

}  // namespace

std::vector<ServiceOptions> founders_of(Bytes name, const std::vector<Peer>& founders,
                                        const std::filesystem::path& root) {
  std::vector<ServiceOptions> all;
  for (const auto& founder : founders)
    all.push_back({.name = std::string(name),
                   .id = founder.id,
                   .data_dir = root / std::to_string(founder.id.value),
                   .listen = founder.address,
                   .founders = founders});
  return all;
}

World World::simulated(std::uint64_t seed, int nodes) {
  CHECK(nodes >= 1 && nodes <= kNodesMax);
  auto impl = std::make_unique<Impl>();
  impl->nodes = nodes;
  // One more for those who are no members.
  impl->simulated = std::make_unique<io::World>(seed, io::WorldOptions{.nodes = nodes + 1});
  return World(std::move(impl));
}

World World::in_process(int nodes) {
  CHECK(nodes >= 1 && nodes <= kNodesMax);
  auto impl = std::make_unique<Impl>();
  impl->nodes = nodes;
  // Of 127.0.0.0/8, which is all loopback: drawn, so that tests beside this one have others.
  const auto drawn = io::real_env().random();
  impl->host = fmt::format("127.{}.{}.", 1 + drawn % 254, 1 + (drawn >> 8) % 254);
  return World(std::move(impl));
}

World::World(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
World::World(World&&) noexcept = default;
World& World::operator=(World&&) noexcept = default;
World::~World() = default;

io::Env& World::Impl::env(NodeId id) {
  if (!simulated) return io::real_env();
  if (id == NodeId{}) return simulated->node(nodes).env();
  auto& node = this->node(id);
  return node.crashed() ? node.restart() : node.env();
}

std::vector<Peer> World::peers(int count) const {
  CHECK(count <= impl_->nodes);
  std::vector<Peer> all;
  for (int i = 1; i <= count; ++i) {
    auto host = impl_->simulated ? impl_->simulated->node(i - 1).host()
                                 : fmt::format("{}{}", impl_->host, i);
    all.push_back({NodeId{static_cast<std::uint64_t>(i)}, fmt::format("{}:{}", host, kPort)});
  }
  return all;
}

Deadline World::within(Millis time) const {
  const auto now = impl_->simulated ? impl_->simulated->now() : io::real_env().mono();
  return Deadline(now + time);
}

Result<Session> World::connect(std::span<const std::string> addresses, Deadline deadline) {
  return service::connect(impl_->env(NodeId{}), {addresses.begin(), addresses.end()}, std::nullopt,
                          std::nullopt, deadline);
}

void World::run_for(Millis time) {
  if (impl_->simulated) return impl_->simulated->run_for(time);
  Event never;
  io::real_env().wait(never, time);
}

void World::crash(NodeId id, Crash how) {
  if (!impl_->simulated || !impl_->has(id)) return;
  impl_->node(id).crash(how == Crash::kKill ? io::CrashKind::kKill : io::CrashKind::kPowerCut);
}

void World::pause(NodeId id, Millis time) {
  if (impl_->simulated && impl_->has(id)) impl_->node(id).pause(time);
}

void World::cut(NodeId from, NodeId to) {
  if (!impl_->simulated || !impl_->has(from) || !impl_->has(to)) return;
  impl_->simulated->network().cut(static_cast<int>(from.value) - 1, static_cast<int>(to.value) - 1);
}

void World::isolate(NodeId id) {
  if (impl_->simulated && impl_->has(id))
    impl_->simulated->network().isolate(static_cast<int>(id.value) - 1);
}

void World::heal() {
  if (impl_->simulated) impl_->simulated->network().heal_all();
}

void World::lose(double probability) {
  if (impl_->simulated) impl_->simulated->network().set_all_links({.loss = probability});
}

void World::jump_clock(NodeId id, Millis by) {
  if (impl_->simulated && impl_->has(id)) impl_->node(id).jump_wall_clock(by);
}

std::uint64_t World::seed() const { return impl_->simulated ? impl_->simulated->seed() : 0; }

std::uint64_t World::trace_hash() const {
  return impl_->simulated ? impl_->simulated->trace_hash() : 0;
}

}  // namespace walrus
