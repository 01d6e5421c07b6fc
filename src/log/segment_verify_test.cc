#include <algorithm>
#include <array>

#include "base/crc32c.h"
#include "log/segment_fixture.h"
#include "log/segment_format.h"

namespace walrus::log {
namespace {

using testing::TestStream;

class SegmentVerify : public testing::SegmentFixture {
 protected:
  // One sealed own file, one open own file, one pack.
  SegmentVerify() {
    stream_.add(40, 3);
    stream_.roll();
    stream_.add(90, 1);
    write(stream_);
    other_.add(3);
    write(other_);
    for (const Extent& extent : *stream_.chain) files_.push_back(extent.file);
    files_.push_back(other_.chain->front().file);
    EXPECT_TRUE(files_[0]->sealed);
    EXPECT_FALSE(files_[1]->sealed);
  }
  std::vector<Finding> verify_all() {
    std::vector<Finding> findings;
    store_->verify(std::array{stream_.chain, other_.chain}, findings);
    return findings;
  }
  TestStream stream_{.id = 1}, other_{.id = 2};
  std::vector<FileRef> files_;
};

TEST_F(SegmentVerify, finds_nothing_in_good_files) { EXPECT_TRUE(verify_all().empty()); }

TEST_F(SegmentVerify, finds_every_flipped_bit_and_no_read_serves_it) {
  auto good_stream = stream_.all(), good_other = other_.all();
  for (const FileRef& file : files_) {
    auto& bytes = bytes_of(*file);
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      auto bit = static_cast<char>(1 << (at * 5 % 8));  // one of each byte
      bytes[at] ^= bit;
      restart();  // headers are checked when a file is opened
      auto findings = verify_all();
      ASSERT_FALSE(findings.empty()) << file->name << " " << at;
      EXPECT_EQ(findings[0].file, "segments/" + file->name);
      EXPECT_EQ(findings[0].code, Code::kCorrupt);
      EXPECT_LE(findings[0].position, static_cast<std::int64_t>(at));
      std::string read;
      if (store_->read(*stream_.chain, 0, 1 << 20, read)) {
        EXPECT_TRUE(good_stream.starts_with(read));
      } else {
        EXPECT_TRUE(read.empty());
      }
      read.clear();
      if (store_->read(*other_.chain, 0, 1 << 20, read)) {
        EXPECT_TRUE(good_other.starts_with(read));
      }
      bytes[at] ^= bit;
    }
  }
  restart();
  EXPECT_TRUE(verify_all().empty());
}

TEST_F(SegmentVerify, finds_a_flipped_bit_of_a_file_that_is_open) {
  (void)read(*stream_.chain, 0);
  bytes_of(*files_[0])[20] ^= 1;
  EXPECT_EQ(verify_all().size(), 1U);
}

TEST_F(SegmentVerify, names_the_position_of_a_damaged_batch_and_goes_on_behind_it) {
  auto& bytes = bytes_of(*files_[0]);
  auto batch = static_cast<std::int64_t>(stream_.batches[0].size());
  bytes[static_cast<std::size_t>(64 + 3 * batch + 80)] ^= 1;
  bytes[static_cast<std::size_t>(64 + 7 * batch + 22)] ^= 1;
  auto findings = verify_all();
  ASSERT_EQ(findings.size(), 2U);
  EXPECT_EQ(findings[0].position, 64 + 3 * batch);
  EXPECT_EQ(findings[1].position, 64 + 7 * batch);
}

TEST_F(SegmentVerify, goes_on_at_an_index_entry_where_a_length_is_damaged) {
  auto& bytes = bytes_of(*files_[0]);
  auto batch = static_cast<std::int64_t>(stream_.batches[0].size());
  bytes[static_cast<std::size_t>(64 + 1 * batch + 9)] ^= 1;
  bytes[static_cast<std::size_t>(64 + 30 * batch + 80)] ^= 1;
  auto findings = verify_all();
  ASSERT_EQ(findings.size(), 2U);
  EXPECT_EQ(findings[0].position, 64 + 1 * batch);
  EXPECT_EQ(findings[1].position, 64 + 30 * batch);
}

TEST_F(SegmentVerify, finds_blocks_of_zeros) {
  for (const FileRef& file : files_) {
    auto& bytes = bytes_of(*file);
    auto good = bytes;
    for (std::size_t at = 0; at < bytes.size(); at += 512) {
      std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                  std::min<std::size_t>(512, bytes.size() - at), '\0');
      EXPECT_FALSE(verify_all().empty()) << file->name << " " << at;
      bytes = good;
    }
  }
}

