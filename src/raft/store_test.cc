// What a Store has written is what it finds after a power cut: each test writes as a Core would ask
// for it, cuts the power, and loads.

#include "raft/store.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "io/sim/sim_world.h"

namespace walrus::raft {
namespace {

constexpr GroupId kGroup{0xa1};

Membership founders() {
  return {.members = {{.id = NodeId{1}, .address = "a", .voter = true},
                      {.id = NodeId{2}, .address = "b", .voter = true}}};
}

std::vector<Entry> entries(Term term, std::initializer_list<const char*> payloads) {
  std::vector<Entry> all;
  for (const char* payload : payloads)
    all.push_back({EntryKind::kCommand, term, Payload::copy_of(payload)});
  return all;
}

SnapshotMeta meta_of(EntryId last, Bytes bytes) {
  SnapshotMeta meta{.last = last, .membership = founders(), .size = bytes.size()};
  meta.id = snapshot_id(meta, crc32c(bytes));
  return meta;
}

struct Shape {
  int shards = 1;
  std::int64_t bulk_bytes = 8 << 20;  // of a snapshot, that go by the journal
};

class StoreTest : public ::testing::TestWithParam<Shape> {
 protected:
  StoreTest() : world_(11) { load(); }

  void load() {
    store_.reset();
    loaded_ = {};
    engine_.reset();
    log::EngineOptions options;
    options.user.root = "/data";
    options.user.shards = GetParam().shards;
    options.bulk_sync_bytes = GetParam().bulk_bytes;
    options.user.journal_bytes_max = 4 << 20;
    options.user.batch_bytes_max = 1 << 20;
    options.journal_file_bytes_min = options.journal_file_bytes_max = 1 << 20;
    auto engine = log::Engine::open(world_.node(0).env(), options);
    ASSERT_TRUE(engine) << engine.error().message;
    engine_ = *std::move(engine);
    StoredGroup group{kGroup, founders()};
    auto made = Store::make(*engine_, group);
    ASSERT_TRUE(made);
    ASSERT_TRUE(engine_->wait(made->pending));
    auto loaded = Store::load(*engine_, group, made->stream);
    ASSERT_TRUE(loaded) << loaded.error().message;
    loaded_ = *std::move(loaded);
    store_ = loaded_.store;
  }
  void cut_power() {
    world_.node(0).crash(io::CrashKind::kPowerCut);
    world_.node(0).restart();
    load();
  }
  Result<StoreJob> run(StoreJob job) {
    while (true) {
      WALRUS_ASSIGN(bool done, store_->advance(job));
      if (done) break;
      const auto& blocked = store_->blocked_on();
      if (blocked.pending) WALRUS_TRY(engine_->wait(*blocked.pending));
      else world_.run_for(std::chrono::milliseconds(10));
    }
    for (const auto& place : job.pending) WALRUS_TRY(engine_->wait(place));
    return job;
  }
  StoreJob write(Writes writes) {
    auto done = run({.writes = std::move(writes)});
    EXPECT_TRUE(done) << done.error().message;
    return done ? *std::move(done) : StoreJob{};
  }
  void keep_pieces() {
    for (const auto& stream : engine_->list(kStreamPrefix)) {
      auto synced = engine_->sync(stream);
      ASSERT_TRUE(synced && engine_->wait(*synced));
    }
  }
  StoreJob append(Index first, std::vector<Entry> all) {
    Writes writes;
    writes.first = first;
    writes.entries = std::move(all);
    return write(std::move(writes));
  }
  StoreJob piece(const SnapshotMeta& meta, std::uint64_t position, Bytes bytes, bool last) {
    Writes writes;
    writes.pieces.push_back({meta, position, Payload::copy_of(bytes)});
    if (last) writes.install = meta;
    return write(std::move(writes));
  }
  std::vector<std::string> log() const {
    std::vector<std::string> all;
    for (const auto& entry : loaded_.durable.entries)
      all.push_back(std::to_string(entry.term) + std::string(entry.payload.bytes()));
    return all;
  }
  Result<std::string> read_snapshot() {
    SnapshotReader reader(*engine_, loaded_.snapshot);
    std::string bytes(1'000, '\0');
    std::size_t size = 0;
    while (true) {
      WALRUS_ASSIGN(auto more, reader.read(std::span(bytes).subspan(size)));
      if (more == 0) break;
      size += more;
    }
    WALRUS_TRY(reader.finish());
    bytes.resize(size);
    return bytes;
  }
  std::size_t streams() const { return engine_->list(kStreamPrefix).size(); }

  io::World world_;
  std::unique_ptr<log::Engine> engine_;
  Store::Loaded loaded_;
  std::shared_ptr<Store> store_;
};

using Lines = std::vector<std::string>;

TEST_P(StoreTest, a_new_group_has_its_founders_and_nothing_else) {
  cut_power();
  EXPECT_EQ(loaded_.durable.snapshot.membership, founders());
  EXPECT_EQ(loaded_.durable.hard_state, HardState{});
  EXPECT_TRUE(loaded_.durable.entries.empty());
  EXPECT_FALSE(loaded_.snapshot);
  EXPECT_FALSE(loaded_.durable.unfinished);
}

TEST_P(StoreTest, keeps_term_vote_and_entries) {
  Writes writes;
  writes.hard_state = HardState{3, NodeId{2}};
  writes.first = 1;
  writes.entries = entries(3, {"a", "", "c"});
  writes.entries[1].kind = EntryKind::kNoop;
  write(writes);
  append(4, entries(3, {"d"}));
  cut_power();
  EXPECT_EQ(loaded_.durable.hard_state, (HardState{3, NodeId{2}}));
  EXPECT_EQ(log(), (Lines{"3a", "3", "3c", "3d"}));
  EXPECT_EQ(loaded_.durable.entries[1].kind, EntryKind::kNoop);
}

TEST_P(StoreTest, entries_replace_those_at_and_behind_their_index) {
  append(1, entries(1, {"a", "b", "c", "d"}));
  append(3, entries(2, {"C"}));
  cut_power();
  EXPECT_EQ(log(), (Lines{"1a", "1b", "2C"}));
  append(2, entries(3, {"B", "D"}));
  append(4, entries(3, {"E"}));
  cut_power();
  EXPECT_EQ(log(), (Lines{"1a", "3B", "3D", "3E"}));
}

TEST_P(StoreTest, a_base_lets_go_of_what_is_before_it_and_keeps_the_rest) {
  append(1, entries(1, {"a", "b", "c", "d"}));
  append(3, entries(2, {"C", "D"}));
  Writes writes;
  writes.base = LogBase{{1, 2}, true};
  auto done = write(writes);
  ASSERT_TRUE(done.may_trim);
  EXPECT_EQ(*done.may_trim, 4);  // the record of C, not the one that it replaced
  // Durable::snapshot has to be at least as new as the base.
  auto snapshot = std::make_shared<const StoredSnapshot>(meta_of({1, 2}, ""));
  ASSERT_TRUE(run({.save = snapshot, .trim = done.may_trim}));
  cut_power();
  EXPECT_EQ(loaded_.durable.base, (EntryId{1, 2}));
  EXPECT_EQ(log(), (Lines{"2C", "2D"}));
  EXPECT_EQ(engine_->bounds(store_->log_stream())->log_start.value, 4);
  append(4, entries(4, {"X"}));
  cut_power();
  EXPECT_EQ(log(), (Lines{"2C", "4X"}));
}

TEST_P(StoreTest, a_log_that_is_dropped_does_not_come_back) {
  append(1, entries(1, {"a", "b", "c", "d"}));
  Writes writes;
  writes.base = LogBase{{2, 2}, false};
  write(writes);
  cut_power();
  EXPECT_EQ(loaded_.durable.base, (EntryId{2, 2}));
  EXPECT_TRUE(log().empty());
  append(3, entries(2, {"C"}));
  cut_power();
  EXPECT_EQ(log(), (Lines{"2C"}));
}

TEST_P(StoreTest, pieces_wait_over_a_power_cut_and_become_the_snapshot) {
  auto meta = meta_of({2, 9}, "one two three");
  piece(meta, 0, "one ", false);
  piece(meta, 4, "two ", false);
  keep_pieces();
  cut_power();
  ASSERT_TRUE(loaded_.durable.unfinished);
  EXPECT_EQ(loaded_.durable.unfinished->meta, meta);
  EXPECT_EQ(loaded_.durable.unfinished->received, 8);
  auto done = piece(meta, 8, "three", true);
  ASSERT_TRUE(done.installed);
  cut_power();
  EXPECT_FALSE(loaded_.durable.unfinished);
  EXPECT_EQ(loaded_.durable.snapshot, meta);
  EXPECT_EQ(read_snapshot().value(), "one two three");
}

TEST_P(StoreTest, another_snapshot_drops_the_unfinished_one) {
  piece(meta_of({2, 9}, "one two three"), 0, "one ", false);
  auto next = meta_of({2, 12}, "four");
  piece(next, 0, "four", true);
  cut_power();
  EXPECT_EQ(loaded_.durable.snapshot, next);
  EXPECT_EQ(streams(), 2);
}

TEST_P(StoreTest, a_snapshot_that_begins_is_known_to_the_store_that_is_loaded_next) {
  piece(meta_of({2, 9}, "one two three"), 0, "one ", false);
  auto loaded = Store::load(*engine_, {kGroup, founders()}, store_->log_stream());
  ASSERT_TRUE(loaded) << loaded.error().message;
  store_ = loaded->store;
  EXPECT_TRUE(piece(meta_of({2, 9}, "four"), 0, "four", true).installed);
}

TEST_P(StoreTest, pieces_that_are_not_what_the_id_names_are_refused_and_dropped) {
  auto meta = meta_of({2, 9}, "one two three");
  piece(meta, 0, "one ", false);
  Writes writes;
  writes.pieces.push_back({meta, 4, Payload::copy_of("two thred")});
  writes.install = meta;
  auto done = run({.writes = writes});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::kCorrupt);
  cut_power();
  EXPECT_EQ(loaded_.durable.snapshot.last.index, 0);
  EXPECT_FALSE(loaded_.durable.unfinished);
}

TEST_P(StoreTest, a_snapshot_of_no_bytes_is_refused_if_its_id_names_some) {
  auto meta = meta_of({2, 9}, "");
  meta.id ^= 1;
  Writes writes;
  writes.install = meta;
  auto done = run({.writes = writes});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Code::kCorrupt);
  cut_power();
  EXPECT_EQ(loaded_.durable.snapshot.last.index, 0);
  meta.id ^= 1;
  writes.install = meta;
  write(writes);
  cut_power();
  EXPECT_EQ(loaded_.durable.snapshot, meta);
}

TEST_P(StoreTest, a_piece_that_is_larger_than_a_batch_becomes_several) {
  const std::string bytes(2'500'000, 'x');
  auto meta = meta_of({2, 9}, bytes + "end");
  piece(meta, 0, bytes, false);
  keep_pieces();
  cut_power();
  ASSERT_TRUE(loaded_.durable.unfinished);
  EXPECT_EQ(loaded_.durable.unfinished->received, bytes.size());
  ASSERT_TRUE(piece(meta, bytes.size(), "end", true).installed);
  cut_power();
  EXPECT_EQ(loaded_.durable.snapshot, meta);
  auto stored = *loaded_.snapshot;
  SnapshotReader reader(*engine_, loaded_.snapshot);
  auto starts = reader.finish();
  ASSERT_TRUE(starts) << starts.error().message;
  EXPECT_EQ(starts->size(), 4u);
  stored.starts = *starts;
  EXPECT_EQ(read_range(*engine_, stored, bytes.size() - 1, 4)->bytes(), "xend");
}

TEST_P(StoreTest, an_own_snapshot_does_not_replace_a_newer_one) {
  auto newer = meta_of({2, 9}, "newer");
  piece(newer, 0, "newer", true);
  ASSERT_TRUE(run({.save = std::make_shared<const StoredSnapshot>(meta_of({1, 4}, ""))}));
  cut_power();
  EXPECT_EQ(loaded_.durable.snapshot, newer);
}

TEST_P(StoreTest, any_bytes_of_a_snapshot_can_be_read) {
  const std::string text = "0123456789abcdefghijklmnopqrstuvwxyz";
  SnapshotBuilder builder(*engine_, snapshot_stream_name(kGroup, store_->new_number()), 7);
  for (std::size_t at = 0; at < text.size(); at += 5)
    ASSERT_TRUE(builder.write(Bytes(text).substr(at, 5)));
  ASSERT_TRUE(builder.finish());
  for (const auto& place : builder.pieces()->pending()) ASSERT_TRUE(engine_->wait(place));
  auto stored = builder.stored({.last = {1, 3}, .membership = founders()}, 1);
  for (std::size_t from = 0; from < text.size(); ++from) {
    for (std::size_t size = 1; from + size <= text.size(); ++size) {
      auto bytes = read_range(*engine_, *stored, from, size);
      ASSERT_TRUE(bytes) << bytes.error().message;
      EXPECT_EQ(bytes->bytes(), text.substr(from, size));
    }
  }
  EXPECT_FALSE(read_range(*engine_, *stored, 30, 7));
  ASSERT_TRUE(run({.save = stored}));
  cut_power();
  EXPECT_EQ(read_snapshot().value(), text);
}

TEST_P(StoreTest, a_damaged_piece_is_found_by_reading) {
  auto meta = meta_of({2, 9}, "one two three");
  piece(meta, 0, "one two three", true);
  cut_power();
  auto lies = std::make_shared<StoredSnapshot>(*loaded_.snapshot);
  lies->meta.id ^= 1;
  loaded_.snapshot = lies;
  EXPECT_EQ(read_snapshot().error().code, Code::kCorrupt);
}

TEST_P(StoreTest, what_a_crash_left_of_own_snapshots_goes) {
  SnapshotBuilder builder(*engine_, snapshot_stream_name(kGroup, store_->new_number()), 4);
  ASSERT_TRUE(builder.write("begun, and"));
  for (const auto& place : builder.pieces()->pending()) ASSERT_TRUE(engine_->wait(place));
  EXPECT_EQ(streams(), 2);
  cut_power();
  EXPECT_EQ(streams(), 1);
}

TEST_P(StoreTest, remove_leaves_nothing) {
  piece(meta_of({2, 9}, "x"), 0, "x", true);
  Writes writes;
  writes.base = LogBase{{2, 9}, false};
  writes.first = 10;
  writes.entries = entries(2, {"a"});
  write(writes);
  auto removed = Store::remove(*engine_, kGroup);
  ASSERT_TRUE(removed);
  for (const auto& place : *removed) ASSERT_TRUE(engine_->wait(place));
  cut_power();
  EXPECT_EQ(loaded_.durable.snapshot.last.index, 0);
  EXPECT_TRUE(log().empty());
}

INSTANTIATE_TEST_SUITE_P(Shards, StoreTest,
                         ::testing::Values(Shape{1}, Shape{2}, Shape{3}, Shape{1, 5}, Shape{3, 5}));

}  // namespace
}  // namespace walrus::raft
