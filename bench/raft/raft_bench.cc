// ./dev bench raft: groups of nodes in one process with the engine, the RPC and the disk of a
// server. BINARY (cases.h) is etcd_load.go, built.

#include "../cases.h"

namespace walrus::bench {

void propose(Bench&);
void propose_tls(Bench&);
void failover(Bench&);
void snapshot(Bench&);
void idle_groups(Bench&);
void etcd(Bench&);

namespace {

constexpr Case kCases[] = {
    {"propose", "propose.256 propose.256.p99 propose.1.p50", propose},
    {"tls", "propose.256.tls propose.256.tls.p99 propose.1.tls.p50", propose_tls},
    {"failover", "failover.p99", failover},
    {"snapshot", "snapshot.rate snapshot.memory", snapshot},
    {"idle", "idle.1000groups", idle_groups},
    {"etcd", "etcd.put", etcd}};

}  // namespace
}  // namespace walrus::bench

int main(int count, char** words) {
  return walrus::bench::run_cases(walrus::bench::kCases, count, words);
}
