#include "log/segment_store.h"

#include <algorithm>

#include "log/segment_fixture.h"

namespace walrus::log {
namespace {

using testing::Fault;
using testing::kTestTime;
using testing::make_batch;
using testing::TestStream;

class SegmentStoreTest : public testing::SegmentFixture {};

TEST_F(SegmentStoreTest, puts_small_streams_into_one_pack_with_one_sync) {
  TestStream a{.id = 1}, b{.id = 2}, c{.id = 3};
  a.add(2);
  b.add(3);
  c.add(1);
  write({&a, &b, &c});
  EXPECT_EQ(a.chain->front().file, c.chain->front().file);
  EXPECT_EQ(a.chain->front().file->name, "pack/3-1.pack");
  EXPECT_EQ(next_file_, 2U);
  EXPECT_EQ(env_.memory.state.syncs, 1);
  EXPECT_EQ(read(*a.chain, 0), a.all());
  EXPECT_EQ(read(*b.chain, 0), b.all());
  EXPECT_EQ(read(*c.chain, 0), c.all());
}

TEST_F(SegmentStoreTest, gives_a_stream_with_much_pending_its_own_file) {
  TestStream a{.id = 0x23f};
  a.add(100);
  write(a);
  EXPECT_EQ(a.chain->front().file->name, "3f/575-0.seg");
  EXPECT_EQ(a.chain->size(), 1U);
  EXPECT_EQ(a.chain->front().records, 200);
  EXPECT_EQ(a.chain->front().min_timestamp_ms, kTestTime + 1);
  EXPECT_EQ(a.chain->front().max_timestamp_ms, a.time_ms);
  EXPECT_EQ(read(*a.chain, 0), a.all());
}

TEST_F(SegmentStoreTest, appends_to_the_open_own_file_and_grows_its_extent) {
  TestStream a;
  a.add(100);
  write(a);
  auto before = a.chain;
  a.add(1);
  write(a);
  EXPECT_EQ(a.chain->size(), 1U);
  EXPECT_EQ(a.chain->front().file, before->front().file);
  EXPECT_EQ(before->front().end_offset, 200);  // chains are values
  EXPECT_EQ(a.chain->front().end_offset, 202);
  EXPECT_EQ(read(*a.chain, 0), a.all());
  EXPECT_EQ(next_file_, 1U);
}

TEST_F(SegmentStoreTest, goes_on_in_one_file_over_pieces_and_syncs_it_once) {
  TestStream a, b{.id = 2};
  SegmentStore::Write write(*store_, next_file_);
  auto add = [&](std::vector<TestStream*> streams) {
    std::vector<Incoming> incoming;
    for (TestStream* stream : streams) incoming.push_back(stream->incoming());
    auto chains = write.add(incoming);
    ASSERT_TRUE(chains);
    for (std::size_t i = 0; i < streams.size(); ++i) streams[i]->written((*chains)[i]);
  };
  a.add(100);
  add({&a});
  a.add(100);
  b.add(1);
  add({&a, &b});
  EXPECT_EQ(env_.memory.state.syncs, 0);
  EXPECT_GT(write.unsynced_bytes(), 20'000);
  EXPECT_EQ(a.chain->front().file->synced_end, 0);
  ASSERT_TRUE(write.sync());
  EXPECT_EQ(env_.memory.state.syncs, 2);  // the file and the pack
  EXPECT_EQ(write.unsynced_bytes(), 0);
  a.add(100);
  add({&a});
  ASSERT_TRUE(write.sync());
  EXPECT_EQ(a.chain->size(), 1U);
  EXPECT_EQ(a.chain->front().end_offset, 600);
  EXPECT_EQ(read(*a.chain, 0), a.all());
  EXPECT_EQ(read(*b.chain, 0), b.all());
  EXPECT_TRUE(verify(*a.chain).empty());
}

TEST_F(SegmentStoreTest, takes_back_what_was_added_and_not_synced) {
  TestStream a, b{.id = 2};
  a.add(100);
  write(a);
  auto before = a.chain;
  auto size = bytes_of(*before->front().file).size();
  auto names = env_.memory.state.names.size();
  a.add(100);
  b.add(100);
  {
    SegmentStore::Write write(*store_, next_file_);
    Incoming incoming[] = {a.incoming(), b.incoming()};
    ASSERT_TRUE(write.add(incoming));
    EXPECT_EQ(env_.memory.state.names.size(), names + 1);
  }
  EXPECT_EQ(env_.memory.state.names.size(), names);
  EXPECT_EQ(bytes_of(*before->front().file).size(), size);
  write({&a, &b});
  EXPECT_EQ(read(*a.chain, 0), a.all());
  EXPECT_EQ(read(*b.chain, 0), b.all());
}

TEST_F(SegmentStoreTest, leaves_few_files_open_until_the_sync) {
  std::vector<TestStream> streams(100);
  std::vector<TestStream*> all;
  for (auto& stream : streams) {
    stream.id = static_cast<std::uint64_t>(all.size()) + 1;
    stream.add(100);
    all.push_back(&stream);
  }
  std::vector<Incoming> incoming;
  for (auto* stream : all) incoming.push_back(stream->incoming());
  SegmentStore::Write write(*store_, next_file_);
  ASSERT_TRUE(write.add(incoming));
  EXPECT_EQ(env_.memory.state.syncs, 35);  // the last one may go on; 64 wait for the sync
  ASSERT_TRUE(write.sync());
  EXPECT_EQ(env_.memory.state.syncs, 100);
}

TEST_F(SegmentStoreTest, seals_a_segment_when_the_next_begins) {
  TestStream a;
  a.add(100);
  write(a);
  a.add(1);
  a.roll();
  a.add(100);
  write(a);
  ASSERT_EQ(a.chain->size(), 2U);
  EXPECT_TRUE(a.chain->front().file->sealed);
  EXPECT_FALSE(a.chain->back().file->sealed);
  EXPECT_EQ(a.chain->back().segment_base, 202);
  EXPECT_EQ(a.chain->back().epoch, 1);
  EXPECT_EQ(read(*a.chain, 0), a.all());
  EXPECT_TRUE(verify(*a.chain).empty());
}

TEST_F(SegmentStoreTest, seals_a_segment_whose_successor_goes_into_a_pack) {
  TestStream a;
  a.add(100);
  write(a);
  a.roll();
  a.add(1);
  write(a);
  EXPECT_TRUE(a.chain->front().file->sealed);
  EXPECT_EQ(a.chain->back().file->stream, 0U);
  EXPECT_EQ(read(*a.chain, 0), a.all());
}

TEST_F(SegmentStoreTest, writes_many_tiny_segments_of_one_stream_into_a_pack) {
  TestStream a;
  for (int i = 0; i < 20; ++i) {
    a.add(1);
    a.roll(false);
  }
  a.add(1);
  write(a);
  EXPECT_EQ(a.chain->size(), 21U);
  EXPECT_EQ(env_.memory.state.names.size(), 1U);
  EXPECT_EQ(read(*a.chain, 0), a.all());
  EXPECT_TRUE(verify(*a.chain).empty());
}

TEST_F(SegmentStoreTest, seals_also_when_its_index_was_not_kept) {
  TestStream a;
  a.add(100);
  write(a);
  restart();
  a.roll();
  a.add(1);
  write(a);
  EXPECT_TRUE(a.chain->front().file->sealed);
  EXPECT_TRUE(verify(*a.chain).empty());
}

TEST_F(SegmentStoreTest, writes_no_block_again_that_was_synced) {
  TestStream a;
  a.add(100);
  write(a);
  auto file = a.chain->front().file;
  for (int i = 0; i < 20; ++i) {
    auto before = bytes_of(*file);
    EXPECT_EQ(before.size() % 4096, 0U);
    EXPECT_EQ(file->synced_end, static_cast<std::int64_t>(before.size()));
    auto& lowest_write = env_.memory.state.names.at(path(*file).string())->lowest_write;
    lowest_write = INT64_MAX;
    bytes_of(*file) += "torn";
    a.add(1 + i * 7 % 13);
    if (i == 19) a.roll();
    if (i == 19) a.add(1);
    write(a);
    EXPECT_GE(lowest_write, static_cast<std::int64_t>(before.size()));
    EXPECT_TRUE(bytes_of(*file).starts_with(before));
    EXPECT_EQ(a.chain->front().file, file);
    EXPECT_EQ(a.chain->size(), i == 19 ? 2U : 1U);
  }
  EXPECT_TRUE(file->sealed);
  EXPECT_TRUE(verify(*a.chain).empty());
  EXPECT_EQ(read(*a.chain, 0), a.all());
  restart();
  for (std::int64_t from = 0; from < a.next; from += 3) {
    EXPECT_EQ(read(*a.chain, from, 1), a.batches[static_cast<std::size_t>(from / 2)]);
    EXPECT_EQ(store_->find_time(*a.chain, kTestTime + 1 + from).value(), from);
  }
}

TEST_F(SegmentStoreTest, seals_pieces_whose_index_was_lost_as_any_other) {
  TestStream a{.id = 1}, b{.id = 2};
  for (TestStream* stream : {&a, &b}) {
    for (int i = 0; i < 4; ++i) {
      stream->add(80);
      write(*stream);
    }
    if (stream == &b) restart();
    stream->roll();
    stream->add(1);
    write(*stream);
  }
  auto index = [&](const TestStream& stream) {
    auto bytes = bytes_of(*stream.chain->front().file);
    return bytes.substr(static_cast<std::size_t>(stream.chain->front().bytes));
  };
  EXPECT_EQ(index(a), index(b));
}

TEST_F(SegmentStoreTest, reads_with_every_budget_over_the_padding_between_pieces) {
  TestStream a;
  a.add(100, 1);
  for (int i = 0; i < 30; ++i) {
    a.add(i % 4, 1 + i % 3, static_cast<std::size_t>(10 + i * 37 % 900));
    write(a);
  }
  for (std::int64_t from = 0; from < a.next; from += 5) {
    for (std::int64_t bytes_max : {1, 300, 5'000, 20'000, 1 << 20}) {
      auto bytes = read(*a.chain, from, bytes_max);
      auto at = a.all().find(bytes);
      ASSERT_NE(at, std::string::npos);
      record::BatchView first{Bytes(bytes)};
      EXPECT_TRUE(first.base_offset() <= from && from < first.next_offset());
    }
  }
  std::string all;
  for (std::int64_t next = 0; next < a.next;) {  // as a scan does
    auto bytes = read(*a.chain, next, 3'000);
    all += bytes;
    for (Bytes rest = bytes; !rest.empty();) {
      auto batch = record::BatchView::parse(rest).value();
      next = batch.next_offset();
      rest.remove_prefix(batch.bytes().size());
    }
  }
  EXPECT_EQ(all, a.all());
  EXPECT_TRUE(verify(*a.chain).empty());
}

TEST_F(SegmentStoreTest, cuts_a_chain_within_pieces) {
  TestStream a;
  a.add(100);
  for (int i = 0; i < 5; ++i) {
    a.add(3);
    write(a);
  }
  for (std::int64_t end = 0; end <= a.next; end += 2) {
    auto chain = store_->cut(*a.chain, end).value();
    if (end == 0) {
      EXPECT_TRUE(chain->empty());
      continue;
    }
    EXPECT_EQ(chain->back().end_offset, end);
    EXPECT_EQ(chain->back().records, end);
    EXPECT_EQ(chain->back().max_timestamp_ms, kTestTime + end);
    std::string expected;
    for (std::int64_t i = 0; i < end / 2; ++i) expected += a.batches[static_cast<std::size_t>(i)];
    EXPECT_EQ(read(*chain, 0), expected);
    EXPECT_TRUE(verify(*chain).empty());
  }
  EXPECT_EQ(store_->cut(*a.chain, 5).error().code, Code::kInvalid);
}

TEST_F(SegmentStoreTest, does_not_append_behind_batches_that_a_truncation_left) {
  TestStream a;
  a.add(100);
  write(a);
  a.chain = store_->cut(*a.chain, 198).value();  // the rest of the block holds a batch
  a.batches.resize(99);
  a.next = 198;
  a.add(100);
  write(a);
  EXPECT_EQ(a.chain->size(), 2U);
  EXPECT_EQ(read(*a.chain, 0), a.all());
  EXPECT_TRUE(verify(*a.chain).empty());
}

TEST_F(SegmentStoreTest, reads_from_every_offset_with_every_budget) {
  TestStream a;
  a.add(60, 3);
  write(a);
  a.roll();
  a.add(5, 1, 700);
  write(a);
  for (std::int64_t from = 0; from < a.next; from += 7) {
    for (std::int64_t bytes_max : {0, 1, 61, 100, 500, 513, 5'000, 1 << 20}) {
      auto bytes = read(*a.chain, from, bytes_max);
      auto at = a.all().find(bytes);
      ASSERT_NE(at, std::string::npos);
      record::BatchView first{Bytes(bytes)};
      EXPECT_LE(first.base_offset(), from);
      EXPECT_GT(first.next_offset(), from);
      auto first_bytes = static_cast<std::int64_t>(record::BatchView::parse(bytes)->bytes().size());
      EXPECT_LE(static_cast<std::int64_t>(bytes.size()), std::max(bytes_max, first_bytes));
      for (Bytes rest = bytes; !rest.empty();) {  // whole batches
        auto batch = record::BatchView::parse(rest);
        ASSERT_TRUE(batch.has_value());
        rest.remove_prefix(batch->bytes().size());
      }
    }
  }
}

TEST_F(SegmentStoreTest, reads_on_over_extents_and_files) {
  TestStream a;
  for (int i = 0; i < 10; ++i) {
    a.add(1 + i % 3 * 40);
    write(a);
    if (i % 4 == 3) a.roll();
  }
  EXPECT_EQ(read(*a.chain, 0), a.all());
}

TEST_F(SegmentStoreTest, appends_to_what_the_caller_has_read) {
  TestStream a;
  a.add(2);
  write(a);
  std::string out = "before";
  ASSERT_TRUE(store_->read(*a.chain, 0, 1 << 20, out));
  EXPECT_EQ(out, "before" + a.all());
}

TEST_F(SegmentStoreTest, refuses_offsets_that_the_chain_does_not_hold) {
  TestStream a{.next = 10, .segment_base = 10};
  a.add(2);
  write(a);
  EXPECT_EQ(read_error(*a.chain, 9).code, Code::kOutOfRange);
  EXPECT_EQ(read_error(*a.chain, 14).code, Code::kOutOfRange);
  EXPECT_EQ(read_error({}, 0).code, Code::kOutOfRange);
}

TEST_F(SegmentStoreTest, reads_one_small_window_for_a_record_in_a_large_file) {
  TestStream a;
  a.add(2'000);
  write(a);
  (void)read(*a.chain, 3'001, 1);
  auto before = env_.memory.state.read_bytes;
  EXPECT_FALSE(read(*a.chain, 3'500, 1).empty());
  EXPECT_LE(env_.memory.state.read_bytes - before,
            options_.index_interval_bytes + static_cast<int>(record::kBatchHeaderBytes));
}

TEST_F(SegmentStoreTest, reads_batches_larger_than_window_and_budget) {
  TestStream a;
  a.add(1, 1, 3 << 20);
  a.add(3);
  a.add(1, 1, 2 << 20);
  write(a);
  EXPECT_EQ(read(*a.chain, 0, 1), a.batches[0]);
  EXPECT_EQ(read(*a.chain, a.next - 1, 1), a.batches.back());
  EXPECT_EQ(read(*a.chain, 0), a.all());
}

TEST_F(SegmentStoreTest, finds_the_first_record_that_is_not_older) {
  TestStream a;
  a.add(200, 3);
  write(a);
  a.roll();
  a.add(200, 3);
  write(a);
  EXPECT_EQ(store_->find_time(*a.chain, 0).value(), 0);
  EXPECT_EQ(store_->find_time(*a.chain, a.time_ms + 1).value(), std::nullopt);
  for (std::int64_t offset = 0; offset < a.next; offset += 31) {
    EXPECT_EQ(store_->find_time(*a.chain, kTestTime + 1 + offset).value(), offset);
  }
}

TEST_F(SegmentStoreTest, finds_by_time_where_timestamps_jump_back) {
  TestStream a;
  std::vector<std::int64_t> times;
  for (int i = 0; i < 300; ++i) {
    times.push_back(1'000 + i * 10 - (i % 7) * 300);
    a.add(make_batch(i, 1, 0, times.back()));
  }
  write(a);
  for (std::int64_t time = 0; time < 4'200; time += 13) {
    auto expected = std::ranges::find_if(times, [&](auto t) { return t >= time; });
    auto found = store_->find_time(*a.chain, time).value();
    if (expected == times.end()) {
      EXPECT_EQ(found, std::nullopt);
    } else {
      EXPECT_EQ(found, expected - times.begin());
    }
  }
}

TEST_F(SegmentStoreTest, finds_by_time_from_a_log_start_on) {
  TestStream a;
  a.add(make_batch(0, 3, 0, 500));
  a.add(make_batch(3, 3, 0, 100));
  a.add(make_batch(6, 3, 0, 501));
  write(a);
  EXPECT_EQ(store_->find_time(*a.chain, 500, 0).value(), 0);
  EXPECT_EQ(store_->find_time(*a.chain, 500, 1).value(), 1);
  EXPECT_EQ(store_->find_time(*a.chain, 500, 4).value(), 6);
}

TEST_F(SegmentStoreTest, survives_a_power_cut_after_write) {
  TestStream a{.id = 1}, b{.id = 2};
  a.add(100);
  b.add(1);
  write({&a, &b});
  env_.memory.power_cut();
  restart();
  EXPECT_EQ(read(*a.chain, 0), a.all());
  EXPECT_EQ(read(*b.chain, 0), b.all());
}

TEST_F(SegmentStoreTest, cuts_a_torn_tail_before_it_appends) {
  TestStream a;
  a.add(100);
  write(a);
  bytes_of(*a.chain->front().file) += std::string(777, 'x');
  restart();
  a.add(1);
  write(a);
  EXPECT_EQ(a.chain->size(), 1U);
  EXPECT_EQ(static_cast<std::int64_t>(bytes_of(*a.chain->front().file).size()),
            a.chain->front().file->synced_end);
  EXPECT_EQ(read(*a.chain, 0), a.all());
}

TEST_F(SegmentStoreTest, never_reads_beyond_what_the_chain_names) {
  TestStream a;
  a.add(100);
  write(a);
  bytes_of(*a.chain->front().file) += make_batch(a.next, 1, 0, 1);
  EXPECT_EQ(read(*a.chain, 0), a.all());
}

TEST_F(SegmentStoreTest, begins_a_new_file_after_a_truncation) {
  TestStream a;
  a.add(100);
  write(a);
  auto file = a.chain->front().file;
  auto end = file->synced_end;
  auto cut = store_->cut(*a.chain, 100).value();
  a.chain = cut;
  a.batches.resize(50);
  a.next = 100;
  a.add(100);
  write(a);
  ASSERT_EQ(a.chain->size(), 2U);
  EXPECT_EQ(a.chain->back().file->name, "01/1-100.seg");
  EXPECT_EQ(file->synced_end, end);  // an older manifest may still name it all
  EXPECT_EQ(read(*a.chain, 0), a.all());
}

TEST_F(SegmentStoreTest, gives_another_name_to_a_file_whose_name_is_taken) {
  TestStream a;
  a.add(100);
  write(a);
  auto old_chain = a.chain;
  auto old_bytes = a.all();
  a = TestStream{.epoch = 1};
  a.add(100);
  write(a);
  EXPECT_EQ(a.chain->front().file->name, "01/1-0.1.seg");
  EXPECT_EQ(read(*a.chain, 0), a.all());
  EXPECT_EQ(read(*old_chain, 0), old_bytes);
}

TEST_F(SegmentStoreTest, changes_nothing_when_the_disk_is_full) {
  for (std::int64_t at = 0; at < 4; ++at) {
    TestStream a{.id = 1}, b{.id = 2};
    a.add(100);
    write(a);
    auto before = a.chain;
    auto file = *before->front().file;
    auto names = env_.memory.state.names.size();
    a.add(5);
    a.roll();
    a.add(100);
    b.add(1);
    env_.memory.state.write_fault = Fault{.calls_left = at, .code = Code::kNoSpace};
    auto written = try_write({&a, &b});
    env_.memory.state.write_fault.reset();
    if (written) {
      EXPECT_GT(at, 2);
      break;
    }
    EXPECT_EQ(written.error().code, Code::kNoSpace);
    EXPECT_FALSE(store_->sync_failed());
    EXPECT_EQ(before->front().file->synced_end, file.synced_end);
    EXPECT_FALSE(before->front().file->sealed);
    EXPECT_EQ(env_.memory.state.names.size(), names);  // room is given back
    EXPECT_EQ(read(*before, 0), a.all());
    write({&a, &b});  // there is room again
    EXPECT_EQ(read(*a.chain, 0), a.all());
    EXPECT_EQ(read(*b.chain, 0), b.all());
    EXPECT_TRUE(verify(*a.chain).empty());
    ASSERT_TRUE(store_->remove(std::vector{a.chain->front().file, a.chain->back().file}));
  }
}

TEST_F(SegmentStoreTest, changes_nothing_when_a_sync_fails) {
  TestStream a;
  a.add(100);
  write(a);
  auto end = a.chain->front().file->synced_end;
  a.add(5);
  env_.memory.state.sync_fault = Fault{};
  EXPECT_EQ(try_write({&a}).error().code, Code::kIo);
  EXPECT_EQ(a.chain->front().file->synced_end, end);
  EXPECT_TRUE(store_->sync_failed());
}

TEST_F(SegmentStoreTest, fails_when_the_directory_does_not_sync) {
  TestStream a;
  a.add(100);
  env_.memory.state.sync_fault = Fault{.calls_left = 1};
  EXPECT_EQ(try_write({&a}).error().code, Code::kIo);
  EXPECT_TRUE(store_->sync_failed());
}

TEST_F(SegmentStoreTest, refuses_batches_that_rotted_in_the_journal) {
  TestStream a;
  a.add(100);
  a.pending[50][70] ^= 1;
  auto written = try_write({&a});
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, Code::kCorrupt);
  EXPECT_TRUE(env_.memory.state.names.empty());
}

TEST_F(SegmentStoreTest, refuses_batches_that_do_not_follow) {
  TestStream a;
  a.add(1);
  a.add(make_batch(5, 1, 0, 1));
  EXPECT_EQ(try_write({&a}).error().code, Code::kCorrupt);
}

TEST_F(SegmentStoreTest, writes_elsewhere_when_its_open_file_is_damaged) {
  TestStream a;
  a.add(100);
  write(a);
  bytes_of(*a.chain->front().file)[40] ^= 1;
  a.add(100);
  write(a);
  EXPECT_EQ(a.chain->size(), 2U);
  EXPECT_EQ(read(*a.chain, 200).size(), a.all().size() / 2);
}

TEST_F(SegmentStoreTest, keeps_no_more_files_open_than_allowed) {
  options_.open_files_max = 4;
  restart();
  std::vector<TestStream> streams(20);
  for (std::size_t i = 0; i < streams.size(); ++i) {
    streams[i].id = i + 1;
    streams[i].add(100);
    write(streams[i]);
  }
  EXPECT_EQ(env_.memory.state.open_files, 0);
  for (int round = 0; round < 3; ++round) {
    for (auto& stream : streams) EXPECT_EQ(read(*stream.chain, 0), stream.all());
    EXPECT_EQ(env_.memory.state.open_files, 4);
  }
}

TEST_F(SegmentStoreTest, finds_its_way_with_no_memory_for_indexes) {
  options_.cache_bytes_max = 1;
  restart();
  TestStream a{.id = 1}, b{.id = 2};
  a.add(100);
  b.add(100);
  write({&a, &b});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(read(*a.chain, 150, 1), a.batches[75]);
    EXPECT_EQ(read(*b.chain, 150, 1), b.batches[75]);
  }
}

TEST_F(SegmentStoreTest, opens_a_sealed_file_without_reading_its_batches) {
  TestStream a;
  a.add(5'000);
  a.roll();
  a.add(1);
  write(a);
  restart();
  EXPECT_EQ(read(*a.chain, 6'001, 1), a.batches[3'000]);
  EXPECT_LT(env_.memory.state.read_bytes, a.chain->front().bytes / 4);
}

TEST_F(SegmentStoreTest, reads_a_removed_file_through_a_chain_that_was_taken_before) {
  TestStream a;
  a.add(100);
  write(a);
  ASSERT_TRUE(store_->remove(std::vector{a.chain->front().file}));
  EXPECT_TRUE(env_.memory.state.names.empty());
  EXPECT_EQ(read(*a.chain, 0), a.all());
  a = TestStream{.id = 2};
  a.add(100);
  write(a);
  (void)read(*a.chain, 0);
  EXPECT_EQ(env_.memory.state.open_files,
            1);  // the removed one's descriptor is gone with its chain
}

TEST_F(SegmentStoreTest, closes_a_removed_file_when_nobody_can_read_it_any_more) {
  TestStream a;
  a.add(100);
  write(a);
  (void)read(*a.chain, 0);
  ASSERT_TRUE(store_->remove(std::vector{a.chain->front().file}));
  store_->close_unreadable();
  EXPECT_EQ(env_.memory.state.open_files, 1);  // the chain can still be read
  a.chain = nullptr;
  store_->close_unreadable();
  EXPECT_EQ(env_.memory.state.open_files, 0);
}

TEST_F(SegmentStoreTest, does_not_bring_removed_files_back_by_a_power_cut) {
  TestStream a;
  a.add(100);
  write(a);
  std::vector files{a.chain->front().file};
  ASSERT_TRUE(store_->remove(files));
  ASSERT_TRUE(store_->remove(files));  // quiet about what is gone
  env_.memory.power_cut();
  EXPECT_TRUE(env_.memory.state.names.empty());
}

TEST_F(SegmentStoreTest, quarantines_a_stranger_and_removes_its_own_leftovers) {
  TestStream a{.id = 1}, b{.id = 1};
  a.add(100);
  write(a);
  b.add(100);
  write(b);
  auto own = b.chain->front().file->name;
  std::vector named{a.chain->front().file};
  auto stranger = env_.memory.open(kRoot / "segments/01/notes.seg", io::Open::kCreate).value();
  ASSERT_TRUE(stranger->write(0, "not a segment"));
  EXPECT_EQ(store_->quarantine_unnamed(named).value(), std::vector<std::string>{"01/notes.seg"});
  EXPECT_TRUE(env_.memory.exists(kRoot / "quarantine" / "01-notes.seg").value());
  EXPECT_FALSE(env_.memory.exists(kRoot / "segments" / own).value());
  EXPECT_EQ(read(*a.chain, 0), a.all());
  EXPECT_TRUE(store_->quarantine_unnamed(named)->empty());
}

TEST_F(SegmentStoreTest, keeps_what_lies_in_quarantine_under_the_same_name) {
  TestStream a;
  a.add(100);
  write(a);
  for (int i = 0; i < 3; ++i) {
    auto name = kRoot / "segments/01/notes.seg";
    auto stranger = env_.memory.open(name, io::Open::kCreate).value();
    ASSERT_TRUE(stranger->write(0, "not a segment"));
    EXPECT_EQ(store_->quarantine_unnamed({})->size(), 1U);
  }
  EXPECT_EQ(env_.memory.list(kRoot / "quarantine")->size(), 3U);
}

TEST_F(SegmentStoreTest, has_nothing_to_quarantine_in_a_new_directory) {
  EXPECT_TRUE(store_->quarantine_unnamed({})->empty());
}

TEST_F(SegmentStoreTest, notices_a_named_file_that_is_short_or_gone) {
  TestStream a;
  a.add(100);
  write(a);
  auto& file = *a.chain->front().file;
  EXPECT_TRUE(store_->check_present(file));
  bytes_of(file).resize(static_cast<std::size_t>(file.synced_end - 4096));
  EXPECT_EQ(store_->check_present(file).error().code, Code::kCorrupt);
  EXPECT_EQ(read_error(*a.chain, a.next - 1).code, Code::kCorrupt);
  ASSERT_TRUE(env_.memory.remove(path(file)));
  EXPECT_EQ(store_->check_present(file).error().code, Code::kCorrupt);
}

TEST_F(SegmentStoreTest, passes_read_errors_on) {
  TestStream a;
  a.add(100);
  write(a);
  env_.memory.state.read_fault = Fault{};
  EXPECT_EQ(read_error(*a.chain, 0).code, Code::kIo);
}

}  // namespace
}  // namespace walrus::log
