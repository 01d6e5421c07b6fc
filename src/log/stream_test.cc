// Appending and reading through the public face.

#include <atomic>
#include <random>
#include <thread>

#include "log/log_fixture.h"

namespace walrus::log {
namespace {

class StreamTest : public LogTest {
 protected:
  StreamTest() : log(open()), stream(*log->create("t", kOs)) {}
  void restart() {
    reopen(log);
    stream = *log->stream("t");
  }
  std::int64_t end() { return stream.info()->log_end.value; }

  std::optional<Log> log;
  Stream stream;
};
using Append = StreamTest;
using Read = StreamTest;
using Scan = StreamTest;
using Async = StreamTest;

// Values that tell their place, each with a size of its own.
std::string patterned(std::size_t size, std::uint64_t seed) {
  std::string bytes(size, '\0');
  std::mt19937_64 random(seed);
  for (auto& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

TEST_F(Append, sizes_around_the_edges_round_trip) {
  std::vector<std::string> wanted;
  for (std::size_t size : {0, 1, 63, 64, 65, 1023, 1024, 1025, 4095, 4096, 4097, 65535, 65536,
                           65537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1}) {
    wanted.push_back(patterned(size, size));
    ASSERT_TRUE(succeeds(stream.append(value(wanted.back()))));
  }
  EXPECT_EQ(read_all(stream), wanted);
  restart();
  EXPECT_EQ(read_all(stream), wanted);
}

TEST_F(Append, data_of_any_pattern_round_trips) {
  std::string counting, magic = "WALRUSM1", frames(4096, '\x01');
  for (int i = 0; i < 1024; ++i) counting.push_back(static_cast<char>(i));
  std::vector<std::string> wanted = {std::string(4096, '\0'),
                                     std::string(4096, '\xff'),
                                     counting,
                                     "text with \n and \0 and тюлень",
                                     patterned(9999, 1),
                                     magic,
                                     frames};
  ASSERT_TRUE(succeeds(stream.append(values(wanted))));
  restart();
  EXPECT_EQ(read_all(stream), wanted);
}

TEST_F(Append, keys_headers_timestamps_and_tombstones_round_trip) {
  Header headers[] = {{.name = "a", .value = "1"}, {.name = "", .value = ""}, {.name = "none"}};
  std::vector<Record> records = {
      {.key = "k", .value = "v", .headers = headers, .timestamp = Time(Millis(1000))},
      {.key = "gone", .timestamp = Time(Millis(999))},
      {.key = "", .value = ""},
      {}};
  Time before = io::real_env().wall();
  ASSERT_EQ(stream.append(records), Offset{0});
  Time after = io::real_env().wall();
  restart();
  auto read = stream.read({0});
  ASSERT_TRUE(succeeds(read));
  std::vector<StoredRecord> got(read->begin(), read->end());
  ASSERT_EQ(got.size(), 4u);
  EXPECT_EQ(got[0].key, "k");
  EXPECT_EQ(got[0].timestamp, Time(Millis(1000)));
  ASSERT_EQ(got[0].headers.size(), 3u);
  EXPECT_EQ(got[0].headers[0].name, "a");
  EXPECT_EQ(got[0].headers[0].value, "1");
  EXPECT_EQ(got[0].headers[1].value, "");
  EXPECT_FALSE(got[0].headers[2].value);
  EXPECT_EQ(got[1].key, "gone");
  EXPECT_FALSE(got[1].value);
  EXPECT_EQ(got[1].timestamp, Time(Millis(999)));
  EXPECT_EQ(got[2].key, "");
  EXPECT_EQ(got[2].value, "");
  EXPECT_FALSE(got[3].key);
  EXPECT_FALSE(got[3].value);
  EXPECT_GE(*got[3].timestamp, before);
  EXPECT_LE(*got[3].timestamp, after);
}

TEST_F(Append, an_empty_batch_answers_the_next_offset) {
  EXPECT_EQ(stream.append(std::span<const Record>()), Offset{0});
  append_numbers(stream, 0, 3);
  EXPECT_EQ(stream.append(std::span<const Record>()), Offset{3});
  EXPECT_TRUE(fails_with(stream.append(std::span<const Record>(), {.expected_next = Offset{2}}),
                         Code::kMismatch));
  EXPECT_EQ(end(), 3);
}

TEST_F(Append, only_at_the_expected_offset) {
  EXPECT_EQ(stream.append(value("a"), {.expected_next = Offset{0}}), Offset{0});
  EXPECT_TRUE(fails_with(stream.append(value("b"), {.expected_next = Offset{0}}), Code::kMismatch));
  EXPECT_TRUE(fails_with(stream.append(value("b"), {.expected_next = Offset{2}}), Code::kMismatch));
  EXPECT_EQ(stream.append(value("b"), {.expected_next = Offset{1}}), Offset{1});
  EXPECT_EQ(end(), 2);
}

TEST_F(Append, of_conditional_appends_that_race_exactly_one_wins) {
  std::atomic<int> won = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, copy = stream]() mutable {
        for (int at = 0; at < 200; ++at) {
          auto answer = copy.append(value("x"), {.expected_next = Offset{at}});
          if (answer) ++won;
          else EXPECT_TRUE(fails_with(answer, Code::kMismatch));
        }
      });
    }
  }
  EXPECT_EQ(won, end());
  EXPECT_GE(won, 1);
}

