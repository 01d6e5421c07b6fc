#include <nlohmann/json.hpp>

#include "base/histogram.h"
#include "cli/output.h"
#include "cli/session.h"
#include "io/env.h"

namespace walrus::cli {
namespace {

constexpr std::int64_t kOpenLoopInFlightMax = 100'000;

struct BenchFlags {
  std::string topic = "walrus-bench";
  std::int64_t bytes = 740, seconds = 5, connections = 1, in_flight = 64;
  double rate = 0;
  bool keep = false;
};

// One connection. Closed loop: every answer sends the next request. Open loop: requests are sent at
// their intended times by the caller, and latency counts from there, so that a slow answer is not
// hidden by the requests that it held up.
class Load {
 public:
  Load(io::Env& env, Client client, std::string request, io::Nanos end)
      : env_(env), request_(std::move(request)), end_(end), client_(std::move(client)) {}

  void start(std::int64_t in_flight) {
    for (std::int64_t i = 0; i < in_flight; ++i) send(env_.mono(), true);
  }
  void send(io::Nanos intended, bool again) {
    in_flight_.fetch_add(1);
    client_.request_async(request_, [this, intended, again](Result<std::string> reply) {
      answered(intended, again, reply);
    });
  }
  std::int64_t in_flight() const { return in_flight_.load(); }
  void finish() {  // all is answered
    finishing_.store(true);
    if (in_flight_.load() > 0) env_.wait(idle_, io::Nanos::max());
  }
  const Histogram& latencies() const { return latencies_; }
  bool failed() const { return failed_.load(); }
  const std::optional<Error>& error() const { return error_; }  // after finish()

 private:
  // On the client's thread.
  void answered(io::Nanos intended, bool again, const Result<std::string>& reply) {
    auto now = env_.mono();
    if (!reply) error_ = reply.error();
    else if (*reply != "OK") error_ = Error{Code::kInvalid, *reply};
    else latencies_.record((now - intended).count());
    if (error_) failed_.store(true);
    if (again && !error_ && now < end_) send(now, true);
    if (in_flight_.fetch_sub(1) == 1 && (finishing_.load() || error_)) idle_.set();
  }

  io::Env& env_;
  std::string request_;
  io::Nanos end_;
  std::atomic<std::int64_t> in_flight_{0};
  std::atomic<bool> finishing_{false}, failed_{false};
  Event idle_;
  Histogram latencies_;
  std::optional<Error> error_;
  Client client_;  // last: its thread is gone before what it uses goes
};

std::string payload_of(io::Env& env, std::int64_t bytes) {
  std::string payload(static_cast<std::size_t>(bytes), '\0');
  for (auto& byte : payload) byte = static_cast<char>('!' + env.random() % 94);
  return payload;
}

void offer(io::Env& env, std::vector<std::unique_ptr<Load>>& loads, double rate, io::Nanos start,
           io::Nanos end) {
  Event never;
  std::size_t turn = 0;
  for (std::int64_t i = 0;; ++i) {
    auto intended =
        start + io::Nanos(static_cast<std::int64_t>(static_cast<double>(i) * 1e9 / rate));
    if (intended >= end) return;
    auto now = env.mono();
    if (intended > now) env.wait(never, intended - now);
    auto& load = *loads[turn++ % loads.size()];
    if (load.failed()) return;
    while (load.in_flight() > kOpenLoopInFlightMax) env.wait(never, std::chrono::milliseconds(1));
    load.send(intended, false);
  }
}

Result<void> print_result(const Globals& globals, const BenchFlags& flags, const Histogram& all,
                          double seconds) {
  auto rate = static_cast<double>(all.count()) / seconds;
  auto micros = [&](double percent) { return static_cast<double>(all.percentile(percent)) / 1e3; };
  auto conditions = fmt::format("{} connections, {}, {} B records, {:.1f} s", flags.connections,
                                flags.rate > 0 ? fmt::format("open loop at {:.0f}/s", flags.rate)
                                               : fmt::format("{} in flight each", flags.in_flight),
                                flags.bytes, seconds);
  if (globals.json)
    return print_json({{"name", "server.put"},
                       {"value", rate},
                       {"unit", "records/s"},
                       {"better", "higher"},
                       {"latency_us",
                        {{"p50", micros(50)},
                         {"p99", micros(99)},
                         {"p99.9", micros(99.9)},
                         {"max", static_cast<double>(all.max()) / 1e3}}},
                       {"conditions", conditions}});
  return print(
      fmt::format("{:.0f} records/s  {:.1f} MB/s\nlatency us  p50 {:.0f}  p99 {:.0f}  p99.9 {:.0f} "
                  " max {:.0f}\n"
                  "{}\n",
                  rate, rate * static_cast<double>(flags.bytes) / 1e6, micros(50), micros(99),
                  micros(99.9), static_cast<double>(all.max()) / 1e3, conditions));
}

Result<int> bench(const Globals& globals, const BenchFlags& flags) {
  auto& env = io::real_env();
  WALRUS_ASSIGN(auto admin, connect(globals));
  WALRUS_TRY(explained("bench", admin.register_topic(flags.topic)));
  auto request = "PUT " + flags.topic + " " + payload_of(env, flags.bytes);
  auto start = env.mono();
  auto end = start + std::chrono::seconds(flags.seconds);
  std::vector<std::unique_ptr<Load>> loads;
  for (std::int64_t i = 0; i < flags.connections; ++i) {
    WALRUS_ASSIGN(auto client, connect(globals));
    loads.push_back(std::make_unique<Load>(env, std::move(client), request, end));
  }
  if (flags.rate > 0) offer(env, loads, flags.rate, start, end);
  else
    for (auto& load : loads) load->start(flags.in_flight);
  Histogram all;
  for (auto& load : loads) {
    if (flags.rate <= 0) {
      Event never;
      if (auto left = end - env.mono(); left.count() > 0) env.wait(never, left);
    }
    load->finish();
    if (load->error()) return std::unexpected(explained("bench", *load->error()));
    all.merge(load->latencies());
  }
  auto seconds = std::chrono::duration<double>(env.mono() - start).count();
  if (!flags.keep) WALRUS_TRY(explained("bench", admin.remove(flags.topic)));
  WALRUS_TRY(print_result(globals, flags, all, seconds));
  return kExitDone;
}

}  // namespace

void add_bench(CommandLine& line) {
  auto flags = std::make_shared<BenchFlags>();
  auto verb = line.add(line.root(), "bench", "Load a server with PUTs; prints rate and latencies",
                       [flags](const Globals& globals) { return bench(globals, *flags); });
  verb.option("--topic", flags->topic, "Made if need be, deleted afterwards").default_shown();
  verb.option("--bytes", flags->bytes, "Of a record").range(1, 1 << 20).default_shown();
  verb.option("--seconds", flags->seconds).range(1, 86'400).default_shown();
  verb.option("--connections", flags->connections).range(1, 1'000).default_shown();
  verb.option("--in-flight", flags->in_flight, "Unanswered requests a connection")
      .range(1, 10'000)
      .default_shown();
  verb.option("--rate", flags->rate, "Open loop: so many requests a second in all")
      .positive()
      .type_name("N/s");
  verb.flag("--keep", flags->keep, "Leave the topic");
}

}  // namespace walrus::cli
