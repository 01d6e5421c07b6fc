#pragma once
// Fold: the user's state machine behind the session table, as the Machine of a Raft group. What
// every member of a service does with committed commands, and what its snapshots hold.
//
//   snapshot  version u8 = 1 | size of the table u64 little endian | crc-32c of it u32 | session
//             table | the user's bytes, up to the end
//
// A command's reply is a wire::peer::CommandOutcome. What the user's code throws becomes an error,
// as is an entry that is none of ours; after it nothing but the destructor may be called.
//
// Calls come as raft/machine.h says; query() between two of them. What freeze() returns is used on
// another thread meanwhile.

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "raft/machine.h"
#include "service/session_table.h"
#include "walrus/service.h"

namespace walrus::service {

// What others may know of a Fold at any time. Any thread.
struct FoldCounts {
  // Of the last command, or of the snapshot: entries behind it that are no commands do not count.
  std::atomic<std::uint64_t> applied_index{0};
  std::atomic<std::uint64_t> commands{0}, repeats{0}, sessions{0};
};

class Fold final : public raft::Machine {
 public:
  // `reached`: called behind each apply() and restore(), on their thread.
  Fold(std::unique_ptr<StateMachine> user, std::shared_ptr<FoldCounts> counts,
       std::function<void()> reached = {})
      : user_(std::move(user)), counts_(std::move(counts)), on_reached_(std::move(reached)) {}

  Result<void> apply(std::span<const raft::Command>, std::vector<std::string>& replies) override;
  Result<std::unique_ptr<raft::Frozen>> freeze() override;
  Result<void> restore(raft::EntryId last, raft::SnapshotSource&) override;
  Result<std::string> query(Bytes question) const;  // kInvalid: it threw

  const SessionTable& sessions() const { return sessions_; }
  std::uint64_t applied_index() const { return counts_->applied_index; }

 private:
  Result<Outcome> apply_one(const raft::Command&);
  void reached(std::uint64_t index);

  SessionTable sessions_{};
  const std::unique_ptr<StateMachine> user_;
  const std::shared_ptr<FoldCounts> counts_;  // shared with who reads them
  const std::function<void()> on_reached_;
};

}  // namespace walrus::service
