// walrus_bench_kafka produce|one-by-one|consume|discard [OPTIONS]: one run against one broker, its
// result one line of JSON. Who starts brokers and makes rows of runs is bench/kafka/rows.py.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "discard.h"
#include "load.h"

namespace {

using walrus::bench::LoadOptions;
using walrus::bench::LoadResult;

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

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("loads one Kafka broker and measures it");
  LoadOptions options;
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
  CLI11_PARSE(app, argc, argv);
  for (const auto& one : settings) {
    auto sign = one.find('=');
    options.settings.emplace_back(one.substr(0, sign),
                                  sign == std::string::npos ? "" : one.substr(sign + 1));
  }
  if (app.got_subcommand(discard)) walrus::bench::serve_nothing(partitions);
  else if (app.got_subcommand("produce")) print(walrus::bench::produce(options));
  else if (app.got_subcommand("one-by-one")) print(walrus::bench::produce_one_by_one(options));
  else print(walrus::bench::consume(options));
  return 0;
}
