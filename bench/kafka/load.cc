#include "load.h"

#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include "client.h"

namespace walrus::bench {
namespace {

Nanos nanos(double seconds) { return static_cast<Nanos>(seconds * 1e9); }

// Acknowledgements, on the thread that polls.
struct Acknowledged {
  std::atomic<Nanos> from{0}, to{0};  // the time that is counted
  std::atomic<std::int64_t> outstanding{0};
  LoadResult result;
};

void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  auto& to = *static_cast<Acknowledged*>(opaque);
  auto at = now();
  auto begun = reinterpret_cast<Nanos>(message->_private);
  to.outstanding.fetch_sub(1);
  to.outstanding.notify_all();
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    if (to.result.errors++ == 0) std::fprintf(stderr, "load: %s\n", rd_kafka_err2str(message->err));
    return;
  }
  if (at < to.from.load() || at >= to.to.load()) return;
  ++to.result.records;
  to.result.bytes += static_cast<std::int64_t>(message->len);
  if (begun >= to.from.load()) to.result.latency.record(at - begun);
}

class Producer {
 public:
  explicit Producer(const LoadOptions& options)
      : options_(options),
        payload_(options.record_bytes),
        sender_(options.address, options.topic, options.settings, on_delivery, &acknowledged_) {}

  // False: the queue is full.
  bool give(Nanos begun) {
    std::int32_t partition = RD_KAFKA_PARTITION_UA;
    if (options_.round_robin) partition = static_cast<std::int32_t>(given_ % options_.partitions);
    acknowledged_.outstanding.fetch_add(1);
    bool given = sender_.give(partition, payload_.next(), options_.record_bytes, begun);
    if (given) ++given_;
    else acknowledged_.outstanding.fetch_sub(1);
    return given;
  }

  void count(Nanos from, Nanos to) {
    acknowledged_.from = from;
    acknowledged_.to = to;
  }
  void wait_for_all() {
    for (auto left = acknowledged_.outstanding.load(); left > 0;
         left = acknowledged_.outstanding.load())
      acknowledged_.outstanding.wait(left);
  }
  LoadResult finish(double seconds) {
    constexpr int kFlushMillis = 600'000;
    sender_.flush(kFlushMillis);
    acknowledged_.result.seconds = seconds;
    return acknowledged_.result;
  }

 private:
  const LoadOptions& options_;
  Payload payload_;
  std::int64_t given_ = 0;
  Acknowledged acknowledged_;
  Sender sender_;
};

void give_waiting(Producer& producer, Nanos begun) {
  while (!producer.give(begun)) std::this_thread::sleep_for(std::chrono::microseconds(100));
}

// Sleeps, and never spins: a load that keeps a core busy takes it from what it loads. So what is
// due within a tick is given together; late is late, and counts. Sleeps are as exact as timers are.
void wait_until(Nanos due) {
  constexpr Nanos kTick = 50'000;
  auto left = due - now();
  if (left > 0) std::this_thread::sleep_for(std::chrono::nanoseconds(std::max(left, kTick)));
}

void give_by_schedule(Producer& producer, double rate, Nanos begin, Nanos end) {
  prctl(PR_SET_TIMERSLACK, 1);  // nanoseconds; 50 us otherwise
  for (std::int64_t i = 0;; ++i) {
    auto due = begin + static_cast<Nanos>(static_cast<double>(i) * 1e9 / rate);
    if (due >= end) return;
    wait_until(due);
    give_waiting(producer, due);
  }
}

}  // namespace

LoadResult produce(const LoadOptions& options) {
  Producer producer(options);
  auto begin = now(), from = begin + nanos(options.warm_seconds),
       end = from + nanos(options.seconds);
  if (options.records > 0) end = begin + nanos(1e6);
  producer.count(from, end);
  if (options.rate > 0) {
    give_by_schedule(producer, options.rate, begin, end);
  } else {
    for (std::int64_t i = 0; options.records == 0 || i < options.records; ++i) {
      auto at = now();
      if (at >= end) break;
      give_waiting(producer, at);
    }
  }
  auto result = producer.finish(options.seconds);
  if (options.records > 0) result.seconds = static_cast<double>(now() - begin) / 1e9;
  return result;
}

LoadResult produce_one_by_one(const LoadOptions& options) {
  auto one = options;
  one.settings.emplace_back("linger.ms", "0");
  Producer producer(one);
  auto from = now() + nanos(one.warm_seconds), end = from + nanos(one.seconds);
  producer.count(from, end);
  for (auto at = now(); at < end; at = now()) {
    give_waiting(producer, at);
    producer.wait_for_all();
  }
  return producer.finish(one.seconds);
}

namespace {

// Partitions that have ended are begun again when all have, so that each round reads everything.
class Consumer {
 public:
  explicit Consumer(const LoadOptions& options) : options_(options) {
    auto* conf = configure(options.address, options.settings);
    rd_kafka_conf_set(conf, "enable.partition.eof", "true", nullptr, 0);
    handle_ = open(RD_KAFKA_CONSUMER, conf);
    topic_.reset(rd_kafka_topic_new(handle_.get(), options.topic.c_str(), nullptr));
    queue_ = rd_kafka_queue_new(handle_.get());
    begin();
  }
  ~Consumer() {
    end();
    rd_kafka_queue_destroy(queue_);
  }
  Consumer(const Consumer&) = delete;

  // Takes what is there.
  void take(LoadResult& to) {
    constexpr std::size_t kAtOnce = 10'000;
    messages_.resize(kAtOnce);
    auto count = rd_kafka_consume_batch_queue(queue_, 100, messages_.data(), kAtOnce);
    for (ssize_t i = 0; i < count; ++i) {
      auto* message = messages_[static_cast<std::size_t>(i)];
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        ++to.records;
        to.bytes += static_cast<std::int64_t>(message->len);
      } else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        ++ended_;
      } else if (to.errors++ == 0) {
        std::fprintf(stderr, "load: %s\n", rd_kafka_message_errstr(message));
      }
      rd_kafka_message_destroy(message);
    }
    if (ended_ < options_.partitions) return;
    end();
    begin();
  }

 private:
  void begin() {
    ended_ = 0;
    for (int i = 0; i < options_.partitions; ++i)
      must(rd_kafka_consume_start_queue(topic_.get(), i, RD_KAFKA_OFFSET_BEGINNING, queue_) == 0,
           "consume");
  }
  void end() {
    for (int i = 0; i < options_.partitions; ++i) rd_kafka_consume_stop(topic_.get(), i);
  }

  const LoadOptions& options_;
  Handle handle_;
  Topic topic_;
  rd_kafka_queue_t* queue_ = nullptr;
  int ended_ = 0;
  std::vector<rd_kafka_message_t*> messages_;
};

}  // namespace

LoadResult consume(const LoadOptions& options) {
  Consumer consumer(options);
  LoadResult warm, result;
  for (auto end = now() + nanos(options.warm_seconds); now() < end;) consumer.take(warm);
  auto begin = now();
  for (auto end = begin + nanos(options.seconds); now() < end;) consumer.take(result);
  result.seconds = static_cast<double>(now() - begin) / 1e9;
  return result;
}

}  // namespace walrus::bench
