#include "base/base64.h"

#include <gtest/gtest.h>

#include <utility>

namespace walrus {
namespace {

// RFC 4648, section 10.
constexpr std::pair<Bytes, Bytes> kVectors[] = {{"", ""},
                                                {"f", "Zg=="},
                                                {"fo", "Zm8="},
                                                {"foo", "Zm9v"},
                                                {"foob", "Zm9vYg=="},
                                                {"fooba", "Zm9vYmE="},
                                                {"foobar", "Zm9vYmFy"}};

TEST(Base64Test, encodes_and_parses_the_vectors_of_the_rfc) {
  for (auto [bytes, text] : kVectors) {
    EXPECT_EQ(base64(bytes), text);
    EXPECT_EQ(parse_base64(text), bytes);
  }
}

TEST(Base64Test, every_byte_comes_back) {
  std::string all;
  for (int i = 0; i < 256; ++i) {
    all += static_cast<char>(i);
    EXPECT_EQ(parse_base64(base64(all)), all);
  }
}

TEST(Base64Test, refuses_what_is_not_canonical) {
  for (Bytes text : {"Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "====", "=Zg=", "Zm 9", "Zm9v\n",
                     "Zm9-", "A===", "Z=g="})
    EXPECT_EQ(parse_base64(text), std::nullopt) << text;
}

}  // namespace
}  // namespace walrus
