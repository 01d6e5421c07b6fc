#pragma once
// The JSON replies of the native protocol. STATE and METRICS keep the field names of upstream, of
// which published scripts read some; a single node is its own leader and its only member.

#include <string>

#include "broker/auth/user_table.h"
#include "broker/broker.h"

namespace walrus::frontend::native {

Result<std::string> state_json(const broker::Topic&, std::size_t partition);
std::string metrics_json(broker::Local&, Bytes address);
std::string list_json(const std::vector<broker::TopicSummary>&);
// With what Catalogue::look() says of each of its partitions.
Result<std::string> describe_json(const broker::Topic&,
                                  const std::vector<Result<broker::LogStatus>>&);
std::string config_json(const broker::TopicConfig&);
// Names, and of each credential what it does not matter to tell.
std::string users_json(const broker::UserTable&);

}  // namespace walrus::frontend::native
