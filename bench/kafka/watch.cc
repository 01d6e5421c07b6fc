#include "watch.h"

#include <atomic>
#include <cstdio>
#include <deque>
#include <iostream>
#include <memory>
#include <mutex>
#include <thread>

#include "client.h"
#include "walrus/client.h"

namespace walrus::bench {
namespace {

constexpr auto kTick = std::chrono::milliseconds(1);  // what is due is given so often
constexpr auto kEndMillis = 120'000;                  // until everything is acknowledged

class AckLog {
 public:
  AckLog(const std::string& path, int partitions)
      : file_(std::fopen(path.c_str(), "wb")), seen_(static_cast<std::size_t>(partitions)) {
    must(file_ != nullptr, "cannot write " + path);
    std::setvbuf(file_, nullptr, _IOFBF, 1 << 20);
  }
  ~AckLog() { std::fclose(file_); }
  AckLog(const AckLog&) = delete;

  // On one thread. The file has a lock of its own.
  void add(const Acknowledgement& one) {
    must(std::fwrite(&one, sizeof one, 1, file_) == 1, "cannot write the log");
    if (one.error != 0) {
      ++errors_;
      return;
    }
    ++stored_;
    auto seen = seen_.at(static_cast<std::size_t>(one.partition));
    if (seen) return;
    seen_[static_cast<std::size_t>(one.partition)] = true;
    ++partitions_seen_;
  }
  void flush() { must(std::fflush(file_) == 0, "cannot write the log"); }
  std::int64_t stored() const { return stored_; }
  std::int64_t errors() const { return errors_; }
  int partitions_seen() const { return partitions_seen_; }

 private:
  std::FILE* file_;
  std::vector<bool> seen_;
  std::atomic<std::int64_t> stored_{0}, errors_{0};
  std::atomic<int> partitions_seen_{0};
};

// Who writes. Of one thread.
class Writer {
 public:
  virtual ~Writer() = default;
  virtual void give(std::int32_t partition, Nanos due) = 0;
  virtual void push() = 0;    // after those that are due together
  virtual void finish() = 0;  // everything was acknowledged
};

class KafkaWriter final : public Writer {
 public:
  KafkaWriter(const WatchOptions& options, AckLog& log)
      : payload_(options.record_bytes),
        record_bytes_(options.record_bytes),
        sender_(options.address, options.topic, settings_of(options), on_delivery, &log) {}

  void give(std::int32_t partition, Nanos due) override {
    while (!sender_.give(partition, payload_.next(), record_bytes_, due))
      std::this_thread::sleep_for(kTick);
  }
  void push() override {}
  void finish() override { sender_.flush(kEndMillis); }

 private:
  static Settings settings_of(const WatchOptions& options) {
    Settings settings{{"enable.idempotence", "true"}, {"queue.buffering.max.messages", "2000000"}};
    if (options.silence_ms > 0)
      settings.emplace_back("socket.timeout.ms", std::to_string(options.silence_ms));
    settings.insert(settings.end(), options.settings.begin(), options.settings.end());
    return settings;
  }
  static void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    auto& log = *static_cast<AckLog*>(opaque);
    if (message->err != 0 && log.errors() == 0)
      std::fprintf(stderr, "load: %s\n", rd_kafka_err2str(message->err));
    log.add({.due = reinterpret_cast<Nanos>(message->_private),
             .at = now(),
             .offset = message->err == 0 ? message->offset : -1,
             .partition = message->partition,
             .error = message->err});
  }

