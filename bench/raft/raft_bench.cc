// ./dev bench raft: groups of nodes in one process with the engine, the RPC and the disk of a
// server.
//
// usage: walrus_bench_raft CASE OUT_FILE WORK_DIRECTORY ETCD_LOAD ROUNDS [brief]
// Writes the case's rows as JSON; brief: runs of a moment, to see that they work. Without words:
// prints each case and its rows, one case a line. ETCD_LOAD is etcd_load.go, built.

#include <cstring>
#include <fstream>

#include "nodes.h"

namespace walrus::bench {

void propose(Bench&);
void failover(Bench&);
void snapshot(Bench&);
void idle_groups(Bench&);
void etcd(Bench&);

namespace {

struct Case {
  const char* name;
  const char* rows;  // in the order of the report
  void (*measure)(Bench&);
};

constexpr Case kCases[] = {{"propose", "propose.256 propose.256.p99 propose.1.p50", propose},
                           {"failover", "failover.p99", failover},
                           {"snapshot", "snapshot.rate snapshot.memory", snapshot},
                           {"idle", "idle.1000groups", idle_groups},
                           {"etcd", "etcd.put", etcd}};

int measure(const Case& one, Bench& bench, const char* out_file) {
  std::filesystem::create_directories(bench.work);
  one.measure(bench);
  std::ofstream out(out_file);
  out << json(bench.rows);
  return out.flush() ? 0 : 1;
}

}  // namespace
}  // namespace walrus::bench

int main(int count, char** words) {
  using namespace walrus::bench;
  if (count == 1) {
    for (const auto& one : kCases) std::printf("%s %s\n", one.name, one.rows);
    return 0;
  }
  if (count < 6) return 2;
  Bench bench;
  bench.work = words[3];
  bench.binary = words[4];
  bench.rounds = std::atoi(words[5]);
  bench.brief = count > 6 && std::strcmp(words[6], "brief") == 0;
  for (const auto& one : kCases)
    if (std::strcmp(one.name, words[1]) == 0) return measure(one, bench, words[2]);
  return 2;
}
