#include "base/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <iterator>

#include "base/check.h"
#include "base/utf8.h"

namespace walrus {
namespace {

constexpr double kNsPerSecond = 1e9;

bool is_metric_name(Bytes name) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  auto tail = [letter](char c) { return letter(c) || (c >= '0' && c <= '9'); };
  return !name.empty() && letter(name[0]) && std::ranges::all_of(name, tail);
}

// Help escapes backslash and newline; a label value the double quote, too.
void append_escaped(std::string& to, Bytes text, bool quoted) {
  while (!text.empty()) {
    auto size = utf8_character(text);
    switch (text[0]) {
      case '\\': to += "\\\\"; break;
      case '\n': to += "\\n"; break;
      case '"': to += quoted ? "\\\"" : "\""; break;
      default:
        if (size > 0) {
          to += text.substr(0, size);
        } else {
          to += "\xef\xbf\xbd";  // U+FFFD, the replacement character
        }
    }
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
}

// name="value",name="value": without braces, so that a bucket's bound can be put behind.
std::string rendered(const MetricLabels& labels) {
  std::string text;
  for (const auto& label : labels) {
    if (!text.empty()) text += ',';
    text += label.name;
    text += "=\"";
    append_escaped(text, label.value, true);
    text += '"';
  }
  return text;
}

std::string rendered(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::to_string(value);
}
std::string rendered(std::integral auto value) { return fmt::to_string(value); }

void append_sample(std::string& to, Bytes name, Bytes labels, auto value) {
  to += name;
  if (!labels.empty()) fmt::format_to(std::back_inserter(to), "{{{}}}", labels);
  to += ' ';
  to += rendered(value);
  to += '\n';
}

}  // namespace

void DurationHistogram::record(std::int64_t nanoseconds) {
  nanoseconds = std::max<std::int64_t>(nanoseconds, 0);
  auto bucket = std::ranges::lower_bound(kBoundsNs, nanoseconds) - kBoundsNs.begin();
  buckets_[static_cast<std::size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_ns_.fetch_add(nanoseconds, std::memory_order_relaxed);
}

struct Metrics::Series {
  std::unique_ptr<Counter> counter{};
  std::unique_ptr<Gauge> gauge{};
  std::unique_ptr<DurationHistogram> durations{};
  Read read{};  // when set, instead of the counter or gauge

  void append_durations(std::string& to, const std::string& name, const std::string& labels) const {
    constexpr auto& kBounds = DurationHistogram::kBoundsNs;
    std::uint64_t count = 0;
    for (std::size_t i = 0; i <= kBounds.size(); ++i) {
      count += durations->buckets_[i].load(std::memory_order_relaxed);
      auto bound = i < kBounds.size()
                       ? fmt::format("{}", static_cast<double>(kBounds[i]) / kNsPerSecond)
                       : std::string("+Inf");
      append_sample(to, name + "_bucket",
                    fmt::format("{}{}le=\"{}\"", labels, labels.empty() ? "" : ",", bound), count);
    }
    auto sum = static_cast<double>(durations->sum_ns_.load(std::memory_order_relaxed));
    append_sample(to, name + "_sum", labels, sum / kNsPerSecond);
    append_sample(to, name + "_count", labels, count);  // as +Inf, whatever was recorded meanwhile
  }
};

struct Metrics::Family {
  Kind kind{};
  std::string help, unit;
  std::map<MetricLabels, Series> series;
};

Metrics::Metrics() = default;
Metrics::~Metrics() = default;

Metrics::Series& Metrics::series(Kind kind, const MetricInfo& info, MetricLabels labels) {
  CHECK(is_metric_name(info.name));
  CHECK(info.unit.empty() || is_metric_name(info.unit));
  for (const auto& label : labels) {
    CHECK(is_metric_name(label.name) && !label.name.starts_with("__") && label.name != "le");
  }
  std::ranges::sort(labels);
  auto found = families_.find(info.name);
  if (found == families_.end()) {
    Family made{kind, std::string(info.help), std::string(info.unit), {}};
    found = families_.emplace(std::string(info.name), std::move(made)).first;
  }
  auto& family = found->second;
  CHECK(family.kind == kind && family.help == info.help && family.unit == info.unit);
  return family.series[std::move(labels)];
}

Counter& Metrics::counter(const MetricInfo& info, const MetricLabels& labels) {
  LockGuard guard(lock_);
  auto& made = series(Kind::kCounter, info, labels);
  CHECK(!made.read);
  if (!made.counter) made.counter = std::make_unique<Counter>();
  return *made.counter;
}

Gauge& Metrics::gauge(const MetricInfo& info, const MetricLabels& labels) {
  LockGuard guard(lock_);
  auto& made = series(Kind::kGauge, info, labels);
  CHECK(!made.read);
  if (!made.gauge) made.gauge = std::make_unique<Gauge>();
  return *made.gauge;
}

DurationHistogram& Metrics::durations(const MetricInfo& info, const MetricLabels& labels) {
  CHECK(info.unit.empty() || info.unit == "seconds");
  MetricInfo in_seconds{info.name, info.help, "seconds"};
  LockGuard guard(lock_);
  auto& made = series(Kind::kDurations, in_seconds, labels);
  if (!made.durations) made.durations = std::make_unique<DurationHistogram>();
  return *made.durations;
}

void Metrics::read_counter(const MetricInfo& info, const MetricLabels& labels, Read read) {
  LockGuard guard(lock_);
  auto& made = series(Kind::kCounter, info, labels);
  CHECK(read && !made.counter);
  made.read = std::move(read);
}

void Metrics::read_gauge(const MetricInfo& info, const MetricLabels& labels, Read read) {
  LockGuard guard(lock_);
  auto& made = series(Kind::kGauge, info, labels);
  CHECK(read && !made.gauge);
  made.read = std::move(read);
}

void Metrics::remove(Bytes name, const MetricLabels& labels) {
  auto sorted = labels;
  std::ranges::sort(sorted);
  LockGuard guard(lock_);
  auto family = families_.find(name);
  if (family == families_.end()) return;
  family->second.series.erase(sorted);
  if (family->second.series.empty()) families_.erase(family);
}

std::string Metrics::render() const {
  std::string text;
  LockGuard guard(lock_);
  for (const auto& [base, family] : families_) {
    auto name = base;
    if (!family.unit.empty()) name += "_" + family.unit;
    if (family.kind == Kind::kCounter) name += "_total";
    text += "# HELP " + name + " ";
    append_escaped(text, family.help, false);
    auto type = family.kind == Kind::kCounter ? "counter"
                : family.kind == Kind::kGauge ? "gauge"
                                              : "histogram";
    text += "\n# TYPE " + name + " " + type + "\n";
    for (const auto& [labels, series] : family.series) {
      auto label_text = rendered(labels);
      if (series.read) {
        append_sample(text, name, label_text, series.read());
      } else if (series.counter) {
        append_sample(text, name, label_text, series.counter->value());
      } else if (series.gauge) {
        append_sample(text, name, label_text, series.gauge->value());
      } else {
        series.append_durations(text, name, label_text);
      }
    }
  }
  return text;
}

}  // namespace walrus
