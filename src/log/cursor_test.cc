// Cursors through the public face.

#include "log/cursor.h"

#include <atomic>
#include <thread>

#include "log/log_fixture.h"

namespace walrus::log {
namespace {

class CursorTest : public LogTest {
 protected:
  CursorTest() : log(open()), stream(*log->create("t", kOs)) {}
  void restart() {
    reopen(log);
    stream = *log->stream("t");
  }
  Cursor cursor(const CursorOptions& cursor_options = {}, Bytes name = "c") {
    auto opened = stream.cursor(name, cursor_options);
    EXPECT_TRUE(succeeds(opened));
    return *std::move(opened);
  }

  std::optional<Log> log;
  Stream stream;
};
using CursorRead = CursorTest;
using CursorCommit = CursorTest;
using CursorMoves = CursorTest;
using CursorNames = CursorTest;

constexpr ReadOptions kOne{.records_max = 1};

std::vector<std::string> next_values(Cursor& cursor, const ReadOptions& options = {}) {
  auto records = cursor.read(options);
  EXPECT_TRUE(succeeds(records));
  return records ? values_of(*records) : std::vector<std::string>{};
}

TEST_F(CursorRead, moves_and_peek_does_not) {
  append_numbers(stream, 0, 10);
  Cursor one = cursor();
  EXPECT_EQ(values_of(*one.peek({.records_max = 4})), numbers(0, 4));
  EXPECT_EQ(values_of(*one.peek({.records_max = 4})), numbers(0, 4));
  EXPECT_EQ(one.position(), Offset{0});
  EXPECT_EQ(next_values(one, {.records_max = 4}), numbers(0, 4));
  EXPECT_EQ(one.position(), Offset{4});
  EXPECT_EQ(next_values(one), numbers(4, 10));
  EXPECT_TRUE(next_values(one).empty());
  append_numbers(stream, 10, 12);
  EXPECT_EQ(next_values(one), numbers(10, 12));
}

TEST_F(CursorRead, peek_twice_then_commit) {
  append_numbers(stream, 0, 10);
  Cursor one = cursor();
  ASSERT_EQ(values_of(*one.peek({.records_max = 3})), numbers(0, 3));
  auto peeked = one.peek({.records_max = 3});
  ASSERT_TRUE(succeeds(one.commit(peeked->next())));
  EXPECT_EQ(next_values(one), numbers(3, 10));
}

TEST_F(CursorRead, budgets_hold) {
  std::vector<std::string> hundred(20, std::string(100, 'x'));
  ASSERT_TRUE(succeeds(stream.append(values(hundred))));
  Cursor one = cursor();
  EXPECT_EQ(next_values(one, {.bytes_max = 300}).size(), 3u);
  EXPECT_EQ(next_values(one, {.bytes_max = 500}).size(), 5u);
  EXPECT_EQ(next_values(one, {.bytes_max = 1}).size(), 1u);
  EXPECT_EQ(next_values(one, {.bytes_max = 350}).size(), 3u);
  EXPECT_EQ(one.position(), Offset{12});
}

TEST_F(CursorRead, at_most_two_thousand_records_unless_told) {
  ASSERT_TRUE(succeeds(stream.append(std::vector<Record>(4000, value("x")))));
  Cursor one = cursor();
  EXPECT_EQ(next_values(one).size(), 2000u);
  EXPECT_EQ(next_values(one).size(), 2000u);
  EXPECT_EQ(next_values(one).size(), 0u);
}

// Upstream lost 7,377 of these.
TEST_F(CursorRead, no_budget_loses_records_between_stored_data_and_tail) {
  constexpr int kRecords = 28'672, kBatch = 64;
  std::vector<std::string> texts(kBatch, std::string(1024, 'x'));
  for (int i = 0; i < kRecords; i += kBatch) ASSERT_TRUE(succeeds(stream.append(values(texts))));
  Cursor one = cursor({.persist_every = 1000});
  std::int64_t expected = 0;
  while (true) {
    auto records = one.read({.bytes_max = 1 << 20});
    ASSERT_TRUE(succeeds(records));
    if (records->empty()) break;
    for (const auto& record : *records) ASSERT_EQ(record.offset.value, expected++);
  }
  EXPECT_EQ(expected, kRecords);
}

TEST_F(CursorRead, ten_written_five_read_and_the_rest_after_a_restart) {
  append_numbers(stream, 0, 10);
  Cursor one = cursor();
  EXPECT_EQ(next_values(one, {.records_max = 5}), numbers(0, 5));
  restart();
  Cursor again = cursor();
  EXPECT_EQ(next_values(again), numbers(5, 10));
  restart();
  Cursor at_end = cursor();
  EXPECT_TRUE(next_values(at_end).empty());
}

TEST_F(CursorRead, at_most_once_is_durable_at_every_read) {
  append_numbers(stream, 0, 10);
  CursorOptions once{.delivery = Delivery::kAtMostOnce, .persist_every = 1000};
  for (int i = 0; i < 4; ++i) {
    Cursor one = cursor(once);
    EXPECT_EQ(next_values(one, kOne), numbers(i, i + 1));
    restart();
  }
}

TEST_F(CursorRead, at_least_once_repeats_what_was_not_persisted) {
  append_numbers(stream, 0, 5);
  CursorOptions every_three{.persist_every = 3};
  {
    Cursor one = cursor(every_three);
    EXPECT_EQ(next_values(one, kOne), numbers(0, 1));
    EXPECT_EQ(next_values(one, kOne), numbers(1, 2));
  }
  restart();
  {
    Cursor one = cursor(every_three);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(next_values(one, kOne), numbers(i, i + 1));
  }
  restart();
  Cursor one = cursor(every_three);
  EXPECT_EQ(next_values(one, kOne), numbers(3, 4));
}

TEST_F(CursorRead, persist_every_holds_for_reads_of_many_records) {
  append_numbers(stream, 0, 100);
  {
    Cursor one = cursor({.persist_every = 10});
    EXPECT_EQ(next_values(one, {.records_max = 25}), numbers(0, 25));
    EXPECT_EQ(next_values(one, {.records_max = 9}), numbers(25, 34));
  }
  restart();
  Cursor one = cursor();
  EXPECT_EQ(one.position(), Offset{25});
}

TEST_F(CursorRead, persist_every_zero_acts_as_one) {
  append_numbers(stream, 0, 3);
  {
    Cursor one = cursor({.persist_every = 0});
    EXPECT_EQ(next_values(one, kOne), numbers(0, 1));
  }
  restart();
  Cursor one = cursor();
  EXPECT_EQ(next_values(one, kOne), numbers(1, 2));
}

TEST_F(CursorRead, many_readers_share_the_records) {
  append_numbers(stream, 0, 500);
  std::atomic<int> sum = 0, count = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 5; ++i) {
      threads.emplace_back([&] {
        Cursor one = cursor({.persist_every = 50});
        while (true) {
          auto got = next_values(one, {.records_max = 7});
          if (got.empty()) return;
          for (const auto& text : got) sum += std::stoi(text);
          count += static_cast<int>(got.size());
        }
      });
    }
  }
  EXPECT_EQ(count, 500);
  EXPECT_EQ(sum, 499 * 500 / 2);
}

