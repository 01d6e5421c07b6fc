#include "base/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <thread>

namespace walrus {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Metrics, renders_help_type_unit_and_labels) {
  Metrics metrics;
  MetricInfo appended{"walrus_appended", "Bytes appended to streams.", "bytes"};
  metrics.counter(appended, {{"shard", "1"}, {"face", "native"}}).add(7);
  metrics.counter(appended, {{"face", "native"}, {"shard", "0"}}).add(5);
  metrics.gauge({"walrus_connections", "Open connections."}).set(-3);
  EXPECT_EQ(metrics.render(),
            "# HELP walrus_appended_bytes_total Bytes appended to streams.\n"
            "# TYPE walrus_appended_bytes_total counter\n"
            "walrus_appended_bytes_total{face=\"native\",shard=\"0\"} 5\n"
            "walrus_appended_bytes_total{face=\"native\",shard=\"1\"} 7\n"
            "# HELP walrus_connections Open connections.\n"
            "# TYPE walrus_connections gauge\n"
            "walrus_connections -3\n");
}

TEST(Metrics, the_same_name_and_labels_are_the_same_series) {
  Metrics metrics;
  MetricInfo info{"walrus_syncs", "Syncs."};
  auto& first = metrics.counter(info, {{"a", "1"}, {"b", "2"}});
  auto& second = metrics.counter(info, {{"b", "2"}, {"a", "1"}});
  EXPECT_EQ(&first, &second);
  EXPECT_NE(&first, &metrics.counter(info, {{"a", "1"}}));
}

TEST(Metrics, escapes_help_and_label_values) {
  Metrics metrics;
  metrics.gauge({"walrus_x", "a \\ \"b\"\nc"}, {{"path", "C:\\x \"y\"\nz"}}).set(1);
  auto text = metrics.render();
  EXPECT_THAT(text, HasSubstr("# HELP walrus_x a \\\\ \"b\"\\nc\n"));
  EXPECT_THAT(text, HasSubstr("walrus_x{path=\"C:\\\\x \\\"y\\\"\\nz\"} 1\n"));
}

TEST(Metrics, keeps_utf8_and_replaces_other_bytes) {
  Metrics metrics;
  metrics.gauge({"walrus_x", "x"}, {{"stream", "h\xc3\xa9\xff!"}});
  EXPECT_THAT(metrics.render(), HasSubstr("{stream=\"h\xc3\xa9\xef\xbf\xbd!\"}"));
}

TEST(Metrics, durations_render_cumulative_buckets_in_seconds) {
  Metrics metrics;
  auto& syncs = metrics.durations({"walrus_sync", "Time of a sync."}, {{"shard", "0"}});
  syncs.record(1'000);           // exactly on a bound: in that bucket
  syncs.record(1'001);           // in the next
  syncs.record(20'000'000'000);  // above the last
  syncs.record(-1);              // a clock that stepped back
  auto text = metrics.render();
  EXPECT_THAT(text, HasSubstr("# TYPE walrus_sync_seconds histogram\n"));
  EXPECT_THAT(text, HasSubstr("walrus_sync_seconds_bucket{shard=\"0\",le=\"1e-06\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("walrus_sync_seconds_bucket{shard=\"0\",le=\"2.5e-06\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("walrus_sync_seconds_bucket{shard=\"0\",le=\"10\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("walrus_sync_seconds_bucket{shard=\"0\",le=\"+Inf\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("walrus_sync_seconds_sum{shard=\"0\"} 20.000002001\n"));
  EXPECT_THAT(text, HasSubstr("walrus_sync_seconds_count{shard=\"0\"} 4\n"));
}

TEST(Metrics, durations_without_labels_have_a_bound_only) {
  Metrics metrics;
  metrics.durations({"walrus_sync", "Time of a sync."});
  EXPECT_THAT(metrics.render(), HasSubstr("walrus_sync_seconds_bucket{le=\"0.005\"} 0\n"));
}

TEST(Metrics, reads_values_when_rendering) {
  Metrics metrics;
  double records = 0;
  metrics.read_counter({"walrus_records", "Records."}, {}, [&records] { return records; });
  metrics.read_gauge({"walrus_ratio", "Ratio."}, {}, [] { return 0.25; });
  records = 12;
  auto text = metrics.render();
  EXPECT_THAT(text, HasSubstr("# TYPE walrus_records_total counter\nwalrus_records_total 12\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE walrus_ratio gauge\nwalrus_ratio 0.25\n"));
}

TEST(Metrics, renders_what_is_no_number_as_prometheus_spells_it) {
  Metrics metrics;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  metrics.read_gauge({"a", "x"}, {}, [] { return std::numeric_limits<double>::quiet_NaN(); });
  metrics.read_gauge({"b", "x"}, {}, [] { return kInfinity; });
  metrics.read_gauge({"c", "x"}, {}, [] { return -kInfinity; });
  auto text = metrics.render();
  EXPECT_THAT(text, HasSubstr("\na NaN\n"));
  EXPECT_THAT(text, HasSubstr("\nb +Inf\n"));
  EXPECT_THAT(text, HasSubstr("\nc -Inf\n"));
}

TEST(Metrics, removed_series_are_no_longer_rendered) {
  Metrics metrics;
  MetricInfo info{"walrus_stream", "Size.", "bytes"};
  metrics.gauge(info, {{"stream", "a"}, {"shard", "0"}}).set(1);
  metrics.gauge(info, {{"stream", "b"}, {"shard", "0"}}).set(2);
  metrics.remove("walrus_stream", {{"shard", "0"}, {"stream", "a"}});
  EXPECT_THAT(metrics.render(), Not(HasSubstr("stream=\"a\"")));
  EXPECT_THAT(metrics.render(), HasSubstr("stream=\"b\""));
  metrics.remove("walrus_stream", {{"stream", "b"}, {"shard", "0"}});
  metrics.remove("walrus_stream", {{"stream", "b"}, {"shard", "0"}});
  EXPECT_EQ(metrics.render(), "");
}

TEST(Metrics, counts_of_many_threads_add_up) {
  constexpr int kThreads = 4, kTimes = 20'000;
  Metrics metrics;
  auto& counter = metrics.counter({"walrus_n", "N."});
  auto& durations = metrics.durations({"walrus_d", "D."});
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < kTimes; ++j) {
          counter.add();
          durations.record(j);
        }
      });
    }
    for (int i = 0; i < 10; ++i) EXPECT_THAT(metrics.render(), HasSubstr("walrus_n_total"));
  }
  EXPECT_EQ(counter.value(), std::uint64_t{kThreads} * kTimes);
  EXPECT_THAT(metrics.render(), HasSubstr("walrus_d_seconds_count 80000\n"));
}

TEST(MetricsDeathTest, a_name_has_one_kind_help_and_unit) {
  Metrics metrics;
  metrics.counter({"walrus_x", "X.", "bytes"});
  EXPECT_DEATH(metrics.gauge({"walrus_x", "X.", "bytes"}), "broken invariant");
  EXPECT_DEATH(metrics.counter({"walrus_x", "Y.", "bytes"}), "broken invariant");
  EXPECT_DEATH(metrics.counter({"walrus_x", "X."}), "broken invariant");
}

TEST(MetricsDeathTest, names_are_checked) {
  Metrics metrics;
  EXPECT_DEATH(metrics.counter({"9lives", "X."}), "broken invariant");
  EXPECT_DEATH(metrics.counter({"walrus-x", "X."}), "broken invariant");
  EXPECT_DEATH(metrics.counter({"walrus_x", "X."}, {{"le", "1"}}), "broken invariant");
}

}  // namespace
}  // namespace walrus
