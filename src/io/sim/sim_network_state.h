#pragma once
// The inside of a SimNetwork: channels (both ends and both directions of a connection), the pieces
// that travel on them, and who listens where.

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/address.h"
#include "io/network.h"
#include "io/sim/sim_network.h"
#include "io/sim/sim_random.h"
#include "io/sim/world_state.h"

namespace walrus::io {

struct SimChannel;
struct SimListenerState;
using SimChannelRef = std::shared_ptr<SimChannel>;
using SimListenerRef = std::shared_ptr<SimListenerState>;

struct SimPiece {
  enum class Kind : std::uint64_t { kSyn, kSynAck, kData, kEnd, kReset, kAck };
  Kind kind;
  std::string bytes{};            // of kData
  std::int64_t acknowledged = 0;  // of kAck: bytes that the reader took
  Nanos arrival{};
};

// One side of a connection. Side 0 connected, side 1 accepted.
struct SimEnd {
  int node;
  IncarnationRef life{};  // of the accepting side: null until a listener took it
  Address address{};
  std::unique_ptr<Gate> reading{}, writing{};  // of the owner's loop; null until accepted
  std::deque<std::string> received{};
  std::size_t received_skip = 0;  // taken already from the first of them
  std::int64_t unacknowledged = 0;
  std::int64_t in_flight = 0, written = 0;
  bool established = false;
  bool ended = false;  // its own sending, by shutdown_write or close
  bool peer_ended = false;
  bool closed = false;  // by its owner
  bool reset = false;   // by the peer or the network
  bool dead = false;    // its process is

  bool finished() const { return closed || reset || dead; }
  void open_gates();
};

struct SimChannel {
  struct Direction {
    std::deque<SimPiece> pieces{};
    Nanos last_arrival{};
    Nanos sent_by{};  // where the link's bandwidth is limited
    bool scheduled = false, held = false;
  };
  std::uint64_t id;
  std::array<SimEnd, 2> ends;
  std::array<Direction, 2> directions{};  // [0] from side 0 to side 1
};

struct SimListenerState {
  IncarnationRef life;
  Address address;
  std::unique_ptr<Gate> arrived;
  std::deque<SimChannelRef> backlog{};
  bool closed = false;
};

class SimNetworkState {
 public:
  static constexpr std::int64_t kWindowBytes = 256 << 10;  // sent and not yet read
  static constexpr std::size_t kBacklogMax = 4096;

  explicit SimNetworkState(WorldState&);

  // Used by the nodes.
  // Sends the SYN. Null: nothing can be at that address.
  SimChannelRef connect(const IncarnationRef& from, const Address& to);
  void send(const SimChannelRef&, int side, SimPiece);
  void close(const SimChannelRef&, int side);
  Result<void> listen(const SimListenerRef&);  // sets the port when it was 0; kExists, kIo
  void close(const SimListenerRef&);
  void node_died(int node, CrashKind);
  void node_started(int node);

  // Used by the tests.
  struct Link {
    LinkOptions options;
    bool cut = false;
  };
  Link& link(int from, int to);
  void release(int from, int to);              // what was held back
  void reset(const SimChannelRef&, int side);  // of that end, at once
  std::vector<SimChannelRef> channels_between(int a, int b) const;

  bool chance(const char* family, double probability);
  std::map<std::uint64_t, SimChannelRef> channels;
  SimRandom random;
  FaultHits hits;
  double accept_busy = 0;

 private:
  void schedule(const SimChannelRef&, int side, Nanos time);
  void pump(const SimChannelRef&, int side);
  void deliver(const SimChannelRef&, int side, SimPiece);
  void accept(const SimChannelRef&);  // a SYN arrived
  SimListenerRef listener_for(int node, const Address&) const;
  void forget_if_finished(const SimChannelRef&);
  std::uint16_t free_port(int node);

  WorldState& world_;
  std::map<std::pair<int, int>, Link> links_;
  std::vector<SimListenerRef> listeners_;
  std::map<int, std::uint16_t> last_port_;
  std::map<int, bool> powered_off_;
  std::uint64_t last_id_ = 0;
};

}  // namespace walrus::io
