// walrus_raft_oracle: random scripts, each done to a group of our cores and to one of etcd's, until
// something differs. Prints the line that repeats it.

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "script.h"

namespace walrus::oracle {
namespace {

struct Arguments {
  std::string etcd{};
  std::uint64_t first = 1, seeds = 100;
  int steps = 40;
  bool narrate = false;
  Lie lie = Lie::kNone;
};

std::optional<std::string> run_seed(const Arguments& arguments, std::uint64_t seed, Tally& tally) {
  constexpr int kNodes[] = {2, 3, 3, 3, 4, 5, 5};
  int nodes = kNodes[seed % std::size(kNodes)];
  auto ours = our_group(nodes, seed, arguments.lie);
  auto theirs = etcd_group(arguments.etcd, nodes);
  return Script(mix64(seed), *ours, *theirs, nodes, tally, arguments.narrate).run(arguments.steps);
}

// A row, and whether it came to pass often enough for the comparison to say something.
bool print(const char* name, std::int64_t value, std::uint64_t seeds) {
  std::printf("%-28s %12lld\n", name, static_cast<long long>(value));
  return seeds < 200 || value >= static_cast<std::int64_t>(seeds / 20);
}

bool print_table(const Tally& tally, std::uint64_t seeds) {
  bool enough = true;
  const std::pair<const char*, std::int64_t> rows[] = {
      {"steps", tally.steps},
      {"elections won", tally.elections},
      {"elections not won", tally.refused_elections},
      {"commits", tally.commits},
      {"proposals not committed", tally.unacknowledged},
      {"old entries not counted", tally.old_term_entries},
      {"truncations", tally.truncations},
      {"restarts", tally.restarts},
      {"compactions", tally.compactions},
      {"transfers", tally.transfers},
      {"leaders without a majority", tally.stepped_down}};
  for (auto [name, value] : rows)
    if (!print(name, value, seeds)) {
      std::printf("%s: too seldom\n", name);
      enough = false;
    }
  return enough;
}

int run(const Arguments& arguments) {
  Tally tally;
  for (auto seed = arguments.first; seed < arguments.first + arguments.seeds; ++seed) {
    auto difference = run_seed(arguments, seed, tally);
    if (!difference) continue;
    std::printf("walrus_raft_oracle %s --first %llu --seeds 1 --narrate\n  %s\n",
                arguments.etcd.c_str(), static_cast<unsigned long long>(seed), difference->c_str());
    return 1;
  }
  std::printf("%-28s %12llu\n", "scripts", static_cast<unsigned long long>(arguments.seeds));
  return print_table(tally, arguments.seeds) ? 0 : 1;
}

}  // namespace
}  // namespace walrus::oracle

int main(int argc, char** argv) {
  using walrus::oracle::Lie;
  testing::InitGoogleTest(&argc, argv);  // the group of cores checks itself with it
  walrus::oracle::Arguments arguments;
  CLI::App app("Does the same to a group of our Raft cores and to one of etcd's, and compares.");
  app.add_option("etcd", arguments.etcd, "the program with etcd's Raft")->required();
  app.add_option("--first", arguments.first, "the first seed");
  app.add_option("--seeds", arguments.seeds, "how many");
  app.add_option("--steps", arguments.steps, "of a script");
  app.add_flag("--narrate", arguments.narrate, "print every step");
  std::map<std::string, Lie> lies = {
      {"vote", Lie::kVote}, {"ack", Lie::kAck}, {"commit", Lie::kCommit}};
  app.add_option("--lie", arguments.lie, "falsify what our nodes say: it has to be noticed")
      ->transform(CLI::CheckedTransformer(lies));
  CLI11_PARSE(app, argc, argv);
  auto status = walrus::oracle::run(arguments);
  return testing::UnitTest::GetInstance()->Failed() ? 1 : status;
}
