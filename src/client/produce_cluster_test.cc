// ProduceCore against servers that are one cluster, in a simulated world.

#include <gtest/gtest.h>

#include <vector>

#include "client/produce_core.h"
#include "server/sim_cluster.h"

namespace walrus::client {
namespace {

using namespace std::chrono_literals;

class ClusterProducers : public testing::TestWithParam<std::uint64_t> {};
INSTANTIATE_TEST_SUITE_P(All, ClusterProducers, testing::Range<std::uint64_t>(1, 4));

struct Pouring {
  std::vector<std::int64_t> ends{};  // of each partition: behind what was acknowledged
  std::int64_t acknowledged = 0, given = 0;
  std::optional<Error> failed{};
  bool ended = false;
};

// A batch of a partition a turn, so that several of each are under way.
boost::asio::awaitable<void> pour(server::TestLoop& loop, std::shared_ptr<ProduceCore> core,
                                  std::shared_ptr<Pouring> pouring) {
  auto started = co_await ProduceCore::start(core);
  if (!started) pouring->failed = started.error();
  while (!pouring->failed && !pouring->ended) {
    std::vector<Record> records(pouring->ends.size() / 2, Record{.value = "x"});
    pouring->given += std::ssize(records);
    core->add(records, [pouring](Result<void> added) {
      if (!added) pouring->failed = added.error();
    });
    co_await loop.loop().sleep(10ms);
  }
}

// Whatever becomes of the leaders: each record once, in order, and no error but what time cures.
TEST_P(ClusterProducers, go_on_while_one_node_after_the_other_is_killed) {
  constexpr std::size_t kPartitions = 60;
  server::SimCluster cluster(GetParam(), 3);
  cluster.start();
  {
    auto maker = cluster.client(1);
    ASSERT_EQ(maker.ask(fmt::format("CREATE t partitions={} replication_factor=3", kPartitions)),
              "OK");
  }
  auto& loop = cluster.loop();
  auto pouring = std::make_shared<Pouring>();
  pouring->ends.resize(kPartitions);
  ProducerOptions options{
      .server = {.address = fmt::format("{},{},{}", cluster.native_address(1),
                                        cluster.native_address(2), cluster.native_address(3))},
      .topic = "t",
      .batch_records_max = 1,
      .linger = Millis(0),
      .retry = Millis(120'000)};
  options.on_acknowledged = [pouring](std::int32_t partition, Offset first, std::int64_t records) {
    auto& end = pouring->ends[static_cast<std::size_t>(partition)];
    EXPECT_EQ(first.value, end) << "partition " << partition;
    end = first.value + records;
    pouring->acknowledged += records;
  };
  auto core = std::make_shared<ProduceCore>(loop.env(), loop.loop(), options);
  loop.loop().spawn(pour(loop, core, pouring));
  auto acknowledges = [&] {
    auto before = pouring->acknowledged;
    return cluster.until([&] {
      return pouring->failed || pouring->acknowledged > before + std::int64_t{4 * kPartitions};
    });
  };
  for (std::size_t turn = 0; turn < 9 && !pouring->failed; ++turn) {
    ASSERT_TRUE(acknowledges());
    auto node = 1 + (GetParam() + turn) % 3;
    cluster.kill(node);
    ASSERT_TRUE(acknowledges()) << "node " << node << " is away";
    cluster.restart(node);
    cluster.await_active(3, node);
  }
  pouring->ended = true;
  EXPECT_TRUE(
      cluster.until([&] { return pouring->failed || pouring->acknowledged == pouring->given; }));
  EXPECT_FALSE(pouring->failed) << pouring->failed->message;
  EXPECT_EQ(pouring->acknowledged, pouring->given);
  core->stop();
  cluster.until([&] { return core.use_count() == 1; }, 5s);
}

}  // namespace
}  // namespace walrus::client
