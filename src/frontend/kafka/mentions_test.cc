#include "frontend/kafka/mentions.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace walrus::frontend::kafka {
namespace {

TEST(MentionsTest, what_is_named_again_is_told_apart) {
  std::vector<std::string> names{"a", "b", "a", "c", "a"};
  Mentions<std::string> mentions(names);
  std::vector<Mention> told;
  for (const auto& name : names) told.push_back(mentions.mention(name));
  EXPECT_EQ(told, (std::vector{Mention::kRepeated, Mention::kOnce, Mention::kAgain, Mention::kOnce,
                               Mention::kAgain}));
}

TEST(MentionsTest, members_are_names_too) {
  struct Named {
    int id = 0;
  };
  std::vector<Named> list{{1}, {2}, {1}};
  Mentions<int> mentions(list, &Named::id);
  EXPECT_TRUE(mentions.first(1));
  EXPECT_FALSE(mentions.first(1));
  EXPECT_TRUE(mentions.first(2));
}

}  // namespace
}  // namespace walrus::frontend::kafka
