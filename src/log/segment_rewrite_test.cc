#include <algorithm>
#include <map>
#include <random>

#include "base/crc32c.h"
#include "log/segment_fixture.h"

namespace walrus::log {
namespace {

using record::BatchView;
using record::Codec;
using testing::Fault;
using testing::TestStream;

// One record of a stream as a reader sees it; value none = tombstone.
struct Seen {
  std::int64_t offset = 0, timestamp_ms = 0;
  std::optional<std::string> key, value;
  bool operator==(const Seen&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Seen& seen) {
  return out << seen.offset << " " << seen.key.value_or("(none)") << "="
             << seen.value.value_or("(none)") << " @" << seen.timestamp_ms;
}

std::optional<Bytes> view(const std::optional<std::string>& text) {
  return text ? std::optional<Bytes>(*text) : std::nullopt;
}
std::optional<std::string> own(const std::optional<Bytes>& bytes) {
  return bytes ? std::optional<std::string>(*bytes) : std::nullopt;
}

struct BatchOptions {
  std::int64_t base = 0;
  std::int32_t epoch = 0;
  Codec codec = Codec::kNone;
  bool transactional = false;
};

std::string make_batch(const std::vector<Seen>& seen, const BatchOptions& options) {
  std::vector<Record> records;
  for (const Seen& one : seen) {
    records.push_back({.key = view(one.key),
                       .value = view(one.value),
                       .timestamp = Time(Millis(one.timestamp_ms))});
  }
  auto batch = record::encode(records, {.base_offset = options.base,
                                        .epoch = options.epoch,
                                        .producer_id = 77,
                                        .producer_epoch = 3,
                                        .base_sequence = 1234});
  if (options.transactional) {
    batch[22] = static_cast<char>(batch[22] | 16);
    store_be(batch.data() + 17, crc32c(Bytes(batch).substr(21)));
  }
  if (options.codec == Codec::kNone) return batch;
  return record::compress(BatchView(batch), options.codec).value();
}

class SegmentRewrite : public testing::SegmentFixture {
 protected:
  static constexpr std::int64_t kNow = 1'000'000;
  static constexpr std::int64_t kRetention = 1'000;

  // Adds a batch with these (key, value) pairs; timestamps rise by one.
  void add(
      const std::vector<std::pair<std::optional<std::string>, std::optional<std::string>>>& records,
      Codec codec = Codec::kNone, bool transactional = false) {
    std::vector<Seen> seen;
    for (const auto& [key, value] : records) {
      seen.push_back({.timestamp_ms = time_++, .key = key, .value = value});
    }
    stream_.add(make_batch(seen, {.base = stream_.next,
                                  .epoch = stream_.epoch,
                                  .codec = codec,
                                  .transactional = transactional}));
  }
  void write() { SegmentFixture::write(stream_); }

