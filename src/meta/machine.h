#pragma once
// Machine: a State as what the log of the metadata group is folded into. Its commands are those of
// command.h, its replies encode_reply()'s.
//
// After each batch of commands, and after a snapshot was restored, the image is published, on the
// thread that applies: with the index up to which it holds the log, so that who waited for a
// linearizable read takes one that is at least as new (R34).

#include <functional>
#include <memory>

#include "meta/state.h"
#include "raft/machine.h"

namespace walrus::meta {

struct Image {
  std::uint64_t applied = 0;  // index of the log's last entry that is in it
  std::shared_ptr<const State> state{};
};

class Machine final : public raft::Machine {
 public:
  using Publish = std::function<void(Image)>;
  // `feature_level`: that the program knows; another one in tests.
  explicit Machine(Publish publish, std::uint32_t feature_level = kFeatureLevel)
      : publish_(std::move(publish)), feature_level_(feature_level) {}

  // kVersion: the cluster's feature level is above this program's. It cannot go on.
  Result<void> apply(std::span<const raft::Command>, std::vector<std::string>& replies) override;
  Result<std::unique_ptr<raft::Frozen>> freeze() override;
  // kCorrupt, kVersion: not a snapshot of metadata, or of a higher feature level.
  Result<void> restore(raft::EntryId last, raft::SnapshotSource&) override;

 private:
  Result<void> publish(std::uint64_t applied);

  State state_{};
  const Publish publish_;
  const std::uint32_t feature_level_;
};

}  // namespace walrus::meta