  Payload payload_;
  std::size_t record_bytes_;
  Sender sender_;
};

// The client's producer takes the partitions in turn, a batch each, and a batch is one record here:
// so what is given goes where it is said, and the acknowledgements of a partition come in order.
class NativeWriter final : public Writer {
 public:
  NativeWriter(const WatchOptions& options, AckLog& log)
      : log_(log),
        payload_(options.record_bytes),
        record_bytes_(options.record_bytes),
        due_(static_cast<std::size_t>(options.partitions)) {
    ProducerOptions producer{.server = {.address = options.address},
                             .topic = options.topic,
                             .batch_records_max = 1,
                             .linger = Millis(0),
                             .retry = Millis(300'000),  // as librdkafka's message.timeout.ms
                             .buffer_bytes_max = 256 << 20};
    if (options.silence_ms > 0) producer.server.timeout = Millis(options.silence_ms);
    producer.on_acknowledged = [this](std::int32_t partition, Offset first, std::int64_t) {
      acknowledged(partition, first);
    };
    auto connected = Producer::connect(producer);
    must(connected.has_value(), connected ? "" : connected.error().message);
    producer_ = std::make_unique<Producer>(*std::move(connected));
  }

  void give(std::int32_t partition, Nanos due) override {
    auto* bytes = payload_.next();
    records_.push_back({.value = Bytes(bytes, record_bytes_)});
    std::lock_guard guard(lock_);
    due_[static_cast<std::size_t>(partition)].push_back(due);
  }
  void push() override {
    if (records_.empty()) return;
    check(producer_->send(records_));
    records_.clear();
  }
  void finish() override { check(producer_->flush()); }

 private:
  template <class T>
  void check(const Result<T>& result) {
    if (result) return;
    log_.flush();
    must(false, result.error().message);
  }
  void acknowledged(std::int32_t partition, Offset first) {
    std::lock_guard guard(lock_);
    auto& waiting = due_[static_cast<std::size_t>(partition)];
    must(!waiting.empty(), "an acknowledgement of a partition that was given nothing");
    log_.add({.due = waiting.front(),
              .at = now(),
              .offset = first.value,
              .partition = partition,
              .error = 0});
    waiting.pop_front();
  }

  AckLog& log_;
  Payload payload_;
  std::size_t record_bytes_;
  std::vector<Record> records_;  // due together
  std::mutex lock_;
  std::vector<std::deque<Nanos>> due_;  // of each partition, unacknowledged; under lock_
  std::unique_ptr<Producer> producer_;
};

std::unique_ptr<Writer> make_writer(const WatchOptions& options, AckLog& log) {
  if (options.client == "native") return std::make_unique<NativeWriter>(options, log);
  must(options.client == "kafka", "the clients are kafka and native");
  return std::make_unique<KafkaWriter>(options, log);
}

// Everything that is due, a millisecond's worth together, until `stop`.
void write_by_schedule(Writer& writer, const WatchOptions& options, std::atomic<bool>& stop) {
  auto begin = now();
  for (std::int64_t next = 0; !stop.load();) {
    auto due_at = [&](std::int64_t record) {
      return begin + static_cast<Nanos>(static_cast<double>(record) * 1e9 / options.rate);
    };
    for (auto present = now(); due_at(next) <= present; ++next)
      writer.give(static_cast<std::int32_t>(next % options.partitions), due_at(next));
    writer.push();
    std::this_thread::sleep_for(kTick);
  }
}

void say(const std::string& line) {
  std::puts(line.c_str());
  std::fflush(stdout);
}

}  // namespace

void watch(const WatchOptions& options) {
  AckLog log(options.log, options.partitions);
  auto writer = make_writer(options, log);
  std::atomic<bool> stop{false};
  std::thread scheduler([&] { write_by_schedule(*writer, options, stop); });
  auto until = now() + kEndMillis * Nanos{1'000'000};
  while (log.partitions_seen() < options.partitions) {
    must(now() < until, "there are partitions that acknowledge nothing");
    std::this_thread::sleep_for(10 * kTick);
  }
  say("ready");
  for (std::string line; std::getline(std::cin, line);) {
    log.flush();
    say("flushed");
  }
  stop = true;
  scheduler.join();
  writer->finish();
  writer.reset();
  log.flush();
  say("{\"stored\": " + std::to_string(log.stored()) +
      ", \"errors\": " + std::to_string(log.errors()) + "}");
}

}  // namespace walrus::bench
