// Groups at rest: heartbeats that need no step of the core, and those that do.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/mix64.h"
#include "raft/core.h"
#include "raft/test_group.h"

namespace walrus::raft {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Message only_message(const Actions& actions) {
  EXPECT_EQ(actions.messages.size(), 1u);
  return actions.messages.empty() ? Message{} : actions.messages.front();
}

TEST(CoreIdleTest, an_idle_group_beats_and_hears_without_steps) {
  TestGroup group(2);
  group.elect(1);
  group.propose(1, "a");
  group.pass(milliseconds(200));  // the follower learns of the commit
  group.skip(milliseconds(200));
  Actions out;
  EXPECT_FALSE(group.core(2).beat(group.now(), out));
  ASSERT_TRUE(group.core(1).beat(group.now(), out));
  EXPECT_GT(out.wake_at, group.now());
  auto append = only_message(out);
  EXPECT_FALSE(group.core(1).beat(group.now(), out));  // it is not time
  ASSERT_TRUE(group.core(2).hear(group.now(), append, out));
  EXPECT_GT(out.wake_at, group.now() + milliseconds(400));
  auto reply = only_message(out);
  ASSERT_TRUE(group.core(1).hear(group.now(), reply, out));
  EXPECT_TRUE(out.messages.empty());
  EXPECT_EQ(out.writes.id, 0u);
}

// When the leader spoke to the others, within a second.
std::vector<Nanos> beats_of(TestGroup& group) {
  std::vector<Nanos> beats;
  for (const auto end = group.now() + seconds(1); group.now() < end;) {
    group.skip(milliseconds(10));
    Actions out;
    if (!group.core(1).beat(group.now(), out)) continue;
    beats.push_back(group.now() % seconds(1));
    for (auto& append : out.messages) {
      Actions answered;
      EXPECT_TRUE(group.core(2).hear(group.now(), append, answered));
      auto reply = only_message(answered);
      EXPECT_TRUE(group.core(1).hear(group.now(), reply, out));
    }
  }
  return beats;
}

TEST(CoreIdleTest, a_leader_at_rest_beats_every_other_time) {
  TestGroup group(2);
  group.elect(1);
  group.propose(1, "a");
  group.pass(milliseconds(300));
  std::vector<Nanos> every_other;
  for (int i = 0; i < 5; ++i) every_other.push_back(i * milliseconds(200));
  auto beats = beats_of(group);
  std::ranges::sort(beats);
  EXPECT_EQ(beats, every_other);
}

// Its heartbeat tells of the commit: it does not wait for one of those at rest.
TEST(CoreIdleTest, news_end_the_rest) {
  TestGroup group(2);
  group.elect(1);
  group.pass(milliseconds(400) - group.now() % milliseconds(200));
  group.pass(milliseconds(20));
  group.propose(1, "a");
  EXPECT_EQ(group.core(1).status().commit, group.core(1).status().last);
  EXPECT_LT(group.core(2).status().commit, group.core(2).status().last);
  group.pass(milliseconds(100));
  EXPECT_EQ(group.core(2).status().commit, group.core(2).status().last);
}

TEST(CoreIdleTest, what_is_news_is_for_a_step) {
  TestGroup group(2);
  group.elect(1);
  group.pass(milliseconds(200));
  group.skip(milliseconds(200));
  group.step(1, Tick{});
  auto append = group.under_way<Append>().at(0);
  auto refuses = [&](int node, Message message) {
    Actions out;
    return !group.core(node).hear(group.now(), message, out) && out.messages.empty();
  };
  auto changed = [&](auto change) {
    auto message = append;
    change(message, std::get<Append>(message.body));
    return message;
  };
  EXPECT_TRUE(refuses(2, changed([](Message& one, Append&) { ++one.term; })));
  EXPECT_TRUE(refuses(2, changed([](Message& one, Append&) { --one.term; })));
  EXPECT_TRUE(refuses(2, changed([](Message& one, Append&) { one.from = TestGroup::id(3); })));
  EXPECT_TRUE(refuses(2, changed([](Message& one, Append&) { one.to = TestGroup::id(3); })));
  EXPECT_TRUE(refuses(2, changed([](Message&, Append& one) { ++one.previous.index; })));
  EXPECT_TRUE(refuses(2, changed([](Message&, Append& one) { one.previous = {}; })));
  EXPECT_TRUE(refuses(2, changed([](Message&, Append& one) { one.entries.resize(1); })));
  group.deliver(append);
  auto reply = group.under_way<AppendReply>().at(0);
  std::get<AppendReply>(reply.body).rejected = true;
  EXPECT_TRUE(refuses(1, reply));
  std::get<AppendReply>(reply.body).rejected = false;
  group.read(1);  // waits for a round
  EXPECT_TRUE(refuses(1, reply));
  group.settle();
  group.at(2).disk_holds = true;
  group.propose(1, "a");  // at one of two
  EXPECT_TRUE(refuses(1, reply));
  Actions out;
  group.skip(milliseconds(100));
  EXPECT_FALSE(group.core(1).beat(group.now(), out));
}

TEST(CoreIdleTest, a_leader_that_a_peer_does_not_answer_asks_who_votes) {
  TestGroup group(3);
  group.elect(1);
  group.pass(milliseconds(200));
  group.isolate(3);
  group.pass(seconds(5));
  EXPECT_EQ(group.leader(), 1);
  group.isolate(1);
  group.pass(seconds(2));
  EXPECT_NE(group.core(1).role(), Role::kLeader);
}

// A spare tick beside each event, which is then handled by a step: what comes out is the same.
TEST(CoreIdleTest, heartbeats_do_at_rest_what_steps_do) {
  std::size_t heard = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    TestGroup rests(3), steps(3);
    steps.spare_ticks = true;
    auto random = [state = seed]() mutable { return mix64(state += kMix64Step); };
    for (int i = 0; i < 150; ++i) {
      const auto what = random() % 12;
      const auto node = static_cast<int>(random() % 3) + 1;
      const auto time = milliseconds(random() % 700);
      for (auto* group : {&rests, &steps}) {
        auto leader = group->leader() == 0 ? node : group->leader();
        if (what == 0) group->isolate(node);
        else if (what == 1) group->heal();
        else if (what == 2) group->propose(leader, "x");
        else if (what == 3) group->read(leader, time.count() % 2 == 0);
        else if (what == 4) group->transfer(leader, node);
        else if (what == 5) group->at(node).disk_holds = true;
        else if (what == 6) std::exchange(group->at(node).disk_holds, false), group->release(node);
        group->pass(time);
      }
      for (int each = 1; each <= 3; ++each) {
        auto described = [&](TestGroup& group) {
          auto status = group.core(each).status();
          auto text = fmt::format("{} {} {} {} {} {} {}", static_cast<int>(status.role),
                                  status.leader.value, status.term, status.commit, status.last,
                                  status.durable, group.at(each).actions.wake_at.count());
          for (const auto& peer : status.peers) text += fmt::format(" {}", peer.match);
          for (const auto& [ticket, read] : group.at(each).reads)
            text += fmt::format(" {}:{}:{}", ticket, static_cast<int>(read.refusal), read.index);
          return text;
        };
        ASSERT_EQ(described(rests), described(steps)) << "seed " << seed << ", event " << i;
      }
      ASSERT_EQ(rests.delivered, steps.delivered);
    }
    heard += rests.delivered;
  }
  EXPECT_GT(heard, 10'000u);
}

}  // namespace
}  // namespace walrus::raft
