// ./dev bench log: the embedded engine with its defaults, its peers in the same run. Every case
// measures `--rounds` times and reports medians.
//
// usage: walrus_bench_log CASE OUT_FILE WORK_DIRECTORY WALRUS_BINARY [ROUNDS]
// Writes the case's rows as JSON. Without words: prints each case and its rows, one case a line.

#include <cstring>
#include <fstream>

#include "harness.h"

namespace walrus::bench {
namespace {

struct Case {
  const char* name;
  const char* rows;  // in the order of the report
  void (*measure)(Bench&);
};

constexpr Case kCases[] = {
    {"os-1", "append.os.1thread append.os.1thread.memcpy append.os.1thread.journal", os_one_thread},
    {"os-sustained", "append.os.sustained append.os.sustained.rocksdb", os_sustained},
    {"os-10", "append.os.10threads", os_ten_threads},
    {"fsync-1", "append.fsync.1 append.fsync.1.raw", fsync_alone},
    {"fsync-many", "append.fsync.64threads append.fsync.1000async", fsync_many},
    {"streams", "append.fsync.10000streams append.fsync.10000streams.p99", many_streams},
    {"device", "device.bytes_per_group", device},
    {"beside", "sync.p99.writer", sync_beside_writer},
    {"read", "read.sequential read.random.p99 read.random.cold.p99", reads},
    {"open", "open.after_kill", reopen},
    {"idle", "idle.memory idle.disk idle.files", idle},
    {"space", "space.overhead space.journal", space},
    {"server", "server.put", server}};

}  // namespace
}  // namespace walrus::bench

int main(int count, char** words) {
  using namespace walrus::bench;
  if (count == 1) {
    for (const auto& one : kCases) std::printf("%s %s\n", one.name, one.rows);
    return 0;
  }
  if (count < 5) return 2;
  Bench bench;
  bench.work = words[3];
  bench.binary = words[4];
  if (count > 5) bench.rounds = std::atoi(words[5]);
  for (const auto& one : kCases) {
    if (std::strcmp(one.name, words[1]) != 0) continue;
    std::filesystem::create_directories(bench.work);
    one.measure(bench);
    std::ofstream out(words[2]);
    out << json(bench.rows);
    return out.flush() ? 0 : 1;
  }
  return 2;
}
