#pragma once
// Metrics: a registry of counters, gauges and duration histograms, and their rendering as
// Prometheus text exposition format 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format).
//
// The server constructs one registry and hands it on; there is no global one. Registering takes a
// lock and is done once, at construction; the reference that it gives stays valid as long as the
// registry lives (or until remove()). Counting is one relaxed atomic addition by any thread. Work
// that is counted millions of times a second keeps plain counts of its own and is read at a scrape:
// see read_counter() and read_gauge().
//
// The rendered name is name[_unit][_total]: {"walrus_appended", ..., "bytes"} as a counter becomes
// walrus_appended_bytes_total, and a duration is always in seconds. Names and label names are ours
// and CHECKed; label values may be any bytes (what is not UTF-8 is rendered as U+FFFD).

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/event.h"
#include "walrus/log.h"

namespace walrus {

class alignas(64) Counter {  // a cache line each: threads that count do not disturb each other
 public:
  void add(std::uint64_t count = 1) { value_.fetch_add(count, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

class alignas(64) Gauge {
 public:
  void set(std::int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void add(std::int64_t change) { value_.fetch_add(change, std::memory_order_relaxed); }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// Durations in buckets of 1, 2.5 and 5 times a power of ten, from 1 microsecond to 10 seconds.
// For three digits see base/histogram.h.
class alignas(64) DurationHistogram {
 public:
  static constexpr std::array<std::int64_t, 22> kBoundsNs = {
      1'000,         2'500,         5'000,         10'000,        25'000,      50'000,
      100'000,       250'000,       500'000,       1'000'000,     2'500'000,   5'000'000,
      10'000'000,    25'000'000,    50'000'000,    100'000'000,   250'000'000, 500'000'000,
      1'000'000'000, 2'500'000'000, 5'000'000'000, 10'000'000'000};

  void record(std::int64_t nanoseconds);

 private:
  friend class Metrics;
  std::array<std::atomic<std::uint64_t>, kBoundsNs.size() + 1> buckets_{};
  std::atomic<std::int64_t> sum_ns_{0};
};

struct MetricInfo {
  Bytes name{};  // [a-zA-Z_][a-zA-Z0-9_]*, without unit and _total
  Bytes help{};  // one sentence for operators
  Bytes unit{};  // bytes, seconds, ...; empty for a plain number
};

struct MetricLabel {
  std::string name, value;
  auto operator<=>(const MetricLabel&) const = default;
};
using MetricLabels = std::vector<MetricLabel>;

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // The series of this name with these labels, made on first use. A name has one kind, help and
  // unit (a CHECK).
  Counter& counter(const MetricInfo&, const MetricLabels& = {});
  Gauge& gauge(const MetricInfo&, const MetricLabels& = {});
  DurationHistogram& durations(const MetricInfo&, const MetricLabels& = {});

  // A series whose value is read at each rendering, by the rendering thread and under the
  // registry's lock: the reader must be thread-safe and quick and must not call the registry. What
  // it refers to must live until remove().
  using Read = std::function<double()>;
  void read_counter(const MetricInfo&, const MetricLabels&, Read);
  void read_gauge(const MetricInfo&, const MetricLabels&, Read);

  // Drops the series of this name (as in MetricInfo) with these labels, if there is one; its
  // reference is then no longer valid.
  void remove(Bytes name, const MetricLabels&);

  static constexpr Bytes kContentType = "text/plain; version=0.0.4; charset=utf-8";
  std::string render() const;

 private:
  struct Series;
  struct Family;
  enum class Kind { kCounter, kGauge, kDurations };
  Series& series(Kind, const MetricInfo&, MetricLabels);

  mutable Lock lock_;
  std::map<std::string, Family, std::less<>> families_;  // by name
};

}  // namespace walrus
