#pragma once
// Consumer groups of Kafka clients, as the native protocol tells of them and changes them. Lives on
// the session's loop; the coordinators are asked on theirs.

#include <memory>
#include <string>
#include <vector>

#include "broker/broker.h"
#include "broker/group/coordinators.h"
#include "wire/native/request.h"

namespace walrus::frontend::native {

struct GroupCall {
  broker::Local& local;
  std::shared_ptr<broker::Coordinators> groups;
};

// JSON: [{name, state, protocol_type}].
io::Task<std::string> list_groups(GroupCall);
// Several of them in one, each group once. kCorrupt: what is none.
Result<std::string> merge_group_lists(const std::vector<std::string>&);
// JSON: {name, state, protocol_type, protocol, members: [{id, instance_id, client_id, client_host,
// partitions: [{topic, partition}]}], offsets: [{topic, partition, offset, log_start,
// high_watermark, lag, metadata}]}. Offsets of topics that are there. kInvalid: the text says why.
io::Task<std::string> describe_group(GroupCall, std::string group);
// All of the offsets or none; durable when it returns. The group need not exist; somebody may not
// be in it.
io::Task<void> set_group(GroupCall, std::string topic, std::vector<wire::native::GroupOffset>,
                         std::string group);
io::Task<void> delete_group(GroupCall, std::string group);  // durable when it returns

}  // namespace walrus::frontend::native