TEST_F(CursorRead, handles_of_one_name_share_the_position) {
  append_numbers(stream, 0, 4);
  Cursor one = cursor({.persist_every = 100}), two = cursor({.persist_every = 100});
  EXPECT_EQ(next_values(one, kOne), numbers(0, 1));
  EXPECT_EQ(next_values(two, kOne), numbers(1, 2));
  Cursor third = cursor();
  EXPECT_EQ(next_values(third, kOne), numbers(2, 3));
  Cursor other = cursor({}, "other");
  EXPECT_EQ(next_values(other), numbers(0, 4));
}

TEST_F(CursorRead, a_dropped_handle_leaves_the_position) {
  append_numbers(stream, 0, 4);
  {
    EXPECT_EQ(cursor({.persist_every = 100}).read(kOne)->next(), Offset{1});
  }
  EXPECT_EQ(cursor().position(), Offset{1});
}

TEST_F(CursorRead, an_empty_read_writes_nothing) {
  log.reset();
  auto engine = Engine::open(io::real_env(), options);
  ASSERT_TRUE(succeeds(engine));
  auto guard = ForkGuard::make();
  Face face(io::real_env(), *std::move(engine), *std::move(guard));
  auto ref = face.engine().find("t");
  auto text = value("x");
  ASSERT_TRUE(succeeds(face.engine().append(*ref, std::span(&text, 1), {})));
  CursorState::Place place{face, *ref, *face.shared(stream_id(*ref))};
  CursorOptions once{.delivery = Delivery::kAtMostOnce};
  auto state = open_cursor(place, "c", once);
  ASSERT_TRUE(succeeds(state));
  auto taken = (*state)->take(place, once, {});
  ASSERT_TRUE(taken && taken->pending && succeeds(face.engine().wait(*taken->pending)));
  auto used = [&] { return face.engine().metrics().at("walrus_log_journal_used_bytes"); };
  double before = used();
  for (int i = 0; i < 100; ++i) {
    auto nothing = (*state)->take(place, once, {});
    ASSERT_TRUE(succeeds(nothing));
    EXPECT_FALSE(nothing->pending);
    ASSERT_TRUE(succeeds((*state)->commit(place, {1})));  // it is there already
  }
  EXPECT_EQ(used(), before);
  state->reset();
  ASSERT_TRUE(succeeds(face.close()));
}