TEST_F(Append, a_producers_repeat_answers_its_first_offset) {
  ProducerSequence first{.id = 7, .epoch = 0, .sequence = 0};
  std::vector<std::string> texts = {"a", "b"};
  auto two = values(texts);
  EXPECT_EQ(stream.append(two, {.producer = first}), Offset{0});
  EXPECT_EQ(stream.append(two, {.producer = first}), Offset{0});
  restart();
  EXPECT_EQ(stream.append(two, {.producer = first}), Offset{0});
  EXPECT_EQ(end(), 2);
  EXPECT_TRUE(
      fails_with(stream.append(two, {.producer = ProducerSequence{7, 0, 9}}), Code::kMismatch));
  EXPECT_EQ(stream.append(two, {.producer = ProducerSequence{7, 1, 0}}), Offset{2});
  EXPECT_TRUE(fails_with(stream.append(two, {.producer = first}), Code::kFenced));
}

TEST_F(Append, too_large_is_refused_before_anything_changes) {
  append_numbers(stream, 0, 5);
  std::string huge(static_cast<std::size_t>(options.user.batch_bytes_max) + 1, 'x');
  EXPECT_TRUE(fails_with(stream.append(value(huge)), Code::kTooLarge));
  std::string half(huge.size() / 2, 'y');
  std::vector<std::string> halves = {half, half, half};
  auto three = values(halves);
  EXPECT_TRUE(fails_with(stream.append(three), Code::kTooLarge));
  auto async = stream.append_async(three).get();
  EXPECT_TRUE(fails_with(async, Code::kTooLarge));
  EXPECT_EQ(end(), 5);
  append_numbers(stream, 5, 10);
  restart();
  EXPECT_EQ(read_all(stream), numbers(0, 10));
}

TEST_F(Append, too_many_records_are_refused) {
  log.reset();
  options.user.batch_records_max = 100;
  log.emplace(open());
  stream = *log->stream("t");
  EXPECT_TRUE(fails_with(stream.append(std::vector<Record>(101, value("x"))), Code::kTooLarge));
  EXPECT_TRUE(succeeds(stream.append(std::vector<Record>(100, value("x")))));
  EXPECT_EQ(end(), 100);
}

TEST_F(Append, a_batch_near_the_cap_round_trips) {
  auto bytes = patterned(static_cast<std::size_t>(options.user.batch_bytes_max) - 1024, 5);
  ASSERT_TRUE(succeeds(stream.append(value(bytes))));
  EXPECT_EQ(read_all(stream), std::vector<std::string>{bytes});
  restart();
  EXPECT_EQ(read_all(stream), std::vector<std::string>{bytes});
}

TEST(AppendDefaults, sixty_four_mebibytes_are_the_cap) {
  Directory directory;
  auto log = Log::open({.root = directory.path(), .shards = 1});
  ASSERT_TRUE(succeeds(log));
  auto stream = log->create("t", kOs);
  constexpr std::size_t kCap = 64 << 20;
  std::string huge(kCap, 'x');
  Record one = value(huge);
  huge.resize(kCap - (record::encoded_size({&one, 1}, Time()) - kCap));
  EXPECT_EQ(stream->append(value(huge)), Offset{0});
  huge += 'x';
  EXPECT_TRUE(fails_with(stream->append(value(huge)), Code::kTooLarge));
  EXPECT_EQ(stream->info()->log_end, Offset{1});
  EXPECT_EQ(stream->append(value("small")), Offset{1});
  huge.pop_back();
  for (bool reopened : {false, true}) {
    if (reopened) {
      ASSERT_TRUE(succeeds(log->close()));
      log = Log::open({.root = directory.path(), .shards = 1});
      ASSERT_TRUE(succeeds(log));
      stream = log->stream("t");
    }
    auto records = stream->read({0});
    ASSERT_TRUE(succeeds(records));
    EXPECT_TRUE(records->begin()->value == Bytes(huge));
    EXPECT_EQ(values_of(*stream->read({1})), std::vector<std::string>{"small"});
  }
}

