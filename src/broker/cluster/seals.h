#pragma once
// Segments that lost their writers, and what an operator may do about those that cannot be sealed
// (R41): look at what survives, and accept that the rest is lost. On the cluster's loop.

#include <string>
#include <vector>

#include "broker/cluster/bridge.h"

namespace walrus::broker {

// Of a partition whose last segment is being sealed, or has no writer who is there to seal it.
struct SealView {
  std::uint32_t partition = 0;
  meta::Segment tail{};
  Result<replica::SealSurvey> survey{};  // an error: why it is not known what survives
};

// Asks the node that seals it.
io::Task<SealView> look_at_seal(std::shared_ptr<Bridge>, std::uint32_t partition,
                                meta::Segment tail);

// What was shown of a segment is accepted; done when it is sealed. kInvalid: it is not as it was
// shown any more, or some of its nodes have not answered: the text says which; kNotFound; kTimeout:
// accepted, and not sealed yet.
io::Task<void> accept_loss(std::shared_ptr<Bridge>, PartitionId, SegmentId, replica::AcceptedEnd);
// The same of whatever survives, without a look at it: Kafka's unclean election. kBusy: it does not
// wait for anybody's word.
io::Task<void> accept_any_loss(std::shared_ptr<Bridge>, PartitionId, std::string by);

}  // namespace walrus::broker
