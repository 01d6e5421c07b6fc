// The life of a log and its streams through the public face. Appends and reads: stream_test.cc.

#include "walrus/log.h"

#include <sys/wait.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "log/log_fixture.h"

namespace walrus::log {
namespace {

using Life = LogTest;

TEST_F(Life, a_stream_is_there_after_a_restart) {
  std::optional<Log> log(open());
  auto orders = log->create("orders");
  ASSERT_TRUE(succeeds(orders));
  EXPECT_EQ(orders->append(value("hello")), Offset{0});
  reopen(log);
  auto again = log->stream("orders");
  ASSERT_TRUE(succeeds(again));
  EXPECT_EQ(read_all(*again), std::vector<std::string>{"hello"});
}

TEST_F(Life, five_restarts_keep_everything) {
  std::optional<Log> log(open());
  ASSERT_TRUE(succeeds(log->create("t")));
  for (int round = 0; round < 5; ++round) {
    auto stream = log->stream("t");
    append_numbers(*stream, round * 100, round * 100 + 100);
    reopen(log);
  }
  EXPECT_EQ(read_all(*log->stream("t")), numbers(0, 500));
}

TEST_F(Life, creating_twice_and_finding_nothing_are_errors) {
  Log log = open();
  ASSERT_TRUE(succeeds(log.create("t")));
  EXPECT_TRUE(fails_with(log.create("t"), Code::kExists));
  EXPECT_TRUE(fails_with(log.stream("other"), Code::kNotFound));
  EXPECT_TRUE(fails_with(log.remove("other"), Code::kNotFound));
}

TEST_F(Life, names_have_1_to_255_bytes_and_no_nul) {
  Log log = open();
  EXPECT_TRUE(fails_with(log.create(""), Code::kInvalid));
  EXPECT_TRUE(fails_with(log.create(std::string(256, 'a')), Code::kInvalid));
  EXPECT_TRUE(fails_with(log.create(Bytes("a\0b", 3)), Code::kInvalid));
  EXPECT_TRUE(succeeds(log.create(std::string(255, 'a'))));
}

TEST_F(Life, odd_names_are_kept_apart) {
  std::vector<std::string> names = {"a/b",     "a_b",  "..",      ".",     "../../etc/passwd",
                                    " ",       "a b",  "A",       "a",     "\xff",
                                    "тема",    "主题", "🦭",      "t\n",   "%2F",
                                    "a\\b",    "LOCK", "journal", "topic", "t",
                                    "topic ?", "'\"$"};
  std::optional<Log> log(open());
  for (const auto& name : names) {
    auto stream = log->create(name, kOs);
    ASSERT_TRUE(succeeds(stream)) << name;
    ASSERT_TRUE(succeeds(stream->append(value(name))));
  }
  reopen(log);
  for (const auto& name : names)
    EXPECT_EQ(read_all(*log->stream(name)), std::vector<std::string>{name});
}

TEST_F(Life, options_that_make_no_sense_are_refused) {
  Log log = open();
  EXPECT_TRUE(fails_with(log.create("a", {.durability = {Durability::kInterval, Millis(0)}}),
                         Code::kInvalid));
  EXPECT_TRUE(fails_with(log.create("b", {.segment_records_max = 0}), Code::kInvalid));
  EXPECT_TRUE(fails_with(log.create("c", {.segment_bytes_max = 0}), Code::kInvalid));
  EXPECT_TRUE(fails_with(log.create("d", {.retention_bytes = -1}), Code::kInvalid));
  EXPECT_TRUE(log.list()->empty());
}

TEST_F(Life, list_tells_of_each_stream_by_name) {
  Log log = open();
  for (Bytes name : {"b", "a", "ab"}) ASSERT_TRUE(succeeds(log.create(name, kOs)));
  auto stream = log.stream("ab");
  append_numbers(*stream, 0, 3);
  auto all = log.list();
  ASSERT_TRUE(succeeds(all));
  ASSERT_EQ(all->size(), 3u);
  EXPECT_EQ((*all)[0].name, "a");
  EXPECT_EQ((*all)[1].name, "ab");
  EXPECT_EQ((*all)[1].log_end, Offset{3});
  EXPECT_EQ((*all)[1].high_watermark, Offset{3});
  EXPECT_FALSE((*all)[1].clean);
  EXPECT_EQ((*all)[2].name, "b");
  EXPECT_EQ(log.list("a")->size(), 2u);
  EXPECT_TRUE(log.list("x")->empty());
}

TEST_F(Life, a_removed_stream_is_gone_for_good) {
  std::optional<Log> log(open());
  auto old = log->create("t", kOs);
  append_numbers(*old, 0, 10);
  auto cursor = old->cursor("c");
  ASSERT_TRUE(succeeds(cursor->read()));
  ASSERT_TRUE(succeeds(log->remove("t")));
  EXPECT_TRUE(fails_with(old->append(value("x")), Code::kNotFound));
  EXPECT_TRUE(fails_with(old->read({0}), Code::kNotFound));
  EXPECT_TRUE(fails_with(old->info(), Code::kNotFound));
  EXPECT_TRUE(fails_with(cursor->read(), Code::kNotFound));
  EXPECT_TRUE(fails_with(log->stream("t"), Code::kNotFound));
  auto made_again = log->create("t", kOs);
  ASSERT_TRUE(succeeds(made_again));
  EXPECT_TRUE(read_all(*made_again).empty());
  EXPECT_TRUE(made_again->cursors()->empty());
  reopen(log);
  EXPECT_TRUE(read_all(*log->stream("t")).empty());
}

TEST_F(Life, alter_holds_after_a_restart) {
  std::optional<Log> log(open());
  auto stream = log->create("t");
  StreamOptions wanted{.durability = {Durability::kInterval, Millis(50)},
                       .segment_records_max = 10,
                       .retention_bytes = 1 << 30};
  ASSERT_TRUE(succeeds(stream->alter(wanted)));
  reopen(log);
  auto info = log->stream("t")->info();
  EXPECT_EQ(info->options.durability.kind, Durability::kInterval);
  EXPECT_EQ(info->options.durability.interval, Millis(50));
  EXPECT_EQ(info->options.segment_records_max, 10);
  EXPECT_EQ(info->options.retention_bytes, 1 << 30);
}

TEST_F(Life, a_second_log_on_the_directory_is_told_who_has_it) {
  Log log = open();
  auto second = open_log(io::real_env(), options);
  ASSERT_TRUE(fails_with(second, Code::kLocked));
  EXPECT_NE(second.error().message.find(std::to_string(::getpid())), std::string::npos);
  ASSERT_TRUE(succeeds(log.close()));
  EXPECT_TRUE(succeeds(open_log(io::real_env(), options)));
}

TEST_F(Life, a_reader_beside_the_writer_changes_nothing) {
  Log log = open();
  auto stream = log.create("t");
  append_numbers(*stream, 0, 10);
  options.user.read_only = true;
  auto beside = open_log(io::real_env(), options);
  ASSERT_TRUE(succeeds(beside));
  auto seen = beside->stream("t");
  ASSERT_TRUE(succeeds(seen));
  EXPECT_EQ(read_all(*seen), numbers(0, 10));
  EXPECT_TRUE(fails_with(seen->append(value("x")), Code::kReadOnly));
  EXPECT_TRUE(fails_with(seen->cursor("c"), Code::kReadOnly));
  EXPECT_TRUE(fails_with(beside->create("u"), Code::kReadOnly));
}

TEST_F(Life, after_close_every_handle_answers_closed) {
  Log log = open();
  auto stream = log.create("t", kOs);
  append_numbers(*stream, 0, 10);
  auto cursor = stream->cursor("c");
  auto reader = stream->scan({0});
  ASSERT_TRUE(succeeds(reader->next()));
  auto records = stream->read({0});
  ASSERT_TRUE(succeeds(log.close()));
  EXPECT_TRUE(fails_with(log.close(), Code::kClosed));
  EXPECT_TRUE(fails_with(log.create("u"), Code::kClosed));
  EXPECT_TRUE(fails_with(log.list(), Code::kClosed));
  EXPECT_TRUE(fails_with(stream->append(value("x")), Code::kClosed));
  EXPECT_TRUE(fails_with(stream->append_async(values(numbers(0, 2))).get(), Code::kClosed));
  EXPECT_TRUE(fails_with(stream->read({0}), Code::kClosed));
  EXPECT_TRUE(fails_with(stream->info(), Code::kClosed));
  EXPECT_TRUE(fails_with(cursor->read(), Code::kClosed));
  EXPECT_TRUE(fails_with(cursor->commit({1}), Code::kClosed));
  EXPECT_TRUE(fails_with(reader->next(), Code::kClosed));
  EXPECT_EQ(values_of(*records), numbers(0, 10));  // what was read stays readable
}

TEST_F(Life, handles_may_outlive_the_log) {
  std::optional<Result<Stream>> stream;
  std::optional<Result<Cursor>> cursor;
  {
    Log log = open();
    stream.emplace(log.create("t"));
    cursor.emplace((*stream)->cursor("c"));
  }
  EXPECT_TRUE(fails_with((*stream)->sync(), Code::kClosed));
  EXPECT_TRUE(fails_with((*cursor)->position(), Code::kClosed));
}

TEST_F(Life, moved_from_handles_answer_closed) {
  Log log = open();
  auto stream = log.create("t");
  Stream moved = *std::move(stream);
  EXPECT_TRUE(fails_with(stream->sync(), Code::kClosed));
  EXPECT_TRUE(succeeds(moved.sync()));
  Log other = std::move(log);
  EXPECT_TRUE(fails_with(log.list(), Code::kClosed));
  EXPECT_TRUE(succeeds(other.list()));
}

TEST_F(Life, close_wakes_those_who_wait_for_records) {
  Log log = open();
  auto stream = log.create("t");
  auto cursor = stream->cursor("c");
  std::atomic<int> started = 0;
  std::vector<std::jthread> readers;
  std::vector<Result<Records>> answers;
  std::mutex mutex;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&, i] {
      ReadOptions forever{.wait = std::chrono::hours(1)};
      ++started;
      auto answer = i % 2 == 0 ? stream->read({0}, forever) : cursor->read(forever);
      std::lock_guard lock(mutex);
      answers.push_back(std::move(answer));
    });
  }
  while (started < 4) std::this_thread::yield();
  ASSERT_TRUE(succeeds(log.close()));
  readers.clear();
  for (const auto& answer : answers) EXPECT_TRUE(fails_with(answer, Code::kClosed));
}

