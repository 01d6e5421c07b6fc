#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "cli/session.h"

namespace walrus::cli {
namespace {

namespace native = wire::native;
using Json = nlohmann::ordered_json;
using Ask = native::ClusterRequest::Verb;

struct ClusterFlags {
  std::string topic;
};

Table node_table(const Json& status) {
  Table table({"node", "address", "rack", "state", "alive", "leads", "segments", "bytes"});
  for (const auto& node : status.value("nodes", Json::array()))
    table.add({cell(node, "id"), cell(node, "address"), cell(node, "rack"), cell(node, "state"),
               cell(node, "alive"), cell(node, "leads"), cell(node, "segments"),
               cell(node, "bytes")});
  return table;
}

Result<int> show_status(const Globals& globals, const ClusterFlags&) {
  WALRUS_ASSIGN(auto client, connect(globals));
  WALRUS_ASSIGN(auto status, ask_cluster(client, "cluster status", {}));
  if (globals.json) WALRUS_TRY(print_json(status));
  else
    WALRUS_TRY(print(fmt::format(
        "cluster {}  controller {}  under-replicated {}  feature level {}\n{}",
        cell(status, "cluster_id"), cell(status, "controller"), cell(status, "under_replicated"),
        cell(status, "feature_level"), node_table(status).text())));
  return kExitDone;
}

Result<int> list_nodes(const Globals& globals, const ClusterFlags&) {
  WALRUS_ASSIGN(auto client, connect(globals));
  WALRUS_ASSIGN(auto status, ask_cluster(client, "cluster nodes", {}));
  if (globals.json) {
    WALRUS_TRY(print_json(status.value("nodes", Json::array())));
    return kExitDone;
  }
  if (!globals.quiet) WALRUS_TRY(print(node_table(status).text()));
  for (const auto& node : status.value("nodes", Json::array()))
    if (globals.quiet) WALRUS_TRY(print_line(cell(node, "id")));
  return kExitDone;
}

constexpr std::size_t kLackingShown = 20;

Result<void> print_lacking(const Json& health) {
  const auto list = health.value("under_replicated_segments", Json::array());
  if (list.empty()) return {};
  Table table({"topic", "partition", "segment", "copies", "wanted"});
  for (std::size_t i = 0; i < std::min(list.size(), kLackingShown); ++i)
    table.add({cell(list[i], "topic"), cell(list[i], "partition"), cell(list[i], "segment"),
               cell(list[i], "copies"), cell(list[i], "wanted")});
  WALRUS_TRY(print(table.text()));
  if (list.size() <= kLackingShown) return {};
  return print_line(fmt::format("and {} more: --json", list.size() - kLackingShown));
}

Result<void> print_drains(const Json& health) {
  const auto list = health.value("drains", Json::array());
  if (list.empty()) return {};
  Table table({"node", "state", "by", "segments", "bytes", "finishes in s"});
  for (const auto& drain : list)
    table.add({cell(drain, "node"), cell(drain, "state"), cell(drain, "by"),
               cell(drain, "segments"), cell(drain, "bytes"), cell(drain, "finishes_in_s")});
  WALRUS_TRY(print(table.text()));
  for (const auto& drain : list)
    if (auto obstacle = drain.value("obstacle", Json()); obstacle.is_string())
      WALRUS_TRY(print_line(fmt::format("node {} cannot be drained: {}", cell(drain, "node"),
                                        printable(obstacle.get<std::string>()))));
  return {};
}

// Exit status 1 where an operator has something to do.
Result<int> show_health(const Globals& globals, const ClusterFlags&) {
  WALRUS_ASSIGN(auto client, connect(globals));
  WALRUS_ASSIGN(auto health, ask_cluster(client, "cluster health", {.verb = Ask::kHealth}));
  auto status = health.value("status", std::string("unknown"));
  int exit = status == "ok" ? kExitDone : kExitFailed;
  if (globals.json) {
    WALRUS_TRY(print_json(health));
    return exit;
  }
  WALRUS_TRY(print_line(fmt::format("cluster {}", status)));
  for (const auto& problem : health.value("problems", Json::array()))
    WALRUS_TRY(
        print_line(printable(problem.is_string() ? problem.get<std::string>() : problem.dump())));
  WALRUS_TRY(print_drains(health));
  WALRUS_TRY(print_lacking(health));
  return exit;
}

Result<int> show_segments(const Globals& globals, const ClusterFlags& flags) {
  auto what = "cluster segments " + flags.topic;
  WALRUS_ASSIGN(auto client, connect(globals));
  WALRUS_ASSIGN(auto topic,
                ask_cluster(client, what, {.verb = Ask::kSegments, .target = {flags.topic}}));
  if (globals.json) {
    WALRUS_TRY(print_json(topic));
    return kExitDone;
  }
  Table table({"partition", "segment", "epoch", "base_offset", "end_offset", "bytes", "state",
               "leader", "replicas"});
  for (const auto& partition : topic.value("partitions", Json::array()))
    for (const auto& segment : partition.value("segments", Json::array()))
      table.add({cell(partition, "partition"), cell(segment, "segment"), cell(segment, "epoch"),
                 cell(segment, "base_offset"), cell(segment, "end_offset"), cell(segment, "bytes"),
                 cell(segment, "state"), cell(segment, "leader"), cell(segment, "replicas")});
  WALRUS_TRY(print(table.text()));
  return kExitDone;
}

}  // namespace

void add_cluster(CommandLine& line) {
  auto flags = std::make_shared<ClusterFlags>();
  auto cluster = line.root().family(
      "cluster",
      "A cluster: init, join, status, nodes, health, segments, drain, remove, replace, seal, "
      "recover-metadata");
  add_cluster_directories(line, cluster);

  auto verb = [&line, cluster, flags](const char* name, const char* help,
                                      Result<int> (*act)(const Globals&, const ClusterFlags&)) {
    return line.add(cluster, name, help,
                    [flags, act](const Globals& globals) { return act(globals, *flags); });
  };
  verb("status", "The cluster and its nodes, as the server that is asked knows them", show_status);
  verb("nodes", "The nodes; with --quiet their ids", list_nodes);
  verb("health", "Whether anything is amiss; exit status 1 if so", show_health);
  auto segments = verb("segments", "The segments of a topic and who holds them", show_segments);
  segments.option("topic", flags->topic, "Name of the topic").required();
  add_cluster_changes(line, cluster);
  add_cluster_recovery(line, cluster);
}

}  // namespace walrus::cli
