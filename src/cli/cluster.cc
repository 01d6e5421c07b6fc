#include <nlohmann/json.hpp>

#include "cli/input.h"
#include "cli/output.h"
#include "cli/session.h"
#include "wire/native/reply.h"

namespace walrus::cli {
namespace {

namespace native = wire::native;
using Json = nlohmann::ordered_json;
using Verb = native::ClusterRequest::Verb;

struct ClusterFlags {
  std::uint64_t node = 0;
  std::string topic;
  bool force = false, yes = false, wait = false;
};

Result<Json> ask_cluster(Client& client, Bytes what, const native::ClusterRequest& request) {
  WALRUS_ASSIGN(auto text, ask(client, what, request));
  WALRUS_ASSIGN(auto json, parse_reply(what, text));
  if (!json.is_object()) return fail(Code::kCorrupt, "{}: not the reply of a Walrus server", what);
  return json;
}

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
    WALRUS_TRY(print(fmt::format("cluster {}  controller {}  under-replicated {}\n{}",
                                 cell(status, "cluster_id"), cell(status, "controller"),
                                 cell(status, "under_replicated"), node_table(status).text())));
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

// Exit status 1 where an operator has something to do.
Result<int> show_health(const Globals& globals, const ClusterFlags&) {
  WALRUS_ASSIGN(auto client, connect(globals));
  WALRUS_ASSIGN(auto health, ask_cluster(client, "cluster health", {.verb = Verb::kHealth}));
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
  Table drains({"draining", "segments", "bytes", "finishes in s"});
  for (const auto& drain : health.value("drains", Json::array()))
    drains.add({cell(drain, "node"), cell(drain, "segments"), cell(drain, "bytes"),
                cell(drain, "finishes_in_s")});
  if (!health.value("drains", Json::array()).empty()) WALRUS_TRY(print(drains.text()));
  return exit;
}

Result<int> show_segments(const Globals& globals, const ClusterFlags& flags) {
  auto what = "cluster segments " + flags.topic;
  WALRUS_ASSIGN(auto client, connect(globals));
  WALRUS_ASSIGN(auto topic,
                ask_cluster(client, what, {.verb = Verb::kSegments, .topic = flags.topic}));
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

Json find_node(const Json& status, std::uint64_t id) {
  for (const auto& node : status.value("nodes", Json::array()))
    if (node.value("id", std::uint64_t{0}) == id) return node;
  return Json();
}

Result<int> told(const Globals& globals, const ClusterFlags& flags, const char* state) {
  if (globals.json) WALRUS_TRY(print_json({{"node", flags.node}, {"state", state}}));
  else if (!globals.quiet) WALRUS_TRY(print_line(fmt::format("node {} is {}", flags.node, state)));
  return kExitDone;
}

Result<void> move_node(Client& client, Bytes what, const native::ClusterRequest& request) {
  WALRUS_ASSIGN(auto reply, ask(client, what, request));
  return about(what, native::parse_ok(reply));
}

// Asks until the node has given away what it has; the progress goes to stderr.
Result<void> await_drained(const Globals& globals, Client& client, Bytes what, std::uint64_t node) {
  constexpr io::Nanos kInterval = std::chrono::milliseconds(500);
  std::string before;
  while (true) {
    WALRUS_ASSIGN(auto status, ask_cluster(client, what, {}));
    auto found = find_node(status, node);
    auto state = cell(found, "state");
    if (state == "drained") return {};
    if (state != "draining") return fail(Code::kMismatch, "{}: the node is {} now", what, state);
    auto left = fmt::format("node {} has {} segments, {} bytes left", node, cell(found, "segments"),
                            cell(found, "bytes"));
    if (std::exchange(before, left) != left) notice(globals, left);
    Event never;
    io::real_env().wait(never, kInterval);
  }
}

Result<int> drain_node(const Globals& globals, const ClusterFlags& flags) {
  auto what = fmt::format("cluster drain {}", flags.node);
  WALRUS_ASSIGN(auto client, connect(globals));
  WALRUS_TRY(move_node(client, what, {.verb = Verb::kDrain, .node = flags.node}));
  if (!flags.wait) return told(globals, flags, "draining");
  WALRUS_TRY(await_drained(globals, client, what, flags.node));
  return told(globals, flags, "drained");
}

Result<int> activate_node(const Globals& globals, const ClusterFlags& flags) {
  auto what = fmt::format("cluster activate {}", flags.node);
  WALRUS_ASSIGN(auto client, connect(globals));
  WALRUS_TRY(move_node(client, what, {.verb = Verb::kActivate, .node = flags.node}));
  return told(globals, flags, "active");
}

Result<int> remove_node(const Globals& globals, const ClusterFlags& flags) {
  auto what = fmt::format("cluster remove {}", flags.node);
  WALRUS_ASSIGN(auto client, connect(globals));
  auto named = fmt::format("node {} for good{}", flags.node,
                           flags.force ? ", and whatever only it has a copy of" : "");
  if (!flags.yes && !confirmed_delete(named))
    return fail(Code::kInvalid, "{}: not confirmed, nothing was changed", what);
  WALRUS_TRY(
      move_node(client, what, {.verb = Verb::kRemove, .node = flags.node, .force = flags.force}));
  return told(globals, flags, "removed");
}

}  // namespace

void add_cluster(CommandLine& line) {
  auto flags = std::make_shared<ClusterFlags>();
  auto cluster = line.root().family(
      "cluster", "A cluster: init, join, status, nodes, health, segments, drain, remove");
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
  auto drain = verb("drain", "Move everything off a node; it goes on serving", drain_node);
  auto activate = verb("activate", "Give a drained node segments again", activate_node);
  auto remove = verb("remove", "Take a drained node out of the cluster, for good", remove_node);
  for (auto one : {drain, activate, remove})
    one.option("node", flags->node, "Id of the node").required().positive();
  drain.flag("--wait", flags->wait, "Until it is done");
  remove.flag("--force", flags->force,
              "Also a node that has copies: they count as lost, and are made again elsewhere");
  remove.flag("--yes", flags->yes, "Do not ask");
}

}  // namespace walrus::cli