TEST_F(Life, close_answers_every_asynchronous_append) {
  std::optional<Log> log(open());
  auto stream = log->create("t");
  std::atomic<int> done = 0, good = 0;
  for (int i = 0; i < 200; ++i) {
    Record one = value("x");
    stream->append_async(std::span(&one, 1), {}, [&](Result<Offset> result) {
      good += result.has_value();
      ++done;
    });
  }
  ASSERT_TRUE(succeeds(log->close()));
  EXPECT_EQ(done, 200);
  log.reset();
  log.emplace(open());
  EXPECT_GE(log->stream("t")->info()->log_end.value, good);
}

TEST_F(Life, close_beside_running_appends_loses_nothing_acknowledged) {
  std::optional<Log> log(open());
  auto stream = log->create("t", kOs);
  std::atomic<std::int64_t> acknowledged = 0;
  std::atomic<bool> begun = false;
  {
    std::vector<std::jthread> writers;
    for (int i = 0; i < 4; ++i) {
      writers.emplace_back([&, copy = *stream]() mutable {
        while (true) {
          auto at = copy.append(value("some bytes"));
          if (!at) {
            EXPECT_TRUE(fails_with(at, Code::kClosed));
            return;
          }
          ++acknowledged;
          begun = true;
        }
      });
    }
    while (!begun) std::this_thread::yield();
    ASSERT_TRUE(succeeds(log->close()));
  }
  log.reset();
  log.emplace(open());
  EXPECT_EQ(log->stream("t")->info()->log_end.value, acknowledged);
}