TEST_F(Append, batches_of_many_threads_stay_whole) {
  constexpr int kThreads = 4, kBatches = 50, kRecords = 20;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t, copy = stream]() mutable {
        for (int b = 0; b < kBatches; ++b) {
          std::vector<std::string> texts(kRecords, fmt::format("{}.{}", t, b));
          EXPECT_TRUE(succeeds(copy.append(values(texts))));
        }
      });
    }
  }
  auto all = read_all(stream);
  ASSERT_EQ(all.size(), static_cast<std::size_t>(kThreads * kBatches * kRecords));
  for (std::size_t i = 0; i < all.size(); i += kRecords) {
    for (std::size_t k = 0; k < kRecords; ++k) ASSERT_EQ(all[i + k], all[i]);
  }
}

TEST_F(Append, streams_do_not_mix) {
  std::vector<Stream> streams;
  for (int i = 0; i < 50; ++i) streams.push_back(*log->create(fmt::format("s{}", i), kOs));
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 50; ++i)
      ASSERT_EQ(streams[static_cast<std::size_t>(i)].append(value(fmt::format("{}-{}", i, round))),
                Offset{round});
  }
  restart();
  for (int i = 0; i < 50; ++i) {
    auto all = read_all(*log->stream(fmt::format("s{}", i)));
    ASSERT_EQ(all.size(), 200u);
    for (int round = 0; round < 200; ++round)
      ASSERT_EQ(all[static_cast<std::size_t>(round)], fmt::format("{}-{}", i, round));
  }
}

TEST_F(Append, every_durability_keeps_its_records_over_a_restart) {
  ASSERT_TRUE(succeeds(log->create("fsync")));
  ASSERT_TRUE(
      succeeds(log->create("interval", {.durability = {Durability::kInterval, Millis(20)}})));
  for (Bytes name : {"t", "fsync", "interval"}) {
    auto one = log->stream(name);
    append_numbers(*one, 0, 50);
    ASSERT_TRUE(succeeds(one->append(value("50"))));
    EXPECT_EQ(one->info()->high_watermark, Offset{51});
    ASSERT_TRUE(succeeds(one->sync()));
  }
  reopen(log);
  for (Bytes name : {"t", "fsync", "interval"})
    EXPECT_EQ(read_all(*log->stream(name)), numbers(0, 51));
}

TEST_F(Read, past_the_ends_is_out_of_range) {
  append_numbers(stream, 0, 10);
  EXPECT_TRUE(stream.read({10})->empty());
  EXPECT_EQ(stream.read({10})->next(), Offset{10});
  EXPECT_TRUE(fails_with(stream.read({11}), Code::kOutOfRange));
  EXPECT_TRUE(fails_with(stream.read({-1}), Code::kOutOfRange));
  ASSERT_TRUE(succeeds(stream.trim({4})));
  EXPECT_TRUE(fails_with(stream.read({3}), Code::kOutOfRange));
  EXPECT_EQ(values_of(*stream.read({4})), numbers(4, 10));
  restart();
  EXPECT_TRUE(fails_with(stream.read({3}), Code::kOutOfRange));
  EXPECT_EQ(values_of(*stream.read({4})), numbers(4, 10));
}

TEST_F(Read, a_trim_inside_a_batch_hides_its_beginning) {
  append_numbers(stream, 0, 10);
  ASSERT_TRUE(succeeds(stream.trim({4})));
  EXPECT_EQ(stream.info()->log_start, Offset{4});
  ASSERT_TRUE(succeeds(log->checkpoint()));
  EXPECT_EQ(values_of(*stream.read({4})), numbers(4, 10));
}

