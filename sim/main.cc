// walrus_sim: runs seeds of a simulated world and prints, per failing seed, the one line that
// repeats it; ends with what was done and how often each fault family was hit. The sweep
// (tools/dev/sim_sweep.py) adds up the tables of several processes.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <cstdio>
#include <map>

#include "io/sim/sim_random.h"
#include "outcome.h"

namespace walrus::sim {
namespace {

struct Arguments {
  std::string world = "log";
  std::uint64_t first = 1;
  std::int64_t seeds = 200, operations = 300, twice_every = 0;
  std::optional<std::uint64_t> seed;
  bool narrate = false, skip_family_check = false, stop_at_first = false, announce = false,
       list_families = false, list_least = false;
};

constexpr std::int64_t kSeedsForFamilies = 500, kFamilyHitsMin = 50;

void print_row(const std::string& name, std::int64_t value) {
  std::printf("%-22s %12lld\n", name.c_str(), static_cast<long long>(value));
}

// How many seeds had so much of a row, by powers of two.
void print_histogram(const std::string& name, const std::vector<std::int64_t>& values) {
  std::map<std::int64_t, std::int64_t> seeds;
  for (auto value : values)
    ++seeds[value <= 0
                ? 0
                : static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(value)))];
  for (auto [low, count] : seeds) print_row(name + " from " + std::to_string(low), count);
}

int list_names(const World& world, const Arguments& arguments) {
  if (arguments.list_families)
    for (const auto& family : world.families()) std::printf("%s\n", family.c_str());
  if (arguments.list_least)
    for (const auto& [name, least] : world.least_per_seed)
      std::printf("%lld %s\n", static_cast<long long>(least), name.c_str());
  return 0;
}

class Sweep {
 public:
  Sweep(World world, const Arguments& arguments)
      : world_(std::move(world)), arguments_(arguments) {}

  int run() {
    auto first = arguments_.seed.value_or(arguments_.first);
    seeds_ = arguments_.seed ? 1 : arguments_.seeds;
    for (std::int64_t i = 0; i < seeds_; ++i) {
      run_seed(first + static_cast<std::uint64_t>(i));
      if (failed_ > 0 && arguments_.stop_at_first) break;
    }
    print_table();
    bool check = seeds_ >= kSeedsForFamilies && !arguments_.skip_family_check && failed_ == 0;
    bool hit = !check || families_were_hit(), done = enough_was_done() || !check;
    return failed_ == 0 && hit && done ? 0 : 1;
  }

 private:
  void run_seed(std::uint64_t seed) {
    if (arguments_.announce) {
      std::printf("> %llu\n", static_cast<unsigned long long>(seed));
      std::fflush(stdout);
    }
    auto one = world_.run(seed, arguments_.operations, arguments_.narrate);
    auto every = static_cast<std::uint64_t>(arguments_.twice_every);
    if (every > 0 && seed % every == 0 && !one.violation) {
      ++twice_;
      auto again = world_.run(seed, arguments_.operations, false);
      if (again.trace != one.trace)
        one.violation = Violation{"same seed, same run", "two runs differ"};
    }
    total_.add(one);
    for (const auto& [name, least] : world_.least_per_seed) {
      auto row = std::ranges::find(one.rows, name, &std::pair<std::string, std::int64_t>::first);
      spread_[name].push_back(row->second);
    }
    trace_.fold(one.trace);
    if (!one.violation) return;
    ++failed_;
    std::printf("walrus_sim --world %s --seed %llu", world_.name.c_str(),
                static_cast<unsigned long long>(seed));
    if (!world_.by_time) std::printf(" --ops %lld", static_cast<long long>(arguments_.operations));
    std::printf("\n  %s: %s\n", one.violation->rule.c_str(), one.violation->detail.c_str());
    std::fflush(stdout);
  }

  void print_table() {
    print_row("seeds", seeds_);
    print_row("failed", failed_);
    if (arguments_.twice_every > 0) print_row("run twice", twice_);
    for (const auto& [name, value] : total_.rows) print_row(name, value);
    for (auto& [name, values] : spread_) print_histogram(name, values);
    std::printf("hits per fault family\n");
    auto named = world_.families();
    for (const auto& family : named) print_row("  " + family, total_.hits[family]);
    std::printf("and\n");
    for (const auto& [family, count] : total_.hits)
      if (std::ranges::find(named, family) == named.end()) print_row("  " + family, count);
    std::printf("trace %016llx\n", static_cast<unsigned long long>(trace_.value()));
  }

  // Families that a long run met too seldom to have been tested.
  bool families_were_hit() {
    bool all = true;
    for (const auto& family : world_.families()) {
      auto count = total_.hits[family];
      if (count >= kFamilyHitsMin) continue;
      std::printf("fault family %s was hit %lld times, fewer than %lld\n", family.c_str(),
                  static_cast<long long>(count), static_cast<long long>(kFamilyHitsMin));
      all = false;
    }
    return all;
  }

  // Prints the averages of a seed.
  bool enough_was_done() {
    bool all = true;
    for (const auto& [name, least] : world_.least_per_seed) {
      std::int64_t sum = 0;
      for (auto value : spread_[name]) sum += value;
      bool few = sum < least * seeds_;
      std::printf("%lld %s a seed, %s %lld\n", static_cast<long long>(sum / seeds_), name.c_str(),
                  few ? "fewer than" : "at least", static_cast<long long>(least));
      all &= !few;
    }
    return all;
  }

  World world_;
  const Arguments& arguments_;
  Outcome total_;
  io::TraceHash trace_;
  std::map<std::string, std::vector<std::int64_t>> spread_;
  std::int64_t seeds_ = 0, failed_ = 0, twice_ = 0;
};

int run(const Arguments& arguments) {
  auto worlds = all_worlds();
  auto& world = *std::ranges::find(worlds, arguments.world, &World::name);
  if (arguments.list_families || arguments.list_least) return list_names(world, arguments);
  return Sweep(std::move(world), arguments).run();
}

// Of --world: which there are, and what they are.
std::map<std::string, std::string> world_texts() {
  std::map<std::string, std::string> texts;
  for (const World& world : all_worlds()) texts[world.name] = world.what;
  return texts;
}

}  // namespace
}  // namespace walrus::sim

int main(int argc, char** argv) {
  walrus::sim::Arguments arguments;
  CLI::App app("Runs simulated worlds against a model.");
  const auto worlds = walrus::sim::world_texts();
  std::string what = "which world:";
  for (const auto& [name, text] : worlds) what += "\n" + name + ": " + text;
  app.add_option("--world", arguments.world, what)->check(CLI::IsMember(worlds));
  auto* seed = app.add_option("--seed", arguments.seed, "run this seed alone");
  app.add_option("--seeds", arguments.seeds, "how many seeds")->excludes(seed);
  app.add_option("--first", arguments.first, "the first of them")->excludes(seed);
  app.add_option("--ops", arguments.operations,
                 "operations per seed; raft, service and cluster go by time");
  app.add_option("--twice-every", arguments.twice_every,
                 "run each seed that this divides twice, to the same trace");
  app.add_flag("--narrate", arguments.narrate, "print every operation");
  app.add_flag("--announce", arguments.announce, "print each seed as it begins");
  app.add_flag("--families", arguments.list_families, "print the fault families");
  app.add_flag("--least", arguments.list_least, "print what a seed has to do on average");
  app.add_flag("--stop", arguments.stop_at_first, "stop at the first failing seed");
  app.add_flag("--no-family-check", arguments.skip_family_check,
               "do not ask for hits of every fault family");
  CLI11_PARSE(app, argc, argv);
  return walrus::sim::run(arguments);
}
