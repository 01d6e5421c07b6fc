#include "wire/kafka/cluster.h"

#include "wire/kafka/operations.h"

namespace walrus::wire::kafka {

WALRUS_KAFKA_TABLES(Metadata)
WALRUS_KAFKA_TABLES(ApiVersions)
WALRUS_KAFKA_TABLES(DescribeLogDirs)
WALRUS_KAFKA_TABLES(DescribeCluster)
WALRUS_KAFKA_TABLES(DescribeTopicPartitions)

}  // namespace walrus::wire::kafka
