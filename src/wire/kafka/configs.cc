#include "wire/kafka/configs.h"

#include "wire/kafka/operations.h"

namespace walrus::wire::kafka {

WALRUS_KAFKA_TABLES(DescribeConfigs)
WALRUS_KAFKA_TABLES(AlterConfigs)
WALRUS_KAFKA_TABLES(IncrementalAlterConfigs)

}  // namespace walrus::wire::kafka