TEST_F(CursorRead, waits_for_records_and_no_longer_than_told) {
  Cursor one = cursor();
  EXPECT_TRUE(next_values(one, {.wait = Millis(1)}).empty());
  std::jthread writer([copy = stream]() mutable { append_numbers(copy, 0, 1); });
  EXPECT_EQ(next_values(one, {.wait = std::chrono::hours(1)}), numbers(0, 1));
}

TEST_F(CursorRead, one_who_waits_holds_nobody_up) {
  Cursor one = cursor(), two = cursor();
  std::atomic<bool> started = false;
  std::vector<std::string> got;
  std::jthread waiter([&] {
    started = true;
    got = next_values(one, {.wait = std::chrono::hours(1)});
  });
  while (!started) std::this_thread::yield();
  EXPECT_TRUE(next_values(two).empty());
  EXPECT_TRUE(succeeds(two.commit({0})));
  append_numbers(stream, 0, 1);
  waiter.join();
  EXPECT_EQ(got, numbers(0, 1));
}

TEST_F(CursorRead, records_without_values_are_read) {
  std::vector<Record> mixed = {value(""), {.key = "k"}, value("x")};
  ASSERT_TRUE(succeeds(stream.append(mixed)));
  Cursor one = cursor();
  EXPECT_EQ(next_values(one), (std::vector<std::string>{"", "(none)", "x"}));
}

TEST_F(CursorCommit, is_durable_and_a_seek_both_ways) {
  append_numbers(stream, 0, 10);
  Cursor one = cursor({.persist_every = 100});
  ASSERT_TRUE(succeeds(one.commit({7})));
  EXPECT_EQ(next_values(one, kOne), numbers(7, 8));
  ASSERT_TRUE(succeeds(one.commit({2})));
  EXPECT_EQ(next_values(one, kOne), numbers(2, 3));
  restart();
  Cursor again = cursor();
  EXPECT_EQ(again.position(), Offset{2});
}

TEST_F(CursorCommit, outside_the_log_is_out_of_range) {
  append_numbers(stream, 0, 10);
  ASSERT_TRUE(succeeds(stream.trim({3})));
  Cursor one = cursor();
  EXPECT_TRUE(fails_with(one.commit({11}), Code::kOutOfRange));
  EXPECT_TRUE(fails_with(one.commit({2}), Code::kOutOfRange));
  EXPECT_EQ(one.position(), Offset{3});
  EXPECT_TRUE(succeeds(one.commit({10})));
  EXPECT_TRUE(succeeds(one.commit({3})));
}

TEST_F(CursorMoves, unread_is_what_lies_before_the_high_watermark) {
  Cursor one = cursor({.persist_every = 100});
  EXPECT_EQ(one.unread(), 0);
  append_numbers(stream, 0, 10);
  EXPECT_EQ(one.unread(), 10);
  next_values(one, {.records_max = 4});
  EXPECT_EQ(one.unread(), 6);
  ASSERT_TRUE(succeeds(stream.trim({8})));
  EXPECT_EQ(one.unread(), 2);
  restart();
  EXPECT_EQ(cursor().unread(), 2);
}

TEST_F(CursorMoves, a_trim_moves_it_up) {
  append_numbers(stream, 0, 10);
  Cursor one = cursor();
  ASSERT_TRUE(succeeds(stream.trim({4})));
  EXPECT_EQ(next_values(one, kOne), numbers(4, 5));
  ASSERT_TRUE(succeeds(stream.trim({8})));
  EXPECT_EQ(one.position(), Offset{8});
  restart();
  Cursor again = cursor();
  EXPECT_EQ(next_values(again), numbers(8, 10));
}

TEST_F(CursorMoves, a_truncation_moves_it_down) {
  append_numbers(stream, 0, 10);
  Cursor open_one = cursor({}, "open");
  next_values(open_one);
  ASSERT_TRUE(succeeds(cursor({}, "stored").commit({9})));
  ASSERT_TRUE(succeeds(cursor({}, "low").commit({3})));
  restart();
  Cursor again = cursor({}, "open");
  ASSERT_TRUE(succeeds(stream.truncate({5})));
  append_numbers(stream, 100, 110);  // the log end is beyond the old positions again
  EXPECT_EQ(next_values(again, kOne), numbers(100, 101));
  EXPECT_EQ(cursor({}, "stored").position(), Offset{5});
  EXPECT_EQ(cursor({}, "low").position(), Offset{3});
  restart();
  EXPECT_EQ(cursor({}, "stored").position(), Offset{5});
  EXPECT_EQ(cursor({}, "open").position(), Offset{6});
}

