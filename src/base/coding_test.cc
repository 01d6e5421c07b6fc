#include "base/coding.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace walrus {
namespace {

using namespace std::string_literals;

template <class T>
constexpr T kMax = std::numeric_limits<T>::max();
template <class T>
constexpr T kMin = std::numeric_limits<T>::min();

std::string varint_bytes(std::int64_t value) {
  char bytes[kVarintBytesMax];
  return {bytes, static_cast<std::size_t>(store_varint(bytes, value) - bytes)};
}

TEST(Coding, little_endian_puts_the_low_byte_first) {
  std::string bytes;
  append_le<std::uint32_t>(bytes, 0x01020304);
  EXPECT_EQ(bytes, "\x04\x03\x02\x01");
  EXPECT_EQ(load_le<std::uint32_t>(bytes.data()), 0x01020304u);
}

TEST(Coding, big_endian_puts_the_high_byte_first) {
  std::string bytes;
  append_be<std::int16_t>(bytes, -2);
  append_be<std::uint64_t>(bytes, 1);
  EXPECT_EQ(bytes, "\xff\xfe\0\0\0\0\0\0\0\1"s);
  EXPECT_EQ(load_be<std::int16_t>(bytes.data()), -2);
  EXPECT_EQ(load_be<std::uint64_t>(bytes.data() + 2), 1u);
}

TEST(Coding, loads_and_stores_need_no_alignment) {
  char bytes[16] = {};
  store_le<std::int64_t>(bytes + 3, kMin<std::int64_t>);
  EXPECT_EQ(load_le<std::int64_t>(bytes + 3), kMin<std::int64_t>);
}

TEST(Coding, zigzag_keeps_small_numbers_small) {
  EXPECT_EQ(zigzag(0), 0u);
  EXPECT_EQ(zigzag(-1), 1u);
  EXPECT_EQ(zigzag(1), 2u);
  EXPECT_EQ(zigzag(kMax<std::int64_t>), kMax<std::uint64_t> - 1);
  EXPECT_EQ(zigzag(kMin<std::int64_t>), kMax<std::uint64_t>);
}

TEST(Coding, varints_as_in_the_kafka_protocol) {
  EXPECT_EQ(varint_bytes(0), "\x00"s);
  EXPECT_EQ(varint_bytes(-1), "\x01"s);
  EXPECT_EQ(varint_bytes(63), "\x7e"s);
  EXPECT_EQ(varint_bytes(64), "\x80\x01"s);
  EXPECT_EQ(varint_bytes(-65), "\x81\x01"s);
  EXPECT_EQ(varint_bytes(kMax<std::int32_t>), "\xfe\xff\xff\xff\x0f"s);
}

TEST(Coding, varint_round_trip_and_size_at_every_width) {
  std::vector<std::int64_t> values = {0, kMin<std::int64_t>, kMax<std::int64_t>};
  for (int bits = 0; bits < 63; ++bits) {
    auto edge = std::int64_t{1} << bits;
    values.insert(values.end(), {edge - 1, edge, -edge, -edge - 1});
  }
  for (auto value : values) {
    auto bytes = varint_bytes(value);
    EXPECT_EQ(bytes.size(), static_cast<std::size_t>(varint_size(value))) << value;
    Decoder decoder(bytes);
    EXPECT_EQ(decoder.varint(), value);
    EXPECT_TRUE(decoder.at_end());
  }
}

TEST(Decoder, reads_in_order) {
  std::string bytes;
  append_le<std::uint16_t>(bytes, 7);
  append_be<std::int32_t>(bytes, -9);
  append_uvarint(bytes, 300);
  append_string(bytes, "walrus");
  append_string(bytes, "");
  bytes += "rest";
  Decoder decoder(bytes);
  EXPECT_EQ(decoder.le<std::uint16_t>(), 7);
  EXPECT_EQ(decoder.be<std::int32_t>(), -9);
  EXPECT_EQ(decoder.uvarint(), 300u);
  EXPECT_EQ(decoder.string(), "walrus");
  EXPECT_EQ(decoder.string(), "");
  EXPECT_EQ(decoder.remaining(), 4u);
  EXPECT_EQ(decoder.take(4), "rest");
  EXPECT_TRUE(decoder.at_end());
  EXPECT_TRUE(decoder.ok());
}

TEST(Decoder, a_read_past_the_end_spoils_all_later_reads) {
  Decoder decoder("abc");
  EXPECT_EQ(decoder.le<std::uint32_t>(), std::nullopt);
  EXPECT_FALSE(decoder.ok());
  EXPECT_EQ(decoder.take(1), std::nullopt);
  EXPECT_EQ(decoder.uvarint(), std::nullopt);
  EXPECT_EQ(decoder.string(), std::nullopt);
}

TEST(Decoder, refuses_cut_varints) {
  for (Bytes bytes : {""s, "\x80"s, "\xff\xff\xff"s}) {
    Decoder decoder(bytes);
    EXPECT_EQ(decoder.uvarint(), std::nullopt);
    EXPECT_FALSE(decoder.ok());
  }
}

TEST(Decoder, refuses_varints_above_64_bits) {
  std::string most = std::string(9, '\xff') + '\x01';
  EXPECT_EQ(Decoder(most).uvarint(), kMax<std::uint64_t>);
  EXPECT_EQ(Decoder(std::string(9, '\xff') + '\x02').uvarint(), std::nullopt);
  EXPECT_EQ(Decoder(std::string(11, '\x80') + '\x00').uvarint(), std::nullopt);
}

TEST(Decoder, refuses_strings_longer_than_what_is_there) {
  std::string bytes;
  append_uvarint(bytes, kMax<std::uint64_t>);
  EXPECT_EQ(Decoder(bytes + "abc").string(), std::nullopt);
  EXPECT_EQ(Decoder("\x04"
                    "abc")
                .string(),
            std::nullopt);
}

}  // namespace
}  // namespace walrus
