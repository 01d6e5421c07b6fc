#include "log/manifest.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/crc32c.h"
#include "log/journal.h"
#include "log/test_env.h"

namespace walrus::log {
namespace {

const io::Path kDirectory = "/store/journal/0";

Manifest sample() {
  auto own = std::make_shared<SegmentFile>(SegmentFile{.name = "11/17-1000.seg",
                                                       .stream = 17,
                                                       .base_offset = 1000,
                                                       .synced_end = 5000,
                                                       .sealed = true});
  auto pack =
      std::make_shared<SegmentFile>(SegmentFile{.name = "pack/0-12.pack", .synced_end = 900'000});
  Manifest manifest{.generation = 6, .directory_uuid = "0123456789abcdef", .layout = 3};
  manifest.shard = 1;
  manifest.shards = 4;
  manifest.journal_sequence = 44;
  manifest.journal_lsn = 123'456'789;
  manifest.next_file = 13;
  manifest.streams.resize(3);
  StreamSnapshot& first = manifest.streams[0];
  first.id = 17;
  first.log_start = 1001;
  first.next_offset = 1600;
  first.epoch = 2;
  first.segment_base = 1500;
  first.segment_records = 100;
  first.segment_bytes = 7'000;
  first.segment_started_ms = 1'700'000'000'000;
  first.reclaimed_bytes = 77;
  first.max_timestamp_ms = 1'700'000'000'500;
  first.chain = std::make_shared<const Chain>(Chain{{.file = own,
                                                     .position = 64,
                                                     .bytes = 4000,
                                                     .base_offset = 1000,
                                                     .end_offset = 1500,
                                                     .records = 400,
                                                     .segment_base = 1000,
                                                     .epoch = 1,
                                                     .min_timestamp_ms = -1,
                                                     .max_timestamp_ms = 1'700'000'000'000},
                                                    {.file = pack,
                                                     .position = 800'000,
                                                     .bytes = 100'000,
                                                     .base_offset = 1500,
                                                     .end_offset = 1600,
                                                     .records = 100,
                                                     .segment_base = 1500,
                                                     .epoch = 2,
                                                     .min_timestamp_ms = 5,
                                                     .max_timestamp_ms = 6}});
  first.producers.add(5, 0, 0, 10, 1590, 1'700'000'000'500);
  manifest.streams[1].id = 18;
  manifest.streams[2].id = 90'000;
  manifest.streams[2].chain = std::make_shared<const Chain>(
      Chain{{.file = pack, .position = 64, .bytes = 100, .base_offset = 0, .end_offset = 1}});
  manifest.streams[2].next_offset = 1;
  manifest.tables[{1, {17, "name"}}] = std::string("orders\0x", 8);
  manifest.tables[{2, {17, std::string()}}] = "";
  return manifest;
}

TEST(Manifest, decodes_what_it_encoded) {
  auto bytes = encode_manifest(sample());
  auto manifest = decode_manifest(bytes);
  ASSERT_TRUE(manifest.has_value()) << manifest.error().message;
  EXPECT_EQ(encode_manifest(*manifest), bytes);
  EXPECT_EQ(manifest->generation, 6U);
  EXPECT_EQ(manifest->shards, 4);
  EXPECT_EQ(manifest->journal_lsn, 123'456'789U);
  EXPECT_EQ(manifest->tables, sample().tables);
  ASSERT_EQ(manifest->streams.size(), 3U);
  const Chain& chain = *manifest->streams[0].chain;
  EXPECT_EQ(chain[0].file->name, "11/17-1000.seg");
  EXPECT_TRUE(chain[0].file->sealed);
  EXPECT_EQ(chain[0].records, 400);
  EXPECT_EQ(chain[1].base_offset, 1500);
  EXPECT_EQ(chain[1].end_offset, 1600);
  EXPECT_EQ(manifest->streams[0].producers.check(5, 0, 0, 10).value(), 1590);
}

TEST(Manifest, shares_one_file_among_its_extents) {
  auto manifest = decode_manifest(encode_manifest(sample())).value();
  EXPECT_EQ((*manifest.streams[0].chain)[1].file, (*manifest.streams[2].chain)[0].file);
}

TEST(Manifest, decodes_a_stream_without_data_to_an_empty_chain) {
  auto manifest = decode_manifest(encode_manifest(sample())).value();
  ASSERT_NE(manifest.streams[1].chain, nullptr);
  EXPECT_TRUE(manifest.streams[1].chain->empty());
}

TEST(Manifest, notices_every_flipped_bit) {
  auto bytes = encode_manifest(sample());
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    auto rotten = bytes;
    rotten[bit / 8] = static_cast<char>(rotten[bit / 8] ^ (1 << (bit % 8)));
    auto manifest = decode_manifest(rotten);
    ASSERT_FALSE(manifest.has_value()) << bit;
    EXPECT_EQ(manifest.error().code, Code::kCorrupt) << bit;
  }
}

TEST(Manifest, refuses_every_shorter_one) {
  auto bytes = encode_manifest(sample());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(decode_manifest(Bytes(bytes).substr(0, size)).error().code, Code::kCorrupt);
  }
}

std::string with_right_crc(std::string bytes) {
  auto whole = Bytes(bytes);
  store_le(bytes.data() + 12, crc32c(whole.substr(16), crc32c(whole.substr(0, 12))));
  return bytes;
}

TEST(Manifest, refuses_a_newer_version_by_name) {
  auto bytes = encode_manifest(sample());
  store_le(bytes.data() + 8, std::uint32_t{2});
  auto manifest = decode_manifest(with_right_crc(bytes));
  ASSERT_FALSE(manifest.has_value());
  EXPECT_EQ(manifest.error().code, Code::kVersion);
}

TEST(Manifest, refuses_the_catalogues_stream_as_one_with_records) {
  auto manifest = sample();
  manifest.streams[0].id = kCatalogStream;
  EXPECT_EQ(decode_manifest(encode_manifest(manifest)).error().code, Code::kCorrupt);
}

// The CRC is made right again, so that the body decoder itself sees each damage.
TEST(Manifest, bears_any_byte_of_the_body) {
  auto bytes = encode_manifest(sample());
  for (std::size_t at = 64; at < bytes.size(); ++at) {
    for (int value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
      auto changed = bytes;
      changed[at] = static_cast<char>(value);
      auto manifest = decode_manifest(with_right_crc(changed));
      if (manifest) {
        EXPECT_EQ(decode_manifest(encode_manifest(*manifest)).has_value(), true);
      } else {
        EXPECT_EQ(manifest.error().code, Code::kCorrupt);
      }
    }
  }
}

class ManifestFile : public ::testing::Test {
 protected:
  ManifestFile() {
    EXPECT_TRUE(env_.memory.make_directory(kDirectory));
    EXPECT_TRUE(env_.memory.sync_directory(kDirectory.parent_path()));
  }
  Result<void> write(std::uint64_t generation, std::size_t state_bytes = 0) {
    auto manifest = sample();
    manifest.generation = generation;
    manifest.tables[{9, {0, "filler"}}] = std::string(state_bytes, 'x');
    return write_manifest(env_, kDirectory, manifest);
  }
  Result<std::optional<Manifest>> load() { return load_manifest(env_, kDirectory, 3); }
  std::string& slot(int number) {
    return env_.memory.bytes(kDirectory / fmt::format("manifest-3.{}", number));
  }
  testing::TestEnv env_;
};

TEST_F(ManifestFile, is_none_where_nothing_was_written) {
  EXPECT_FALSE(load().value().has_value());
}

TEST_F(ManifestFile, is_the_newest_of_two) {
  for (std::uint64_t generation = 1; generation <= 5; ++generation) {
    ASSERT_TRUE(write(generation));
    EXPECT_EQ(load().value()->generation, generation);
  }
}

TEST_F(ManifestFile, survives_a_power_cut_once_written) {
  ASSERT_TRUE(write(1));
  ASSERT_TRUE(write(2));
  env_.memory.power_cut();
  EXPECT_EQ(load().value()->generation, 2U);
}

TEST_F(ManifestFile, is_settled_bit_by_bit_before_anything_is_built_on_it) {
  ASSERT_TRUE(write(1));
  ASSERT_TRUE(write(2));
  env_.memory.state.sync_fault = testing::Fault{};
  ASSERT_FALSE(write(3));  // in the page cache, but not on the disk
  env_.memory.state.sync_fault.reset();
  auto before = slot(1);
  auto loaded = load_settled_manifest(env_, kDirectory, 3);
  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ((*loaded)->generation, 3U);
  EXPECT_EQ(slot(1), before);
  env_.memory.power_cut();
  EXPECT_EQ(load().value()->generation, 3U);
}

TEST_F(ManifestFile, replaces_a_longer_one_whole) {
  ASSERT_TRUE(write(1, 5'000));
  ASSERT_TRUE(write(3, 10));
  EXPECT_EQ(load().value()->generation, 3U);
  EXPECT_LT(slot(1).size(), 5'000U);
}

TEST_F(ManifestFile, falls_back_to_the_older_slot_when_the_newer_is_torn) {
  ASSERT_TRUE(write(1));
  ASSERT_TRUE(write(2));
  slot(0).resize(100);
  EXPECT_EQ(load().value()->generation, 1U);
  slot(0).clear();
  EXPECT_EQ(load().value()->generation, 1U);
}

TEST_F(ManifestFile, keeps_the_other_slot_when_a_write_fails) {
  ASSERT_TRUE(write(1));
  ASSERT_TRUE(write(2));
  env_.memory.state.write_fault = testing::Fault{.code = Code::kNoSpace};
  auto written = write(3, 100);
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, Code::kNoSpace);
  EXPECT_EQ(load().value()->generation, 2U);
}

TEST_F(ManifestFile, fails_when_the_sync_fails) {
  ASSERT_TRUE(write(1));
  env_.memory.state.sync_fault = testing::Fault{};
  EXPECT_EQ(write(2).error().code, Code::kIo);
}

TEST_F(ManifestFile, is_corrupt_when_no_slot_is_valid) {
  ASSERT_TRUE(write(1));
  ASSERT_TRUE(write(2));
  slot(0)[70] ^= 1;
  slot(1)[70] ^= 1;
  auto loaded = load();
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().code, Code::kCorrupt);
  EXPECT_NE(loaded.error().message.find("manifest-3.1"), std::string::npos);
}

TEST_F(ManifestFile, is_not_taken_from_the_wrong_slot) {
  ASSERT_TRUE(write(1));
  ASSERT_TRUE(write(2));
  slot(1) = slot(0);
  EXPECT_EQ(load().value()->generation, 2U);
  slot(0).clear();
  EXPECT_EQ(load().error().code, Code::kCorrupt);
}

TEST_F(ManifestFile, of_a_newer_version_is_refused_even_beside_an_older_valid_one) {
  ASSERT_TRUE(write(1));
  ASSERT_TRUE(write(2));
  store_le(slot(0).data() + 8, std::uint32_t{2});
  slot(0) = with_right_crc(slot(0));
  EXPECT_EQ(load().error().code, Code::kVersion);
}

TEST_F(ManifestFile, does_not_take_a_read_error_for_a_torn_slot) {
  ASSERT_TRUE(write(1));
  ASSERT_TRUE(write(2));
  env_.memory.state.read_fault = testing::Fault{};
  EXPECT_EQ(load().error().code, Code::kIo);
}

}  // namespace
}  // namespace walrus::log
