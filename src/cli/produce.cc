#include <charconv>
#include <nlohmann/json.hpp>

#include "cli/escape.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/pacer.h"
#include "cli/progress.h"
#include "cli/record_splitter.h"
#include "cli/session.h"

namespace walrus::cli {
namespace {

struct ProduceFlags {
  std::string topic;
  std::vector<std::string> files, headers;
  std::string delimiter = "\\n", rate, compression = "none";
  bool length_prefixed = false;
  std::int64_t batch_records = 1000, batch_bytes = 262'144, linger_ms = 5, retry_ms = 60'000;
  std::optional<std::string> key, key_separator;
};

// The flags, checked and decoded.
struct Plan {
  ProducerOptions producer;
  std::optional<std::string> key;
  std::string key_separator;  // empty: none
  std::vector<std::pair<std::string, std::string>> headers;
  std::string delimiter;
  double rate = 0;
};

Result<double> parse_rate(Bytes text) {
  if (text.empty()) return 0.0;
  if (text.ends_with("/s")) text.remove_suffix(2);
  double rate = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rate);
  if (error != std::errc() || end != text.data() + text.size() || !(rate > 0) || rate > 1e12)
    return fail(Code::kInvalid, "--rate: '{}' is not a number of records a second", text);
  return rate;
}

Compression compression_of(Bytes name) {
  if (name == "gzip") return Compression::kGzip;
  if (name == "snappy") return Compression::kSnappy;
  if (name == "lz4") return Compression::kLz4;
  if (name == "zstd") return Compression::kZstd;
  return Compression::kNone;
}

Result<Plan> plan_of(const Globals& globals, const ProduceFlags& flags) {
  Plan plan;
  WALRUS_ASSIGN(auto server, client_options(globals));
  plan.producer = {.server = std::move(server),
                   .topic = flags.topic,
                   .batch_records_max = flags.batch_records,
                   .batch_bytes_max = flags.batch_bytes,
                   .linger = Millis(flags.linger_ms),
                   .retry = Millis(flags.retry_ms),
                   .compression = compression_of(flags.compression)};
  plan.producer.on_disconnect = [globals, topic = flags.topic](const Error& why,
                                                               std::int64_t unacknowledged) {
    notice(globals, fmt::format("produce {}: connection lost, {} batches unacknowledged ({}); "
                                "connecting again",
                                topic, unacknowledged, why.message));
  };
  WALRUS_ASSIGN(plan.rate, parse_rate(flags.rate));
  WALRUS_ASSIGN(plan.delimiter, about("--delimiter", unescape(flags.delimiter)));
  if (plan.delimiter.empty()) return fail(Code::kInvalid, "--delimiter: empty");
  plan.key = flags.key;
  WALRUS_ASSIGN(plan.key_separator,
                about("--key-separator", unescape(flags.key_separator.value_or(""))));
  for (const auto& header : flags.headers) {
    auto equals = header.find('=');
    if (equals == std::string::npos || equals == 0)
      return fail(Code::kInvalid, "--header: '{}' is not K=V", header);
    plan.headers.emplace_back(header.substr(0, equals), header.substr(equals + 1));
  }
  return plan;
}

class Produce {
 public:
  Produce(io::Env& env, const Globals& globals, const Plan& plan, Producer& producer)
      : plan_(plan), producer_(producer), pacer_(env, plan.rate), progress_(env, globals) {
    for (const auto& [name, value] : plan.headers)
      headers_.push_back({.name = name, .value = Bytes(value)});
  }

  Result<void> send_input(Input& input, RecordSplitter& splitter) {
    std::vector<Bytes> payloads;
    while (true) {
      WALRUS_ASSIGN(auto chunk, about(input.name(), input.next()));
      payloads.clear();
      WALRUS_TRY(about(input.name(),
                       chunk.empty() ? splitter.finish(payloads) : splitter.feed(chunk, payloads)));
      WALRUS_TRY(send(payloads));
      read_bytes_ += static_cast<std::int64_t>(chunk.size());
      show_progress();
      if (chunk.empty()) return {};
    }
  }
  void expect_bytes(std::int64_t total) { total_bytes_ = total; }
  void end_progress() { progress_.clear(); }

 private:
  void show_progress() {
    auto share = total_bytes_ < 0 ? -1.0
                 : total_bytes_ > 0
                     ? static_cast<double>(read_bytes_) / static_cast<double>(total_bytes_)
                     : 1.0;
    progress_.update(records_, read_bytes_, share);
  }

  Result<void> send(std::span<const Bytes> payloads) {
    while (!payloads.empty()) {
      auto step = pacer_.step(payloads.size());
      batch_.clear();
      for (auto payload : payloads.first(step)) batch_.push_back(record_of(payload));
      pacer_.wait(step);
      WALRUS_TRY(producer_.send(batch_));
      records_ += static_cast<std::int64_t>(step);
      payloads = payloads.subspan(step);
      show_progress();
    }
    return {};
  }

  // A payload without the separator is a record without a key, or with that of --key.
  Record record_of(Bytes payload) const {
    Record record{.value = payload, .headers = headers_};
    if (plan_.key) record.key = *plan_.key;
    if (plan_.key_separator.empty()) return record;
    auto at = payload.find(plan_.key_separator);
    if (at == Bytes::npos) return record;
    record.key = payload.substr(0, at);
    record.value = payload.substr(at + plan_.key_separator.size());
    return record;
  }

