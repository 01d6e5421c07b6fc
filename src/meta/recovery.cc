#include "meta/recovery.h"

#include <algorithm>
#include <tuple>

#include "meta/machine.h"
#include "meta/member.h"
#include "meta/voters.h"
#include "raft/survivor.h"

namespace walrus::meta {
namespace {

struct Directory {
  Survey survey{};
  raft::Survivor survivor;
};

// The only one to vote, so that it needs nobody.
bool votes_alone(const raft::Membership& members, NodeId self) {
  return !members.joint && std::ranges::all_of(members.members, [self](const raft::Member& one) {
    return one.voter == (one.id == self);
  });
}

Result<Directory> look_into(log::Engine& engine) {
  WALRUS_ASSIGN(auto identity, load_identity(engine));
  if (!identity) return fail(Code::kNotFound, "the directory is no node's of a cluster");
  auto survivor = raft::Survivor::load(engine, kMetadataGroup);
  if (!survivor && survivor.error().code == Code::kNotFound)
    return fail(Code::kNotFound, "the directory has nothing of the cluster's metadata");
  if (!survivor) return std::unexpected(std::move(survivor).error());
  Survey survey{.identity = *std::move(identity), .last = survivor->last()};
  survey.state = std::make_shared<const State>();
  Machine machine([&survey](Image image) { survey.state = std::move(image.state); });
  WALRUS_TRY(survivor->fold(machine));
  WALRUS_ASSIGN(survey.members, survivor->members());
  survey.recovered = survey.identity.begins == Begins::kAlone &&
                     survey.state->cluster.id == survey.identity.cluster &&
                     votes_alone(survey.members, survey.identity.node);
  return Directory{std::move(survey), *std::move(survivor)};
}

Result<raft::Member> survivor_of(const State& state, NodeId self) {
  if (state.cluster.id.is_zero())
    return fail(Code::kInvalid, "the directory knows of no cluster that was founded");
  const auto* node = state.find_node(self);
  if (!node || node->state == NodeState::kRemoved)
    return fail(Code::kInvalid, "node {} was removed from the cluster, or never registered",
                self.value);
  return raft::Member{.id = self, .address = peer_address(*node), .voter = true};
}

}  // namespace

Result<Survey> survey(log::Engine& engine) {
  WALRUS_ASSIGN(auto found, look_into(engine));
  return std::move(found.survey);
}

Result<Survey> recover_metadata(io::Env& env, log::Engine& engine) {
  WALRUS_ASSIGN(auto found, look_into(engine));
  auto& [survey, survivor] = found;
  if (survey.recovered) return std::move(survey);
  WALRUS_ASSIGN(const auto self, survivor_of(*survey.state, survey.identity.node));
  // The id first: from then on nobody of the former era is reached. What a crash leaves is a node
  // that waits for others, and is told so when this is done again.
  auto& identity = survey.identity;
  if (identity.begins == Begins::kNot && votes_alone(survey.members, identity.node))
    return fail(Code::kInvalid, "node {} is the only voter: it needs nobody, start it",
                identity.node.value);
  if (identity.begins != Begins::kAlone) {
    identity.cluster = next_era(identity.cluster);
    identity.begins = Begins::kAlone;
    WALRUS_TRY(store_identity(engine, identity));
  }
  std::vector<std::string> commands;
  if (survey.state->cluster.id != identity.cluster)
    commands.push_back(encode(Command{env.wall(),
                                      {RecoverMetadata{.from = survey.state->cluster.id,
                                                       .cluster = identity.cluster,
                                                       .by = identity.node,
                                                       .term = survey.last.term,
                                                       .index = survey.last.index}}}));
  WALRUS_TRY(survivor.stand_alone(self, commands));
  WALRUS_ASSIGN(auto after, look_into(engine));
  if (!after.survey.recovered)
    return fail(Code::kInvalid, "metadata does not take its recovery: too many were made");
  return std::move(after.survey);
}

Result<Survey> forget_metadata(log::Engine& engine) {
  WALRUS_ASSIGN(auto found, look_into(engine));
  auto& identity = found.survey.identity;
  if (identity.begins != Begins::kAnew)
    return fail(Code::kMismatch,
                "no recovery of the metadata without this node is known here: start it, and it "
                "learns of one when it reaches a node that does");
  WALRUS_ASSIGN(const auto pending, raft::Store::remove(engine, kMetadataGroup));
  for (const auto& place : pending) WALRUS_TRY(engine.wait(place));
  identity.begins = Begins::kNot;
  WALRUS_TRY(store_identity(engine, identity));
  return std::move(found.survey);
}

std::vector<Survival> survivals(const State& state, NodeId on) {
  std::vector<Survival> all;
  const auto here = [&](const Segment& segment) {
    return std::ranges::find(segment.replicas, on) != segment.replicas.end() &&
           state.intact(segment, on);
  };
  state.topics.each([&](const Uuid& id, const Topic& topic) {
    Survival one{.topic = topic.name, .internal = topic.internal, .partitions = topic.partitions};
    for (std::uint32_t index = 0; index < topic.partitions; ++index) {
      const auto* partition = state.partitions.find(PartitionId{id, index});
      if (!partition) continue;
      partition->sealed.each([&](const Segment& segment) {
        const auto records = static_cast<std::uint64_t>(segment.end.value - segment.base.value);
        ++one.sealed;
        one.records += records;
        if (!here(segment)) return;
        ++one.sealed_here;
        one.records_here += records;
      });
      if (!partition->tail) continue;
      ++one.open;
      if (!here(*partition->tail)) continue;
      ++one.open_here;
      if (partition->tail->replicas.size() == 1) ++one.open_whole;
    }
    all.push_back(std::move(one));
  });
  std::ranges::sort(all, {}, &Survival::topic);
  return all;
}

Result<void> check_rejoin(const State& image, const RejoinRequest& asked) {
  if (asked.recoveries >= image.recoveries.size())
    return fail(Code::kBusy, "no recovery of the metadata is known here that node {} does not know",
                asked.join.node.value);
  const auto& recovery = image.recoveries[static_cast<std::size_t>(asked.recoveries)];
  if (std::tuple(asked.term, asked.index) <= std::tuple(recovery.term, recovery.index)) return {};
  return fail(Code::kMismatch,
              "node {} knows the metadata up to term {} index {}, from which node {} recovered it "
              "up to term {} index {}: what it knows beyond is lost if it joins (walrus cluster "
              "recover-metadata --forget)",
              asked.join.node.value, asked.term, asked.index, recovery.by.value, recovery.term,
              recovery.index);
}

}  // namespace walrus::meta
