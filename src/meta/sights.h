#pragma once
// Sights: what the controller has seen of the nodes: who is alive, what appends wait for, which
// copies are being made. Pure: times come in, nothing is asked.
//
// A node is alive when a heartbeat of the life and of the lease epoch that metadata knows came less
// than `silence_max` ago. A controller that has just begun has seen nobody, and nobody is dead for
// that: see ready(). What a node says of its condition is believed for kConditionLasts, and that it
// had a slow copy is remembered for kSlowLasts.

#include <map>
#include <set>
#include <vector>

#include "meta/message.h"

namespace walrus::meta {

constexpr Nanos kConditionLasts = std::chrono::seconds(5), kSlowLasts = std::chrono::minutes(5);

class Sights {
 public:
  Sights(Nanos began, Nanos silence_max) : began_(began), silence_max_(silence_max) {}

  void heard(NodeId, const Heartbeat&, Nanos now);
  // Its connection broke and it does not answer; or it says that it stops. Until it is heard again.
  void gone(NodeId);
  // Everybody was heard of, or the time in which one has to be has passed.
  bool ready(const State&, Nanos now) const;
  // Whether somebody is alive who was not, or the other way round; also what they want and copy.
  // Notes since when it is so: to be called before see(), whenever something may have changed.
  bool look(const State&, Nanos now);
  // All nodes that are not removed, in order.
  std::vector<Sight> see(const State&, Nanos now) const;
  bool alive(NodeId) const;
  bool heard_of(NodeId) const;           // ever
  Nanos since(NodeId, Nanos now) const;  // for how long it has been so

  std::vector<PartitionId> wanted() const;  // by nodes that are alive
  std::vector<Copy> copies() const;         // under way on nodes that are alive

  // How a node is; the newest counts.
  void told(NodeId, Condition, Nanos now);
  Conditions conditions(Nanos now) const;  // of nodes that are not well
  // What of it a plan goes by.
  void observe(Observed&, Nanos now) const;

  std::uint64_t copy_bytes_per_s(Nanos now);

 private:
  struct Seen {
    Nanos heard_at{};
    Heartbeat last{};
    bool gone = false, alive = false;
    std::uint64_t incarnation = 0;  // that `since` is of
    Nanos since{};
  };
  struct Told {
    Nanos at{};
    Condition condition{};
  };
  struct Copied {
    Nanos at{};
    std::uint64_t bytes = 0;
  };

  bool is_alive(const Node&, const Seen&, Nanos now) const;

  const Nanos began_, silence_max_;
  std::map<NodeId, Seen> seen_{};
  std::map<NodeId, Told> told_{};
  std::map<NodeId, Nanos> slow_at_{};  // when it last had a copy that was
  bool changed_ = true;                // what is wanted or copied, or how somebody is
  std::uint64_t copied_ = 0;           // by all, since this began
  std::vector<Copied> rate_{};         // the newest moments, for copy_bytes_per_s()
};

}  // namespace walrus::meta
