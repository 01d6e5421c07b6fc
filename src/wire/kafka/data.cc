#include "wire/kafka/data.h"

#include "wire/kafka/operations.h"

namespace walrus::wire::kafka {

WALRUS_KAFKA_TABLES(Produce)
WALRUS_KAFKA_TABLES(Fetch)
WALRUS_KAFKA_TABLES(ListOffsets)
WALRUS_KAFKA_TABLES(DeleteRecords)
WALRUS_KAFKA_TABLES(InitProducerId)
WALRUS_KAFKA_TABLES(OffsetForLeaderEpoch)

}  // namespace walrus::wire::kafka
