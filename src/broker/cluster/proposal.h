#pragma once
// Changes of metadata that are made of what it says: proposed again, of the newest state, where
// others were faster or it is not known what became of them.

#include <functional>
#include <vector>

#include "broker/cluster/bridge.h"

namespace walrus::broker {

// What is to be proposed of this state; nothing: it is done already.
using ChangePlan = std::function<Result<std::vector<meta::Change>>(const meta::State&)>;

// What the changes issued, once all of them are done and this node has learned it; empty: there was
// nothing to do (any more). The error of `plan` ends it. kBusy, kTimeout: not within the time;
// kTimeout also: perhaps. On the cluster's loop.
io::Task<std::vector<std::uint64_t>> decide(std::shared_ptr<Bridge>, ChangePlan plan,
                                            io::Nanos timeout);

}  // namespace walrus::broker
