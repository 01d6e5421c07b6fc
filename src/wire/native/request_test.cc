#include "wire/native/request.h"

#include <gtest/gtest.h>

#include "wire/native/frame.h"

namespace walrus::wire::native {
namespace {

std::string error(Bytes body) {
  auto request = parse_request(body);
  return request ? "" : request.error().message;
}

struct ErrorCase {
  Bytes body, text;
};

class RequestErrorTest : public testing::TestWithParam<ErrorCase> {};

TEST_P(RequestErrorTest, text_is_exact) {
  auto request = parse_request(GetParam().body);
  ASSERT_FALSE(request.has_value());
  EXPECT_EQ(request.error().message, GetParam().text);
  EXPECT_EQ(request.error().code, Code::kInvalid);
}

using namespace std::string_view_literals;

INSTANTIATE_TEST_SUITE_P(
    upstream, RequestErrorTest,
    testing::Values(
        ErrorCase{"", "unknown command"}, ErrorCase{" ", "unknown command"},
        ErrorCase{"\r\n", "unknown command"}, ErrorCase{"GARBAGE", "unknown command"},
        ErrorCase{"put a b", "unknown command"}, ErrorCase{" PUT a b", "unknown command"},
        ErrorCase{"REGISTER", "REGISTER requires a topic"},
        ErrorCase{"REGISTER ", "REGISTER requires a topic"},
        ErrorCase{"PUT", "PUT requires a topic"}, ErrorCase{"PUT\n", "PUT requires a topic"},
        ErrorCase{"PUT ", "PUT requires a topic"}, ErrorCase{"PUT  ", "PUT requires a topic"},
        ErrorCase{"PUT t", "PUT requires a payload"},
        ErrorCase{"PUT t\n", "PUT requires a payload"}, ErrorCase{"GET", "GET requires a topic"},
        ErrorCase{"STATE", "STATE requires a topic"}, ErrorCase{"\xff", "invalid utf-8"},
        ErrorCase{"GET \xc3", "invalid utf-8"}, ErrorCase{"PUT \xff x", "invalid utf-8"},
        ErrorCase{"GET \xed\xa0\x80", "invalid utf-8"},
        ErrorCase{"GET \xc0\x80", "invalid utf-8"}));

INSTANTIATE_TEST_SUITE_P(
    extensions, RequestErrorTest,
    testing::Values(
        ErrorCase{"REGISTER  x", "invalid topic name"},
        ErrorCase{"REGISTER a/1", "invalid topic name"}, ErrorCase{"PUT  x", "invalid topic name"},
        ErrorCase{"GET ..", "invalid topic name"}, ErrorCase{"GET .", "invalid topic name"},
        ErrorCase{"GET a/", "invalid topic name"}, ErrorCase{"GET a/01", "invalid topic name"},
        ErrorCase{"GET a/-1", "invalid topic name"}, ErrorCase{"GET a/1/2", "invalid topic name"},
        ErrorCase{"GET t\xc3\xa4", "invalid topic name"},
        ErrorCase{"GET a/99999999999", "invalid topic name"},
        ErrorCase{"REGISTER a b", "unexpected argument"},
        ErrorCase{"AUTH PLAIN", "AUTH requires a token"},
        ErrorCase{"AUTH  x", "AUTH requires a mechanism"},
        ErrorCase{"AUTH plain x", "AUTH requires a mechanism"},
        ErrorCase{"USERS x", "unexpected argument"},
        ErrorCase{"USERADD", "USERADD requires a user"},
        ErrorCase{"USERADD alice", "USERADD requires a credential"},
        ErrorCase{"USERADD al\x01ice x", "invalid user name"},
        ErrorCase{"USERADD alice x", "invalid credential"},
        ErrorCase{"USERADD alice SCRAM-SHA-256:4096:c2FsdA==:AA==:AA==", "invalid credential"},
        ErrorCase{"USERSET alice SCRAM-SHA-1:4096:c2FsdA==:AA==:AA==", "invalid credential"},
        ErrorCase{"USERDELETE alice bob", "unexpected argument"},
        ErrorCase{"GROUPS a", "unexpected argument"}, ErrorCase{"GROUP", "GROUP requires a group"},
        ErrorCase{"GROUP ", "GROUP requires a group"},
        ErrorCase{"GROUPDELETE", "GROUPDELETE requires a group"},
        ErrorCase{"GROUPSET", "GROUPSET requires a topic"},
        ErrorCase{"GROUPSET a/1 0=1 g", "invalid topic name"},
        ErrorCase{"GROUPSET a", "GROUPSET requires an offset"},
        ErrorCase{"GROUPSET a 0=1", "GROUPSET requires a group"},
        ErrorCase{"GROUPSET a 0 g", "unexpected argument"},
        ErrorCase{"GROUPSET a 0=1, g", "unexpected argument"},
        ErrorCase{"GROUPSET a 0=1,0=1 g", "unexpected argument"},
        ErrorCase{"GROUPSET a 0=-1 g", "invalid number -1"},
        ErrorCase{"GROUPSET a x=1 g", "invalid number x"},
        ErrorCase{"GROUPSET a 4096=1 g", "invalid number 4096"},
        ErrorCase{"METRICS a", "unexpected argument"},
        ErrorCase{"GET a 1 2", "unexpected argument"},
        ErrorCase{"STATE a b", "unexpected argument"},
        ErrorCase{"CREATE a b", "unexpected argument"},
        ErrorCase{"CREATE a =b", "unexpected argument"}, ErrorCase{"GET a x", "invalid number x"},
        ErrorCase{"GET a -1", "invalid number -1"}, ErrorCase{"GET a  1", "invalid number "},
        ErrorCase{"READ a 1x", "invalid number 1x"},
        ErrorCase{"READ a 9223372036854775808", "invalid number 9223372036854775808"},
        ErrorCase{"APPEND", "APPEND requires a topic"},
        ErrorCase{"APPEND a", "APPEND requires a payload"},
        ErrorCase{"APPENDAT a", "APPENDAT requires an offset"},
        ErrorCase{"APPENDAT a 1", "APPENDAT requires a payload"},
        ErrorCase{"BATCH a", "BATCH requires a batch"},
        ErrorCase{"READ a", "READ requires an offset"},
        ErrorCase{"READBATCH a", "READBATCH requires an offset"},
        ErrorCase{"POLL a", "POLL requires a consumer"},
        ErrorCase{"POLL a b!", "invalid consumer name"},
        ErrorCase{"COMMIT a", "COMMIT requires a consumer"},
        ErrorCase{"COMMIT a b", "COMMIT requires an offset"},
        ErrorCase{"DELETE", "DELETE requires a topic"},
        ErrorCase{"FIND t", "FIND requires a timestamp"},
        ErrorCase{"CLUSTER",
                  "CLUSTER requires one of status, health, segments, drain, activate, "
                  "remove, replace, seal"},
        ErrorCase{"CLUSTER Status",
                  "CLUSTER requires one of status, health, segments, drain, "
                  "activate, remove, replace, seal"},
        ErrorCase{"CLUSTER status x", "unexpected argument"},
        ErrorCase{"CLUSTER segments", "CLUSTER requires a topic"},
        ErrorCase{"CLUSTER drain", "CLUSTER requires a node"},
        ErrorCase{"CLUSTER drain 0", "invalid number 0"},
        ErrorCase{"CLUSTER drain 1 force", "unexpected argument"},
        ErrorCase{"CLUSTER remove 1 now", "unexpected argument"},
        ErrorCase{"CLUSTER remove 1 force x", "unexpected argument"},
        ErrorCase{"CLUSTER replace 1", "CLUSTER requires a node"},
        ErrorCase{"CLUSTER replace 1 0", "invalid number 0"},
        ErrorCase{"CLUSTER replace 1 2 now", "unexpected argument"},
        ErrorCase{"CLUSTER seal", "CLUSTER requires a topic"},
        ErrorCase{"CLUSTER seal a/0 refuse", "unexpected argument"},
        ErrorCase{"CLUSTER seal a accept 1 2 3", "CLUSTER requires a partition"},
        ErrorCase{"CLUSTER seal a/0 accept 1 2", "CLUSTER requires an offset"},
        ErrorCase{"CLUSTER seal a/0 accept 1 2 -3", "invalid number -3"},
        ErrorCase{"CLUSTER seal a/0 accept 1 2 3 4", "unexpected argument"}));

TEST(RequestTest, a_group_has_spaces_and_a_limit) {
  auto request = parse_request("GROUPSET logs 0=5,3=9223372036854775807 my own group\n");
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(std::get<SetGroup>(*request),
            (SetGroup{"logs", {{0, 5}, {3, 9223372036854775807}}, "my own group"}));
  std::string name(kGroupBytesMax, 'g');
  EXPECT_EQ(error("GROUP " + name), "");
  EXPECT_EQ(error("GROUP " + name + "g"), "invalid group name");
}

TEST(RequestTest, payload_is_kept_exactly) {
  auto request = parse_request("PUT t  a b \0\xff\r\n "sv);
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(std::get<Put>(*request).payload, " a b \0\xff\r\n "sv);
}

TEST(RequestTest, put_with_a_second_space_stores_an_empty_payload) {
  auto request = parse_request("PUT t ");
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(std::get<Put>(*request), (Put{.target = {"t"}, .payload = ""}));
}

TEST(RequestTest, trailing_whitespace_of_text_commands_is_removed) {
  for (Bytes body : {"GET t\n", "GET t \r\n", "GET t\t"}) {
    auto request = parse_request(body);
    ASSERT_TRUE(request.has_value()) << error(body);
    EXPECT_EQ(std::get<Get>(*request).target.topic, "t");
  }
}

TEST(RequestTest, longest_topic_name_passes_and_one_more_is_refused) {
  EXPECT_EQ(error("GET " + std::string(249, 'a')), "");
  EXPECT_EQ(error("GET " + std::string(250, 'a')), "invalid topic name");
}

TEST(RequestTest, long_wait_is_cut_to_the_limit) {
  auto request = parse_request("GET t 99999999999");
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(std::get<Get>(*request).wait_ms, kWaitMillisMax);
}

TEST(RequestTest, encodes_what_it_parses) {
  Target target{.topic = "orders", .partition = 3};
  const Request requests[] = {
      Register{"a"},
      Put{{"a"}, "x y"},
      Put{target, ""},
      Get{target, 20},
      Get{{"a"}, 0},
      State{{"a"}},
      Metrics{},
      Append{{"a"}, "\xff"},
      AppendAt{target, 7, "p"},
      Producer{},
      Batch{{"a"}, "bytes \n"},
      Read{target, 1, 2, 3},
      ReadBatch{target, 1, 2, 3},
      Poll{{"a"}, "billing", 5, 6},
      Commit{target, "billing", 9},
      List{"or"},
      List{},
      Delete{"a"},
      Help{"PUT"},
      Help{},
      Create{"a", {{"partitions", "3"}, {"durability", "os"}}},
      Configure{"a", {{"retention_ms", "1"}, {"retention_bytes", std::nullopt}}},
      Describe{"a"},
      Find{target, 1700000000000},
      ClusterRequest{},
      ClusterRequest{.verb = ClusterRequest::Verb::kHealth},
      ClusterRequest{.verb = ClusterRequest::Verb::kSegments, .target = {"a"}},
      ClusterRequest{.verb = ClusterRequest::Verb::kDrain, .node = 3},
      ClusterRequest{.verb = ClusterRequest::Verb::kActivate, .node = 3},
      ClusterRequest{.verb = ClusterRequest::Verb::kRemove, .node = 3},
      ClusterRequest{.verb = ClusterRequest::Verb::kRemove, .node = 3, .force = true},
      ClusterRequest{.verb = ClusterRequest::Verb::kReplace, .node = 3, .by = 4},
      ClusterRequest{.verb = ClusterRequest::Verb::kReplace, .node = 3, .by = 4, .force = true},
      ClusterRequest{.verb = ClusterRequest::Verb::kSeal, .target = {"a"}},
      ClusterRequest{.verb = ClusterRequest::Verb::kSeal, .target = {"a", 7}},
      ClusterRequest{.verb = ClusterRequest::Verb::kSeal,
                     .target = {"a", 7},
                     .loss = ClusterRequest::Loss{.segment = 9, .epoch = 4, .end = 100}},
  };
  for (const auto& request : requests) {
    std::string frame;
    append_request(frame, request);
    auto parsed = parse_request(Bytes(frame).substr(kFrameHeaderBytes));
    ASSERT_TRUE(parsed.has_value()) << frame << ": " << parsed.error().message;
    EXPECT_EQ(*parsed, request) << frame;
  }
}

TEST(RequestTest, help_names_every_command) {
  for (Bytes command :
       {"REGISTER", "PUT",    "GET",    "STATE",     "METRICS", "APPEND",  "APPENDAT",
        "PRODUCER", "BATCH",  "READ",   "READBATCH", "POLL",    "COMMIT",  "LIST",
        "DELETE",   "CREATE", "CONFIG", "DESCRIBE",  "FIND",    "CLUSTER", "HELP"}) {
    auto one = help_text(command);
    ASSERT_TRUE(one.has_value()) << command;
    EXPECT_TRUE(one->starts_with(command));
    EXPECT_NE(help_text("")->find(*one), std::string::npos);
  }
  EXPECT_EQ(help_text("NOPE").error().message, "unknown command");
}

}  // namespace
}  // namespace walrus::wire::native