  std::vector<Seen> seen(const Chain& chain) {
    std::vector<Seen> all;
    auto bytes = read(chain, chain.front().base_offset);
    auto next = chain.front().base_offset;
    for (Bytes rest = bytes; !rest.empty();) {
      auto batch = BatchView::parse(rest).value();
      EXPECT_EQ(batch.base_offset(), next);
      next = batch.next_offset();
      auto records = record::RecordIterator::open(batch).value();
      int count = 0;
      for (;;) {
        auto record = records.next().value();
        if (!record) break;
        ++count;
        all.push_back({record->offset, record->timestamp_ms, own(record->key), own(record->value)});
      }
      EXPECT_EQ(count, batch.count());
      rest.remove_prefix(batch.bytes().size());
    }
    EXPECT_EQ(next, chain.back().end_offset);
    return all;
  }
  Result<Chain> try_rewrite(const std::optional<SegmentStore::CompactPolicy>& policy,
                            std::size_t first, std::size_t last) {
    if (first == last) return Chain();
    return testing::rewrite(*store_,
                            {.stream = stream_.id,
                             .extents = testing::slice(*stream_.chain, first, last),
                             .from_start = first == 0,
                             .policy = policy},
                            next_file_);
  }
  Chain rewrite(std::optional<SegmentStore::CompactPolicy> policy, std::size_t first = 0,
                std::size_t last = SIZE_MAX) {
    last = std::min(last, stream_.chain->size());
    auto made = try_rewrite(policy, first, last);
    EXPECT_TRUE(made.has_value()) << made.error().message;
    Chain chain(stream_.chain->begin(),
                stream_.chain->begin() + static_cast<std::ptrdiff_t>(first));
    chain.insert(chain.end(), made->begin(), made->end());
    chain.insert(chain.end(), stream_.chain->begin() + static_cast<std::ptrdiff_t>(last),
                 stream_.chain->end());
    EXPECT_EQ(chain.back().end_offset, stream_.chain->back().end_offset);
    std::vector<Finding> findings = verify(chain);
    EXPECT_TRUE(findings.empty()) << findings[0].what;
    return chain;
  }
  static SegmentStore::CompactPolicy policy() {
    return {.now_ms = kNow, .tombstone_retention_ms = kRetention};
  }
  // "1:a=x 4:b=-"
  std::string text(const Chain& chain) {
    std::string out;
    for (const Seen& one : seen(chain)) {
      out += fmt::format("{}{}:{}={}", out.empty() ? "" : " ", one.offset, one.key.value_or("*"),
                         one.value.value_or("-"));
    }
    return out;
  }
  TestStream stream_{.id = 7};
  std::int64_t time_ = 1;
};

TEST_F(SegmentRewrite, regroups_packs_into_one_sealed_file_bit_by_bit) {
  for (int i = 0; i < 10; ++i) {
    stream_.add(2);
    if (i == 4) stream_.roll();
    write();
  }
  auto chain = rewrite(std::nullopt);
  EXPECT_EQ(chain.size(), 2U);  // two segments
  EXPECT_EQ(chain[0].file, chain[1].file);
  EXPECT_TRUE(chain[0].file->sealed);
  EXPECT_EQ(chain[0].file->name, "07/7-0.11.seg");
  EXPECT_EQ(read(chain, 0), stream_.all());
  EXPECT_EQ(chain[1].segment_base, stream_.segment_base);
  EXPECT_EQ(chain[1].epoch, 1);
  EXPECT_EQ(chain[0].max_timestamp_ms, (*stream_.chain)[0].max_timestamp_ms + 2 * 2 * 4);
}

TEST_F(SegmentRewrite, regroups_a_part_and_leaves_the_rest) {
  for (int i = 0; i < 6; ++i) {
    stream_.add(2);
    write();
  }
  auto chain = rewrite(std::nullopt, 2, 4);
  EXPECT_EQ(chain.size(), 5U);
  EXPECT_EQ(read(chain, 0), stream_.all());
  EXPECT_TRUE(rewrite(std::nullopt, 3, 3).size() == stream_.chain->size());
}

TEST_F(SegmentRewrite, gives_big_segments_files_of_their_own) {
  for (int i = 0; i < 3; ++i) {
    stream_.add(1'000);
    stream_.roll();
  }
  stream_.add(1);
  write();
  auto chain = rewrite(std::nullopt);
  EXPECT_NE(chain[0].file, chain[1].file);
  EXPECT_NE(chain[1].file, chain[2].file);
  EXPECT_EQ(read(chain, 0), stream_.all());
}

TEST_F(SegmentRewrite, is_followed_by_appends_in_another_file) {
  stream_.add(100);
  write();
  stream_.chain = std::make_shared<const Chain>(rewrite(std::nullopt));
  stream_.add(100);
  write();
  EXPECT_EQ(stream_.chain->size(), 2U);
  EXPECT_EQ(read(*stream_.chain, 0), stream_.all());
}

TEST_F(SegmentRewrite, keeps_the_last_record_of_each_key) {
  add({{"a", "1"}, {"b", "1"}});
  add({{"a", "2"}, {"c", "1"}});
  add({{"b", "2"}, {"a", "3"}});
  write();
  auto chain = rewrite(policy());
  EXPECT_EQ(text(chain), "3:c=1 4:b=2 5:a=3");
  EXPECT_EQ(chain[0].records, 3);
  EXPECT_LT(chain[0].bytes, (*stream_.chain)[0].bytes);
}

TEST_F(SegmentRewrite, keeps_records_without_a_key) {
  add({{std::nullopt, "1"}, {"a", "1"}, {std::nullopt, std::nullopt}, {"a", "2"}});
  write();
  EXPECT_EQ(text(rewrite(policy())), "0:*=1 2:*=- 3:a=2");
}

TEST_F(SegmentRewrite, looks_at_later_extents_and_files_too) {
  add({{"a", "1"}, {"b", "1"}});
  write();
  stream_.roll();
  add({{"a", "2"}});
  write();
  EXPECT_EQ(text(rewrite(policy())), "1:b=1 2:a=2");
}

TEST_F(SegmentRewrite, covers_a_segment_of_which_nothing_is_left_by_an_empty_batch) {
  add({{"a", "1"}});
  add({{"a", "2"}});
  write();
  stream_.roll();
  add({{"a", "3"}});
  write();
  auto chain = rewrite(policy());
  ASSERT_EQ(chain.size(), 2U);
  EXPECT_EQ(chain[0].records, 0);
  EXPECT_EQ(chain[0].end_offset, 2);
  EXPECT_EQ(chain[0].bytes, static_cast<std::int64_t>(record::kBatchHeaderBytes));
  EXPECT_EQ(text(chain), "2:a=3");
  EXPECT_EQ(store_->find_time(chain, 0).value(), 2);
}

TEST_F(SegmentRewrite, stretches_a_batch_over_the_vanished_ones_behind_it) {
  add({{"k", "1"}});
  add({{"a", "1"}});
  add({{"a", "2"}});
  add({{"a", "3"}});
  write();
  auto chain = rewrite(policy());
  auto first = read(chain, 0, 1);
  EXPECT_EQ(BatchView(first).base_offset(), 0);
  EXPECT_EQ(BatchView(first).next_offset(), 3);
  EXPECT_EQ(read(chain, 2, 1), first);
  EXPECT_EQ(text(chain), "0:k=1 3:a=3");
}

TEST_F(SegmentRewrite, keeps_producer_fields_timestamps_and_epoch) {
  stream_.epoch = 5;
  add({{"a", "1"}, {"b", "1"}, {"a", "2"}});
  write();
  auto chain = rewrite(policy());
  auto bytes = read(chain, 0, 1);
  BatchView batch(bytes);
  EXPECT_EQ(batch.producer_id(), 77);
  EXPECT_EQ(batch.producer_epoch(), 3);
  EXPECT_EQ(batch.base_sequence(), 1234);
  EXPECT_EQ(batch.epoch(), 5);
  EXPECT_EQ(batch.base_timestamp(), 1);
  EXPECT_EQ(seen(chain)[0].timestamp_ms, 2);
}

TEST_F(SegmentRewrite, keeps_the_codec) {
  for (Codec codec : {Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    stream_ = TestStream{.id = stream_.id + 1};
    add({{"a", "1"}, {"b", std::string(500, 'b')}, {"a", "2"}}, codec);
    write();
    auto chain = rewrite(policy());
    auto bytes = read(chain, 0, 1);
    EXPECT_EQ(BatchView(bytes).codec(), codec);
    EXPECT_EQ(text(chain), "1:b=" + std::string(500, 'b') + " 2:a=2");
  }
}

TEST_F(SegmentRewrite, drops_old_tombstones_and_keeps_young_ones) {
  add({{"a", "1"}, {"b", "1"}});
  time_ = kNow - kRetention;
  add({{"a", std::nullopt}});
  time_ = kNow - kRetention + 1;
  add({{"b", std::nullopt}});
  write();
  EXPECT_EQ(text(rewrite(policy())), "3:b=-");
}

TEST_F(SegmentRewrite, keeps_tombstones_that_may_hide_what_lies_before_the_range) {
  add({{"a", "1"}});
  write();
  add({{"b", "1"}, {"a", std::nullopt}});
  write();
  EXPECT_EQ(text(rewrite(policy(), 1)), "0:a=1 1:b=1 2:a=-");
  EXPECT_EQ(text(rewrite(policy())), "1:b=1");
}

TEST_F(SegmentRewrite, leaves_transactional_batches_alone) {
  add({{"a", "1"}, {"a", "2"}}, Codec::kNone, true);
  add({{"a", "3"}, {"a", "4"}});
  add({{"a", "5"}}, Codec::kNone, true);
  write();
  auto chain = rewrite(policy());
  EXPECT_EQ(text(chain), "0:a=1 1:a=2 3:a=4 4:a=5");
  EXPECT_TRUE(read(chain, 0).starts_with(stream_.batches[0]));
}

TEST_F(SegmentRewrite, keeps_tombstones_that_hide_a_transactional_record) {
  add({{"a", "1"}}, Codec::kNone, true);
  add({{"a", std::nullopt}});
  write();
  EXPECT_EQ(text(rewrite(policy())), "0:a=1 1:a=-");
}

TEST_F(SegmentRewrite, puts_an_empty_batch_behind_a_transactional_one_that_ends_before_a_gap) {
  add({{"t", "1"}}, Codec::kNone, true);
  add({{"a", "1"}});
  add({{"a", "2"}});
  write();
  auto chain = rewrite(policy());
  EXPECT_EQ(text(chain), "0:t=1 2:a=2");
  EXPECT_TRUE(read(chain, 0).starts_with(stream_.batches[0]));
}

TEST_F(SegmentRewrite, compacts_only_as_far_as_the_map_reaches) {
  for (int i = 0; i < 3'000; ++i) add({{std::to_string(i / 2), std::to_string(i)}});
  for (int i = 0; i < 10; ++i) add({{"0", std::to_string(i)}});
  write();
  auto small = policy();
  small.map_bytes_max = 1024 * 24;  // 768 keys
  auto all = seen(rewrite(small));
  ASSERT_GT(all.size(), 1'700U);
  EXPECT_EQ(all[0].offset, 1);  // superseded within the reach
  EXPECT_EQ(all.back().value, "9");
  EXPECT_EQ(std::ranges::count(all, std::optional<std::string>("0"), &Seen::key), 11);
  small.map_bytes_max = 0;
  EXPECT_EQ(seen(rewrite(small)).size(), 3'010U);
}

TEST_F(SegmentRewrite, compacts_again_what_it_compacted) {
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 50; ++i) {
      add({{std::to_string(i % 9), fmt::format("{}.{}", round, i)}, {std::nullopt, "x"}});
    }
    write();
    stream_.chain = std::make_shared<const Chain>(rewrite(policy()));
    auto all = seen(*stream_.chain);
    EXPECT_EQ(all.size(), 9U + 50U * static_cast<unsigned>(round + 1));
  }
}

TEST_F(SegmentRewrite, leaves_everything_as_it_was_on_an_error) {
  for (int i = 0; i < 200; ++i) add({{std::to_string(i % 9), std::to_string(i)}});
  write();
  auto names = env_.memory.state.names.size();
  env_.memory.state.write_fault = Fault{.code = Code::kNoSpace};
  auto made = try_rewrite(policy(), 0, 1);
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code, Code::kNoSpace);
  env_.memory.state.write_fault.reset();
  EXPECT_EQ(env_.memory.state.names.size(), names);
  env_.memory.state.sync_fault = Fault{};
  EXPECT_FALSE(try_rewrite(policy(), 0, 1));
  EXPECT_TRUE(store_->sync_failed());
  EXPECT_EQ(read(*stream_.chain, 0), stream_.all());
}

TEST_F(SegmentRewrite, refuses_to_copy_damage) {
  stream_.add(100);
  write();
  bytes_of(*stream_.chain->front().file)[500] ^= 1;
  for (const auto& how : {std::optional<SegmentStore::CompactPolicy>(), std::optional(policy())}) {
    auto made = try_rewrite(how, 0, 1);
    ASSERT_FALSE(made.has_value());
    EXPECT_EQ(made.error().code, Code::kCorrupt);
  }
}

TEST_F(SegmentRewrite, survives_a_power_cut) {
  for (int i = 0; i < 200; ++i) add({{std::to_string(i % 9), std::to_string(i)}});
  write();
  auto chain = rewrite(policy());
  auto before = seen(chain);
  env_.memory.power_cut();
  restart();
  EXPECT_EQ(seen(chain), before);
}

// What compaction should leave, by the definition: of each key the last record, tombstones only
// while they are young.
std::vector<Seen> model(const std::vector<Seen>& all, std::int64_t tombstones_before) {
  std::map<std::string, std::int64_t> last;
  for (const Seen& one : all) {
    if (one.key) last[*one.key] = one.offset;
  }
  std::vector<Seen> kept;
  for (const Seen& one : all) {
    bool wanted = !one.key || (last[*one.key] == one.offset &&
                               (one.value || one.timestamp_ms > tombstones_before));
    if (wanted) kept.push_back(one);
  }
  return kept;
}

TEST_F(SegmentRewrite, leaves_what_the_model_leaves_for_random_streams) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    auto below = [&](unsigned limit) { return static_cast<int>(random() % limit); };
    stream_ = TestStream{.id = 100 + seed};
    std::vector<Seen> all;
    for (int extent = 1 + below(4); extent > 0; --extent) {
      for (int batch = 1 + below(30); batch > 0; --batch) {
        std::vector<Seen> seen;
        for (int record = 1 + below(6); record > 0; --record) {
          Seen one{.offset = stream_.next + static_cast<std::int64_t>(seen.size()),
                   .timestamp_ms = kNow - below(2 * kRetention)};
          if (below(8) != 0)
            one.key =
                std::string(static_cast<std::size_t>(below(3)), 'k') + std::to_string(below(12));
          if (below(5) != 0) one.value = std::string(static_cast<std::size_t>(below(60)), 'v');
          seen.push_back(one);
          all.push_back(one);
        }
        stream_.add(make_batch(
            seen,
            {.base = stream_.next, .epoch = stream_.epoch, .codec = static_cast<Codec>(below(5))}));
      }
      write();
      if (below(2) == 0) stream_.roll(below(2) == 0);
    }
    auto chain = rewrite(policy());
    EXPECT_EQ(seen(chain), model(all, kNow - kRetention)) << "seed " << seed;
    for (std::int64_t from = 0; from < stream_.chain->back().end_offset; from += 5) {
      auto bytes = read(chain, from, 1);
      EXPECT_LE(BatchView(bytes).base_offset(), from);
      EXPECT_GT(BatchView(bytes).next_offset(), from);
    }
    stream_.chain = std::make_shared<const Chain>(chain);
    EXPECT_EQ(seen(rewrite(policy())), seen(chain));  // nothing more to do
  }
}

}  // namespace
}  // namespace walrus::log
