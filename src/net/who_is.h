#pragma once
// who_is: which node of which cluster is at an address. For clients and newcomers, who know an
// address alone; an Rpc needs both.

#include "net/frame.h"
#include "net/transport.h"

namespace walrus::net {

struct Found {
  ClusterId cluster{};
  NodeId node{};  // as it says, and as its certificate does where the transport proves it
};

// Asks with a greeting of no cluster, whose refusal names the right one, and again with that.
// `self` is who asks. kCorrupt: what is there does not speak the peer protocol; kMismatch: it is
// another node than its certificate says; kTimeout, and what connecting gives.
io::Task<Found> who_is(io::Env&, io::Loop&, Transport&, std::string address, Identity self,
                       io::Nanos timeout);

}  // namespace walrus::net
