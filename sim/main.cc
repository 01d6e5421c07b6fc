// walrus_sim: runs seeds of a simulated world and prints, per failing seed, the one line that
// repeats it; ends with what was done and how often each fault family was hit. The sweep
// (tools/dev/sim_sweep.py) adds up the tables of several processes.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "groups_run.h"
#include "log_run.h"

namespace walrus::sim {
namespace {

struct Arguments {
  std::string world = "log";
  std::uint64_t first = 1;
  std::int64_t seeds = 200, operations = 300;
  std::optional<std::uint64_t> seed;
  bool narrate = false, skip_family_check = false, stop_at_first = false, announce = false,
       list_families = false;
};

struct Outcome {
  Tally tally;
  Verdict violation;
};

template <class Run>
Outcome run_one(std::uint64_t seed, const Arguments& arguments) {
  Run one(seed, arguments.operations);
  one.narrate(arguments.narrate);
  one.run();
  return {one.tally(), one.violation()};
}

struct Simulated {
  std::string name;
  Outcome (*run)(std::uint64_t seed, const Arguments&);
  const std::vector<std::string>& families;
};
const Simulated& world_of(const Arguments& arguments) {
  static const Simulated worlds[] = {{"log", run_one<LogRun>, fault_families()},
                                     {"groups", run_one<GroupsRun>, groups_families()}};
  return *std::ranges::find(worlds, arguments.world, &Simulated::name);
}

constexpr std::int64_t kSeedsForFamilies = 500, kFamilyHitsMin = 50;

void print_table(const Arguments& arguments, const Tally& tally, std::int64_t failed) {
  auto row = [](const std::string& name, std::int64_t value) {
    std::printf("%-22s %12lld\n", name.c_str(), static_cast<long long>(value));
  };
  row("seeds", arguments.seed ? 1 : arguments.seeds);
  row("failed", failed);
  row("operations", tally.operations);
  row("acknowledged", tally.acknowledged);
  row("refused", tally.refused);
  row("reads", tally.reads);
  row("records read", tally.records_read);
  row("crashes", tally.crashes);
  row("reopenings", tally.reopenings);
  row("restarts", tally.restarts);
  std::printf("hits per fault family\n");
  const auto& named = world_of(arguments).families;
  for (const auto& family : named) row("  " + family, tally.hits_of(family));
  std::printf("and\n");
  for (const auto& [family, count] : tally.hits) {
    if (std::ranges::find(named, family) == named.end()) row("  " + family, count);
  }
  std::printf("trace %016llx\n", static_cast<unsigned long long>(tally.trace));
}

// Families that a long run met too seldom to have been tested.
bool families_were_hit(const Arguments& arguments, const Tally& tally) {
  bool all = true;
  for (const auto& family : world_of(arguments).families) {
    auto count = tally.hits_of(family);
    if (count >= kFamilyHitsMin) continue;
    std::printf("fault family %s was hit %lld times, fewer than %lld\n", family.c_str(),
                static_cast<long long>(count), static_cast<long long>(kFamilyHitsMin));
    all = false;
  }
  return all;
}

int run(const Arguments& arguments) {
  if (arguments.list_families) {
    for (const auto& family : world_of(arguments).families) std::printf("%s\n", family.c_str());
    return 0;
  }
  auto first = arguments.seed.value_or(arguments.first);
  auto seeds = arguments.seed ? 1 : arguments.seeds;
  Tally total;
  io::TraceHash trace;
  std::int64_t failed = 0;
  for (std::int64_t i = 0; i < seeds; ++i) {
    auto seed = first + static_cast<std::uint64_t>(i);
    if (arguments.announce) {
      std::printf("> %llu\n", static_cast<unsigned long long>(seed));
      std::fflush(stdout);
    }
    auto one = world_of(arguments).run(seed, arguments);
    total.add(one.tally);
    trace.fold(one.tally.trace);
    if (!one.violation) continue;
    ++failed;
    std::printf("walrus_sim --world %s --seed %llu --ops %lld\n  %s: %s\n", arguments.world.c_str(),
                static_cast<unsigned long long>(seed), static_cast<long long>(arguments.operations),
                one.violation->rule.c_str(), one.violation->detail.c_str());
    std::fflush(stdout);
    if (arguments.stop_at_first) break;
  }
  total.trace = trace.value();
  print_table(arguments, total, failed);
  bool check = seeds >= kSeedsForFamilies && !arguments.skip_family_check && failed == 0;
  if (check && !families_were_hit(arguments, total)) return 1;
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace walrus::sim

int main(int argc, char** argv) {
  walrus::sim::Arguments arguments;
  CLI::App app(
      "Runs simulated worlds against a model: the engine on a disk that fails (log), consumer "
      "groups "
      "and a producer of a server that does (groups).");
  app.add_option("--world", arguments.world, "which world")
      ->check(CLI::IsMember({"log", "groups"}));
  auto* seed = app.add_option("--seed", arguments.seed, "run this seed alone");
  app.add_option("--seeds", arguments.seeds, "how many seeds")->excludes(seed);
  app.add_option("--first", arguments.first, "the first of them")->excludes(seed);
  app.add_option("--ops", arguments.operations, "operations per seed");
  app.add_flag("--narrate", arguments.narrate, "print every operation");
  app.add_flag("--announce", arguments.announce, "print each seed as it begins");
  app.add_flag("--families", arguments.list_families, "print the fault families");
  app.add_flag("--stop", arguments.stop_at_first, "stop at the first failing seed");
  app.add_flag("--no-family-check", arguments.skip_family_check,
               "do not ask for hits of every fault family");
  CLI11_PARSE(app, argc, argv);
  return walrus::sim::run(arguments);
}
