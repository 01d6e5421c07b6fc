#include "client/partitioner.h"

#include <gtest/gtest.h>

namespace walrus::client {
namespace {

// The values of Kafka's own test, org.apache.kafka.common.utils.UtilsTest.testMurmur2.
TEST(Partitioner, hashes_as_kafka_does) {
  auto hash = [](Bytes key) { return static_cast<std::int32_t>(murmur2(key)); };
  EXPECT_EQ(hash("21"), -973932308);
  EXPECT_EQ(hash("foobar"), -790332482);
  EXPECT_EQ(hash("a-little-bit-long-string"), -985981536);
  EXPECT_EQ(hash("a-little-bit-longer-string"), -1486304829);
  EXPECT_EQ(hash("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"), -58897971);
  EXPECT_EQ(hash("abc"), 479470107);
}

TEST(Partitioner, names_an_existing_partition) {
  for (int i = 0; i < 1000; ++i) {
    auto partition = partition_of(std::to_string(i), 7);
    EXPECT_GE(partition, 0);
    EXPECT_LT(partition, 7);
  }
}

}  // namespace
}  // namespace walrus::client
