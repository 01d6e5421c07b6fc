#include "log/namespace.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>

#include "log/log_fixture.h"

namespace walrus::log {
namespace {

std::string path_of(Bytes key) {
  auto path = namespace_path(key);
  EXPECT_TRUE(succeeds(path));
  return path->string();
}

TEST(Namespace, empty_key_is_the_root) { EXPECT_EQ(path_of(""), ""); }

TEST(Namespace, plain_keys_stand_for_themselves) {
  EXPECT_EQ(path_of("billing"), "billing");
  EXPECT_EQ(path_of("Team_1-a.b"), "Team_1-a.b");
}

TEST(Namespace, other_bytes_are_escaped) {
  EXPECT_EQ(path_of("a/b"), "a%2Fb");
  EXPECT_EQ(path_of("a%2Fb"), "a%252Fb");
  EXPECT_EQ(path_of("a b+"), "a%20b%2B");
  EXPECT_EQ(path_of(Bytes("\0\xff", 2)), "%00%FF");
}

TEST(Namespace, dots_do_not_climb) {
  EXPECT_EQ(path_of("."), "%2E");
  EXPECT_EQ(path_of(".."), "%2E.");
  EXPECT_EQ(path_of("../etc"), "%2E.%2Fetc");
  EXPECT_EQ(path_of(".hidden"), "%2Ehidden");
}

TEST(Namespace, names_of_the_engine_are_kept_apart) {
  for (Bytes name : {"LOCK", "WALRUS", "WALRUS.new", "journal", "segments", "quarantine"}) {
    EXPECT_NE(path_of(name), name);
  }
}

TEST(Namespace, long_keys_become_nested_directories) {
  std::string key(200, 'a');
  EXPECT_EQ(path_of(key), key);
  EXPECT_EQ(path_of(key + ".."), key + "+/+..");
  EXPECT_EQ(path_of(key + key + "b"), key + "+/+" + key + "+/+b");
}

TEST(Namespace, too_long_a_key_is_refused) {
  EXPECT_TRUE(succeeds(namespace_path(std::string(kNamespaceKeyBytesMax, '/'))));
  EXPECT_TRUE(
      fails_with(namespace_path(std::string(kNamespaceKeyBytesMax + 1, 'a')), Code::kInvalid));
}

// What namespace_path does, undone: a path that has an inverse belongs to one key only.
std::string key_of(const std::string& path) {
  std::string escaped;
  for (const auto& part : std::filesystem::path(path)) {
    std::string piece = part.string();
    if (piece.starts_with('+')) piece.erase(0, 1);
    if (piece.ends_with('+')) piece.pop_back();
    escaped += piece;
  }
  std::string key;
  for (std::size_t i = 0; i < escaped.size(); ++i) {
    if (escaped[i] != '%') {
      key += escaped[i];
      continue;
    }
    key += static_cast<char>(std::stoi(escaped.substr(i + 1, 2), nullptr, 16));
    i += 2;
  }
  return key;
}

TEST(Namespace, every_key_has_a_directory_of_its_own) {
  EXPECT_TRUE(rc::check([](const std::string& start, std::uint8_t repeat) {
    std::string key = start;
    for (int i = 0; i < repeat % 20 && key.size() + start.size() <= kNamespaceKeyBytesMax; ++i)
      key += start;
    RC_PRE(key.size() <= kNamespaceKeyBytesMax);
    RC_ASSERT(key_of(path_of(key)) == key);
  }));
}

TEST(Namespace, no_key_leaves_the_root) {
  EXPECT_TRUE(rc::check([] {
    auto byte = rc::gen::elementOf(std::string("./\\a+%~\0\n\xc3", 10));
    auto key = *rc::gen::container<std::string>(byte);
    RC_PRE(!key.empty() && key.size() <= kNamespaceKeyBytesMax);
    std::filesystem::path root("/root/of/logs");
    auto path = (root / path_of(key)).lexically_normal();
    RC_ASSERT(path != root);
    RC_ASSERT(path.string().starts_with("/root/of/logs/"));
    for (const auto& part : std::filesystem::path(path_of(key))) {
      RC_ASSERT(part != "." && part != ".." && part.string().size() <= 255);
      RC_ASSERT(!part.string().starts_with('.'));
    }
  }));
}

// Keys that are easily mistaken for each other: cases, dots, separators, escapes that are text,
// letters of many bytes and their parts, names of the engine, repeated up to the longest.
std::string tricky_key() {
  static const std::vector<std::string> kPieces{"a",
                                                "A",
                                                ".",
                                                "..",
                                                "/",
                                                "\\",
                                                "%",
                                                "%2E",
                                                "+",
                                                "\xc3\xa9",
                                                "e\xcc\x81",
                                                "\xc3",
                                                "\xa9",
                                                "\xf0\x9f\x90\x8b",
                                                "\xe2\x80\xae",
                                                std::string(1, '\0'),
                                                " ",
                                                "\n",
                                                "journal",
                                                "WALRUS",
                                                "LOCK",
                                                "Journal",
                                                "new",
                                                "~",
                                                "-"};
  auto pieces = *rc::gen::container<std::vector<std::string>>(rc::gen::elementOf(kPieces));
  std::string key;
  for (const auto& piece : pieces) key += piece;
  auto times = *rc::gen::element(1, 1, 1, 3, 60, 1000);
  auto once = key;
  for (int i = 1; i < times && key.size() + once.size() <= kNamespaceKeyBytesMax; ++i) key += once;
  return key.substr(0, kNamespaceKeyBytesMax);
}

// Neither is the other, nor lies in it: a directory of ours inside another log would be a stranger
// there. The root, which has the empty key, holds all.
TEST(Namespace, no_two_keys_meet) {
  EXPECT_TRUE(rc::check([] {
    auto one = tricky_key(), other = tricky_key();
    RC_PRE(one != other && !one.empty() && !other.empty());
    auto a = std::filesystem::path(path_of(one)), b = std::filesystem::path(path_of(other));
    auto [in_a, in_b] = std::ranges::mismatch(a, b);
    RC_ASSERT(in_a != a.end() && in_b != b.end());
  }));
}

TEST(Namespace, no_key_meets_a_file_of_the_root) {
  EXPECT_TRUE(rc::check([] {
    auto key = tricky_key();
    RC_PRE(!key.empty());
    auto first = std::filesystem::path(path_of(key)).begin()->string();
    for (Bytes name : {"LOCK", "WALRUS", "WALRUS.new", "journal", "segments", "quarantine"}) {
      RC_ASSERT(first != name);
    }
  }));
}

TEST(Namespace, the_longest_key_fits_into_a_path) {
  auto path = std::filesystem::path(path_of(std::string(kNamespaceKeyBytesMax, '\xff')));
  EXPECT_LT(path.string().size(), 3'500U);  // of 4,096, the root and the files' names included
  for (const auto& part : path) EXPECT_LE(part.string().size(), 255U);
}

using NamespaceLog = LogTest;

TEST_F(NamespaceLog, logs_of_different_keys_do_not_meet) {
  std::vector<std::string> keys = {"a/b",
                                   "a_b",
                                   "A_b",
                                   "..",
                                   ".",
                                   "journal",
                                   "WALRUS.new",
                                   "",
                                   "\xc3\xa9",
                                   "e\xcc\x81",
                                   "\xf0\x9f\x90\x8b",
                                   std::string(kNamespaceKeyBytesMax, 'a'),
                                   std::string(kNamespaceKeyBytesMax - 1, 'a'),
                                   std::string(kNamespaceKeyBytesMax, '\xff')};
  for (const auto& key : keys) {
    auto log = Log::open({.root = directory.path(), .key = key, .shards = 1});
    ASSERT_TRUE(succeeds(log)) << key;
    auto stream = log->create("t", kOs);
    ASSERT_TRUE(succeeds(stream)) << key;
    ASSERT_TRUE(succeeds(stream->append(value(key))));
  }
  for (const auto& key : keys) {
    auto log = Log::open({.root = directory.path(), .key = key});
    ASSERT_TRUE(succeeds(log)) << key;
    EXPECT_EQ(read_all(*log->stream("t")), std::vector<std::string>{key});
  }
}

}  // namespace
}  // namespace walrus::log
