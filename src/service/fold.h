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
// another thread meanwhile. applied_index() and the counts: any thread.

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "raft/machine.h"
#include "service/session_table.h"
#include "walrus/service.h"

namespace walrus::service {

class Fold final : public raft::Machine {
 public:
  // `applied`: called behind each apply() and restore(), on their thread, with the new index.
  explicit Fold(std::unique_ptr<StateMachine> user,
                std::function<void(std::uint64_t index)> applied = {})
      : user_(std::move(user)), applied_(std::move(applied)) {}

  Result<void> apply(std::span<const raft::Command>, std::vector<std::string>& replies) override;
  Result<std::unique_ptr<raft::Frozen>> freeze() override;
  Result<void> restore(raft::EntryId last, raft::SnapshotSource&) override;
  Result<std::string> query(Bytes question) const;  // kInvalid: it threw

  const SessionTable& sessions() const { return sessions_; }
  // Of the last command, or of the snapshot: entries behind it that are no commands do not count.
  std::uint64_t applied_index() const { return index_.load(std::memory_order_acquire); }
  std::uint64_t commands() const { return commands_.load(std::memory_order_relaxed); }
  std::uint64_t repeats() const { return repeats_.load(std::memory_order_relaxed); }
  std::size_t session_count() const { return session_count_.load(std::memory_order_relaxed); }

 private:
  Result<Outcome> apply_one(const raft::Command&);
  void reached(std::uint64_t index);

  SessionTable sessions_{};
  const std::unique_ptr<StateMachine> user_;
  const std::function<void(std::uint64_t)> applied_;
  std::atomic<std::uint64_t> index_{0}, commands_{0}, repeats_{0};
  std::atomic<std::size_t> session_count_{0};
};

}  // namespace walrus::service
