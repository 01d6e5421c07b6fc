// A leader that dies; a snapshot to a learner; groups that have nothing to do.

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "nodes.h"

namespace walrus::bench {

using namespace std::chrono_literals;

// From the moment at which the leader's threads end to the first command that another leader has
// applied.
void failover(Bench& bench) {
  Row row{.name = "failover.p99",
          .unit = "ms",
          .higher_is_better = false,
          .target = 1000,
          .conditions =
              "the leader of three nodes in one process ends without a word; until another "
              "one has applied a command; default time-outs"};
  Nodes nodes(bench.fresh("raft"), 3);
  auto open = [&](std::size_t place) {
    nodes.open(place, kGroup, {.founders = nodes.members(3)}, counting_machine());
  };
  for (std::size_t place = 0; place < 3; ++place) open(place);
  int deaths = bench.brief ? 3 : 20 * bench.rounds;
  row.conditions += "; deaths: " + std::to_string(deaths);
  for (int death = 0; death < deaths; ++death) {
    auto leader = nodes.leader();
    auto caught_up = [&] {
      auto commit = nodes.status(leader).core.commit;
      for (std::size_t place = 0; place < 3; ++place)
        if (nodes.status(place).applied < commit) return false;
      return true;
    };
    while (!caught_up()) std::this_thread::sleep_for(1ms);
    auto begun = Clock::now();
    nodes.kill(leader);
    nodes.leader();
    auto took = Clock::now() - begun;
    row.latency.record(took.count());
    nodes.start(leader);
    open(leader);
  }
  row.rounds = {static_cast<double>(row.latency.percentile(99)) / 1e6};
  bench.add(row);
}

namespace {

double resident_mib() {
  std::ifstream file("/proc/self/statm");
  double total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

// MB/s at which a new file takes so many bytes, with what makes them durable.
double device_rate(const std::filesystem::path& file, std::uint64_t bytes) {
  auto piece = random_bytes(1 << 20);
  int fd = ::open(file.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
  must(fd >= 0, "open");
  auto begun = Clock::now();
  for (std::uint64_t written = 0; written < bytes; written += piece.size())
    must(::write(fd, piece.data(), piece.size()) == static_cast<ssize_t>(piece.size()), "write");
  must(fdatasync(fd) == 0, "fdatasync");
  auto rate = static_cast<double>(bytes) / 1e6 / since(begun);
  close(fd);
  std::filesystem::remove(file);
  return rate;
}

struct Transfer {
  double mb_per_s = 0, grown_mib = 0, commits_per_s = 0;
  double commit_ms_max = 0;  // the slowest one
};

// Node 4 joins three others, whose log no longer holds what the snapshot of so many bytes does.
Transfer transfer_snapshot(const Bench& bench, std::uint64_t bytes) {
  Nodes nodes(bench.fresh("raft"), 4);
  raft::NodeOptions options;
  options.core.log_bytes_kept = 0;
  options.founders = nodes.members(3);
  for (std::size_t place = 0; place < 3; ++place)
    nodes.open(place, kGroup, options, counting_machine(bytes));
  options.founders = {};
  nodes.open(3, kGroup, options, counting_machine());
  auto leader = nodes.leader();
  nodes.ask(leader, [](raft::Host& host) { host.find(kGroup)->take_snapshot(); });
  while (nodes.status(leader).core.snapshot.index == 0) std::this_thread::sleep_for(10ms);
  auto memory = resident_mib(), most = memory;
  auto begun = Clock::now();
  auto added = nodes.change(
      leader, {{raft::MemberChange::Kind::kAddLearner, Nodes::id(3), nodes.address(3)}});
  must(added.end == raft::Proposal::End::kApplied, "a learner was not added");
  std::uint64_t commits = 0;
  double slowest = 0;
  auto installed = [&] {
    return nodes.ask(3, [](raft::Host& host) { return host.stats().snapshots_installed; }) > 0;
  };
  while (!installed()) {
    auto asked = Clock::now();
    auto proposal = nodes.propose(leader, "x", 60s);
    must(proposal.end == raft::Proposal::End::kApplied, "a command was not applied");
    slowest = std::max(slowest, since(asked) * 1e3);
    ++commits;
    most = std::max(most, resident_mib());
  }
  auto took = since(begun);
  must(commits > 0, "nothing was committed beside the snapshot");
  return {static_cast<double>(bytes) / 1e6 / took, most - memory,
          static_cast<double>(commits) / took, slowest};
}

}  // namespace

void snapshot(Bench& bench) {
  std::uint64_t bytes = bench.brief ? 64 << 20 : 1 << 30;
  Row rate{.name = "snapshot.rate", .unit = "MB/s", .peer = "write + fdatasync of a new file"};
  Row memory{.name = "snapshot.memory",
             .unit = "MiB",
             .higher_is_better = false,
             .target = 64,
             .conditions =
                 "growth of the resident memory of the process, sender and receiver, "
                 "during snapshot.rate"};
  double commits = 0, slowest = 0;
  for (int round = 0; round < bench.rounds; ++round) {
    rate.peer_rounds.push_back(device_rate(bench.fresh("device") / "file", bytes));
    auto transfer = transfer_snapshot(bench, bytes);
    rate.rounds.push_back(transfer.mb_per_s);
    memory.rounds.push_back(transfer.grown_mib);
    commits = std::max(commits, transfer.commits_per_s);
    slowest = std::max(slowest, transfer.commit_ms_max);
  }
  rate.target = std::min(500.0, median(rate.peer_rounds) / 2);
  rate.conditions =
      std::to_string(bytes >> 20) +
      " MiB from the leader of three to a learner that was started before the snapshot was "
      "taken, in the same process, on the same disk, until it is synced there and the "
      "learner's; meanwhile one command in flight, " +
      std::to_string(static_cast<int>(commits)) + " commits/s, the slowest in " +
      std::to_string(static_cast<int>(slowest)) +
      " ms; the target is 500 MB/s or half of the device's rate";
  bench.add(rate);
  bench.add(memory);
}

namespace {

double processor_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

void idle_groups(Bench& bench) {
  const std::uint64_t groups = bench.brief ? 50 : 1000;
  Row row{.name = "idle.1000groups",
          .unit = "% of a core",
          .higher_is_better = false,
          .target = 2,
          .conditions = std::to_string(groups) +
                        " groups on each of three nodes of one process, each with a leader and "
                        "nothing to do; default heartbeat; the processor time of the process, "
                        "divided by three nodes"};
  Nodes nodes(bench.fresh("raft"), 3);
  for (std::uint64_t group = 1; group <= groups; ++group)
    for (std::size_t place = 0; place < 3; ++place)
      nodes.open(place, {group}, {.founders = nodes.members(3)}, counting_machine());
  auto led = [&](std::uint64_t group) { return nodes.status(0, {group}).core.leader != NodeId{}; };
  for (std::uint64_t group = 1; group <= groups; ++group)
    while (!led(group)) std::this_thread::sleep_for(1ms);
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds_of(bench, 5)));
  for (int round = 0; round < bench.rounds; ++round) {
    auto begun = Clock::now();
    auto before = processor_seconds();
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds_of(bench, 10)));
    row.rounds.push_back((processor_seconds() - before) / since(begun) * 100 / 3);
  }
  bench.add(row);
}

}  // namespace walrus::bench
