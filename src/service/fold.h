#pragma once
// Fold: the user's state machine behind the session table, as a function of the log. What every
// member of a service does with committed entries, and what its snapshots hold.
//
//   snapshot  version u8 = 1 | size of the table u64 little endian | crc-32c of it u32 | session
//             table | the user's bytes, up to the end
//
// Not thread-safe, but what freeze() returns is used on another thread meanwhile. The user's code is
// not trusted to return: it runs here, on whatever thread calls. What it throws becomes an error.
// After an error of apply() or restore() the state is not what the log says, and nothing but the
// destructor may be called.

#include <memory>
#include <string>

#include "service/session_table.h"
#include "walrus/service.h"

namespace walrus::service {

// The state after some entry, frozen.
class Frozen {
 public:
  Frozen(SessionTable table, std::unique_ptr<Snapshot> user)
      : table_(std::move(table)), user_(std::move(user)) {}
  Result<void> write(SnapshotWriter&) const;

 private:
  const SessionTable table_;
  const std::unique_ptr<Snapshot> user_;
};

class Fold {
 public:
  explicit Fold(std::unique_ptr<StateMachine> user) : user_(std::move(user)) {}

  // A command's entry; indexes rise. An error is the user's, or says that the entry is none of
  // ours, and it is the same on every member: kCorrupt, kVersion, kInvalid (thrown).
  Result<Outcome> apply(std::uint64_t index, std::uint64_t term, Bytes entry);
  Result<std::string> query(Bytes question) const;  // kInvalid: thrown
  Result<std::unique_ptr<Frozen>> freeze() const;   // kInvalid: thrown, or none returned
  Result<void> restore(SnapshotReader&);

  const SessionTable& sessions() const { return sessions_; }

 private:
  SessionTable sessions_{};
  std::unique_ptr<StateMachine> user_;
};

}  // namespace walrus::service
