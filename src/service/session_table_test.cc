#include "service/session_table.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/coding.h"
#include "base/golden_bytes.h"

namespace walrus::service {
namespace {

using wire::peer::ProposeCommand;

Time at(std::int64_t ms) { return Time(Millis(ms)); }
ProposeCommand command_of(std::uint64_t session, std::uint64_t sequence,
                          std::uint64_t answered = 0) {
  return {.session = session, .sequence = sequence, .answered = answered, .command = "c"};
}
// Applies it, if it is to be.
Outcome run(SessionTable& table, const ProposeCommand& command, std::uint64_t index,
            std::string reply = "reply") {
  if (auto known = table.admit(command)) return *known;
  auto outcome = applied(index, std::move(reply));
  table.keep(command, outcome);
  return outcome;
}

class SessionTableTest : public testing::Test {
 protected:
  SessionTableTest() {
    table.advance(at(1'000));
    table.open(7, 100);
  }
  SessionTable table;
};

TEST_F(SessionTableTest, a_repeat_answers_the_first_outcome) {
  EXPECT_EQ(run(table, command_of(7, 1), 10, "first"), applied(10, "first"));
  EXPECT_EQ(run(table, command_of(7, 1), 11, "second"), applied(10, "first"));
  EXPECT_EQ(table.last_sequence(7), 1u);
}

TEST_F(SessionTableTest, a_gap_is_refused_and_says_what_is_next) {
  const auto outcome = run(table, command_of(7, 2), 10);
  EXPECT_EQ(outcome.refused, Code::kMismatch);
  EXPECT_EQ(outcome.reply(), "sequence 2 of session 7 leaves a gap: the next one is 1");
  EXPECT_EQ(outcome.index, 0u);
  EXPECT_EQ(table.last_sequence(7), 0u);
}

TEST_F(SessionTableTest, replies_are_kept_until_they_are_acknowledged) {
  for (std::uint64_t sequence = 1; sequence <= 5; ++sequence)
    run(table, command_of(7, sequence), 10 + sequence);
  EXPECT_EQ(table.outcome_bytes(), 25u);
  run(table, command_of(7, 6, 3), 16);
  EXPECT_EQ(table.outcome_bytes(), 15u);
  EXPECT_EQ(run(table, command_of(7, 3), 17).refused, Code::kOutOfRange);
  EXPECT_EQ(run(table, command_of(7, 4), 17), applied(14, "reply"));
}

TEST_F(SessionTableTest, a_late_acknowledgement_takes_nothing_back) {
  for (std::uint64_t sequence = 1; sequence <= 3; ++sequence)
    run(table, command_of(7, sequence), 1);
  run(table, command_of(7, 4, 3), 1);
  run(table, command_of(7, 5, 1), 1);
  EXPECT_EQ(run(table, command_of(7, 3), 1).refused, Code::kOutOfRange);
}

TEST_F(SessionTableTest, a_session_ends_when_its_time_is_over) {
  table.advance(at(1'099));
  EXPECT_EQ(table.size(), 1u);
  table.advance(at(1'100));
  EXPECT_EQ(table.size(), 0u);
  const auto outcome = run(table, command_of(7, 1), 10);
  EXPECT_EQ(outcome.refused, Code::kNotFound);
  EXPECT_EQ(outcome.reply(), "session 7 is over");
}

TEST_F(SessionTableTest, every_command_prolongs_it_a_repeat_too) {
  table.advance(at(1'090));
  run(table, command_of(7, 1), 10);
  table.advance(at(1'180));
  run(table, command_of(7, 1), 11);
  table.advance(at(1'279));
  EXPECT_EQ(table.size(), 1u);
  table.advance(at(1'280));
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.outcome_bytes(), 0u);
}

TEST_F(SessionTableTest, time_never_goes_back) {
  EXPECT_EQ(table.advance(at(500)), at(1'000));
  EXPECT_EQ(table.advance(at(1'001)), at(1'001));
  EXPECT_EQ(table.advance(Time::max()), table.now());
  EXPECT_EQ(table.advance(Time::min()), table.now());
}

TEST_F(SessionTableTest, too_many_replies_without_acknowledgement_are_refused_and_not_applied) {
  std::uint64_t sequence = 1;
  while (table.outcome_bytes() < kOutcomeBytesMax)
    run(table, command_of(7, sequence++), 1, std::string(kReplyBytesMax, 'r'));
  EXPECT_EQ(run(table, command_of(7, sequence), 1).refused, Code::kBusy);
  EXPECT_EQ(table.last_sequence(7), sequence - 1);
  EXPECT_TRUE(run(table, command_of(7, sequence, sequence - 1), 1).applied());
}

TEST_F(SessionTableTest, so_many_outcomes_and_no_more) {
  for (std::uint64_t sequence = 1; sequence <= kOutcomesMax; ++sequence)
    ASSERT_TRUE(run(table, command_of(7, sequence), 1).applied());
  EXPECT_EQ(run(table, command_of(7, kOutcomesMax + 1), 1).refused, Code::kBusy);
}

TEST_F(SessionTableTest, so_many_sessions_and_no_more) {
  for (std::uint64_t i = 1; i < kSessionsMax; ++i)
    ASSERT_TRUE(table.open(100 + i, 1'000'000).applied());
  EXPECT_EQ(table.open(9'999'999, 1'000).refused, Code::kBusy);
  table.advance(at(1'100));  // the first one is over
  EXPECT_TRUE(table.open(9'999'999, 1'000).applied());
}

// tests/golden/peer/service_sessions.hex: two sessions, a refusal that is kept, time.
SessionTable golden_table() {
  SessionTable table;
  table.advance(at(1'700'000'000'000));
  table.open(3, 3'600'000);
  table.open(300, 1'000);
  run(table, command_of(3, 1), 4, "one");
  table.advance(at(1'700'000'000'250));
  run(table, command_of(3, 2, 1), 5, "two");
  EXPECT_FALSE(table.admit(command_of(3, 3, 1)));
  table.keep(command_of(3, 3, 1), refused(Code::kTooLarge, "large", 6));
  return table;
}

TEST(SessionTableFormatTest, the_golden_bytes_and_back) {
  const auto bytes = golden_bytes("peer/service_sessions");
  const auto table = golden_table();
  EXPECT_EQ(table.encode(), bytes);
  const auto decoded = SessionTable::decode(bytes);
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_TRUE(*decoded == table);
}

TEST(SessionTableFormatTest, every_prefix_and_every_longer_one_is_refused) {
  const auto bytes = golden_table().encode();
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(SessionTable::decode(Bytes(bytes).substr(0, size))) << size;
  EXPECT_FALSE(SessionTable::decode(bytes + '\0'));
  auto later = bytes;
  later[0] = 2;
  EXPECT_EQ(SessionTable::decode(later).error().code, Code::kVersion);
}

TEST(SessionTableFormatTest, a_count_that_the_bytes_cannot_hold_takes_no_memory) {
  std::string bytes("\x01\x00", 2);
  append_uvarint(bytes, kSessionsMax);
  EXPECT_FALSE(SessionTable::decode(bytes));
}

// Against a model that keeps everything for ever: whatever is asked in whatever order, each
// sequence is applied at most once and in order, a repeat gets the first reply or is told that it
// has it, and a table that was saved and restored behaves as the one that was not.
RC_GTEST_PROP(SessionTableProperty, exactly_once_in_order_and_the_same_after_a_restore, ()) {
  SessionTable table, other;
  std::map<std::uint64_t, std::vector<Outcome>> model;
  std::int64_t now = 1;
  const auto steps = *rc::gen::inRange(1, 200);
  for (int step = 1; step <= steps; ++step) {
    now += *rc::gen::inRange(-5, 40);
    RC_ASSERT(table.advance(at(now)) == other.advance(at(now)));
    const auto index = static_cast<std::uint64_t>(step);
    switch (*rc::gen::inRange(0, 8)) {
      case 0: {
        const auto ttl = *rc::gen::inRange<std::uint64_t>(1, 2'000);
        RC_ASSERT(table.open(index, ttl) == other.open(index, ttl));
        model[index];
        break;
      }
      case 1: {
        auto restored = SessionTable::decode(table.encode());
        RC_ASSERT(restored.has_value());
        RC_ASSERT(*restored == table);
        other = *std::move(restored);
        break;
      }
      default: {
        if (model.empty()) break;
        const auto place = *rc::gen::inRange<std::size_t>(0, model.size());
        auto& [session, done] = *std::next(model.begin(), static_cast<std::ptrdiff_t>(place));
        const auto sequence = *rc::gen::inRange<std::uint64_t>(1, done.size() + 4);
        const auto answered = *rc::gen::inRange<std::uint64_t>(0, sequence);
        const auto command = command_of(session, sequence, answered);
        const bool alive = table.last_sequence(session).has_value();
        const auto outcome = run(table, command, index, std::to_string(step));
        RC_ASSERT(outcome == run(other, command, index, std::to_string(step)));
        if (!alive) RC_ASSERT(outcome.refused == Code::kNotFound);
        else if (sequence > done.size() + 1) RC_ASSERT(outcome.refused == Code::kMismatch);
        else if (sequence == done.size() + 1) {
          RC_ASSERT(outcome == applied(index, std::to_string(step)));
          done.push_back(outcome);
        } else {
          RC_ASSERT(outcome == done[sequence - 1] || outcome.refused == Code::kOutOfRange);
        }
      }
    }
    RC_ASSERT(table == other);
  }
}

}  // namespace
}  // namespace walrus::service
