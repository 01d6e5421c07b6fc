#pragma once
// SimNetwork: the links between the nodes of a World, and what can go wrong on them. Connections
// and loops themselves are seen through io/network.h alone.
//
// Node i has the address World::node(i).host(), "10.0.0.<i+1>"; "127.0.0.1", "[::1]" and
// "localhost" are the node itself, "0.0.0.0" and "[::]" all its addresses. A Connection is a byte
// stream: what is lost is sent again and arrives later, in order. Reordering is that of different
// connections. A cut link holds everything back until it is healed. When a process is killed its
// peers get the end of the stream, or a reset if it left something unread; after a power cut they
// hear nothing until they send to the restarted node.

#include <cstdint>
#include <memory>

#include "io/sim/sim_disk.h"

namespace walrus::io {

struct LinkOptions {  // one direction; probabilities are per piece sent
  Nanos delay_min = std::chrono::microseconds(20), delay_max = std::chrono::microseconds(200);
  double loss = 0;  // sent again after retransmit_delay, which doubles with each loss in a row
  Nanos retransmit_delay = std::chrono::milliseconds(200);
  double slow = 0;  // arrives only after another 0..slow_max
  Nanos slow_max = std::chrono::milliseconds(500);
  std::int64_t bytes_per_s = 0;  // of each connection; 0: no limit
  double reset = 0;              // the connection is reset at both ends
  double duplicate = 0;          // per connect: the listener accepts a second one, reset soon after
  double partial_read = 0;       // per read: returns a random part of what is there
};

class SimNetworkState;

class SimNetwork {
 public:
  SimNetwork(std::unique_ptr<SimNetworkState>, int nodes);
  ~SimNetwork();
  LinkOptions& link(int from, int to);     // may be changed at any time; from == to: loopback
  void set_all_links(const LinkOptions&);  // loopback too
  void cut(int from, int to);              // one way
  void heal(int from, int to);
  void isolate(int node);  // both ways, from and to all others
  void heal_all();
  void reset_connections(int a, int b);  // all between the two
  void half_open(int a, int b);          // at b all connections with a end without a word to a
  double& accept_busy();                 // probability per accept: EMFILE, kBusy
  std::int64_t connections() const;      // established and not yet gone at both ends
  // loss, slow, reset, duplicate, partial_read, held (by a cut), half_open, refused, accept_busy.
  const FaultHits& hits() const;

  SimNetworkState& state() { return *state_; }

 private:
  const std::unique_ptr<SimNetworkState> state_;
  const int nodes_;
};

}  // namespace walrus::io
