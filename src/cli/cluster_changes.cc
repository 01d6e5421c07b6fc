// The verbs of `cluster` that change something: what asks first, and what takes a while.

#include <charconv>
#include <nlohmann/json.hpp>

#include "cli/input.h"
#include "cli/output.h"
#include "cli/session.h"
#include "wire/native/reply.h"

namespace walrus::cli {
namespace {

namespace native = wire::native;
using Json = nlohmann::ordered_json;
using Ask = native::ClusterRequest::Verb;

struct ChangeFlags {
  std::uint64_t node = 0, by = 0;
  std::string target;
  bool force = false, yes = false, wait = false, accept_loss = false;
};

Json find_in(const Json& list, const char* name, std::uint64_t value) {
  for (const auto& one : list)
    if (one.value(name, std::uint64_t{0}) == value) return one;
  return Json();
}

Result<Json> node_of(Client& client, Bytes what, std::uint64_t node) {
  WALRUS_ASSIGN(auto status, ask_cluster(client, what, {}));
  return find_in(status.value("nodes", Json::array()), "id", node);
}

Result<int> told(const Globals& globals, const ChangeFlags& flags, Bytes state) {
  if (globals.json) WALRUS_TRY(print_json({{"node", flags.node}, {"state", state}}));
  else if (!globals.quiet) WALRUS_TRY(print_line(fmt::format("node {} is {}", flags.node, state)));
  return kExitDone;
}

Result<void> change(Client& client, Bytes what, const native::ClusterRequest& request) {
  WALRUS_ASSIGN(auto reply, ask(client, what, request));
  return about(what, native::parse_ok(reply));
}

// ---- What takes a while ----

// What is left, and how long it will take at the pace of late; empty: the controller does not know.
std::string progress_of(const Json& drain) {
  if (!drain.is_object()) return "";
  auto left = fmt::format("node {} has {} segments, {} bytes left", cell(drain, "node"),
                          cell(drain, "segments"), cell(drain, "bytes"));
  auto seconds = drain.value("finishes_in_s", Json());
  if (seconds.is_number()) left += fmt::format(", about {} s", seconds.dump());
  return left;
}

void note_fewer_copies(const Globals& globals, const Json& drain) {
  auto topics = drain.is_object() ? drain.value("topics_with_fewer_copies", Json()) : Json();
  if (!topics.is_number() || topics == 0) return;
  notice(globals, fmt::format("{} topics will have fewer copies than their replication factor: "
                              "there are not enough nodes",
                              topics.dump()));
}

// Until the node has nothing any more. Progress goes to stderr. kInvalid: it never will.
Result<std::string> await_empty(const Globals& globals, Client& client, Bytes what,
                                std::uint64_t id) {
  constexpr io::Nanos kInterval = std::chrono::milliseconds(500);
  std::string before;
  for (bool first = true;; first = false) {
    WALRUS_ASSIGN(auto health, ask_cluster(client, what, {.verb = Ask::kHealth}));
    auto drain = find_in(health.value("drains", Json::array()), "node", id);
    WALRUS_ASSIGN(auto node, node_of(client, what, id));
    auto state = cell(node, "state");
    bool empty = node.is_object() && node.value("segments", Json()) == 0;
    if (state == "drained" || (state == "removed" && empty)) return state;
    if (state != "draining" && state != "removed")
      return fail(Code::kMismatch, "{}: the node is {} now", what, state);
    if (auto obstacle = drain.is_object() ? drain.value("obstacle", Json()) : Json();
        obstacle.is_string())
      return fail(Code::kInvalid, "{}: it stays draining: {}", what,
                  printable(obstacle.get<std::string>()));
    if (first) note_fewer_copies(globals, drain);
    auto left = progress_of(drain);
    if (!left.empty() && std::exchange(before, left) != left) notice(globals, left);
    Event never;
    io::real_env().wait(never, kInterval);
  }
}

Result<int> drain_node(const Globals& globals, const ChangeFlags& flags) {
  auto what = fmt::format("cluster drain {}", flags.node);
  WALRUS_ASSIGN(auto client, connect(globals));
  WALRUS_TRY(change(client, what, {.verb = Ask::kDrain, .node = flags.node}));
  if (!flags.wait) return told(globals, flags, "draining");
  WALRUS_ASSIGN(auto state, await_empty(globals, client, what, flags.node));
  return told(globals, flags, state);
}

Result<int> activate_node(const Globals& globals, const ChangeFlags& flags) {
  auto what = fmt::format("cluster activate {}", flags.node);
  WALRUS_ASSIGN(auto client, connect(globals));
  WALRUS_TRY(change(client, what, {.verb = Ask::kActivate, .node = flags.node}));
  return told(globals, flags, "active");
}

Result<int> remove_node(const Globals& globals, const ChangeFlags& flags) {
  auto what = fmt::format("cluster remove {}", flags.node);
  WALRUS_ASSIGN(auto client, connect(globals));
  auto named = fmt::format("node {} for good{}", flags.node,
                           flags.force ? ", and whatever only it has a copy of" : "");
  if (!flags.yes && !confirmed_delete(named))
    return fail(Code::kInvalid, "{}: not confirmed, nothing was changed", what);
  WALRUS_TRY(
      change(client, what, {.verb = Ask::kRemove, .node = flags.node, .force = flags.force}));
  return told(globals, flags, "removed");
}

// ---- replace ----

Result<bool> confirm_replace(Client& client, Bytes what, const ChangeFlags& flags) {
  WALRUS_ASSIGN(auto node, node_of(client, what, flags.node));
  bool alive = node.is_object() && node.value("alive", Json()) == true;
  auto question = fmt::format(
      "Node {} {}, has {} segments, {} bytes: they go to node {}, and node {} never comes back. "
      "Replace it?",
      flags.node, alive ? "is there" : "does not answer", cell(node, "segments"),
      cell(node, "bytes"), flags.by, flags.node);
  return ask_terminal(question).value_or(true);
}

// A node that is there hands over, and is then taken out; of one that is gone the newcomer makes
// the copies again.
Result<int> replace_node(const Globals& globals, const ChangeFlags& flags) {
  auto what = fmt::format("cluster replace {} {}", flags.node, flags.by);
  WALRUS_ASSIGN(auto client, connect(globals));
  if (!flags.yes) {
    WALRUS_ASSIGN(bool confirmed, confirm_replace(client, what, flags));
    if (!confirmed) return fail(Code::kInvalid, "{}: not confirmed, nothing was changed", what);
  }
  native::ClusterRequest request{
      .verb = Ask::kReplace, .node = flags.node, .by = flags.by, .force = flags.force};
  WALRUS_ASSIGN(auto begun, ask_cluster(client, what, request));
  auto state = cell(begun, "state");
  if (flags.wait) {
    WALRUS_ASSIGN(state, await_empty(globals, client, what, flags.node));
    if (state == "drained") {
      WALRUS_TRY(change(client, what, {.verb = Ask::kRemove, .node = flags.node}));
      state = "removed";
    }
  } else if (state == "draining") {
    notice(globals, fmt::format("it is removed when node {} has all that it had: walrus cluster "
                                "health tells how far it is",
                                flags.by));
  }
  return told(globals, flags, state);
}

// ---- seal ----

// "orders" or "orders/3", as the request names it.
Result<native::Target> parse_target(const std::string& text) {
  auto slash = text.find('/');
  native::Target target{Bytes(text).substr(0, slash)};
  if (slash == std::string::npos) return target;
  auto digits = Bytes(text).substr(slash + 1);
  std::int32_t partition = 0;
  auto [end, error] = std::from_chars(digits.begin(), digits.end(), partition);
  if (digits.empty() || error != std::errc() || end != digits.end() || partition < 0)
    return fail(Code::kInvalid, "'{}' is no topic/partition", text);
  target.partition = partition;
  return target;
}

std::string describe_seal(const std::string& topic, const Json& item) {
  auto where = fmt::format("{}/{}: segment {} from offset {}", topic, cell(item, "partition"),
                           cell(item, "segment"), cell(item, "start"));
  if (item.contains("unknown"))
    return fmt::format("{}: {}\n", where, printable(item.value("unknown", std::string())));
  bool waits = item.value("waits", false);
  return fmt::format("{}, {}: what lies below {} survives, {} records are lost at least\n", where,
                     waits ? "cannot be sealed" : "is being sealed", cell(item, "end"),
                     cell(item, "lost_at_least"));
}

Result<void> print_seals(const std::string& topic, const Json& partitions) {
  Table table({"partition", "segment", "node", "has up to", "of it"});
  for (const auto& item : partitions) {
    WALRUS_TRY(print(describe_seal(topic, item)));
    for (const auto& copy : item.value("copies", Json::array()))
      table.add({cell(item, "partition"), cell(item, "segment"), cell(copy, "node"),
                 cell(copy, "end"), cell(copy, "knows")});
  }
  return print(table.text());
}

// Why none can be accepted for this one now.
Result<void> check_seal(Bytes what, const Json& item) {
  if (item.contains("unknown"))
    return fail(Code::kBusy, "{}: partition {}: {}", what, cell(item, "partition"),
                printable(item.value("unknown", std::string())));
  std::string silent;
  for (const auto& copy : item.value("copies", Json::array()))
    if (cell(copy, "knows") == "does not answer")
      silent += (silent.empty() ? "" : ", ") + cell(copy, "node");
  if (silent.empty()) return {};
  return fail(Code::kBusy,
              "{}: partition {}: node {} does not answer: bring it back, or give it up for good "
              "with: walrus cluster remove NODE --force",
              what, cell(item, "partition"), silent);
}

Result<void> accept_losses(Client& client, Bytes what, const native::Target& target,
                           const Json& partitions) {
  for (const auto& item : partitions) {
    native::ClusterRequest request{.verb = Ask::kSeal, .target = target};
    request.target.partition = item.value("partition", 0);
    request.loss = native::ClusterRequest::Loss{.segment = item.value("segment", std::uint64_t{0}),
                                                .epoch = item.value("epoch", std::uint64_t{0}),
                                                .end = item.value("end", std::int64_t{0})};
    WALRUS_TRY(change(client, what, request));
  }
  return {};
}

Result<void> confirm_loss(Bytes what) {
  auto accepted = ask_terminal("What is lost is lost for good. Accept it?");
  if (!accepted)
    return fail(Code::kInvalid, "{}: nobody is there to ask: say --yes; nothing was changed", what);
  if (!*accepted) return fail(Code::kInvalid, "{}: not confirmed, nothing was changed", what);
  return {};
}

Result<void> told_seals(const Globals& globals, const std::string& topic, const char* done,
                        const Json& partitions) {
  if (globals.json) return print_json({{"name", topic}, {done, partitions}});
  if (globals.quiet) return {};
  if (partitions.empty()) return print_line("nothing waits to be sealed");
  return print_line(fmt::format("sealed {} partitions of {}", partitions.size(), topic));
}

// What is shown is what is accepted: a segment of which less survives by then is refused.
Result<int> seal_topic(const Globals& globals, const ChangeFlags& flags) {
  auto what = "cluster seal " + flags.target;
  auto target = parse_target(flags.target);
  if (!target) return report_usage(globals, about("cluster seal", target.error()));
  std::string topic(target->topic);
  WALRUS_ASSIGN(auto client, connect(globals));
  WALRUS_ASSIGN(auto seen, ask_cluster(client, what, {.verb = Ask::kSeal, .target = *target}));
  auto stuck = Json::array();  // others seal themselves
  for (const auto& item : seen.value("partitions", Json::array()))
    if (item.value("waits", false) || !check_seal(what, item)) stuck.push_back(item);
  if (!globals.json && !stuck.empty()) WALRUS_TRY(print_seals(topic, stuck));
  if (!flags.accept_loss) {
    if (globals.json || stuck.empty()) WALRUS_TRY(told_seals(globals, topic, "waiting", stuck));
    return kExitDone;
  }
  for (const auto& item : stuck) WALRUS_TRY(check_seal(what, item));
  if (!stuck.empty() && !flags.yes) WALRUS_TRY(confirm_loss(what));
  WALRUS_TRY(accept_losses(client, what, *target, stuck));
  WALRUS_TRY(told_seals(globals, topic, "sealed", stuck));
  return kExitDone;
}

}  // namespace

void add_cluster_changes(CommandLine& line, Verb cluster) {
  auto flags = std::make_shared<ChangeFlags>();
  auto verb = [&line, &cluster, flags](const char* name, const char* help,
                                       Result<int> (*act)(const Globals&, const ChangeFlags&)) {
    return line.add(cluster, name, help,
                    [flags, act](const Globals& globals) { return act(globals, *flags); });
  };
  auto drain = verb("drain", "Move everything off a node; it goes on serving", drain_node);
  auto activate = verb("activate", "Give a drained node segments again", activate_node);
  auto remove = verb("remove", "Take a drained node out of the cluster, for good", remove_node);
  auto replace =
      verb("replace", "Have a newcomer take over what a node has, for good", replace_node);
  for (auto one : {drain, activate, remove, replace})
    one.option("node", flags->node, "Id of the node").required().positive();
  replace.option("by", flags->by, "Id of the newcomer, which has joined").required().positive();
  for (auto one : {drain, replace}) one.flag("--wait", flags->wait, "Until it is done");
  remove.flag("--force", flags->force,
              "Also a node that has copies: they count as lost, and are made again elsewhere");
  replace.flag("--force", flags->force,
               "Also where it does not answer and has the only copies of something");
  auto seal = verb("seal", "What survives of segments that cannot be sealed", seal_topic);
  seal.option("topic", flags->target, "A topic, or one partition of it: t/2").required();
  seal.flag("--accept-loss", flags->accept_loss,
            "Seal them at what survives: what else was acknowledged is lost");
  for (auto one : {remove, replace, seal}) one.flag("--yes", flags->yes, "Do not ask");
}

}  // namespace walrus::cli