TEST_F(Life, a_forked_child_is_refused_and_harms_nothing) {
  Log log = open();
  auto stream = log.create("t");
  append_numbers(*stream, 0, 10);
  auto cursor = stream->cursor("c");
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    bool refused = fails_with(stream->append(value("child")), Code::kClosed) &&
                   fails_with(stream->read({0}), Code::kClosed) &&
                   fails_with(cursor->commit({3}), Code::kClosed) &&
                   fails_with(log.close(), Code::kClosed);
    {
      Log dropped = std::move(log);
    }
    ::_exit(refused ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  append_numbers(*stream, 10, 20);
  EXPECT_EQ(read_all(*stream), numbers(0, 20));
  EXPECT_TRUE(fails_with(open_log(io::real_env(), options), Code::kLocked));
}

TEST_F(Life, clean_marks_follow_appends_and_survive_restarts) {
  std::optional<Log> log(open());
  auto stream = log->create("t");
  EXPECT_TRUE(stream->info()->clean);  // nothing was appended
  append_numbers(*stream, 0, 1);
  EXPECT_FALSE(stream->info()->clean);
  ASSERT_TRUE(succeeds(stream->mark_clean()));
  EXPECT_TRUE(stream->info()->clean);
  reopen(log);
  stream = log->stream("t");
  EXPECT_TRUE(stream->info()->clean);
  ASSERT_TRUE(succeeds(stream->mark_dirty()));
  EXPECT_FALSE(stream->info()->clean);
  reopen(log);
  stream = log->stream("t");
  EXPECT_FALSE(stream->info()->clean);
  ASSERT_TRUE(succeeds(stream->mark_clean()));
  append_numbers(*stream, 1, 2);
  EXPECT_FALSE(stream->info()->clean);
  reopen(log);
  EXPECT_FALSE(log->stream("t")->info()->clean);
}

TEST_F(Life, a_truncation_leaves_no_old_clean_mark_behind) {
  Log log = open();
  auto stream = log.create("t", kOs);
  append_numbers(*stream, 0, 10);
  ASSERT_TRUE(succeeds(stream->mark_clean()));
  append_numbers(*stream, 10, 15);
  ASSERT_TRUE(succeeds(stream->truncate({10})));  // the log end is where it was when clean
  EXPECT_FALSE(stream->info()->clean);
  ASSERT_TRUE(succeeds(stream->truncate({0})));
  EXPECT_FALSE(stream->info()->clean);
}

TEST_F(Life, a_trim_leaves_a_clean_stream_clean) {
  Log log = open();
  auto stream = log.create("t", kOs);
  append_numbers(*stream, 0, 10);
  ASSERT_TRUE(succeeds(stream->mark_clean()));
  ASSERT_TRUE(succeeds(stream->trim({5})));
  EXPECT_TRUE(stream->info()->clean);
}

TEST_F(Life, a_checkpoint_empties_the_journal_and_keeps_the_records) {
  std::optional<Log> log(open());
  auto stream = log->create("t", kOs);
  append_numbers(*stream, 0, 1000);
  ASSERT_TRUE(succeeds(log->checkpoint()));
  append_numbers(*stream, 1000, 1500);
  EXPECT_EQ(read_all(*stream), numbers(0, 1500));
  reopen(log);
  EXPECT_EQ(read_all(*log->stream("t")), numbers(0, 1500));
}

TEST_F(Life, a_backup_is_a_log_of_its_own) {
  Log log = open();
  auto stream = log.create("t", kOs);
  append_numbers(*stream, 0, 100);
  auto cursor = stream->cursor("c");
  ASSERT_TRUE(succeeds(cursor->commit({40})));
  auto copy = directory.path() / "copy", restored = directory.path() / "restored";
  ASSERT_TRUE(succeeds(log.backup(copy)));
  append_numbers(*stream, 100, 200);
  ASSERT_TRUE(succeeds(restore(copy, restored)));
  options.user.root = restored;
  Log second = open();
  auto same = second.stream("t");
  ASSERT_TRUE(succeeds(same));
  EXPECT_EQ(read_all(*same), numbers(0, 100));
  EXPECT_EQ(same->cursor("c")->position(), Offset{40});
}

TEST_F(Life, verify_reads_namespaces_too) {
  auto root = directory.path() / "namespaces";
  EXPECT_TRUE(fails_with(verify(root), Code::kNotFound));
  for (const auto& key : {std::string(), std::string("a/b"), std::string(500, 'x')}) {
    auto log = Log::open({.root = root, .key = key, .shards = 1});
    ASSERT_TRUE(succeeds(log));
    auto stream = log->create("t", kOs);
    append_numbers(*stream, 0, 10);
    ASSERT_TRUE(succeeds(log->close()));
  }
  EXPECT_TRUE(verify(root)->empty());
  int damaged = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().extension() != ".pack") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-1, std::ios::end).put('?');
    ++damaged;
  }
  EXPECT_EQ(damaged, 3);
  auto findings = verify(root);
  ASSERT_TRUE(succeeds(findings));
  ASSERT_EQ(findings->size(), 3u);
  for (const auto& finding : *findings)
    EXPECT_TRUE(std::filesystem::exists(finding.file)) << finding.file;
}

TEST_F(Life, a_thousand_streams_of_a_hundred_records) {
  std::optional<Log> log(open());
  for (int i = 0; i < 1000; ++i) {
    auto stream = log->create("topic-" + std::to_string(i), kOs);
    ASSERT_TRUE(succeeds(stream));
    append_numbers(*stream, i, i + 100);
  }
  reopen(log);
  EXPECT_TRUE(verify(options.user.root)->empty());
  EXPECT_EQ(log->list()->size(), 1000u);
  for (int i = 0; i < 1000; ++i)
    ASSERT_EQ(read_all(*log->stream("topic-" + std::to_string(i))), numbers(i, i + 100));
}

}  // namespace
}  // namespace walrus::log
