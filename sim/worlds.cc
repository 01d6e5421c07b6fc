// The worlds as main.cc sees them.

#include "cluster_run.h"
#include "groups_run.h"
#include "log_run.h"
#include "meta_run.h"
#include "node_run.h"
#include "outcome.h"
#include "raft_run.h"

namespace walrus::sim {
namespace {

// A world whose run counts in a Tally.
template <class Run>
Outcome run_tallied(std::uint64_t seed, std::int64_t operations, bool narrate) {
  Run one(seed, operations);
  one.narrate(narrate);
  one.run();
  const auto& tally = one.tally();
  return {.rows = {{"operations", tally.operations},
                   {"acknowledged", tally.acknowledged},
                   {"refused", tally.refused},
                   {"reads", tally.reads},
                   {"records read", tally.records_read},
                   {"crashes", tally.crashes},
                   {"reopenings", tally.reopenings},
                   {"restarts", tally.restarts}},
          .hits = tally.hits,
          .trace = tally.trace,
          .violation = one.violation()};
}

Outcome run_raft(std::uint64_t seed, std::int64_t, bool narrate) {
  RaftRun one(seed);
  one.narrate(narrate);
  one.run();
  const auto& tally = one.tally();
  Outcome outcome{.rows = {{"events", tally.events},
                           {"messages", tally.messages},
                           {"commands", tally.commands},
                           {"reads", tally.reads},
                           {"elections", tally.elections},
                           {"snapshots", tally.snapshots},
                           {"compactions", tally.compactions},
                           {"member steps", tally.member_steps},
                           {"crashes", tally.crashes}},
                  .trace = tally.trace,
                  .violation = one.violation()};
  for (std::size_t i = 0; i < kRaftFamilies; ++i)
    outcome.hits[raft_family_name(static_cast<RaftFamily>(i))] = tally.hits[i];
  return outcome;
}

std::vector<std::string> raft_families() {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kRaftFamilies; ++i)
    names.emplace_back(raft_family_name(static_cast<RaftFamily>(i)));
  return names;
}

Outcome run_cluster(std::uint64_t seed, std::int64_t, bool narrate) {
  ClusterRun one(seed);
  one.narrate(narrate);
  one.run();
  const auto& tally = one.tally();
  Outcome outcome{.rows = {{"events", tally.events},
                           {"messages", tally.messages},
                           {"acknowledged", tally.acknowledged},
                           {"sealed", tally.sealed},
                           {"reads", tally.reads},
                           {"confirms", tally.confirms},
                           {"crashes", tally.crashes},
                           {"losses", tally.losses}},
                  .trace = tally.trace,
                  .violation = one.violation()};
  for (std::size_t i = 0; i < kClusterFamilies; ++i)
    outcome.hits[cluster_family_name(static_cast<ClusterFamily>(i))] = tally.hits[i];
  return outcome;
}

std::vector<std::string> cluster_families() {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kClusterFamilies; ++i)
    names.emplace_back(cluster_family_name(static_cast<ClusterFamily>(i)));
  return names;
}

}  // namespace

std::vector<World> all_worlds() {
  return {
      {"log",
       "the engine on a disk that fails",
       run_tallied<LogRun>,
       [] { return fault_families(); },
       {}},
      {"groups",
       "consumer groups and a producer of a server that does",
       run_tallied<GroupsRun>,
       [] { return groups_families(); },
       {}},
      {"raft",
       "the core of a Raft group",
       run_raft,
       raft_families,
       {{"commands", 200}, {"elections", 5}, {"snapshots", 20}, {"member steps", 3}}},
      {"node",
       "processes with the driver of several Raft groups",
       run_tallied<NodeRun>,
       [] { return node_families(); },
       {}},
      {"meta",
       "the metadata of a cluster",
       run_tallied<MetaRun>,
       [] { return meta_families(); },
       {}},
      {"cluster",
       "segments that several nodes hold",
       run_cluster,
       cluster_families,
       {{"acknowledged", 500}, {"sealed", 20}, {"reads", 300}, {"confirms", 50}}},
  };
}

}  // namespace walrus::sim
