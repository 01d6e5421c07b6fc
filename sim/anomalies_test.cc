#include "anomalies.h"

#include <gtest/gtest.h>

namespace walrus::sim {
namespace {

// Two records, acknowledged one behind the other, read, and in the log.
PartitionHistory good() {
  return {
      .sent = {{.producer = 1, .value = 10, .invoked_at = 1, .completed_at = 2, .place = {1, 0}},
               {.producer = 1, .value = 11, .invoked_at = 3, .completed_at = 4, .place = {1, 1}}},
      .polled = {{1, {1, 0}, 10}, {1, {1, 1}, 11}},
      .log = {{{1, 0}, 10}, {{1, 1}, 11}}};
}
std::string rule(const PartitionHistory& history) {
  auto verdict = find_anomaly(history);
  return verdict ? verdict->rule : "";
}

TEST(Anomalies, a_good_history_passes) { EXPECT_EQ(rule(good()), ""); }

TEST(Anomalies, each_is_flagged) {
  auto h = good();
  h.log.pop_back();
  EXPECT_EQ(rule(h), "lost-write");
  h = good();
  h.log[1].second = 10;
  EXPECT_EQ(rule(h), "duplicate");
  h = good();
  h.log.push_back({{1, 2}, 99});
  EXPECT_EQ(rule(h), "phantom");
  h = good();
  h.log[1].first.offset = 2;
  EXPECT_EQ(rule(h), "gap");
  h = good();
  std::swap(h.log[0].second, h.log[1].second);
  EXPECT_EQ(rule(h), "inconsistent-offsets");
  h = good();
  h.polled[0].value = 11;
  EXPECT_EQ(rule(h), "inconsistent-offsets");
  h = good();
  std::swap(h.polled[0], h.polled[1]);
  EXPECT_EQ(rule(h), "nonmonotonic-poll");
  h = good();
  std::swap(h.sent[0].place, h.sent[1].place);
  std::swap(h.log[0].second, h.log[1].second);
  h.polled.clear();
  EXPECT_EQ(rule(h), "ack-rewind");
  h.sent[1].invoked_at = 1;
  EXPECT_EQ(rule(h), "nonmonotonic-send");
}

TEST(Anomalies, a_skipped_and_an_unseen_record_are_flagged) {
  auto h = good();
  h.sent.push_back(
      {.producer = 1, .value = 12, .invoked_at = 5, .completed_at = 6, .place = {1, 2}});
  h.log.push_back({{1, 2}, 12});
  h.polled = {{1, {1, 0}, 10}, {1, {1, 2}, 12}};
  EXPECT_EQ(rule(h), "poll-skip");
  h.polled = {{1, {1, 1}, 11}, {1, {1, 2}, 12}};
  EXPECT_EQ(rule(h), "unseen");
}

TEST(Anomalies, what_was_recorded_as_lost_may_be_gone) {
  auto h = good();
  h.log.pop_back();
  h.losses = {{1, 1}};
  EXPECT_EQ(rule(h), "");
}

}  // namespace
}  // namespace walrus::sim