  const Plan& plan_;
  Producer& producer_;
  Pacer pacer_;
  Progress progress_;
  std::vector<Header> headers_;
  std::vector<Record> batch_;
  std::int64_t records_ = 0, read_bytes_ = 0, total_bytes_ = -1;
};

Result<Produced> send_all(io::Env& env, const Globals& globals, const ProduceFlags& flags,
                          const Plan& plan, Producer& producer) {
  std::vector<Input> inputs;
  std::int64_t total = 0;
  for (const auto& file : flags.files.empty() ? std::vector<std::string>{"-"} : flags.files) {
    WALRUS_ASSIGN(auto input, Input::open(env, file));
    total = input.size() < 0 || total < 0 ? -1 : total + input.size();
    inputs.push_back(std::move(input));
  }
  Produce produce(env, globals, plan, producer);
  produce.expect_bytes(total);
  for (auto& input : inputs) {
    auto splitter = flags.length_prefixed ? RecordSplitter::length_prefixed()
                                          : RecordSplitter::delimited(plan.delimiter);
    WALRUS_TRY(produce.send_input(input, splitter));
  }
  produce.end_progress();
  return producer.flush();
}

std::string offsets_text(const Produced& produced) {
  if (!produced.first) return "none";
  return fmt::format("{}..{}", produced.first->value, produced.last->value);
}

Result<void> print_summary(const Globals& globals, Bytes topic, const Produced& produced,
                           double seconds) {
  if (globals.json) {
    nlohmann::ordered_json json{{"topic", topic},          {"records", produced.records},
                                {"bytes", produced.bytes}, {"first_offset", nullptr},
                                {"last_offset", nullptr},  {"retries", produced.retries},
                                {"seconds", seconds}};
    if (produced.first) json["first_offset"] = produced.first->value;
    if (produced.last) json["last_offset"] = produced.last->value;
    return print_json(json);
  }
  if (!globals.quiet)
    fmt::print(stderr, "produced {} records {} bytes offsets {} retries {}\n", produced.records,
               produced.bytes, offsets_text(produced), produced.retries);
  return {};
}

Result<int> produce(const Globals& globals, const ProduceFlags& flags) {
  auto& env = io::real_env();
  auto plan = plan_of(globals, flags);
  if (!plan) return report_usage(globals, about("produce", plan.error()));
  auto what = "produce " + flags.topic;
  auto started = env.mono();
  auto producer = Producer::connect(plan->producer);
  if (!producer && connection_lost(producer.error()))
    return std::unexpected(connect_failed(globals, producer.error()));
  if (!producer) return std::unexpected(explained(what, producer.error()));
  auto produced = send_all(env, globals, flags, *plan, *producer);
  if (!produced) {
    auto error = explained(what, produced.error());
    auto before = producer->progress();
    if (before.first)
      error.message += fmt::format("; acknowledged before: {} records, offsets {}", before.records,
                                   offsets_text(before));
    return std::unexpected(std::move(error));
  }
  auto seconds = std::chrono::duration<double>(env.mono() - started).count();
  WALRUS_TRY(print_summary(globals, flags.topic, *produced, seconds));
  return kExitDone;
}

void add_flags(Verb verb, ProduceFlags& flags) {
  auto delimiter = verb.option("--delimiter", flags.delimiter, "Ends a record; \\n \\t \\0 \\xHH")
                       .default_shown();
  verb.flag("--length-prefixed", flags.length_prefixed,
            "Records are u32 little-endian lengths, then so many bytes")
      .excludes(delimiter);
  verb.option("--batch-records", flags.batch_records, "Records in a batch, at most")
      .range(1, 1 << 20)
      .default_shown();
  verb.option("--batch-bytes", flags.batch_bytes, "Bytes in a batch, about, at most")
      .range(1, 64 << 20)
      .default_shown();
  verb.option("--linger-ms", flags.linger_ms, "A batch waits so long to fill up")
      .range(0, 60'000)
      .default_shown();
  verb.option("--rate", flags.rate, "Records a second, at most").type_name("N/s");
  verb.option("--retry-ms", flags.retry_ms,
              "Connect and send again for so long without an acknowledgement")
      .range(0, std::int64_t{86'400'000})
      .default_shown();
  verb.option("--key", flags.key, "The key of every record");
  verb.option("--key-separator", flags.key_separator,
              "Splits a record into key and value, at its first occurrence");
  verb.option("--header", flags.headers, "A header of every record; may be repeated")
      .type_name("K=V")
      .repeated();
  verb.option("--compression", flags.compression, "none, gzip, snappy, lz4 or zstd")
      .one_of({"none", "gzip", "snappy", "lz4", "zstd"})
      .default_shown();
}

}  // namespace

void add_produce(CommandLine& line) {
  auto flags = std::make_shared<ProduceFlags>();
  auto verb =
      line.add(line.root(), "produce",
               "Store records from files or stdin, a line each; a server that is killed and "
               "restarted meanwhile neither loses nor doubles one",
               [flags](const Globals& globals) { return produce(globals, *flags); });
  verb.option("topic", flags->topic, "Topic, or topic/partition").required();
  verb.option("files", flags->files, "Files; none or -: stdin");
  add_flags(verb, *flags);
}

}  // namespace walrus::cli
