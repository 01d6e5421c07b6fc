#pragma once
// Applier: one command being applied. A change is checked whole before anything of it is done.

#include <span>

#include "meta/command.h"

namespace walrus::meta {

class Applier {
 public:
  Applier(State& state, Time time);
  ~Applier();  // what was counted of loads is in the state now
  Applier(const Applier&) = delete;

  Outcome apply(const Change&);

 private:
  // apply.cc
  Outcome change(const Unreadable&);
  Outcome change(const Found&);
  Outcome change(const RaiseLevel&);
  Outcome change(const ConfigureCluster&);
  Outcome change(const SetUser&);
  Outcome change(const TakeProducerIds&);
  Outcome change(const RecoverMetadata&);
  // apply_nodes.cc
  Outcome change(const RegisterNode&);
  Outcome change(const SetNodeState&);
  Outcome change(const ReplaceNode&);
  Outcome change(const ExpireLease&);
  Outcome change(const HandOver&);
  Outcome join(const RegisterNode&);
  void enter(Node&, NodeState);
  void expire_leases();
  // apply_topics.cc
  Outcome change(const CreateTopic&);
  Outcome change(const DeleteTopic&);
  Outcome change(const AlterTopic&);
  Outcome change(const AddPartitions&);
  void add_partitions(const Uuid&, Topic&, std::uint32_t partitions, std::span<const Placement>);
  void bury(const Uuid&, const Topic&);
  // apply_segments.cc
  Outcome change(const OpenSegment&);
  Outcome change(const BeginSeal&);
  Outcome change(const Seal&);
  Outcome change(const SetLogStart&);
  Outcome change(const MoveCopies&);
  Outcome change(const BeginCompaction&);
  Outcome change(const HoldCompacted&);
  Outcome change(const EndCompaction&);
  void take_compacted(Partition&, std::uint64_t bytes);
  Refusal check_place(const Placement&, const Topic&) const;
  Refusal check_seal(const Seal&, const Partition&, const Topic&) const;
  Refusal check_move(const CopyMove&, const Segment&) const;
  Refusal check_moves(const MoveCopies&, const Partition&) const;
  SegmentId open(Partition&, const Placement&, const Topic&);
  void fence_all(NodeId recoverer);
  void trim(Partition&);

  // The loads of what a segment is placed on, more or less.
  void count(const Segment&, bool there);
  Load& load(NodeId);
  Version next_version() { return ++state_.version.value, state_.version; }
  static Outcome refuse(Refusal why, Version version = {}) { return {why, version, 0}; }
  static Outcome done(Version version, std::uint64_t value = 0) {
    return {Refusal::kNone, version, value};
  }
  // What a change names, in the version that it expects; otherwise `refused` says why not.
  template <class Key, class Value>
  const Value* expect(const Map<Key, Value>& map, const auto& key, Version expected) {
    const auto* found = map.find(key);
    refused_ = !found                       ? refuse(Refusal::kNotFound)
               : found->version != expected ? refuse(Refusal::kMismatch, found->version)
                                            : Outcome{};
    return refused_.done() ? found : nullptr;
  }

  State& state_;
  Outcome refused_{};
  std::optional<Loads> loads_{};  // none: as the state has them
};

// What a text from outside may be.
bool valid_settings(const Settings&);
// `settings` with the change done; none: it may not be, or there would be too many.
std::optional<Settings> changed(Settings settings, const Settings& set,
                                const std::vector<std::string>& unset);

}  // namespace walrus::meta
