// `cluster recover-metadata`: shows what a stopped node's directory has of the metadata, asks, and
// has the cluster go on from there.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/input.h"
#include "cli/output.h"
#include "meta/voters.h"
#include "server/cluster_directory.h"

namespace walrus::cli {
namespace {

using Json = nlohmann::ordered_json;
using server::LastResort;
constexpr const char* kRecoverWhat = "cluster recover-metadata";

struct RecoveryFlags {
  server::DirectoryOptions directory{.data_dir = "./walrus-data"};
  bool show = false, forget = false, yes = false;
};

const char* era_state_of(const meta::Survey& survey) {
  if (survey.recovered) return "recovered";
  if (survey.identity.begins == meta::Begins::kAlone) return "half recovered";
  if (survey.identity.begins == meta::Begins::kAnew) return "left out";
  return "as it was";
}

Json json_of_survey(const meta::Survey& survey) {
  const auto& state = *survey.state;
  auto nodes = Json::array(), topics = Json::array();
  state.nodes.each([&](NodeId id, const meta::Node& node) {
    if (node.state == meta::NodeState::kRemoved) return;
    const auto member = std::ranges::find(survey.members.members, id, &raft::Member::id);
    const bool votes = member != survey.members.members.end() && member->voter;
    nodes.push_back({{"id", id.value}, {"peer", meta::peer_address(node)}, {"votes", votes}});
  });
  for (const auto& one : meta::survivals(state, survey.identity.node))
    topics.push_back({{"name", one.topic},
                      {"internal", one.internal},
                      {"partitions", one.partitions},
                      {"sealed_segments", one.sealed},
                      {"sealed_segments_here", one.sealed_here},
                      {"sealed_records", one.records},
                      {"sealed_records_here", one.records_here},
                      {"open_segments", one.open},
                      {"open_segments_here", one.open_here},
                      {"open_segments_whole", one.open_whole}});
  return {{"node", survey.identity.node.value},
          {"cluster_id", to_string(survey.identity.cluster)},
          {"state", era_state_of(survey)},
          {"term", survey.last.term},
          {"index", survey.last.index},
          {"nodes", nodes},
          {"topics", topics}};
}

Result<void> print_survivals(const Json& topics) {
  if (topics.empty()) return {};
  Table table({"topic", "partitions", "sealed", "of it here", "records", "of them here", "open",
               "of it here"});
  std::uint64_t elsewhere = 0, open = 0;
  for (const auto& one : topics) {
    table.add({printable(one.value("name", std::string())), cell(one, "partitions"),
               cell(one, "sealed_segments"), cell(one, "sealed_segments_here"),
               cell(one, "sealed_records"), cell(one, "sealed_records_here"),
               cell(one, "open_segments"), cell(one, "open_segments_here")});
    elsewhere += one.value("sealed_segments", std::uint64_t{0}) -
                 one.value("sealed_segments_here", std::uint64_t{0});
    open += one.value("open_segments", std::uint64_t{0}) -
            one.value("open_segments_whole", std::uint64_t{0});
  }
  WALRUS_TRY(print(table.text()));
  if (elsewhere > 0)
    WALRUS_TRY(print_line(fmt::format(
        "{} sealed segments are on other nodes alone: lost, unless one of these comes back",
        elsewhere)));
  if (open > 0)
    WALRUS_TRY(print_line(fmt::format(
        "{} open segments have copies on other nodes: how far they were acknowledged is known when "
        "enough of these come back, or you accept the loss (walrus cluster seal)",
        open)));
  return {};
}

Result<void> print_survey(const meta::Survey& survey, const Json& seen) {
  WALRUS_TRY(print_line(fmt::format(
      "node {} of cluster {}: its metadata ends at term {} index {}; it is {}", cell(seen, "node"),
      cell(seen, "cluster_id"), cell(seen, "term"), cell(seen, "index"), cell(seen, "state"))));
  for (const auto& one : survey.state->recoveries)
    WALRUS_TRY(print_line(fmt::format("recovered before on node {}, from term {} index {}",
                                      one.by.value, one.term, one.index)));
  Table table({"node", "peer", "votes"});
  for (const auto& node : seen.value("nodes", Json::array()))
    table.add({cell(node, "id"), cell(node, "peer"), cell(node, "votes")});
  WALRUS_TRY(print(table.text()));
  return print_survivals(seen.value("topics", Json::array()));
}

std::string question_of(const meta::Survey& survey, const RecoveryFlags& flags) {
  if (flags.forget)
    return fmt::format(
        "What this directory alone knows of the metadata up to term {} index {} is lost for good. "
        "Discard it?",
        survey.last.term, survey.last.index);
  return fmt::format(
      "Of all nodes that survive, the one with the highest term, then index, is to be taken. What "
      "others decided beyond that is lost for good. Recover the metadata with node {} alone?",
      survey.identity.node.value);
}

Result<bool> confirm_recovery(const Globals& globals, const RecoveryFlags& flags,
                              const meta::Survey& survey) {
  const auto seen = json_of_survey(survey);
  if (globals.json && flags.show) WALRUS_TRY(print_json(seen));
  if (!globals.json && !globals.quiet) WALRUS_TRY(print_survey(survey, seen));
  if (flags.show || (survey.recovered && !flags.forget)) return false;
  if (flags.yes) return true;
  const auto answer = ask_terminal(question_of(survey, flags));
  if (!answer)
    return fail(Code::kInvalid, "nobody is there to ask: say --yes; nothing was changed");
  if (!*answer) return fail(Code::kInvalid, "not confirmed, nothing was changed");
  return true;
}

Result<int> run_recovery(const Globals& globals, const RecoveryFlags& flags) {
  if (flags.show && (flags.yes || flags.forget))
    return report_usage(globals, {Code::kInvalid,
                                  "cluster recover-metadata: --show changes "
                                  "nothing: without --yes and --forget"});
  const auto how = flags.forget ? LastResort::kForget : LastResort::kRecover;
  std::optional<meta::Survey> before;
  auto mended =
      server::mend_in_directory(io::real_env(), flags.directory, how, [&](const auto& survey) {
        before = survey;
        return confirm_recovery(globals, flags, survey);
      });
  WALRUS_ASSIGN(const auto after, about(kRecoverWhat, std::move(mended)));
  if (flags.show) return kExitDone;
  const auto& now = after ? *after : *before;
  if (globals.json) WALRUS_TRY(print_json(json_of_survey(now)));
  if (globals.json || globals.quiet) return kExitDone;
  const auto start = fmt::format("walrus serve --data-dir {} --node-id {}",
                                 flags.directory.data_dir, now.identity.node.value);
  if (flags.forget)
    WALRUS_TRY(print_line(fmt::format("node {} joins cluster {} anew: {}", now.identity.node.value,
                                      to_string(now.identity.cluster), start)));
  else
    WALRUS_TRY(print_line(
        fmt::format("cluster {} goes on with node {}; start it, then the others, which join it: {}",
                    to_string(now.identity.cluster), now.identity.node.value, start)));
  return kExitDone;
}

}  // namespace

void add_cluster_recovery(CommandLine& line, Verb cluster) {
  auto flags = std::make_shared<RecoveryFlags>();
  auto verb = line.add(cluster, "recover-metadata",
                       "The last resort when a majority of the voters is lost for ever: goes on "
                       "with what one stopped node has",
                       [flags](const Globals& globals) { return run_recovery(globals, *flags); });
  verb.option("--data-dir", flags->directory.data_dir, "The stopped node's data directory")
      .default_shown();
  verb.option("--namespace", flags->directory.key, "As node.namespace of the server");
  verb.flag("--show", flags->show, "Only show what the directory has");
  verb.flag("--forget", flags->forget,
            "Of a node that was left out and knows of more: discard that, so that it may join");
  verb.flag("--yes", flags->yes, "Do not ask");
}

}  // namespace walrus::cli
