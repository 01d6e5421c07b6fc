// walrus_bench_kafka produce|one-by-one|consume|watch|discard [OPTIONS]: one run against a broker,
// or a cluster, its result one line of JSON. Who starts brokers and makes rows of runs is
// bench/kafka_bench.py and bench/cluster_bench.py.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "discard.h"
#include "load.h"
#include "watch.h"

namespace {

using walrus::bench::LoadOptions;
using walrus::bench::LoadResult;
using walrus::bench::WatchOptions;

void print(const LoadResult& result) {
  nlohmann::json out{{"records", result.records},
                     {"bytes", result.bytes},
                     {"errors", result.errors},
                     {"seconds", result.seconds}};
  if (result.latency.count() > 0) {
    auto& to = out["latency_us"];
    for (auto [name, percent] :
         {std::pair{"p50", 50.0}, {"p90", 90.0}, {"p99", 99.0}, {"p99.9", 99.9}, {"max", 100.0}})
      to[name] = static_cast<double>(result.latency.percentile(percent)) / 1e3;
  }
  std::puts(out.dump().c_str());
}

void add_watch(CLI::App& app, WatchOptions& options, std::vector<std::string>& settings) {
  auto* verb = app.add_subcommand("watch", "by a schedule, every acknowledgement written down");
  verb->add_option("--client", options.client, "kafka or native");
  verb->add_option("--address", options.address)->required();
  verb->add_option("--topic", options.topic)->required();
  verb->add_option("--log", options.log)->required();
  verb->add_option("--partitions", options.partitions)->check(CLI::PositiveNumber);
  verb->add_option("--record-bytes", options.record_bytes);
  verb->add_option("--rate", options.rate)->check(CLI::PositiveNumber);
  verb->add_option("--silence-ms", options.silence_ms);
  verb->add_option("-X", settings, "a setting of librdkafka, NAME=VALUE");
}

std::vector<std::pair<std::string, std::string>> parse(const std::vector<std::string>& settings) {
  std::vector<std::pair<std::string, std::string>> parsed;
  for (const auto& one : settings) {
    auto sign = one.find('=');
    parsed.emplace_back(one.substr(0, sign), sign == std::string::npos ? "" : one.substr(sign + 1));
  }
  return parsed;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("loads one Kafka broker and measures it");
  LoadOptions options;
  WatchOptions watching;
  std::vector<std::string> settings;
  int partitions = 1;
  app.require_subcommand(1);
  auto* discard = app.add_subcommand("discard", "a broker that answers and keeps nothing");
  discard->add_option("--partitions", partitions);
  for (auto* verb : {app.add_subcommand("produce", "as fast as it goes, or at a rate"),
                     app.add_subcommand("one-by-one", "one record in flight"),
                     app.add_subcommand("consume", "the whole topic, again and again")}) {
    verb->add_option("--address", options.address)->required();
    verb->add_option("--topic", options.topic)->required();
    verb->add_option("--partitions", options.partitions);
    verb->add_option("--record-bytes", options.record_bytes);
    verb->add_option("--warm", options.warm_seconds);
    verb->add_option("--seconds", options.seconds);
    verb->add_option("--rate", options.rate);
    verb->add_option("--records", options.records);
    verb->add_flag("--round-robin", options.round_robin);
    verb->add_option("-X", settings, "a setting of librdkafka, NAME=VALUE");
  }
  add_watch(app, watching, settings);
  CLI11_PARSE(app, argc, argv);
  options.settings = watching.settings = parse(settings);
  if (app.got_subcommand(discard)) walrus::bench::serve_nothing(partitions);
  else if (app.got_subcommand("watch")) walrus::bench::watch(watching);
  else if (app.got_subcommand("produce")) print(walrus::bench::produce(options));
  else if (app.got_subcommand("one-by-one")) print(walrus::bench::produce_one_by_one(options));
  else print(walrus::bench::consume(options));
  return 0;
}
