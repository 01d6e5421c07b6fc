#pragma once
// What the loads on librdkafka share: the clock, a run that ends with its reason, handles.

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace walrus::bench {

using Nanos = std::int64_t;
using Settings = std::vector<std::pair<std::string, std::string>>;  // of librdkafka

// By CLOCK_MONOTONIC, which the other processes of the machine share.
inline Nanos now() {
  auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
}

inline void must(bool ok, const std::string& what) {
  if (ok) return;
  std::fprintf(stderr, "load: %s\n", what.c_str());
  std::exit(1);
}

struct Destroy {
  void operator()(rd_kafka_t* handle) const { rd_kafka_destroy(handle); }
  void operator()(rd_kafka_topic_t* topic) const { rd_kafka_topic_destroy(topic); }
};
using Handle = std::unique_ptr<rd_kafka_t, Destroy>;
using Topic = std::unique_ptr<rd_kafka_topic_t, Destroy>;

inline rd_kafka_conf_t* configure(const std::string& address, const Settings& settings) {
  auto* conf = rd_kafka_conf_new();
  char why[256];
  auto set = [&](const std::string& name, const std::string& value) {
    must(rd_kafka_conf_set(conf, name.c_str(), value.c_str(), why, sizeof why) == RD_KAFKA_CONF_OK,
         why);
  };
  set("bootstrap.servers", address);
  for (const auto& [name, value] : settings) set(name, value);
  return conf;
}

inline Handle open(rd_kafka_type_t type, rd_kafka_conf_t* conf) {
  char why[256];
  Handle handle(rd_kafka_new(type, conf, why, sizeof why));
  must(handle != nullptr, why);
  return handle;
}

// A producer of one topic. `on_delivery` is called with `opaque`, which outlives it, on one thread
// at a time.
class Sender {
 public:
  using OnDelivery = void (*)(rd_kafka_t*, const rd_kafka_message_t*, void* opaque);
  Sender(const std::string& address, const std::string& topic, const Settings& settings,
         OnDelivery on_delivery, void* opaque) {
    auto* conf = configure(address, settings);
    rd_kafka_conf_set_opaque(conf, opaque);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    handle_ = open(RD_KAFKA_PRODUCER, conf);
    topic_.reset(rd_kafka_topic_new(handle_.get(), topic.c_str(), nullptr));
    must(topic_ != nullptr, "topic");
    poller_ = std::thread([this] {
      while (!stop_.load()) rd_kafka_poll(handle_.get(), 10);
    });
  }
  ~Sender() { stop_polling(); }
  Sender(const Sender&) = delete;

  // `value` is not copied; `time` comes back with the delivery. False: the queue is full.
  bool give(std::int32_t partition, char* value, std::size_t bytes, Nanos time) {
    if (rd_kafka_produce(topic_.get(), partition, 0, value, bytes, nullptr, 0,
                         reinterpret_cast<void*>(time)) == 0)
      return true;
    auto error = rd_kafka_last_error();
    must(error == RD_KAFKA_RESP_ERR__QUEUE_FULL, rd_kafka_err2str(error));
    return false;
  }
  // The last call. What is delivered until it returns is delivered on the caller's thread.
  void flush(int millis) {
    stop_polling();
    must(rd_kafka_flush(handle_.get(), millis) == RD_KAFKA_RESP_ERR_NO_ERROR,
         "records stay unacknowledged");
  }

 private:
  void stop_polling() {
    stop_ = true;
    if (poller_.joinable()) poller_.join();
  }

  Handle handle_;
  Topic topic_;
  std::atomic<bool> stop_{false};
  std::thread poller_;
};

// Records are slices of random bytes, so that nothing along the way can make them smaller.
class Payload {
 public:
  explicit Payload(std::size_t record_bytes) : size_(record_bytes), bytes_(kBytes, '\0') {
    std::mt19937_64 random(1);
    for (auto& byte : bytes_) byte = static_cast<char>(random());
  }
  char* next() {
    at_ += kStep;
    if (at_ + size_ > bytes_.size()) at_ -= bytes_.size() - size_;
    return bytes_.data() + at_;
  }

 private:
  static constexpr std::size_t kBytes = 4 << 20, kStep = 1031;
  std::size_t size_, at_ = 0;
  std::string bytes_;
};

}  // namespace walrus::bench
