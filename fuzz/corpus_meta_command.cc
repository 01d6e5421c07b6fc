// Writes fuzz/corpus/meta_command: corpus_meta_command DIRECTORY.

#include <fmt/format.h>

#include "corpus.h"
#include "meta_form.h"

using namespace walrus;
using namespace walrus::meta;

namespace {

// One of each kind that is done in the state of meta_form.h, and one that is refused.
std::vector<Change> changes() {
  auto state = fuzz::meta_state();
  auto node = [&](std::uint64_t id) { return state.nodes.find(NodeId{id})->version; };
  auto topic = fuzz::meta_uuid('t');
  auto topic_version = state.topics.find(topic)->version;
  PartitionId open{topic, 0}, sealing{topic, 1};
  const auto& partition = *state.partitions.find(open);
  const auto& recovery = *state.partitions.find(sealing);
  Placement place{NodeId{2}, {NodeId{2}, NodeId{3}}};
  return {
      RaiseLevel{state.cluster.version, kFeatureLevel + 1},
      ConfigureCluster{state.cluster.version, {{"a", "b"}}, {"c"}},
      RegisterNode{.node = NodeId{4},
                   .directory = fuzz::meta_uuid('4'),
                   .incarnation = 9,
                   .listeners = {{"peer", "x:1"}, {"kafka", "x:2"}},
                   .rack = "r"},
      RegisterNode{.node = NodeId{1},
                   .expected = node(1),
                   .directory = fuzz::meta_uuid('1'),
                   .incarnation = 9,
                   .claimed = {1}},
      SetNodeState{NodeId{1}, node(1), NodeState::kDraining, false},
      SetNodeState{NodeId{2}, node(2), NodeState::kRemoved, true},
      ReplaceNode{NodeId{1}, node(1), NodeId{2}, node(2)},
      ExpireLease{NodeId{3}, node(3)},
      CreateTopic{fuzz::meta_uuid('n'), "new", true, 3, 2, 1, {{"k", "v"}}, {place}},
      DeleteTopic{topic, topic_version},
      AlterTopic{topic, topic_version, {{"a", "b"}}, {"k"}, 2, 1},
      AddPartitions{topic, topic_version, 4, {place}},
      OpenSegment{open, partition.version, place},
      BeginSeal{open, partition.version, NodeId{3}},
      Seal{
          open, partition.version, partition.tail->id, partition.epoch, Offset{300}, 77, {}, place},
      Seal{sealing,
           recovery.version,
           recovery.tail->id,
           recovery.epoch,
           Offset{5},
           77,
           AcceptedLoss{Offset{9}, "op"},
           {}},
      SetLogStart{open, partition.version, Offset{150}},
      MoveCopies{open, partition.version, {{SegmentId{1}, {}, {NodeId{1}}}}},
      SetUser{"v", {}, state.users.find(std::string("u"))->credentials},
      TakeProducerIds{0, 100},
      BeginCompaction{open, partition.version, SegmentId{1}, NodeId{1}},
      HoldCompacted{open, partition.version, SegmentId{9}, NodeId{1}, 70},
      EndCompaction{open, partition.version, Offset{50}},
  };
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  Command all{.time = Time(Millis(1'700'000'000'000))};
  int number = 0;
  for (auto& change : changes()) {
    auto bytes = encode({.time = all.time, .changes = {change}});
    corpus.add(fmt::format("change_{:02}", number), bytes);
    corpus.add(fmt::format("change_{:02}_cut", number), bytes.substr(0, bytes.size() - 1));
    bytes[bytes.size() / 2] ^= 0x41;
    corpus.add(fmt::format("change_{:02}_bad", number++), bytes);
    all.changes.push_back(change);
  }
  corpus.add("all", encode(all));
  corpus.add("found", encode({.changes = {Found{fuzz::meta_uuid('c'), 1, "s"}}}));
  corpus.add("reply", encode_reply({{Refusal::kMismatch, {7}, 9}, {}}));
  corpus.add("nothing", encode(Command{}));
  return 0;
}
