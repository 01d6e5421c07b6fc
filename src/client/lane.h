#pragma once
// What walrus/lane.h offers, over an Env of the caller's choice; the public face takes the real
// one.

#include "io/env.h"
#include "walrus/lane.h"

namespace walrus::client {

Result<LaneSent> send_lane(io::Env&, const std::filesystem::path& file, Bytes name,
                           const LaneOptions&);
Result<LaneReceiver> start_lane_receiver(io::Env&, const LaneReceiverOptions&);

}  // namespace walrus::client
