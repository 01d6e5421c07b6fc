#pragma once
// For tests of the segment store: a store on a disk in memory, and streams to write into it.

#include <gtest/gtest.h>

#include "log/segment_store.h"
#include "log/test_env.h"

namespace walrus::log::testing {

constexpr std::int64_t kTestTime = 1'700'000'000'000;

// A batch of records with these values; record i has the timestamp `time_ms` + i.
inline std::string make_batch(std::int64_t base, int count, std::int32_t epoch,
                              std::int64_t time_ms, std::size_t value_bytes = 20) {
  std::vector<std::string> values;
  for (int i = 0; i < count; ++i) {
    values.push_back(fmt::format("{:0{}}", base + i, value_bytes));
  }
  std::vector<Record> records;
  for (int i = 0; i < count; ++i) {
    records.push_back({.value = Bytes(values[static_cast<std::size_t>(i)]),
                       .timestamp = Time(Millis(time_ms + i))});
  }
  return record::encode(records, {.base_offset = base, .epoch = epoch});
}

// One stream, as the engine would keep it: what was written, and where.
struct TestStream {
  std::uint64_t id = 1;
  std::int64_t next = 0;
  std::int32_t epoch = 0;
  std::int64_t segment_base = 0;
  std::int64_t time_ms = kTestTime;
  ChainRef chain;
  std::vector<std::string> batches;    // all that were written
  std::vector<std::string> pending{};  // owns the bytes of the runs below
  std::vector<Incoming::Run> runs{};

  void add(std::string batch) {
    record::BatchView view{Bytes(batch)};
    next = view.next_offset();
    time_ms = std::max(time_ms, view.max_timestamp());
    if (runs.empty()) runs.push_back({.segment_base = segment_base, .epoch = epoch});
    pending.push_back(std::move(batch));
    indexes.push_back({runs.size() - 1, pending.size() - 1});
  }
  void add(int batch_count, int records = 2, std::size_t value_bytes = 20) {
    for (int i = 0; i < batch_count; ++i) {
      add(make_batch(next, records, epoch, time_ms + 1, value_bytes));
    }
  }
  void roll(bool new_epoch = true) {
    if (new_epoch) ++epoch;
    segment_base = next;
    runs.push_back({.segment_base = segment_base, .epoch = epoch, .seals_before = true});
  }
  Incoming incoming() {
    for (auto& run : runs) run.batches.clear();
    for (auto [run, batch] : indexes) runs[run].batches.push_back(pending[batch]);
    return {.stream = id, .runs = runs, .chain = chain};
  }
  void written(ChainRef now) {
    chain = std::move(now);
    for (auto& batch : pending) batches.push_back(std::move(batch));
    pending.clear();
    runs.clear();
    indexes.clear();
  }
  std::string all() const {
    std::string bytes;
    for (const auto& batch : batches) bytes += batch;
    return bytes;
  }
  std::vector<std::pair<std::size_t, std::size_t>> indexes{};  // of runs, of pending
};

class SegmentFixture : public ::testing::Test {
 protected:
  SegmentFixture() { restart(); }

  void restart() {
    EXPECT_TRUE(env_.memory.make_directory(kRoot));
    EXPECT_TRUE(env_.memory.sync_directory("/"));
    store_ = std::make_unique<SegmentStore>(env_, options_);
  }

  Result<void> try_write(std::vector<TestStream*> streams) {
    std::vector<Incoming> incoming;
    for (TestStream* stream : streams) incoming.push_back(stream->incoming());
    SegmentStore::Write write(*store_, next_file_);
    WALRUS_ASSIGN(auto chains, write.add(incoming));
    WALRUS_TRY(write.sync());
    for (std::size_t i = 0; i < streams.size(); ++i) streams[i]->written(chains[i]);
    return {};
  }
  void write(std::vector<TestStream*> streams) {
    auto written = try_write(std::move(streams));
    ASSERT_TRUE(written.has_value()) << written.error().message;
  }
  void write(TestStream& stream) { write({&stream}); }

  std::string read(const Chain& chain, std::int64_t from, std::int64_t bytes_max = 1 << 30) {
    std::string out;
    auto done = store_->read(chain, from, bytes_max, out);
    EXPECT_TRUE(done.has_value()) << done.error().message;
    return out;
  }
  Error read_error(const Chain& chain, std::int64_t from) {
    std::string out = "before";
    auto done = store_->read(chain, from, 1 << 30, out);
    EXPECT_FALSE(done.has_value());
    EXPECT_EQ(out, "before");  // never bytes that did not hold
    return done ? Error{} : done.error();
  }
  io::Path path(const SegmentFile& file) { return kRoot / "segments" / file.name; }
  std::string& bytes_of(const SegmentFile& file) { return env_.memory.bytes(path(file)); }
  std::vector<Finding> verify(const Chain& chain) {
    std::vector<Finding> findings;
    ChainRef copy = std::make_shared<const Chain>(chain);
    store_->verify({&copy, 1}, findings);
    return findings;
  }

  static inline const io::Path kRoot = "/store";
  TestEnv env_;
  SegmentStore::Options options_{.root = kRoot,
                                 .shard = 3,
                                 .directory_uuid = "0123456789abcdef",
                                 .pack_bytes_max = 4096,
                                 .index_interval_bytes = 512};
  std::uint64_t next_file_ = 1;
  std::unique_ptr<SegmentStore> store_;
};

// All of a rewrite, in small steps.
inline Result<Chain> rewrite(SegmentStore& store, const SegmentStore::Rewrite::Plan& plan,
                             std::uint64_t& next_file) {
  constexpr std::int64_t kStepBytes = 1'000;
  SegmentStore::Rewrite work(store, plan, next_file);
  for (;;) {
    WALRUS_ASSIGN(auto done, work.step(kStepBytes));
    if (done) return work.take();
  }
}

inline Chain slice(const Chain& chain, std::size_t first, std::size_t last) {
  return Chain(chain.begin() + static_cast<std::ptrdiff_t>(first),
               chain.begin() + static_cast<std::ptrdiff_t>(last));
}

}  // namespace walrus::log::testing
