#include "io/address.h"

#include <gtest/gtest.h>

namespace walrus::io {
namespace {

TEST(AddressTest, parses_names_and_both_versions) {
  EXPECT_EQ(parse_address("localhost:9091"), (Address{"localhost", 9091}));
  EXPECT_EQ(parse_address("127.0.0.1:0"), (Address{"127.0.0.1", 0}));
  EXPECT_EQ(parse_address("[::1]:65535"), (Address{"::1", 65535}));
}

TEST(AddressTest, prints_what_it_parsed) {
  for (const char* text : {"example.org:1", "10.0.0.1:9091", "[fe80::1]:80"}) {
    EXPECT_EQ(to_string(*parse_address(text)), text);
  }
}

TEST(AddressTest, refuses_what_is_no_address) {
  for (const char* text :
       {"", ":", ":1", "host", "host:", "host:-1", "host:65536", "host:1x", "::1:80", "[::1]",
        "[::1:80", "[]:80", "[[::1]]:80", "a]:80", "host:1 "}) {
    const auto parsed = parse_address(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Code::kInvalid);
    EXPECT_TRUE(parsed.error().message.contains("\"" + std::string(text) + "\""));
  }
}

TEST(AddressTest, tells_loopback_from_what_looks_like_it) {
  for (const char* text : {"127.0.0.1:1", "127.200.3.4:1", "localhost:1", "[::1]:1"})
    EXPECT_TRUE(is_loopback(*parse_address(text))) << text;
  for (const char* text : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "127.example.org:1", "127.0.0.:1",
                           "127.0.1:1", "localhost.example.org:1", "[::2]:1"})
    EXPECT_FALSE(is_loopback(*parse_address(text))) << text;
}

}  // namespace
}  // namespace walrus::io
