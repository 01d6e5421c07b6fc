#include "meta/map.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

namespace walrus::meta {
namespace {

struct Stamp {
  std::uint64_t value = 0;
};
struct Thing {
  Stamp version{};
  int what = 0;
};

std::map<int, int> all_of(const Map<int, Thing>& map) {
  std::map<int, int> all;
  map.each([&](int key, const Thing& thing) { all[key] = thing.what; });
  return all;
}

RC_GTEST_PROP(Map, does_what_a_map_does, ()) {
  auto keys = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 60));
  Map<int, Thing> map;
  std::map<int, int> plain;
  std::uint64_t version = 0;
  for (auto key : keys) {
    if (++version % 3 == 0) {
      map.erase(key);
      plain.erase(key);
    } else {
      map.set(key, {{version}, key * 2});
      plain[key] = key * 2;
    }
    RC_ASSERT(map.sound());
    RC_ASSERT(map.size() == plain.size());
    RC_ASSERT(map.contains(key) == plain.contains(key));
  }
  RC_ASSERT(all_of(map) == plain);
}

RC_GTEST_PROP(Map, scans_from_a_key, (int from)) {
  Map<int, Thing> map;
  for (int key = 0; key < 100; key += 3) map.set(key, {});
  from %= 120;
  std::vector<int> seen;
  map.scan(from, [&](int key, const Thing&) {
    seen.push_back(key);
    return seen.size() < 5;
  });
  std::vector<int> expected;
  for (int key = 0; key < 100; key += 3)
    if (key >= from && expected.size() < 5) expected.push_back(key);
  RC_ASSERT(seen == expected);
}

RC_GTEST_PROP(Map, finds_what_changed_since, (std::uint64_t since)) {
  Map<int, Thing> map;
  std::map<int, std::uint64_t> versions;
  for (std::uint64_t version = 1; version <= 200; ++version) {
    int key = static_cast<int>(version * 7919 % 50);
    map.set(key, {{version}, 0});
    versions[key] = version;
  }
  since %= 220;
  std::map<int, std::uint64_t> seen;
  map.changed_since(since, [&](int key, const Thing& thing) { seen[key] = thing.version.value; });
  std::erase_if(versions, [&](const auto& one) { return one.second <= since; });
  RC_ASSERT(seen == versions);
}

TEST(Map, copy_does_not_see_later_changes) {
  Map<int, Thing> map;
  for (int key = 0; key < 1000; ++key) map.set(key, {{1}, key});
  auto image = map;
  const auto* kept = image.find(500);
  for (int key = 0; key < 1000; key += 2) map.erase(key);
  map.set(1, {{2}, -1});
  EXPECT_EQ(image.size(), 1000u);
  EXPECT_EQ(image.find(500), kept);
  EXPECT_EQ(image.find(1)->what, 1);
  EXPECT_EQ(map.size(), 500u);
}

TEST(Map, change_shares_all_but_a_path) {
  Map<int, Thing> map;
  for (int key = 0; key < 1000; ++key) map.set(key, {});
  auto image = map;
  map.set(1, {{2}, 7});
  int own = 0;
  map.each([&](int key, const Thing& thing) { own += &thing != image.find(key) ? 1 : 0; });
  EXPECT_EQ(own, 1);  // values are shared, only the changed one is new
}

}  // namespace
}  // namespace walrus::meta
