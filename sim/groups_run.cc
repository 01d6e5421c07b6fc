#include "groups_run.h"

#include <cstdio>

#include "base/test_log.h"
#include "kafka_peer.h"

namespace walrus::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::int32_t kPartitions = 4;
constexpr int kStartsMax = 100;

}  // namespace

const std::vector<std::string>& groups_families() {
  static const std::vector<std::string> families{
      "server-kill",   "server-power-cut", "connection-reset",   "client-crash",  "client-leaves",
      "static-rejoin", "fenced-commit",    "commit-after-leave", "batch-again",   "batch-fenced",
      "batch-gap",     "sequence-wrap",    "sync-again",         "cut-after-sync"};
  return families;
}

GroupsRun::GroupsRun(std::uint64_t seed, std::int64_t operations) : operations_(operations) {
  io::WorldOptions options{.nodes = 2};
  // What is on its way to the disk stays so for a while.
  options.disk.faults = {.slow_sync = 0.5, .slow_min = 1ms, .slow_max = 40ms};
  world_ = std::make_unique<io::World>(seed, options);
  if (draw(2) == 0) world_->network().set_all_links({.reset = 0.003});
  log_ = std::make_unique<NoLog>();
  auto host = world_->node(0).host();
  auto& engine = options_.engine;
  engine.user.root = "/data";
  engine.user.shards = 1 + static_cast<int>(draw(2));
  engine.user.journal_bytes_max = 1 << 20;
  engine.user.batch_bytes_max = 64 << 10;
  engine.user.in_flight_bytes_max = 256 << 10;
  engine.journal_file_bytes_min = engine.journal_file_bytes_max = 256 << 10;
  options_.loops = 1 + draw(2);
  options_.disk_free_bytes_min = 0;
  options_.native.listen = host + ":9091";
  options_.admin_listen = host + ":9094";
  options_.kafka.listen = host + ":9092";
  options_.kafka.session.node.partitions_default = kPartitions;
  options_.groups.initial_delay = Millis(draw(200));
  options_.groups.session_timeout_min = 100ms;
  for (std::uint64_t i = 0; i < 2 + draw(3); ++i) {
    auto& one = consumers_.emplace_back();
    one.name = fmt::format("c{}", i);
    if (draw(3) == 0) one.instance = fmt::format("i{}", i);
  }
  // Near the end of the sequences, so that they wrap.
  next_sequence_ = std::numeric_limits<std::int32_t>::max() - static_cast<std::int32_t>(draw(40));
}

GroupsRun::~GroupsRun() {
  loop_.reset();
  server_.reset();
}

void GroupsRun::run() {
  start_server();
  loop_ = world_->node(1).env().make_loop();
  for (auto& consumer : consumers_)
    loop_->spawn(repeat([this, &consumer] { return consume(consumer); }));
  loop_->spawn(repeat([this] { return produce(); }));
  running_ = consumers_.size() + 1;
  while (!violation_ && tally_.operations < operations_) let_pass();
  finishing_ = true;
  world_->network().set_all_links({});
  world_->node(0).crash_after_ops(0, io::CrashKind::kKill);
  // What was answered outlives the last crash.
  if (!violation_) crash_server();
  if (!violation_ && !world_->run_until([this] { return all_ended() || violation_; }, 10min))
    flag("hang", "the clients do not end");
  tally_.hits["connection-reset"] += world_->hits()["net.reset"];
  tally_.trace = world_->trace_hash();
}

void GroupsRun::let_pass() {
  if (draw(3) == 0) {
    bool cut = draw(2) == 0;
    world_->node(0).crash_after_ops(1 + draw(300),
                                    cut ? io::CrashKind::kPowerCut : io::CrashKind::kKill);
    ++tally_.hits[cut ? "server-power-cut" : "server-kill"];
  }
  auto before = tally_.operations;
  world_->run_until(
      [&] {
        return violation_ || cut_now_ || world_->node(0).crashed() ||
               tally_.operations > before + 20;
      },
      5s);
  if (violation_) return;
  if (std::exchange(cut_now_, false)) return crash_server(io::CrashKind::kPowerCut);
  if (world_->node(0).crashed() || draw(20) == 0) crash_server();
}

void GroupsRun::start_server() {
  for (int attempt = 0; attempt < kStartsMax; ++attempt) {
    auto started = server::Server::start(world_->node(0).env(), options_, *log_);
    if (started) {
      server_ = std::move(*started);
      ++tally_.reopenings;
      return;
    }
    if (!world_->node(0).crashed()) return flag("no-start", started.error().message);
    world_->node(0).restart();
  }
  flag("no-start", "it crashes each time");
}

void GroupsRun::crash_server(io::CrashKind kind) {
  if (!world_->node(0).crashed()) world_->node(0).crash(kind);
  server_.reset();
  world_->node(0).restart();
  ++tally_.crashes;
  ++tally_.restarts;
  say("the server starts anew");
  start_server();
}

// Until the run is over: what breaks begins again after a while.
boost::asio::awaitable<void> GroupsRun::repeat(std::function<Done()> once) {
  while (!violation_) {
    auto crashes = tally_.crashes;
    auto result = co_await once();
    bool waited = !result && result.error().code == Code::kTimeout;
    if (waited && crashes == tally_.crashes) flag("no-answer", result.error().message);
    if (finishing_ && result) break;
    co_await loop_->sleep(Millis(1 + draw(100)));
  }
  ++ended_;
}

void GroupsRun::operation(bool acknowledged) {
  ++tally_.operations;
  ++(acknowledged ? tally_.acknowledged : tally_.refused);
}

void GroupsRun::flag(const char* rule, std::string detail) {
  say(fmt::format("VIOLATION {}: {}", rule, detail));
  if (!violation_) violation_ = Violation{rule, std::move(detail)};
}

void GroupsRun::say(std::string line) {
  if (narrating_)
    std::printf("%10.6f %s\n", std::chrono::duration<double>(world_->now()).count(), line.c_str());
}

}  // namespace walrus::sim
