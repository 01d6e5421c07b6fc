#pragma once
// The state machine of the node world: remembers what it applied, tells the truth about it, and
// fails when it is told to.

#include <functional>
#include <memory>

#include "node_truth.h"
#include "raft/machine.h"

namespace walrus::sim {

class NodeMachine final : public raft::Machine {
 public:
  struct Settings {
    NodeId node{};
    std::size_t padding = 0;     // bytes that a snapshot has besides the state
    std::size_t part_bytes = 0;  // written at once
    // Called before commands are applied: takes its time where others may go on meanwhile.
    std::function<void(bool told_to_fail)> linger{};
  };
  // What outlives a crash of the node's process: whether its present life is over.
  NodeMachine(NodeTruth& truth, const Settings& settings, std::shared_ptr<bool> fails)
      : truth_(truth), settings_(settings), fails_(std::move(fails)) {}

  Result<void> apply(std::span<const raft::Command>, std::vector<std::string>& replies) override;
  Result<std::unique_ptr<raft::Frozen>> freeze() override;
  Result<void> restore(raft::EntryId last, raft::SnapshotSource&) override;

  const NodeMachineState& state() const { return state_; }

 private:
  NodeTruth& truth_;
  const Settings settings_;
  const std::shared_ptr<bool> fails_;  // shared with the run, which sets it
  NodeMachineState state_{};
  raft::Index given_ = 0;  // the last command's place, or the snapshot's
};

}  // namespace walrus::sim
