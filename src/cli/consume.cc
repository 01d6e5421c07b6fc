#include <nlohmann/json.hpp>

#include "base/coding.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/record_format.h"
#include "cli/session.h"
#include "cli/start_position.h"
#include "cli/topic_info.h"
#include "io/env.h"

namespace walrus::cli {
namespace {

// How long a lost connection is tried again.
constexpr io::Nanos kReconnectFor = std::chrono::seconds(60);
constexpr Millis kLongPoll{5'000}, kShortPoll{100};
constexpr std::int64_t kFetchBytes = 1 << 20;

struct ConsumeFlags {
  std::string topic, from = "earliest", format = "%s\\n", group;
  std::optional<std::int32_t> partition;
  std::int64_t count = -1;
  bool follow = false, length_prefixed = false;
};

struct Lane {  // one partition
  std::int32_t partition;
  std::string target;  // topic/partition
  Offset next, end;    // end: the high watermark when consuming began
};

void append_json_record(std::string& to, Bytes topic, const Lane& lane,
                        const StoredRecord& record) {
  nlohmann::ordered_json headers = nlohmann::ordered_json::array();
  for (const auto& header : record.headers)
    headers.push_back({{"name", json_of(header.name)}, {"value", json_of(header.value)}});
  nlohmann::ordered_json json{
      {"topic", topic},
      {"partition", lane.partition},
      {"offset", record.offset.value},
      {"timestamp_ms", record.timestamp.value_or(Time()).time_since_epoch().count()},
      {"key", json_of(record.key)},
      {"value", json_of(record.value)},
      {"headers", std::move(headers)}};
  to += json.dump();
  to += '\n';
}

class Consume {
 public:
  Consume(io::Env& env, const Globals& globals, const ConsumeFlags& flags, RecordFormat format,
          Client client)
      : env_(env),
        globals_(globals),
        flags_(flags),
        format_(std::move(format)),
        client_(std::move(client)),
        left_(flags.count),
        progress_(env, globals) {}

  Result<void> start() {
    WALRUS_ASSIGN(auto partitions, describe_partitions(client_, flags_.topic));
    for (const auto& info : partitions) {
      if (flags_.partition && *flags_.partition != info.partition) continue;
      Lane lane{.partition = info.partition,
                .target = fmt::format("{}/{}", flags_.topic, info.partition),
                .next = info.log_start,
                .end = info.high_watermark};
      if (flags_.group.empty()) {
        WALRUS_ASSIGN(lane.next, start_position(client_, lane.target, info, flags_.from));
      }
      expected_ += lane.end.value - lane.next.value;
      lanes_.push_back(std::move(lane));
    }
    if (left_ >= 0) expected_ = std::min(expected_, left_);
    if (lanes_.empty())
      return fail(Code::kNotFound, "topic {} has {} partitions, no number {}", flags_.topic,
                  partitions.size(), *flags_.partition);
    return {};
  }

  Result<void> run() {
    std::size_t idle = 0;  // lanes in a row that had nothing
    for (std::size_t turn = 0; left_ != 0; turn = (turn + 1) % lanes_.size()) {
      auto& lane = lanes_[turn];
      auto before = lane.next;
      if (flags_.follow || !at_end(lane)) WALRUS_TRY(step(lane, idle >= lanes_.size()));
      idle = lane.next > before ? 0 : idle + 1;
      if (!flags_.follow && std::ranges::all_of(lanes_, [this](auto& l) { return at_end(l); }))
        break;
    }
    return {};
  }

 private:
  bool at_end(const Lane& lane) const { return lane.next >= lane.end; }

  // Fetches, prints, commits. `wait`: nothing was there in a whole round.
  Result<void> step(Lane& lane, bool wait) {
    FetchLimits limits{.bytes_max = kFetchBytes};
    if (flags_.follow && wait) limits.wait = lanes_.size() == 1 ? kLongPoll : kShortPoll;
    auto received = fetch(lane, limits);
    if (!received && connection_lost(received.error())) return reconnect(received.error());
    if (!received) return std::unexpected(std::move(received).error());
    auto before = lane.next;
    WALRUS_TRY(print_records(lane, *received));
    // A consumer's first fetch tells where it stands, also where there is nothing to print.
    if (left_ != 0) lane.next = std::max(lane.next, std::min(received->next(), end_of(lane)));
    if (flags_.group.empty() || lane.next == before) return {};
    auto committed = client_.commit(lane.target, flags_.group, lane.next);
    if (!committed && connection_lost(committed.error())) {
      // Records come again then; print_records() knows that they are done.
      return reconnect(committed.error());
    }
    return committed;
  }

  Offset end_of(const Lane& lane) const {
    return flags_.follow ? Offset{std::numeric_limits<std::int64_t>::max()} : lane.end;
  }

  Result<Received> fetch(const Lane& lane, const FetchLimits& limits) {
    if (flags_.group.empty()) return client_.read(lane.target, lane.next, limits);
    WALRUS_ASSIGN(auto polled, client_.poll(lane.target, flags_.group, limits));
    bool need_all = globals_.json || format_.needs_key_or_headers();
    if (polled.empty() || !need_all) return polled;
    return client_.read(lane.target, polled.begin()->offset, {.bytes_max = limits.bytes_max});
  }

  Result<void> print_records(Lane& lane, const Received& received) {
    out_.clear();
    for (const auto& record : received) {
      if (left_ == 0 || record.offset >= end_of(lane)) break;
      if (record.offset < lane.next) continue;  // printed already, its commit was lost
      append(lane, record);
      lane.next = Offset{record.offset.value + 1};
      if (left_ > 0) --left_;
      ++printed_;
    }
    if (out_.empty()) return {};
    WALRUS_TRY(print(out_));
    printed_bytes_ += std::ssize(out_);
    // Where records go to a terminal, they are the progress.
    if (!stdout_is_terminal()) progress_.update(printed_, printed_bytes_, share());
    return flush_output();
  }

  // Unknown where it does not end, or where only the first fetch tells where the consumer stands.
  double share() const {
    if (flags_.follow || !flags_.group.empty() || expected_ <= 0) return -1;
    return static_cast<double>(printed_) / static_cast<double>(expected_);
  }

  void append(const Lane& lane, const StoredRecord& record) {
    if (globals_.json) return append_json_record(out_, flags_.topic, lane, record);
    if (!flags_.length_prefixed) return format_.append(out_, flags_.topic, lane.partition, record);
    auto value = record.value.value_or("");
    append_le(out_, static_cast<std::uint32_t>(value.size()));
    out_.append(value);
  }

  Result<void> reconnect(const Error& why) {
    notice(globals_, fmt::format("consume {}: connection lost ({}); connecting again", flags_.topic,
                                 why.message));
    auto give_up_at = env_.mono() + kReconnectFor;
    Event never;
    for (io::Nanos pause = std::chrono::milliseconds(20);; pause = std::min(pause * 2, kPauseMax)) {
      env_.wait(never, pause / 2 + pause * static_cast<std::int64_t>(env_.random() % 512) / 1024);
      auto client = connect(globals_);
      if (client) {
        client_ = *std::move(client);
        return {};
      }
      if (env_.mono() > give_up_at) return std::unexpected(std::move(client).error());
    }
  }

  static constexpr io::Nanos kPauseMax = std::chrono::seconds(1);

  io::Env& env_;
  const Globals& globals_;
  const ConsumeFlags& flags_;
  RecordFormat format_;
  Client client_;
  std::vector<Lane> lanes_;
  std::int64_t left_;  // records still to print; -1: no limit
  std::int64_t printed_ = 0, printed_bytes_ = 0, expected_ = 0;
  Progress progress_;
  std::string out_;
};

Result<int> consume(const Globals& globals, const ConsumeFlags& flags) {
  auto format = RecordFormat::parse(flags.format);
  if (!format) return report_usage(globals, about("consume: --format", format.error()));
  if (auto start = check_start(flags.from); !start)
    return report_usage(globals, about("consume: --from", start.error()));
  WALRUS_ASSIGN(auto client, connect(globals));
  Consume consume(io::real_env(), globals, flags, *std::move(format), std::move(client));
  auto what = "consume " + flags.topic;
  WALRUS_TRY(explained(what, consume.start()));
  WALRUS_TRY(explained(what, consume.run()));
  return kExitDone;
}

}  // namespace

void add_consume(CommandLine& line) {
  auto flags = std::make_shared<ConsumeFlags>();
  auto verb =
      line.add(line.root(), "consume", "Print records, up to the high watermark or for ever",
               [flags](const Globals& globals) { return consume(globals, *flags); });
  verb.option("topic", flags->topic, "Topic").required();
  verb.option("--partition", flags->partition, "That partition only").range(0, 1 << 20);
  auto from = verb.option("--from", flags->from,
                          "earliest, latest, an offset, -N (the last N), or a time as "
                          "2026-05-13T08:00:00Z")
                  .default_shown();
  verb.option("--count", flags->count, "Stop after so many records")
      .range(0, std::numeric_limits<std::int64_t>::max())
      .type_name("N");
  verb.flag("--follow", flags->follow, "Wait for more, across restarts of the server");
  auto format = verb.option("--format", flags->format,
                            "%t topic %p partition %o offset %T ms %k key %h headers "
                            "%s value %%; \\n \\t \\0 \\xHH")
                    .default_shown();
  verb.flag("--length-prefixed", flags->length_prefixed,
            "Values as u32 little-endian lengths, then so many bytes")
      .excludes(format);
  verb.option("--group", flags->group, "Go on where this durable consumer is, and move it")
      .excludes(from);
}

}  // namespace walrus::cli