TEST_F(Read, the_budget_counts_payload_and_one_record_always_fits) {
  std::vector<std::string> hundred(10, std::string(100, 'x'));
  ASSERT_TRUE(succeeds(stream.append(values(hundred))));
  for (const auto& one : hundred) ASSERT_TRUE(succeeds(stream.append(value(one))));
  for (std::int64_t from : {0, 7, 10, 13}) {
    auto count = [&](std::int64_t bytes) {
      return values_of(*stream.read({from}, {.bytes_max = bytes})).size();
    };
    EXPECT_EQ(count(300), 3u);
    EXPECT_EQ(count(500), 5u);
    EXPECT_EQ(count(1), 1u);
    EXPECT_EQ(count(0), 1u);
    EXPECT_EQ(count(350), 3u);
  }
}

TEST_F(Read, the_budget_counts_keys_too) {
  for (int i = 0; i < 10; ++i)
    ASSERT_TRUE(succeeds(stream.append({.key = "0123456789", .value = "0123456789"})));
  EXPECT_EQ(values_of(*stream.read({0}, {.bytes_max = 40})).size(), 2u);
}

TEST_F(Read, at_most_two_thousand_records_unless_told) {
  ASSERT_TRUE(succeeds(stream.append(std::vector<Record>(4000, value("x")))));
  auto first = stream.read({0});
  EXPECT_EQ(values_of(*first).size(), 2000u);
  EXPECT_EQ(first->next(), Offset{2000});
  EXPECT_EQ(values_of(*stream.read(first->next())).size(), 2000u);
  EXPECT_TRUE(stream.read({4000})->empty());
  EXPECT_EQ(values_of(*stream.read({0}, {.records_max = 3})).size(), 3u);
  EXPECT_EQ(values_of(*stream.read({0}, {.records_max = 1 << 20})).size(), 4000u);
}

TEST_F(Read, options_that_make_no_sense_are_refused) {
  EXPECT_TRUE(fails_with(stream.read({0}, {.bytes_max = -1}), Code::kInvalid));
  EXPECT_TRUE(fails_with(stream.read({0}, {.records_max = 0}), Code::kInvalid));
  EXPECT_TRUE(fails_with(stream.scan({0}, {.records_max = 0}), Code::kInvalid));
}

TEST_F(Read, empty_values_are_returned) {
  std::vector<std::string> wanted = {"", "a", "", "", "b", ""};
  ASSERT_TRUE(succeeds(stream.append(values(wanted))));
  ASSERT_TRUE(succeeds(stream.append(value(""))));
  wanted.push_back("");
  EXPECT_EQ(read_all(stream), wanted);
}

