// What the metadata of a large cluster costs: memory, snapshot, commands, images, plans. Prints one
// line each; docs/cluster.md has the figures.
//
//   walrus_bench_meta [PARTITIONS 10000] [SEGMENTS 100]

#include <fmt/format.h>
#include <malloc.h>

#include <chrono>
#include <cstdlib>
#include <ctime>

#include "base/check.h"
#include "base/coding.h"
#include "meta/planner.h"
#include "meta/snapshot.h"

using namespace walrus;
using namespace walrus::meta;

namespace {

constexpr std::uint64_t kNodes = 10;
constexpr std::uint32_t kTopicPartitions = 1'000;

// Of this thread's processor: nothing here waits.
double seconds(const auto& what) {
  auto begin = std::clock();
  what();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

double heap_mib() { return static_cast<double>(mallinfo2().uordblks) / (1 << 20); }

Uuid uuid_of(std::uint32_t number) {
  Uuid uuid;
  for (std::size_t i = 0; i < 4; ++i)
    store_le(uuid.bytes.data() + 4 * i, (number + 1) * 2'654'435'761u);
  return uuid;
}

Placement place_of(std::uint32_t partition, std::uint32_t segment) {
  Placement place;
  for (std::uint32_t i = 0; i < 3; ++i)
    place.replicas.push_back(NodeId{1 + (partition + segment + i * 3) % kNodes});
  place.leader = place.replicas.front();
  return place;
}

void must(State& state, Change change) {
  CHECK(apply(state, {.changes = {std::move(change)}}).at(0).done());
}

Seal seal_of(const State& state, const PartitionId& id, std::uint32_t number,
             std::uint32_t segment) {
  const auto& partition = *state.partitions.find(id);
  return {.partition = id,
          .expected = partition.version,
          .segment = partition.tail->id,
          .epoch = partition.tail->epoch,
          .end = Offset{partition.sealed_end.value + 1'000'000},
          .bytes = 1'000'000'000 + number,
          .next = place_of(number, segment)};
}

PartitionId partition_of(std::uint32_t number) {
  return {uuid_of(number / kTopicPartitions), number % kTopicPartitions};
}

State found(std::uint32_t partitions) {
  State state;
  must(state, Found{uuid_of(1'000'000), kFeatureLevel, "secret"});
  for (std::uint64_t id = 1; id <= kNodes; ++id) {
    must(state, RegisterNode{.node = NodeId{id},
                             .directory = uuid_of(static_cast<std::uint32_t>(2'000'000 + id)),
                             .incarnation = 1});
    must(state, SetNodeState{NodeId{id}, state.version, NodeState::kActive, false});
  }
  for (std::uint32_t first = 0; first < partitions; first += kTopicPartitions) {
    auto count = std::min(kTopicPartitions, partitions - first);
    CreateTopic create{.topic = uuid_of(first / kTopicPartitions),
                       .name = fmt::format("topic{}", first),
                       .partitions = count,
                       .replication_factor = 3,
                       .min_copies = 2};
    for (std::uint32_t i = 0; i < count; ++i) create.first.push_back(place_of(first + i, 0));
    must(state, std::move(create));
  }
  return state;
}

void measure_commands(const State& state, std::uint32_t partitions, std::uint32_t segments) {
  auto at_once = std::min<std::uint32_t>(partitions, 1'000);
  auto other = state;
  std::vector<std::string> bytes;
  for (std::uint32_t i = 0; i < at_once; ++i)
    bytes.push_back(encode({.changes = {seal_of(other, partition_of(i), i, segments + 1)}}));
  auto alone = seconds([&] {
    for (const auto& one : bytes) apply_encoded(other, one);
  });
  fmt::print("one seal that opens the next, a command each: {:.1f} us\n", alone / at_once * 1e6);
  Command failover;
  for (std::uint32_t i = 0; i < at_once; ++i) {
    auto id = partition_of(partitions - 1 - i);
    failover.changes.push_back(BeginSeal{id, other.partitions.find(id)->version, NodeId{2}});
  }
  auto encoded = encode(failover);
  auto batch = seconds([&] { apply_encoded(other, encoded); });
  fmt::print("failover of {} partitions, one command of {} KiB: {:.2f} ms\n", at_once,
             encoded.size() >> 10, batch * 1e3);
  auto changed = seconds([&] { CHECK(!state.changes_since(state.version).whole); });
  std::size_t found = 0;
  auto feed = seconds([&] { found = other.changes_since(state.version).partitions.size(); });
  fmt::print("changes since: none {:.2f} us, {} partitions {:.0f} us\n", changed * 1e6, found,
             feed * 1e6);
}

void measure_plan(const State& state) {
  Observed observed;
  for (std::uint64_t id = 1; id <= kNodes; ++id)
    observed.nodes.push_back({NodeId{id}, true, 1, std::chrono::hours(1)});
  Planner planner;
  Plan plan;
  auto calm = seconds([&] { plan = planner.plan(state, observed); });
  fmt::print("plan, all well: {:.2f} ms, {} changes\n", calm * 1e3, plan.changes.size());
  observed.nodes[2].alive = false;
  auto dead = seconds([&] { plan = planner.plan(state, observed); });
  fmt::print("plan, a node has died: {:.2f} ms, {} changes\n", dead * 1e3, plan.changes.size());
}

}  // namespace

int main(int count, char** arguments) {
  auto partitions = static_cast<std::uint32_t>(count > 1 ? std::atoi(arguments[1]) : 10'000);
  auto segments = static_cast<std::uint32_t>(count > 2 ? std::atoi(arguments[2]) : 100);
  auto before = heap_mib();
  auto state = found(partitions);
  fmt::print("{} partitions with an open segment: {:.1f} MiB\n", partitions, heap_mib() - before);
  auto build = seconds([&] {
    for (std::uint32_t segment = 1; segment <= segments; ++segment)
      for (std::uint32_t i = 0; i < partitions; ++i)
        must(state, seal_of(state, partition_of(i), i, segment));
  });
  auto entries = static_cast<double>(partitions) * segments;
  fmt::print("and {} sealed ones each: {:.1f} MiB, {:.1f} us a seal\n", segments,
             heap_mib() - before, build / entries * 1e6);
  std::string bytes;
  auto write = seconds([&] {
    SnapshotStream stream(state);
    while (stream.next(bytes, 256 << 10)) {
    }
  });
  State restored;
  auto read = seconds([&] {
    SnapshotLoader loader;
    CHECK(loader.feed(bytes).has_value());
    restored = loader.finish().value();
  });
  fmt::print("snapshot: {:.1f} MiB, written in {:.0f} ms, restored in {:.0f} ms\n",
             static_cast<double>(bytes.size()) / (1 << 20), write * 1e3, read * 1e3);
  constexpr int kCopies = 100'000;
  auto copy = seconds([&] {
    for (int i = 0; i < kCopies; ++i) restored = state;
  });
  fmt::print("copy of the image: {:.0f} ns\n", copy / kCopies * 1e9);
  measure_commands(state, partitions, segments);
  measure_plan(state);
  return 0;
}
