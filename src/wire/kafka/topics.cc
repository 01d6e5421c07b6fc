#include "wire/kafka/topics.h"

#include "wire/kafka/operations.h"

namespace walrus::wire::kafka {

WALRUS_KAFKA_TABLES(CreateTopics)
WALRUS_KAFKA_TABLES(DeleteTopics)
WALRUS_KAFKA_TABLES(CreatePartitions)
WALRUS_KAFKA_TABLES(ElectLeaders)
WALRUS_KAFKA_TABLES(AlterPartitionReassignments)
WALRUS_KAFKA_TABLES(ListPartitionReassignments)

}  // namespace walrus::wire::kafka
