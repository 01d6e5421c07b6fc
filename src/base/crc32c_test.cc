#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <string>

namespace walrus {
namespace {

// RFC 3720, appendix B.4. Its byte strings are the CRC in little-endian order.
TEST(Crc32c, vectors_of_rfc_3720) {
  std::string rising, falling;
  for (char i = 0; i < 32; ++i) {
    rising += i;
    falling += static_cast<char>(31 - i);
  }
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c(rising), 0x46dd794eu);
  EXPECT_EQ(crc32c(falling), 0x113fdb5cu);
}

TEST(Crc32c, an_iscsi_read_command_of_rfc_3720) {
  constexpr unsigned char kCommand[48] = {
      0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,
      0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18, 0x28, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
  EXPECT_EQ(crc32c(Bytes(reinterpret_cast<const char*>(kCommand), 48)), 0xd9963a56u);
}

TEST(Crc32c, the_check_value) { EXPECT_EQ(crc32c("123456789"), 0xe3069283u); }

TEST(Crc32c, of_nothing_is_zero) { EXPECT_EQ(crc32c(""), 0u); }

TEST(Crc32c, continues_from_the_crc_of_what_came_before) {
  std::string bytes;
  for (int i = 0; i < 3000; ++i) bytes += static_cast<char>(i * 7);
  auto whole = crc32c(bytes);
  for (std::size_t cut : {0u, 1u, 7u, 8u, 100u, 1500u, 2999u, 3000u}) {
    EXPECT_EQ(crc32c(Bytes(bytes).substr(cut), crc32c(Bytes(bytes).substr(0, cut))), whole) << cut;
  }
}

}  // namespace
}  // namespace walrus
