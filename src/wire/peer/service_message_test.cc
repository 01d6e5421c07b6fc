#include "wire/peer/service_message.h"

#include <gtest/gtest.h>

#include "base/golden_bytes.h"
#include "wire/peer/service_command.h"

namespace walrus::wire::peer {
namespace {

constexpr std::int64_t kTime = 1'700'000'000'000;

std::vector<ServiceCommand> all_commands() {
  return {{.leader_time_ms = kTime,
           .seed = 0x0123456789abcdef,
           .body = ProposeCommand{7, 300, 299, "put a 1"}},
          {.body = ProposeCommand{1, 1, 0, ""}},
          {.leader_time_ms = -1, .seed = ~std::uint64_t{0}, .body = OpenSession{3'600'000}}};
}

std::vector<ServiceRequest> all_requests() {
  const std::string address = "10.0.0.4:9093";
  return {
      {.forwarded = true, .body = ProposeRequest{7, 299, 300, {"put a 1", ""}}},
      {.body = QueryRequest{Read::kSession, 1'000, "get a"}},
      {.body = OpenSessionRequest{}},
      {.body = FindSessionRequest{7}},
      {.body = ChangeRequest{ChangeKind::kAddLearner, NodeId{4}, address}},
      {.forwarded = true, .body = ChangeRequest{ChangeKind::kTransfer, NodeId{2}, ""}},
      {.body = JoinRequest{"kv", NodeId{4}, address}},
      {.body = StatusRequest{}},
  };
}

std::vector<ServiceAnswer> all_answers() {
  return {Failed{{Code::kBusy, "no leader is known"}, true},
          ProposeAnswer{{{Code{}, 300, "1"}, {Code::kLocked, 0, "gap"}}},
          QueryAnswer{1'000, "1"},
          SessionAnswer{7, 299, 1'000, 1 << 20},
          DoneAnswer{},
          ServiceStatus{.name = "kv",
                        .cluster_id = "0123456789abcdeffedcba9876543210",
                        .self = NodeId{1},
                        .leader = NodeId{2},
                        .role = Role::kFollower,
                        .term = 3,
                        .commit_index = 400,
                        .applied_index = 399,
                        .snapshot_index = 128,
                        .log_bytes = 70'000,
                        .sessions = 5,
                        .members = {{{NodeId{1}, "10.0.0.1:9093"}, true, 400},
                                    {{NodeId{4}, "10.0.0.4:9093"}, false, 0}},
                        .failure = "why"}};
}

TEST(ServiceCommandTest, commands_encode_to_the_golden_bytes_and_back) {
  const auto golden = golden_lines("peer/service_commands");
  const auto all = all_commands();
  ASSERT_EQ(golden.size(), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::string bytes;
    append_service_command(bytes, all[i]);
    EXPECT_EQ(bytes, golden[i]) << i;
    EXPECT_EQ(parse_service_command(golden[i]).value(), all[i]) << i;
  }
}

TEST(ServiceCommandTest, what_means_nothing_is_refused) {
  const auto refused = [](ServiceCommand command) {
    std::string bytes;
    append_service_command(bytes, command);
    return !parse_service_command(bytes).has_value();
  };
  EXPECT_TRUE(refused({.body = ProposeCommand{0, 1, 0, ""}}));
  EXPECT_TRUE(refused({.body = ProposeCommand{1, 0, 0, ""}}));
  EXPECT_TRUE(refused({.body = ProposeCommand{1, 5, 5, ""}}));
  EXPECT_TRUE(refused({.body = OpenSession{0}}));
  EXPECT_TRUE(refused({.body = OpenSession{kSessionTtlMsMax + 1}}));
  EXPECT_FALSE(refused({.body = OpenSession{kSessionTtlMsMax}}));
  std::string bytes;
  append_service_command(bytes, all_commands()[2]);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(parse_service_command(Bytes(bytes).substr(0, size)));
  EXPECT_FALSE(parse_service_command(bytes + '\0'));
  bytes[1] = 3;
  EXPECT_EQ(parse_service_command(bytes).error().code, Code::kCorrupt);
  bytes[0] = 2;
  EXPECT_EQ(parse_service_command(bytes).error().code, Code::kVersion);
}

TEST(ServiceCommandTest, the_prelude_is_within_its_limit) {
  std::string bytes;
  append_service_command(bytes, {.leader_time_ms = INT64_MIN,
                                 .body = ProposeCommand{UINT64_MAX, UINT64_MAX, UINT64_MAX, ""}});
  EXPECT_EQ(bytes.size(), kCommandPreludeBytesMax);
}

TEST(ServiceMessageTest, messages_encode_to_the_golden_bytes_and_back) {
  const auto golden = golden_lines("peer/service_messages");
  const auto requests = all_requests();
  const auto answers = all_answers();
  ASSERT_EQ(golden.size(), requests.size() + answers.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    std::string bytes;
    append_service_request(bytes, requests[i]);
    EXPECT_EQ(bytes, golden[i]) << i;
    EXPECT_EQ(parse_service_request(golden[i]).value(), requests[i]) << i;
  }
  for (std::size_t i = 0; i < answers.size(); ++i) {
    std::string bytes;
    append_service_answer(bytes, answers[i]);
    EXPECT_EQ(bytes, golden[requests.size() + i]) << i;
    EXPECT_EQ(parse_service_answer(bytes).value(), answers[i]) << i;
  }
}

TEST(ServiceMessageTest, every_prefix_and_every_longer_one_is_refused) {
  for (const auto& request : all_requests()) {
    std::string bytes;
    append_service_request(bytes, request);
    for (std::size_t size = 0; size < bytes.size(); ++size)
      EXPECT_FALSE(parse_service_request(Bytes(bytes).substr(0, size)));
    EXPECT_FALSE(parse_service_request(bytes + '\0'));
    bytes[0] = 2;
    EXPECT_EQ(parse_service_request(bytes).error().code, Code::kVersion);
  }
  for (const auto& answer : all_answers()) {
    std::string bytes;
    append_service_answer(bytes, answer);
    for (std::size_t size = 0; size < bytes.size(); ++size)
      EXPECT_FALSE(parse_service_answer(Bytes(bytes).substr(0, size)));
    EXPECT_FALSE(parse_service_answer(bytes + '\0'));
    bytes[0] = 2;
    EXPECT_EQ(parse_service_answer(bytes).error().code, Code::kVersion);
  }
}

TEST(ServiceMessageTest, what_means_nothing_is_refused) {
  const auto refused = [](decltype(ServiceRequest::body) body) {
    std::string bytes;
    append_service_request(bytes, {.body = std::move(body)});
    return !parse_service_request(bytes).has_value();
  };
  EXPECT_TRUE(refused(ProposeRequest{7, 0, 1, {}}));
  EXPECT_TRUE(refused(ProposeRequest{0, 0, 1, {"x"}}));
  EXPECT_TRUE(refused(ProposeRequest{7, 1, 1, {"x"}}));
  EXPECT_TRUE(refused(ProposeRequest{7, 0, UINT64_MAX, {"x"}}));
  EXPECT_TRUE(refused(ProposeRequest{7, 0, 1, std::vector<std::string>(kProposalsMax + 1)}));
  EXPECT_FALSE(refused(ProposeRequest{7, 0, 1, std::vector<std::string>(kProposalsMax)}));
  EXPECT_TRUE(refused(FindSessionRequest{0}));
  EXPECT_TRUE(refused(ChangeRequest{ChangeKind::kPromote, NodeId{}, ""}));
  EXPECT_TRUE(refused(ChangeRequest{ChangeKind{5}, NodeId{1}, ""}));
  EXPECT_TRUE(refused(ChangeRequest{ChangeKind{0}, NodeId{1}, ""}));
  EXPECT_TRUE(refused(JoinRequest{std::string(256, 'n'), NodeId{1}, "a:1"}));
  EXPECT_TRUE(refused(JoinRequest{"kv", NodeId{1}, std::string(256, 'a')}));
}

TEST(ServiceMessageTest, a_count_that_the_bytes_cannot_hold_takes_no_memory) {
  // propose, of session 1, nothing answered, from 1: 2^30 commands in no bytes
  EXPECT_FALSE(parse_service_request(Bytes("\x01\x01\x00\x01\x00\x01\x80\x80\x80\x80\x04", 11)));
}

}  // namespace
}  // namespace walrus::wire::peer
