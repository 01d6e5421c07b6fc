// The worlds as main.cc sees them.

#include "cluster_run.h"
#include "groups_run.h"
#include "log_run.h"
#include "member_run.h"
#include "meta_run.h"
#include "node_run.h"
#include "outcome.h"
#include "owners_run.h"
#include "raft_run.h"
#include "replica_run.h"
#include "service_run.h"

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

// All of an enumeration that ends with kCount.
template <class Family>
std::vector<std::string> names_of(const char* (*name)(Family)) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < static_cast<std::size_t>(Family::kCount); ++i)
    names.emplace_back(name(static_cast<Family>(i)));
  return names;
}
std::vector<std::string> raft_families() { return names_of(raft_family_name); }
std::vector<std::string> cluster_families() { return names_of(cluster_family_name); }

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
  const auto names = raft_families();
  for (std::size_t i = 0; i < names.size(); ++i) outcome.hits[names[i]] = tally.hits[i];
  return outcome;
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
  const auto names = cluster_families();
  for (std::size_t i = 0; i < names.size(); ++i) outcome.hits[names[i]] = tally.hits[i];
  return outcome;
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
      {"owners",
       "consumer groups, queues and consumers of a cluster whose nodes fail",
       run_tallied<OwnersRun>,
       [] { return owners_families(); },
       {}},
      {"raft",
       "the core of a Raft group",
       run_raft,
       raft_families,
       {{"events", 2000},
        {"commands", 200},
        {"elections", 5},
        {"snapshots", 20},
        {"member steps", 3}},
       true},
      {"node",
       "processes with the driver of several Raft groups",
       run_tallied<NodeRun>,
       [] { return node_families(); },
       {}},
      {"service",
       "a replicated store, exactly-once sessions and reads",
       run_tallied<ServiceRun>,
       [] { return service_families(); },
       {{"acknowledged", 100}, {"reads", 50}, {"crashes", 1}},
       true},
      {"meta",
       "the metadata of a cluster",
       run_tallied<MetaRun>,
       [] { return meta_families(); },
       {}},
      {"member",
       "nodes of a cluster with its metadata, as they ship",
       run_tallied<MemberRun>,
       [] { return member_families(); },
       {}},
      {"cluster",
       "segments that several nodes hold",
       run_cluster,
       cluster_families,
       {{"acknowledged", 500}, {"sealed", 20}, {"reads", 300}, {"confirms", 50}},
       true},
      {"replica",
       "processes with the driver of segments",
       run_tallied<ReplicaRun>,
       [] { return replica_families(); },
       {}},
  };
}

}  // namespace walrus::sim
