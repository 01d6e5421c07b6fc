#include "meta/machine.h"

#include "meta/command.h"
#include "meta/snapshot.h"

namespace walrus::meta {
namespace {

constexpr std::size_t kPartBytes = 256 << 10;

class FrozenState final : public raft::Frozen {
 public:
  explicit FrozenState(State image) : stream_(std::move(image)) {}
  Result<bool> write(raft::SnapshotSink& sink) override {
    std::string part;
    if (!stream_.next(part, kPartBytes)) return false;
    WALRUS_TRY(sink.write(part));
    return true;
  }

 private:
  SnapshotStream stream_;
};

}  // namespace

Result<void> Machine::apply(std::span<const raft::Command> commands,
                            std::vector<std::string>& replies) {
  for (const auto& command : commands) replies.push_back(apply_encoded(state_, command.bytes));
  return publish(commands.empty() ? 0 : commands.back().at.index);
}

Result<std::unique_ptr<raft::Frozen>> Machine::freeze() {
  return std::make_unique<FrozenState>(state_);
}

Result<void> Machine::restore(raft::EntryId last, raft::SnapshotSource& source) {
  SnapshotLoader loader;
  std::string part(kPartBytes, '\0');
  while (true) {
    WALRUS_ASSIGN(auto size, source.read(part));
    if (size == 0) break;
    WALRUS_TRY(loader.feed(Bytes(part).substr(0, size)));
  }
  WALRUS_ASSIGN(state_, loader.finish());
  return publish(last.index);
}

// A program that does not know the level would apply commands otherwise than those who do.
Result<void> Machine::publish(std::uint64_t applied) {
  if (state_.cluster.feature_level > feature_level_)
    return fail(Code::kVersion,
                "the cluster is of feature level {}, this program knows {}: start a later one",
                state_.cluster.feature_level, feature_level_);
  publish_({applied, std::make_shared<const State>(state_)});
  return {};
}

}  // namespace walrus::meta
