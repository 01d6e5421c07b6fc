#pragma once
// One random script, done to two groups, and what differs between them afterwards.
//
// Every step has a partition (each side hears itself only, and some nodes are down), then rest: all
// is delivered, and whoever leads sends heartbeats, until nothing more follows; then one action
// with losses of its own, all of its messages delivered or lost; then the next partition. Messages
// go in rounds: what was sent in one arrives in the next, ordered by receiver and sender. So both
// groups meet the same, although they do not say the same.
//
// What is compared, and why it has to be equal, is in docs/kernel.md.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "group.h"
#include "io/sim/sim_random.h"

namespace walrus::oracle {

// What was met, over many scripts: an action that never came to pass compares nothing.
struct Tally {
  std::int64_t steps = 0, elections = 0, refused_elections = 0, commits = 0, unacknowledged = 0;
  std::int64_t truncations = 0, restarts = 0, compactions = 0, transfers = 0, stepped_down = 0;
  std::int64_t old_term_entries = 0;  // on a majority, and not to be committed
};

class Script {
 public:
  Script(std::uint64_t seed, Group& ours, Group& theirs, int nodes, Tally&, bool narrate);
  // What differs, and after which step; none: nothing.
  std::optional<std::string> run(int steps);

 private:
  using Lost = std::function<bool(const Message&)>;

  void each(const std::function<void(Group&)>& what);
  void draw_partition();
  void rest();
  void act();
  void campaign(int node);
  void propose(int node);
  void transfer(int node);
  void step_down(int node);
  void deliver(const Lost& lost = {}, std::uint64_t stripped_term = 0);
  void deliver_in(Group&, const Lost&, std::uint64_t stripped_term);
  void compare(bool rested);
  void compare_node(int node, bool rested);
  void note_changes();
  bool hear(int a, int b) const { return up_[a] && up_[b] && side_[a] == side_[b]; }
  int leader_of(int node);  // of the highest term on its side; 0: nobody
  std::vector<int> up_nodes() const;
  int any(const std::vector<int>& of) { return of[random_.below(of.size())]; }
  void note(std::string line);

  io::SimRandom random_;
  Group &ours_, &theirs_;
  int nodes_;
  Tally& tally_;
  bool narrate_;
  std::vector<char> up_{};  // by node, from 1
  std::vector<int> side_{};
  std::vector<State> before_{};
  std::string last_action_{};
  std::uint64_t commands_ = 0;
  std::optional<std::string> difference_{};
};

}  // namespace walrus::oracle