TEST_F(SegmentVerify, finds_a_file_that_is_gone_or_short) {
  bytes_of(*files_[1]).pop_back();
  ASSERT_TRUE(env_.memory.remove(path(*files_[2])));
  auto findings = verify_all();
  ASSERT_EQ(findings.size(), 2U);
  EXPECT_EQ(findings[0].file, "segments/" + files_[1]->name);
  EXPECT_EQ(findings[1].file, "segments/" + files_[2]->name);
}

TEST_F(SegmentVerify, finds_a_batch_of_another_place) {
  // Two good batches change places: each CRC holds, the order does not.
  auto& bytes = bytes_of(*files_[0]);
  auto size = stream_.batches[0].size();
  std::swap_ranges(bytes.begin() + 64, bytes.begin() + 64 + static_cast<std::ptrdiff_t>(size),
                   bytes.begin() + 64 + static_cast<std::ptrdiff_t>(size));
  EXPECT_EQ(verify_all()[0].position, 64);
  EXPECT_EQ(read_error(*stream_.chain, 0).code, Code::kCorrupt);
}

TEST_F(SegmentVerify, reports_no_damage_in_bytes_that_no_manifest_names) {
  bytes_of(*files_[1]) += "torn";
  EXPECT_TRUE(verify_all().empty());
}

TEST_F(SegmentVerify, refuses_a_file_of_a_newer_version_by_name) {
  auto& bytes = bytes_of(*files_[1]);
  store_le(bytes.data() + 8, std::uint32_t{9});
  store_le(bytes.data() + 12,
           crc32c(Bytes(bytes).substr(16, 48), crc32c(Bytes(bytes).substr(0, 12))));
  EXPECT_EQ(read_error({(*stream_.chain)[1]}, stream_.next - 1).code, Code::kVersion);
}

TEST_F(SegmentVerify, refuses_a_file_of_another_directory_or_stream) {
  options_.directory_uuid = "ANOTHER-DIRECTOR";
  restart();
  EXPECT_EQ(read_error(*stream_.chain, 0).code, Code::kCorrupt);
  options_.directory_uuid = "0123456789abcdef";
  restart();
  bytes_of(*files_[0]) = bytes_of(*files_[1]);
  EXPECT_EQ(read_error(*stream_.chain, 0).code, Code::kCorrupt);
}

TEST_F(SegmentVerify, reads_on_where_only_the_index_is_damaged) {
  auto& bytes = bytes_of(*files_[0]);
  bytes[bytes.size() - 70] ^= 1;
  EXPECT_EQ(read(*stream_.chain, 0), stream_.all());
  EXPECT_EQ(read(*stream_.chain, 100, 1), stream_.batches[33]);
  EXPECT_EQ(verify_all().size(), 1U);
}

TEST_F(SegmentVerify, reads_what_lies_before_and_behind_a_damaged_batch) {
  auto& bytes = bytes_of(*files_[0]);
  auto batch = stream_.batches[0].size();
  bytes[64 + 20 * batch + 70] ^= 1;
  EXPECT_EQ(read(*stream_.chain, 0).size(), 20 * batch);
  EXPECT_EQ(read(*stream_.chain, 63), stream_.all().substr(21 * batch));
  auto error = read_error(*stream_.chain, 60);
  EXPECT_EQ(error.code, Code::kCorrupt);
  EXPECT_NE(error.message.find(files_[0]->name), std::string::npos);
  EXPECT_NE(error.message.find(std::to_string(64 + 20 * batch)), std::string::npos);
}

}  // namespace
}  // namespace walrus::log
