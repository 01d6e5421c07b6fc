#pragma once
// RaftTruth: what one sees who sees all nodes at once, and the rules that hold between them. Each
// check_*() is called after every event that may break its rule; the first broken one is kept.
//
//   election safety         a term has at most one leader
//   leader append-only      a leader's log only grows
//   log matching            entries of the same index and term are the same, and so is all before
//   leader completeness     a new leader's log holds every entry committed so far
//   state machine safety    no two nodes commit, or apply, different things at one index
//   monotone commit         within an incarnation, and never below its snapshot
//   durable first           votes, appends and candidacies claim what is on the sender's disk
//   one vote                nobody votes for two candidates of a term
//   commit on a quorum      what is first committed lies on the disks of a quorum
//   snapshot = replay       a snapshot's state and configuration are those of replaying to its
//   index exactly once            an acknowledged command is in the history once stale read no read
//   misses what was known when it was asked for
//
// That the answers are those of one store is checked of the whole history, by linearizable.h.

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "history.h"
#include "raft/core.h"
#include "raft_disk.h"

namespace walrus::sim {

constexpr std::size_t kRaftClientsMax = 8, kRaftKeys = 3;

// A value that no other command writes; 0: none.
struct RaftCommand {
  enum class Kind : std::uint8_t { kPut, kCas, kDelete };
  std::uint32_t client = 0, sequence = 0;
  Kind kind = Kind::kPut;
  std::uint8_t key = 0;
  std::uint32_t expected = 0;  // kCas
  std::uint32_t value() const { return client << 24 | sequence; }
  std::string bytes(std::size_t padding) const;
  static RaftCommand parse(Bytes);
};

// The state machine: a few keys, what clients did last, and a hash of all that was applied.
struct RaftState {
  raft::Index applied = 0;
  std::uint64_t hash = 0;
  std::array<std::uint32_t, kRaftClientsMax> last{};     // sequence by client: the sessions
  std::array<std::uint32_t, kRaftClientsMax> effects{};  // commands that took effect
  std::array<std::uint32_t, kRaftKeys> values{};
  std::uint8_t changed = 0;  // by client, a bit: what its last command was answered

  // True: a command that took effect now, not one that is repeated.
  bool apply(const raft::Entry&);
  std::string bytes(const std::string& salt) const;  // of a snapshot
  static std::optional<RaftState> parse(Bytes);
  bool operator==(const RaftState&) const = default;
};
static_assert(kRaftClientsMax <= 8);

class RaftTruth {
 public:
  // What was seen of a node the last time, for rules about how it moves.
  struct Seen {
    raft::Role role = raft::Role::kFollower;
    raft::Term term = 0;
    raft::Index commit = 0;
    raft::EntryId last{};
    raft::Index membership = 0, base = 0;
  };
  using DiskOf = std::function<const RaftDisk*(NodeId)>;

  const Verdict& violation() const { return violation_; }
  raft::Index committed() const { return committed_.size(); }
  std::size_t member_steps() const { return memberships_.size() - 1; }
  const raft::Membership& membership() const { return memberships_.rbegin()->second; }
  void found(const raft::Membership& founders) { memberships_[0] = founders; }

  void check_core(const raft::Core&, Seen&, const DiskOf&);
  void check_writes(const raft::Core&, const raft::Writes&);
  void check_message(const raft::Core&, const RaftDisk&, const raft::Message&);
  void check_applied(NodeId, const RaftState&);  // after each entry, and after a restore
  void check_snapshot(NodeId, const StoredSnapshot&);
  void check_acknowledged(const RaftCommand&, raft::Index);
  // Where an acknowledged command took effect: at its first copy in the log.
  raft::Index effect_of(const RaftCommand&) const;
  void check_read(raft::Index at_invocation, raft::Index served);
  void fail(std::string rule, std::string detail);

 private:
  struct Known {  // an entry that some log held
    raft::Term term, previous;
    std::uint64_t hash;
  };
  void check_new_leader(const raft::Core&);
  void check_commit(const raft::Core&, raft::Index from, const DiskOf&);
  void check_quorum(const raft::Core&, raft::Index from, const DiskOf&);

  Verdict violation_;
  std::vector<std::pair<raft::Term, NodeId>> leaders_;
  std::map<std::pair<NodeId, raft::Term>, NodeId> votes_;
  std::vector<std::vector<Known>> known_;                        // by index
  std::vector<std::pair<raft::Term, std::uint64_t>> committed_;  // by index - 1: term, hash
  std::map<raft::Index, raft::Membership> memberships_;          // committed, by index
  std::vector<RaftState> states_;  // by index; the one before the first entry
};

}  // namespace walrus::sim
