#include "node_machine.h"

#include <utility>

#include "base/result.h"

namespace walrus::sim {
namespace {

class FrozenState final : public raft::Frozen {
 public:
  FrozenState(std::string bytes, std::size_t part) : bytes_(std::move(bytes)), part_(part) {}
  Result<bool> write(raft::SnapshotSink& sink) override {
    auto part = Bytes(bytes_).substr(position_, part_);
    WALRUS_TRY(sink.write(part));
    position_ += part.size();
    return position_ < bytes_.size();
  }

 private:
  const std::string bytes_;
  const std::size_t part_;
  std::size_t position_ = 0;
};

}  // namespace

Result<void> NodeMachine::apply(std::span<const raft::Command> commands,
                                std::vector<std::string>& replies) {
  if (settings_.linger) settings_.linger(*fails_);
  for (const auto& command : commands) {
    if (std::exchange(*fails_, false)) return fail(Code::kInvalid, "told to fail");
    auto parsed = NodeCommand::parse(command.bytes);
    if (!parsed) return fail(Code::kCorrupt, "no command");
    replies.push_back(state_.apply(command.at, *parsed));
    truth_.applied(settings_.node, command.at, std::exchange(given_, command.at.index), *parsed,
                   state_);
  }
  return {};
}

Result<std::unique_ptr<raft::Frozen>> NodeMachine::freeze() {
  return std::make_unique<FrozenState>(state_.bytes(settings_.padding), settings_.part_bytes);
}

Result<void> NodeMachine::restore(raft::EntryId last, raft::SnapshotSource& source) {
  std::string bytes;
  for (char part[97];;) {
    WALRUS_ASSIGN(auto size, source.read(part));
    if (size == 0) break;
    bytes.append(part, size);
  }
  auto state = NodeMachineState::parse(bytes);
  if (!state) return fail(Code::kCorrupt, "no state");
  state_ = *std::move(state);
  given_ = last.index;
  truth_.restored(settings_.node, last, state_);
  return {};
}

}  // namespace walrus::sim
