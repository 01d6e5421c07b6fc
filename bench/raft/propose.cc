// Proposals: many in flight, one in flight, and etcd's puts beside them.

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "nodes.h"

extern char** environ;

namespace walrus::bench {

namespace {

constexpr int kInFlight = 256;
const std::string kGroupOf3 =
    "three nodes in one process, a thread and an engine each, one disk, TCP over loopback; "
    "commands of 256 bytes, applied when they are synced on two of them; the state machine counts "
    "on the loop; default options";

std::unique_ptr<Nodes> group_of_3(const Bench& bench, Wire wire = Wire::kPlain) {
  auto nodes = std::make_unique<Nodes>(bench.fresh("raft"), 3, wire);
  for (std::size_t place = 0; place < 3; ++place)
    nodes->open(place, kGroup, {.runs = raft::Runs::kLoop, .founders = nodes->members(3)},
                counting_machine());
  return nodes;
}

// What the disk alone takes for a command: each node syncs it. Half of the writes, microseconds.
double three_syncs_us(const Bench& bench) {
  const auto root = bench.fresh("syncs");
  Histogram latency[3];
  std::vector<std::jthread> nodes;
  for (std::size_t i = 0; i < 3; ++i) {
    auto directory = root / std::to_string(i);
    std::filesystem::create_directory(directory);
    nodes.emplace_back(
        [&, directory, i] { raw_synced_writes(directory, seconds_of(bench, 3), latency[i]); });
  }
  nodes.clear();
  for (auto i : {1, 2}) latency[0].merge(latency[i]);
  return static_cast<double>(latency[0].percentile(50)) / 1e3;
}

struct ProposeRows {
  Row many, tail, one;
};

void measure(Bench& bench, Wire wire, ProposeRows rows) {
  for (int round = 0; round < bench.rounds; ++round) {
    if (!rows.one.peer.empty()) rows.one.peer_rounds.push_back(three_syncs_us(bench));
    auto nodes = group_of_3(bench, wire);
    auto leader = nodes->leader();
    auto loaded = load(*nodes, leader, kInFlight, seconds_of(bench, 10));
    rows.many.rounds.push_back(loaded.per_s);
    rows.many.latency.merge(loaded.latency);
    rows.tail.rounds.push_back(static_cast<double>(loaded.latency.percentile(99)) / 1e6);
    auto alone = load(*nodes, nodes->leader(), 1, seconds_of(bench, 5));
    rows.one.rounds.push_back(static_cast<double>(alone.latency.percentile(50)) / 1e3);
    rows.one.latency.merge(alone.latency);
  }
  for (const auto& row : {rows.many, rows.tail, rows.one}) bench.add(row);
}

}  // namespace

void propose(Bench& bench) {
  measure(bench, Wire::kPlain,
          {.many = {.name = "propose.256",
                    .unit = "commands/s",
                    .target = 150'000,
                    .conditions = "256 in flight, closed loop; " + kGroupOf3},
           .tail = {.name = "propose.256.p99",
                    .unit = "ms",
                    .higher_is_better = false,
                    .target = 5,
                    .conditions = "of the runs of propose.256"},
           .one = {.name = "propose.1.p50",
                   .unit = "us",
                   .higher_is_better = false,
                   .peer = "write + fdatasync, three files at once",
                   .target = 350,
                   .conditions = "1 in flight; " + kGroupOf3}});
}

// The same with TLS between the nodes: told, without a target.
void propose_tls(Bench& bench) {
  const std::string tls = ", TLS 1.3 with certificates of both sides between the nodes";
  measure(bench, Wire::kTls,
          {.many = {.name = "propose.256.tls",
                    .unit = "commands/s",
                    .conditions = "as propose.256" + tls},
           .tail = {.name = "propose.256.tls.p99",
                    .unit = "ms",
                    .higher_is_better = false,
                    .conditions = "of the runs of propose.256.tls"},
           .one = {.name = "propose.1.tls.p50",
                   .unit = "us",
                   .higher_is_better = false,
                   .conditions = "as propose.1.p50" + tls}});
}

namespace {

// Ports that were free a moment ago: etcd wants to know all of them beforehand.
std::vector<int> free_ports(int count) {
  std::vector<int> sockets, ports;
  for (int i = 0; i < count; ++i) {
    sockets.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    must(bind(sockets.back(), generic, size) == 0, "bind");
    must(getsockname(sockets.back(), generic, &size) == 0, "getsockname");
    ports.push_back(ntohs(address.sin_port));
  }
  for (int one : sockets) close(one);
  return ports;
}

// Three members of etcd on loopback, each a process with defaults.
class Etcd {
 public:
  explicit Etcd(const std::filesystem::path& root) {
    auto ports = free_ports(6);
    auto url = [&](int port) {
      return fmt::format("http://127.0.0.1:{}", ports[static_cast<std::size_t>(port)]);
    };
    std::string cluster;
    for (int i = 0; i < 3; ++i) cluster += fmt::format("{}m{}={}", i ? "," : "", i, url(3 + i));
    for (int i = 0; i < 3; ++i) {
      auto client = url(i), peer = url(3 + i);
      endpoints += (i ? "," : "") + client;
      start({"etcd", "--name", fmt::format("m{}", i), "--data-dir", root / std::to_string(i),
             "--listen-client-urls", client, "--advertise-client-urls", client,
             "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster",
             cluster, "--initial-cluster-state", "new", "--log-level", "error"});
    }
  }
  ~Etcd() {
    for (auto child : children_) ::kill(child, SIGKILL);
    for (auto child : children_) waitpid(child, nullptr, 0);
  }
  std::string endpoints{};

 private:
  void start(std::vector<std::string> words) {
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (int file : {1, 2})
      posix_spawn_file_actions_addopen(&actions, file, "/dev/null", O_WRONLY, 0);
    pid_t child = 0;
    must(posix_spawnp(&child, "etcd", &actions, nullptr, arguments.data(), environ) == 0, "etcd");
    posix_spawn_file_actions_destroy(&actions);
    children_.push_back(child);
  }
  std::vector<pid_t> children_{};
};

// What etcd_load.go says: puts, seconds, 50th and 99th percentile in microseconds.
double etcd_puts_per_s(const Bench& bench, const std::string& endpoints) {
  auto command = fmt::format("'{}' {} {} {} 256", bench.binary.string(), endpoints, kInFlight,
                             static_cast<int>(seconds_of(bench, 10)));
  std::FILE* from = popen(command.c_str(), "r");
  must(from != nullptr, "etcd_load");
  double puts = 0, seconds = 0;
  bool read = std::fscanf(from, "%lf %lf", &puts, &seconds) == 2;
  while (std::fgetc(from) != EOF) {
  }
  must(pclose(from) == 0 && read, "etcd_load");
  return puts / seconds;
}

}  // namespace

void etcd(Bench& bench) {
  Row row{
      .name = "etcd.put",
      .unit = "commands/s",
      .peer = "etcd 3.4",
      .conditions =
          "256 in flight, 256 bytes each, durable on a majority of three when answered. Walrus: "
          "as propose.256, proposed within the leader's process. etcd: three processes with "
          "defaults, puts to 256 keys by its own Go client over 8 connections"};
  for (int round = 0; round < bench.rounds; ++round) {
    {
      auto nodes = group_of_3(bench);
      row.rounds.push_back(load(*nodes, nodes->leader(), kInFlight, seconds_of(bench, 10)).per_s);
    }
    Etcd members(bench.fresh("etcd"));
    row.peer_rounds.push_back(etcd_puts_per_s(bench, members.endpoints));
  }
  bench.add(row);
}

}  // namespace walrus::bench
