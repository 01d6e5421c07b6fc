// ./dev bench log: the embedded engine with its defaults, its peers in the same run. Every case
// measures `--rounds` times and reports medians.
// BINARY (cases.h) is walrus.

#include "cases.h"

namespace walrus::bench {
namespace {

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
  return walrus::bench::run_cases(walrus::bench::kCases, count, words);
}
