#include "wire/kafka/groups.h"

#include "wire/kafka/operations.h"

namespace walrus::wire::kafka {

WALRUS_KAFKA_TABLES(OffsetCommit)
WALRUS_KAFKA_TABLES(OffsetFetch)
WALRUS_KAFKA_TABLES(FindCoordinator)
WALRUS_KAFKA_TABLES(JoinGroup)
WALRUS_KAFKA_TABLES(Heartbeat)
WALRUS_KAFKA_TABLES(LeaveGroup)
WALRUS_KAFKA_TABLES(SyncGroup)
WALRUS_KAFKA_TABLES(DescribeGroups)
WALRUS_KAFKA_TABLES(ListGroups)
WALRUS_KAFKA_TABLES(DeleteGroups)
WALRUS_KAFKA_TABLES(OffsetDelete)

}  // namespace walrus::wire::kafka
