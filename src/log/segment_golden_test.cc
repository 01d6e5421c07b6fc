#include "base/golden_bytes.h"
#include "log/manifest.h"
#include "log/segment_fixture.h"
#include "log/segment_format.h"

namespace walrus::log {
namespace {
using testing::TestStream;

std::string batch_of(const std::vector<std::string>& values, std::int64_t base, std::int32_t epoch,
                     std::int64_t time_ms) {
  std::vector<Record> records;
  for (const auto& value : values) {
    auto time = Time(Millis(time_ms + static_cast<std::int64_t>(records.size())));
    records.push_back({.value = Bytes(value), .timestamp = time});
  }
  return record::encode(records, {.base_offset = base, .epoch = epoch});
}

class GoldenSegment : public testing::SegmentFixture {
 protected:
  GoldenSegment() {
    options_.pack_bytes_max = 100;
    options_.index_interval_bytes = 128;
    restart();
  }
  static constexpr std::int64_t kTime = 1'700'000'000'000;
};

TEST_F(GoldenSegment, is_written_as_it_always_was) {
  TestStream stream{.id = 17, .next = 1000, .epoch = 2, .segment_base = 1000};
  stream.add(batch_of({"hello", "walrus"}, 1000, 2, kTime));
  stream.add(batch_of({std::string(60, 'x')}, 1002, 2, kTime + 5));
  stream.add(batch_of({"late"}, 1003, 2, kTime + 3));
  stream.roll();
  stream.add(1, 1);
  write(stream);
  EXPECT_EQ(stream.chain->front().file->name, "11/17-1000.seg");
  EXPECT_EQ(bytes_of(*stream.chain->front().file), golden_bytes("segment/sealed"));
}

TEST_F(GoldenSegment, is_written_in_pieces_as_it_always_was) {
  TestStream stream{.id = 17, .next = 1000, .epoch = 2, .segment_base = 1000};
  stream.add(batch_of({"hello", "walrus"}, 1000, 2, kTime));
  stream.add(batch_of({std::string(60, 'x')}, 1002, 2, kTime + 5));
  write(stream);
  stream.add(batch_of({"late"}, 1003, 2, kTime + 3));
  stream.roll();
  stream.add(1, 1);
  write(stream);
  EXPECT_EQ(stream.chain->size(), 2U);
  EXPECT_TRUE(bytes_of(*stream.chain->front().file) == golden_bytes("segment/pieces"));
  EXPECT_EQ(read(*stream.chain, 1000), stream.all());
}

TEST_F(GoldenSegment, is_read_as_it_always_was) {
  auto bytes = golden_bytes("segment/sealed");
  auto file = std::make_shared<SegmentFile>(
      SegmentFile{.name = "11/17-1000.seg",
                  .stream = 17,
                  .base_offset = 1000,
                  .synced_end = static_cast<std::int64_t>(bytes.size()),
                  .sealed = true});
  auto footer =
      decode_footer(Bytes(bytes).substr(bytes.size() - 64), static_cast<std::int64_t>(bytes.size()))
          .value();
  ASSERT_TRUE(env_.memory.make_directory(path(*file).parent_path()));
  ASSERT_TRUE(env_.memory.open(path(*file), io::Open::kCreate).value()->write(0, bytes));
  Chain chain{{.file = file,
               .position = 64,
               .bytes = footer.index_position - 64,
               .base_offset = 1000,
               .end_offset = 1004,
               .records = 4,
               .segment_base = 1000,
               .epoch = 2,
               .min_timestamp_ms = footer.min_timestamp_ms,
               .max_timestamp_ms = footer.max_timestamp_ms}};
  EXPECT_TRUE(verify(chain).empty());
  EXPECT_EQ(read(chain, 1003, 1), batch_of({"late"}, 1003, 2, kTime + 3));
  EXPECT_EQ(store_->find_time(chain, kTime + 2).value(), 1002);
}

TEST_F(GoldenSegment, pack_is_written_as_it_always_was) {
  TestStream a{.id = 1}, b{.id = 2, .next = 5, .epoch = 1, .segment_base = 5};
  a.add(batch_of({"a"}, 0, 0, kTime));
  b.add(batch_of({"b", "c"}, 5, 1, kTime));
  write({&a, &b});
  EXPECT_EQ(a.chain->front().file->name, "pack/3-1.pack");
  EXPECT_EQ(bytes_of(*a.chain->front().file), golden_bytes("segment/pack"));
}

TEST(GoldenManifest, is_encoded_and_decoded_as_it_always_was) {
  auto bytes = golden_bytes("manifest/two_streams");
  auto manifest = decode_manifest(bytes);
  ASSERT_TRUE(manifest.has_value()) << manifest.error().message;
  EXPECT_EQ(encode_manifest(*manifest), bytes);
  EXPECT_EQ(manifest->generation, 6U);
  EXPECT_EQ(manifest->layout, 3U);
  EXPECT_EQ(manifest->shard, 1);
  EXPECT_EQ(manifest->shards, 4);
  EXPECT_EQ(manifest->journal_sequence, 44U);
  EXPECT_EQ(manifest->journal_lsn, 123'456'789U);
  EXPECT_EQ(manifest->next_file, 13U);
  const StreamSnapshot& stream = manifest->streams[0];
  EXPECT_EQ(stream.log_start, 1001);
  EXPECT_EQ(stream.next_offset, 1600);
  EXPECT_EQ(stream.segment_base, 1500);
  EXPECT_EQ(stream.segment_records, 100);
  EXPECT_EQ(stream.segment_bytes, 7000);
  EXPECT_EQ(stream.segment_started_ms, 1'700'000'000'000);
  EXPECT_EQ(stream.reclaimed_bytes, 77);
  EXPECT_EQ(stream.max_timestamp_ms, 1'700'000'000'500);
  const Extent& last = stream.chain->back();
  EXPECT_EQ(last.file->name, "pack/0-12.pack");
  EXPECT_EQ(last.position, 800'000);
  EXPECT_EQ(last.bytes, 100'000);
  EXPECT_EQ(last.base_offset, 1500);
  EXPECT_EQ(last.end_offset, 1600);
  EXPECT_EQ(last.epoch, 2);
  EXPECT_EQ(stream.producers.check(5, 0, 0, 10).value(), 1590);
  EXPECT_EQ(manifest->streams[1].max_timestamp_ms, -1);
  EXPECT_EQ((manifest->tables[{1, {17, "name"}}]), "orders");
}

}  // namespace
}  // namespace walrus::log