TEST_F(CursorMoves, bytes_laid_aside_do_not_outlive_a_truncation) {
  append_numbers(stream, 0, 10);
  Cursor one = cursor({.persist_every = 100});
  next_values(one, {.records_max = 5});  // the rest of the batch is laid aside
  ASSERT_TRUE(succeeds(stream.truncate({5})));
  append_numbers(stream, 100, 103);
  EXPECT_EQ(next_values(one), numbers(100, 103));
}

TEST_F(CursorMoves, a_crash_between_truncation_and_cursors_is_put_right_at_open) {
  log.reset();
  {
    auto engine = Engine::open(io::real_env(), options);
    ASSERT_TRUE(succeeds(engine));
    auto ref = (*engine)->find("t");
    std::string nine;
    append_le<std::int64_t>(nine, 9);
    auto pending = (*engine)->put_state(*ref, Table::kCursors, "c", nine);
    ASSERT_TRUE(succeeds((*engine)->wait(*pending)));
  }
  log.emplace(open());
  stream = *log->stream("t");
  append_numbers(stream, 0, 20);
  Cursor one = cursor();
  EXPECT_EQ(next_values(one), numbers(0, 20));
}

TEST_F(CursorNames, are_listed_and_removed) {
  cursor({}, "b");
  cursor({}, "a");
  EXPECT_EQ(*stream.cursors(), (std::vector<std::string>{"a", "b"}));
  restart();
  EXPECT_EQ(*stream.cursors(), (std::vector<std::string>{"a", "b"}));
  ASSERT_TRUE(succeeds(stream.remove_cursor("a")));
  EXPECT_TRUE(fails_with(stream.remove_cursor("a"), Code::kNotFound));
  restart();
  EXPECT_EQ(*stream.cursors(), (std::vector<std::string>{"b"}));
}

TEST_F(CursorNames, a_removed_cursor_begins_anew) {
  append_numbers(stream, 0, 10);
  Cursor old = cursor();
  next_values(old);
  ASSERT_TRUE(succeeds(stream.remove_cursor("c")));
  EXPECT_TRUE(fails_with(old.read(), Code::kNotFound));
  EXPECT_TRUE(fails_with(old.commit({1}), Code::kNotFound));
  EXPECT_TRUE(fails_with(old.position(), Code::kNotFound));
  Cursor made_again = cursor();
  EXPECT_EQ(next_values(made_again), numbers(0, 10));
  EXPECT_TRUE(fails_with(old.read(), Code::kNotFound));
}

TEST_F(CursorNames, start_counts_for_a_new_one_only) {
  append_numbers(stream, 0, 10);
  Cursor one = cursor({.start = Offset{6}});
  EXPECT_EQ(one.position(), Offset{6});
  EXPECT_EQ(cursor({.start = Offset{2}}).position(), Offset{6});
  EXPECT_TRUE(fails_with(stream.cursor("beyond", {.start = Offset{11}}), Code::kOutOfRange));
  EXPECT_TRUE(fails_with(stream.cursor("below", {.start = Offset{-1}}), Code::kOutOfRange));
  ASSERT_TRUE(succeeds(stream.trim({8})));
  EXPECT_EQ(cursor({}, "late").position(), Offset{8});
}

TEST_F(CursorNames, have_1_to_255_bytes) {
  EXPECT_TRUE(fails_with(stream.cursor(""), Code::kInvalid));
  EXPECT_TRUE(fails_with(stream.cursor(std::string(256, 'c')), Code::kInvalid));
  EXPECT_TRUE(succeeds(stream.cursor(std::string(255, 'c'))));
  EXPECT_TRUE(succeeds(stream.cursor(Bytes("a\0/..", 5))));
}

TEST_F(CursorNames, a_hundred_streams_half_read_go_on_after_a_restart) {
  for (int i = 0; i < 100; ++i) {
    auto one = log->create(fmt::format("s{}", i), kOs);
    append_numbers(*one, 0, 50);
    Cursor half = *one->cursor("c", {.persist_every = 25});
    ASSERT_EQ(next_values(half, {.records_max = 25}), numbers(0, 25));
  }
  restart();
  for (int i = 0; i < 100; ++i) {
    Cursor rest = *log->stream(fmt::format("s{}", i))->cursor("c");
    ASSERT_EQ(next_values(rest), numbers(25, 50));
  }
}

}  // namespace
}  // namespace walrus::log
