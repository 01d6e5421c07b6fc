#include "frontend/kafka/fetch_session.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace walrus::frontend::kafka {
namespace {

using namespace wire::kafka;
using namespace std::chrono_literals;

constexpr SessionTime kNow = 1h;

FetchRequest asking(std::int32_t id, std::int32_t epoch, std::vector<std::int32_t> partitions = {},
                    std::vector<std::int32_t> forgotten = {}) {
  FetchRequest request{.session_id = id, .session_epoch = epoch};
  if (!partitions.empty()) request.topics.push_back({.name = "t"});
  for (auto index : partitions) request.topics[0].partitions.push_back({.index = index});
  if (!forgotten.empty())
    request.forgotten_topics.push_back({.name = "t", .partitions = forgotten});
  return request;
}
FetchSessionRef session_of(std::vector<std::int32_t> partitions) {
  return std::make_shared<FetchSession>(false, asking(0, 0, std::move(partitions)));
}
std::vector<std::int32_t> order(const FetchSession& session) {
  std::vector<std::int32_t> indexes;
  for (const auto& part : session.parts()) indexes.push_back(part.asked.index);
  return indexes;
}
const FetchResponse::Topic kTopic{.name = "t"};
FetchResponse::Partition answer(std::int32_t index, std::int64_t high_watermark, Bytes records = {},
                                std::int64_t log_start = 0) {
  return {.index = index,
          .high_watermark = high_watermark,
          .log_start_offset = log_start,
          .records = records};
}
using Order = std::vector<std::int32_t>;

TEST(FetchSessionTest, partitions_are_added_changed_and_forgotten) {
  FetchSession session(false, asking(0, 0, {3, 1}));
  EXPECT_EQ(order(session), Order({3, 1}));
  auto more = asking(1, 1, {2, 1}, {3, 9});
  more.topics[0].partitions[1].fetch_offset = 7;
  session.update(more);
  EXPECT_EQ(order(session), Order({1, 2}));
  EXPECT_EQ(session.parts().front().asked.fetch_offset, 7);
}

TEST(FetchSessionTest, only_news_is_told) {
  FetchSession session(false, asking(0, 0, {0}));
  EXPECT_TRUE(session.tell(kTopic, answer(0, 5)));
  EXPECT_FALSE(session.tell(kTopic, answer(0, 5)));
  EXPECT_TRUE(session.tell(kTopic, answer(0, 6)));
  EXPECT_TRUE(session.tell(kTopic, answer(0, 6, "records")));
  EXPECT_TRUE(session.tell(kTopic, answer(0, 6, "", 2)));
  EXPECT_FALSE(session.tell(kTopic, answer(0, 6, "", 2)));
  FetchResponse::Partition failed{.index = 0, .error_code = 3};
  EXPECT_TRUE(session.tell(kTopic, failed));
  EXPECT_TRUE(session.tell(kTopic, failed));               // as long as it lasts
  EXPECT_TRUE(session.tell(kTopic, answer(0, 6, "", 2)));  // and that it is over
  auto pointed = answer(0, 6, "", 2);
  pointed.preferred_read_replica = 3;
  EXPECT_TRUE(session.tell(kTopic, pointed));
}

TEST(FetchSessionTest, what_had_records_goes_behind_the_others) {
  FetchSession session(false, asking(0, 0, {0, 1, 2}));
  session.tell(kTopic, answer(0, 1, "records"));
  session.tell(kTopic, answer(1, 1));
  session.tell(kTopic, answer(2, 1, "records"));
  EXPECT_EQ(order(session), Order({1, 0, 2}));
}

TEST(FetchSessionsTest, requests_follow_each_other) {
  FetchSessions sessions({});
  auto full = sessions.begin(asking(0, 0, {0, 1}), false, kNow);
  EXPECT_TRUE(full.wanted);
  EXPECT_EQ(full.session, nullptr);
  auto id = sessions.admit(session_of({0, 1}), kNow, 7);
  EXPECT_EQ(id, 7);
  auto first = sessions.begin(asking(id, 1, {2}), false, kNow);
  ASSERT_NE(first.session, nullptr);
  EXPECT_EQ(first.epoch, 2);
  EXPECT_EQ(sessions.partitions(), 3u);
  EXPECT_EQ(sessions.begin(asking(id, 1), false, kNow).error, ErrorCode::kInvalidFetchSessionEpoch);
  EXPECT_EQ(sessions.begin(asking(id, 3), false, kNow).error, ErrorCode::kInvalidFetchSessionEpoch);
  EXPECT_EQ(sessions.begin(asking(id, 2), true, kNow).error, ErrorCode::kFetchSessionTopicIdError);
  EXPECT_EQ(sessions.begin(asking(id + 1, 2), false, kNow).error,
            ErrorCode::kFetchSessionIdNotFound);
  EXPECT_EQ(sessions.begin(asking(id, 2), false, kNow).session, first.session);
  // Made anew, or ended.
  EXPECT_TRUE(sessions.begin(asking(id, 0, {0}), false, kNow).wanted);
  EXPECT_EQ(sessions.size(), 0u);
  id = sessions.admit(session_of({0}), kNow, 0);
  EXPECT_NE(id, 0);
  EXPECT_FALSE(sessions.begin(asking(id, -1), false, kNow).wanted);
  EXPECT_EQ(sessions.size(), 0u);
  EXPECT_EQ(sessions.partitions(), 0u);
}

TEST(FetchSessionsTest, one_that_reads_nothing_ends) {
  FetchSessions sessions({});
  auto id = sessions.admit(session_of({0}), kNow, 5);
  auto turn = sessions.begin(asking(id, 1, {}, {0}), false, kNow);
  ASSERT_NE(turn.session, nullptr);
  EXPECT_EQ(turn.session->id(), 0);  // what the client is told
  EXPECT_EQ(sessions.size(), 0u);
  EXPECT_EQ(sessions.admit(session_of({}), kNow, 5), 0);
}

TEST(FetchSessionsTest, the_cache_is_bounded) {
  FetchSessions sessions({.sessions_max = 2, .partitions_max = 100, .evictable_after = 1min});
  auto first = sessions.admit(session_of({0, 1}), kNow, 1);
  EXPECT_EQ(sessions.admit(session_of({0}), kNow, 1), 2);           // an id that is taken
  EXPECT_EQ(sessions.admit(session_of({0, 1, 2, 3}), kNow, 3), 0);  // all are young
  // In use, but old: the smallest makes room for a larger one only.
  auto later = kNow + 50s;
  EXPECT_NE(sessions.begin(asking(first, 1), false, later).session, nullptr);
  EXPECT_NE(sessions.begin(asking(2, 1), false, later).session, nullptr);
  later = kNow + 70s;
  EXPECT_EQ(sessions.admit(session_of({0}), later, 4), 0);
  EXPECT_EQ(sessions.admit(session_of({0, 1, 2}), later, 4), 4);
  EXPECT_EQ(sessions.begin(asking(2, 2), false, later).error, ErrorCode::kFetchSessionIdNotFound);
  // Not used for long: any makes room.
  later = kNow + 200s;
  EXPECT_EQ(sessions.admit(session_of({0}), later, 5), 5);
  EXPECT_EQ(sessions.begin(asking(first, 2), false, later).error,
            ErrorCode::kFetchSessionIdNotFound);
  EXPECT_EQ(sessions.size(), 2u);
}

TEST(FetchSessionsTest, partitions_of_all_sessions_are_bounded) {
  FetchSessions sessions({.sessions_max = 10, .partitions_max = 4});
  EXPECT_EQ(sessions.admit(session_of({0, 1, 2}), kNow, 1), 1);
  EXPECT_EQ(sessions.admit(session_of({0, 1}), kNow, 2), 0);
  auto turn = sessions.begin(asking(1, 1, {3, 4}), false, kNow);
  ASSERT_NE(turn.session, nullptr);  // answered, and told that it is a session no more
  EXPECT_EQ(turn.session->id(), 0);
  EXPECT_EQ(turn.session->parts().size(), 5u);
  EXPECT_EQ(sessions.partitions(), 0u);
}

// A client that keeps what it was told always knows what it would know from full fetches.
TEST(FetchSessionsTest, a_client_that_is_told_only_news_knows_everything) {
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    std::mt19937_64 random(seed);
    auto draw = [&](std::uint64_t below) { return static_cast<std::int32_t>(random() % below); };
    FetchSessions sessions({});
    std::map<std::int32_t, std::int64_t> known;  // high watermark by partition
    std::vector<std::int64_t> truth(6, 1);
    std::int32_t id = 0, epoch = 0;
    std::set<std::int32_t> reads;
    for (int i = 0; i < 40; ++i) {
      ++truth[static_cast<std::size_t>(draw(6))];
      std::vector<std::int32_t> added, forgotten;
      if (id == 0) reads.clear();
      for (std::int32_t p = 0; p < 6; ++p) {
        if (id != 0 && draw(5) == 0 && reads.erase(p) > 0) forgotten.push_back(p);
        else if (draw(3) == 0 && reads.insert(p).second) added.push_back(p);
      }
      for (auto p : forgotten) known.erase(p);
      auto request = asking(id, epoch, added, forgotten);
      auto turn = sessions.begin(request, false, kNow);
      ASSERT_EQ(turn.error, ErrorCode::kNone);
      auto session = turn.session ? turn.session : std::make_shared<FetchSession>(false, request);
      auto asked = order(*session);
      EXPECT_EQ(std::set(asked.begin(), asked.end()), reads);
      EXPECT_EQ(asked.size(), reads.size());
      for (auto p : asked)
        if (session->tell(kTopic, answer(p, truth[static_cast<std::size_t>(p)],
                                         draw(4) == 0 ? "records" : "")))
          known[p] = truth[static_cast<std::size_t>(p)];
      for (auto p : reads) EXPECT_EQ(known.at(p), truth[static_cast<std::size_t>(p)]) << seed;
      if (turn.session) {
        id = session->id();
        epoch = turn.epoch;
      } else {
        id = sessions.admit(session, kNow, random());
        epoch = 1;
      }
      if (id == 0 || draw(20) == 0) {
        epoch = 0;
        known.clear();
        if (id != 0) reads.clear();
        id = 0;
      }
      ASSERT_FALSE(HasFailure());
    }
  }
}

}  // namespace
}  // namespace walrus::frontend::kafka
