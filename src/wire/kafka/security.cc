#include "wire/kafka/security.h"

#include "wire/kafka/operations.h"

namespace walrus::wire::kafka {

WALRUS_KAFKA_TABLES(SaslHandshake)
WALRUS_KAFKA_TABLES(SaslAuthenticate)
WALRUS_KAFKA_TABLES(DescribeUserScramCredentials)
WALRUS_KAFKA_TABLES(AlterUserScramCredentials)

}  // namespace walrus::wire::kafka