TEST_F(Read, mixed_sizes_come_within_the_budget_and_whole) {
  std::vector<std::string> wanted;
  for (std::size_t size : {5, 2 << 20, 700, 65537, 599999, 600000, 600001, 1, 1 << 20, 9}) {
    wanted.push_back(patterned(size, size));
    ASSERT_TRUE(succeeds(stream.append(value(wanted.back()))));
  }
  EXPECT_EQ(read_all(stream, {.bytes_max = 600'000}), wanted);
  ASSERT_TRUE(succeeds(log->checkpoint()));
  EXPECT_EQ(read_all(stream, {.bytes_max = 600'000}), wanted);
}

// Upstream lost 7,377 of these: a budget that ends inside sealed data while there is a tail.
TEST_F(Read, no_budget_loses_records_between_stored_data_and_tail) {
  constexpr int kRecords = 28'672, kBatch = 64;
  for (int i = 0; i < kRecords; i += kBatch) {
    std::vector<std::string> texts;
    for (int k = 0; k < kBatch; ++k) {
      texts.emplace_back(1024, 'x');
      texts.back().replace(0, 6, fmt::format("{:06}", i + k));
    }
    ASSERT_TRUE(succeeds(stream.append(values(texts))));
    if (i == kRecords / 2) ASSERT_TRUE(succeeds(log->checkpoint()));
  }
  auto all = read_all(stream, {.bytes_max = 1 << 20});
  ASSERT_EQ(all.size(), static_cast<std::size_t>(kRecords));
  for (int i = 0; i < kRecords; ++i)
    ASSERT_EQ(all[static_cast<std::size_t>(i)].substr(0, 6), fmt::format("{:06}", i));
}

TEST_F(Read, large_batches_in_small_pieces) {
  ASSERT_TRUE(succeeds(stream.append(values(numbers(0, 10'000)))));
  EXPECT_EQ(read_all(stream, {.records_max = 17}), numbers(0, 10'000));
}

TEST_F(Read, waits_for_a_record_that_comes) {
  std::jthread writer([copy = stream]() mutable { append_numbers(copy, 0, 1); });
  auto read = stream.read({0}, {.wait = std::chrono::hours(1)});
  ASSERT_TRUE(succeeds(read));
  EXPECT_EQ(values_of(*read), numbers(0, 1));
}

TEST_F(Read, waits_no_longer_than_told) {
  auto read = stream.read({0}, {.wait = Millis(1)});
  ASSERT_TRUE(succeeds(read));
  EXPECT_TRUE(read->empty());
}

TEST_F(Read, truncated_offsets_are_given_again_in_a_higher_epoch) {
  append_numbers(stream, 0, 10);
  ASSERT_TRUE(succeeds(log->checkpoint()));
  append_numbers(stream, 10, 20);
  auto epoch = stream.read({0})->begin()->epoch;
  for (std::int64_t at : {15, 7}) {
    ASSERT_TRUE(succeeds(stream.truncate({at})));
    EXPECT_EQ(end(), at);
  }
  EXPECT_EQ(stream.append(value("new")), Offset{7});
  auto wanted = numbers(0, 7);
  wanted.push_back("new");
  EXPECT_EQ(read_all(stream), wanted);
  restart();
  EXPECT_EQ(read_all(stream), wanted);
  EXPECT_GT(stream.read({7})->begin()->epoch, epoch);
}

TEST_F(Read, truncate_and_trim_beyond_the_ends_are_out_of_range) {
  append_numbers(stream, 0, 10);
  EXPECT_TRUE(fails_with(stream.truncate({11}), Code::kOutOfRange));
  EXPECT_TRUE(fails_with(stream.trim({11}), Code::kOutOfRange));
  EXPECT_FALSE(stream.info()->clean);
  ASSERT_TRUE(succeeds(stream.mark_clean()));
  EXPECT_TRUE(fails_with(stream.truncate({-1}), Code::kOutOfRange));
  EXPECT_TRUE(stream.info()->clean);  // nothing happened
  EXPECT_EQ(read_all(stream), numbers(0, 10));
}

TEST_F(Read, by_time) {
  for (int i = 0; i < 10; ++i)
    ASSERT_TRUE(succeeds(stream.append({.value = "x", .timestamp = Time(Millis(1000 + 10 * i))})));
  EXPECT_EQ(stream.find(Time(Millis(0))), Offset{0});
  EXPECT_EQ(stream.find(Time(Millis(1045))), Offset{5});
  ASSERT_TRUE(succeeds(log->checkpoint()));
  EXPECT_EQ(stream.find(Time(Millis(1050))), Offset{5});
  EXPECT_EQ(stream.find(Time(Millis(2000))), Offset{10});
}

TEST_F(Read, compaction_keeps_the_last_of_each_key_and_its_offset) {
  log->remove("t");
  stream =
      *log->create("t", {.durability = kOs.durability, .segment_records_max = 50, .compact = true});
  for (int i = 0; i < 200; ++i)
    ASSERT_TRUE(succeeds(stream.append(
        {.key = std::string(1, static_cast<char>('a' + i % 5)), .value = numbers(i, i + 1)[0]})));
  ASSERT_TRUE(succeeds(log->checkpoint()));
  ASSERT_TRUE(succeeds(stream.compact()));
  std::map<std::string, std::pair<std::string, std::int64_t>, std::less<>> last;
  std::int64_t count = 0, previous = -1;
  for (Offset at{};;) {
    auto records = stream.read(at, {.records_max = 7});
    ASSERT_TRUE(succeeds(records));
    for (const auto& record : *records) {
      EXPECT_GT(record.offset.value, previous);
      previous = record.offset.value;
      EXPECT_EQ(record.value, std::to_string(record.offset.value));
      last.insert_or_assign(std::string(*record.key),
                            std::pair(std::string(*record.value), record.offset.value));
      ++count;
    }
    if (records->empty()) break;
    at = records->next();
  }
  EXPECT_LT(count, 200);
  for (int i = 195; i < 200; ++i)
    EXPECT_EQ(last.at(std::string(1, static_cast<char>('a' + i % 5))).second, i);
}

TEST_F(Scan, goes_over_everything_and_on_when_there_is_more) {
  append_numbers(stream, 0, 1000);
  ASSERT_TRUE(succeeds(log->checkpoint()));
  append_numbers(stream, 1000, 2000);
  auto reader = stream.scan({500});
  ASSERT_TRUE(succeeds(reader));
  for (int i = 500; i < 2000; ++i) {
    auto record = reader->next();
    ASSERT_TRUE(succeeds(record));
    ASSERT_NE(*record, nullptr);
    ASSERT_EQ((*record)->offset, Offset{i});
    ASSERT_EQ((*record)->value, std::to_string(i));
  }
  EXPECT_EQ(*reader->next(), nullptr);
  EXPECT_EQ(*reader->next(), nullptr);
  append_numbers(stream, 2000, 2001);
  EXPECT_EQ((**reader->next()).value, "2000");
}

TEST_F(Scan, shows_headers) {
  Header header{.name = "h", .value = "1"};
  std::vector<Record> two = {{.value = "a", .headers = std::span(&header, 1)}, value("b")};
  ASSERT_TRUE(succeeds(stream.append(two)));
  auto reader = stream.scan({0});
  EXPECT_EQ((**reader->next()).headers[0].name, "h");
  EXPECT_TRUE((**reader->next()).headers.empty());
}

TEST_F(Scan, waits_at_the_end) {
  auto reader = stream.scan({0}, {.wait = std::chrono::hours(1)});
  std::jthread writer([copy = stream]() mutable { append_numbers(copy, 0, 1); });
  auto record = reader->next();
  ASSERT_TRUE(succeeds(record));
  ASSERT_NE(*record, nullptr);
  EXPECT_EQ((*record)->value, "0");
}

TEST_F(Scan, out_of_range_is_said_at_once) {
  EXPECT_TRUE(fails_with(stream.scan({1}), Code::kOutOfRange));
}

TEST_F(Scan, more_than_the_read_ahead) {
  std::vector<std::string> wanted;
  for (int i = 0; i < 300; ++i) {
    wanted.push_back(patterned(20'000, static_cast<std::uint64_t>(i)));
    ASSERT_TRUE(succeeds(stream.append(value(wanted.back()))));
  }
  for (std::int64_t ahead : {std::int64_t{0}, std::int64_t{1}, std::int64_t{1} << 20}) {
    auto reader = stream.scan({0}, {.bytes_max = ahead});
    for (const auto& one : wanted) ASSERT_EQ((**reader->next()).value, one);
    EXPECT_EQ(*reader->next(), nullptr);
  }
}

TEST_F(Async, answers_every_append_with_its_offset) {
  auto fsynced = log->create("fsync");
  std::vector<std::future<Result<Offset>>> answers;
  for (int i = 0; i < 500; ++i) {
    std::string text = std::to_string(i);
    Record one = value(text);
    answers.push_back(fsynced->append_async(std::span(&one, 1)));
  }
  for (int i = 0; i < 500; ++i) ASSERT_EQ(answers[static_cast<std::size_t>(i)].get(), Offset{i});
  EXPECT_EQ(read_all(*fsynced), numbers(0, 500));
}

TEST_F(Async, waits_above_the_bytes_in_flight) {
  log.reset();
  options.user.in_flight_bytes_max = 64 << 10;
  log.emplace(open());
  auto fsynced = log->create("fsync");
  std::string bytes(10'000, 'x');
  std::atomic<int> unanswered = 0, most = 0;
  for (int i = 0; i < 300; ++i) {
    Record one = value(bytes);
    ++unanswered;
    fsynced->append_async(std::span(&one, 1), {}, [&](Result<Offset> result) {
      EXPECT_TRUE(succeeds(result));
      --unanswered;
    });
    most = std::max(most.load(), unanswered.load());
  }
  ASSERT_TRUE(succeeds(log->close()));
  EXPECT_EQ(unanswered, 0);
  EXPECT_LE(most, 7);  // six of them fit; one more may wait for its answer to be counted
}

TEST_F(Async, one_append_above_the_limit_goes_alone) {
  log.reset();
  options.user.in_flight_bytes_max = 1 << 10;
  log.emplace(open());
  stream = *log->stream("t");
  auto answer = stream.append_async(values(std::vector<std::string>(3, std::string(5000, 'x'))));
  EXPECT_EQ(answer.get(), Offset{0});
}

TEST_F(Async, errors_come_through_the_answer) {
  Record one = value("x");
  auto wrong = stream.append_async(std::span(&one, 1), {.expected_next = Offset{5}});
  EXPECT_TRUE(fails_with(wrong.get(), Code::kMismatch));
  EXPECT_EQ(stream.append_async({}).get(), Offset{0});
}

}  // namespace
}  // namespace walrus::log
