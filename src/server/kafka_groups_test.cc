// Consumer groups over the Kafka protocol, against a simulated server: what members are told, and
// what a restart keeps.

#include <set>

#include "server/kafka_fixture.h"
#include "wire/kafka/groups.h"

namespace walrus::server {
namespace {

constexpr Bytes kGroup = "workers";

class KafkaGroupsTest : public KafkaTest {
 protected:
  KafkaGroupsTest() {
    options_.groups.offsets_retention = 1h;
    start();
    make("t", 2);
  }
  template <class Response, class Request>
  Response ask(const Request& request, std::int16_t version) {
    auto response = client().ask<Response>(request, version);
    EXPECT_TRUE(response.has_value()) << response.error().message;
    return response ? *std::move(response) : Response{};
  }

  static JoinGroupRequest join_request(Bytes member, Bytes metadata = "topics") {
    JoinGroupRequest request{.group_id = kGroup,
                             .session_timeout_ms = 10'000,
                             .rebalance_timeout_ms = 60'000,
                             .member_id = member,
                             .protocol_type = "consumer"};
    request.protocols.push_back({.name = "range", .metadata = metadata});
    return request;
  }
  // Sends the join of a newcomer, who is told its id first.
  std::string send_join(KafkaClient& from, Bytes metadata = "topics") {
    auto told = from.ask<JoinGroupResponse>(join_request("", metadata), 9);
    EXPECT_TRUE(told.has_value());
    EXPECT_EQ(told->error_code, 79);
    EXPECT_TRUE(from.send(join_request(told->member_id, metadata), 9).has_value());
    return told->member_id;
  }
  JoinGroupResponse join_alone() {
    (void)send_join(client());
    auto joined = client().receive<JoinGroupResponse>(9);
    EXPECT_TRUE(joined.has_value());
    EXPECT_EQ(joined->error_code, 0);
    return joined.value_or(JoinGroupResponse{});
  }
  static SyncGroupRequest sync_request(const JoinGroupResponse& joined) {
    SyncGroupRequest request{.group_id = kGroup,
                             .generation_id = joined.generation_id,
                             .member_id = joined.member_id,
                             .protocol_type = "consumer",
                             .protocol_name = "range"};
    for (const auto& member : joined.members)
      request.assignments.push_back({.member_id = member.member_id, .assignment = member.metadata});
    return request;
  }
  std::int16_t heartbeat(Bytes member, std::int32_t generation) {
    return ask<HeartbeatResponse>(
               HeartbeatRequest{
                   .group_id = kGroup, .generation_id = generation, .member_id = member},
               4)
        .error_code;
  }
  static OffsetCommitRequest commit_request(Bytes member, std::int32_t generation,
                                            std::int64_t offset, Bytes topic = "t") {
    OffsetCommitRequest request{
        .group_id = kGroup, .generation_id = generation, .member_id = member};
    request.topics.push_back(
        {.name = topic, .partitions = {{.index = 1, .offset = offset, .metadata = "note"}}});
    return request;
  }
  std::int16_t commit(Bytes member, std::int32_t generation, std::int64_t offset,
                      Bytes topic = "t") {
    auto request = commit_request(member, generation, offset, topic);
    return ask<OffsetCommitResponse>(request, 8).topics.at(0).partitions.at(0).error_code;
  }
  std::int64_t committed(Bytes topic = "t") {
    OffsetFetchRequest request;
    request.groups.push_back({.group_id = kGroup});
    request.groups[0].topics.emplace().push_back({.name = topic, .partitions = {1}});
    auto response = ask<OffsetFetchResponse>(request, 8);
    EXPECT_EQ(response.groups.at(0).error_code, 0);
    return response.groups[0].topics.at(0).partitions.at(0).offset;
  }
  std::string state_of_group() {
    DescribeGroupsRequest request;
    request.groups.push_back(kGroup);
    return std::string(ask<DescribeGroupsResponse>(request, 5).groups.at(0).state);
  }
  std::int16_t delete_group() {
    DeleteGroupsRequest request;
    request.groups.push_back(kGroup);
    return ask<DeleteGroupsResponse>(request, 2).groups.at(0).error_code;
  }
  std::int16_t leave(Bytes member) {
    LeaveGroupRequest request{.group_id = kGroup};
    request.members.push_back({.member_id = member});
    return ask<LeaveGroupResponse>(request, 4).members.at(0).error_code;
  }
};

TEST_F(KafkaGroupsTest, the_coordinator_is_this_node) {
  auto found = ask<FindCoordinatorResponse>(FindCoordinatorRequest{.keys = {"a", "b"}}, 4);
  ASSERT_EQ(found.coordinators.size(), 2u);
  EXPECT_EQ(found.coordinators[1].key, "b");
  EXPECT_EQ(found.coordinators[1].node_id, 1);
  EXPECT_EQ(found.coordinators[1].port, 9092);
  EXPECT_EQ(ask<FindCoordinatorResponse>(FindCoordinatorRequest{.key = "a"}, 2).port, 9092);
  EXPECT_EQ(ask<FindCoordinatorResponse>(FindCoordinatorRequest{.key = "tx", .key_type = 1}, 2)
                .error_code,
            15);
}

TEST_F(KafkaGroupsTest, a_member_commits_and_goes_on_after_a_restart) {
  auto before = world_.now();
  auto joined = join_alone();
  EXPECT_LT(world_.now() - before, 4s) << "the wait of three seconds, and not its session";
  EXPECT_EQ(joined.leader, joined.member_id);
  ASSERT_EQ(joined.members.size(), 1u);
  auto synced = ask<SyncGroupResponse>(sync_request(joined), 5);
  EXPECT_EQ(synced.error_code, 0);
  EXPECT_EQ(synced.assignment, "topics");
  EXPECT_EQ(heartbeat(joined.member_id, joined.generation_id), 0);
  EXPECT_EQ(heartbeat(joined.member_id, joined.generation_id + 1), 22);
  EXPECT_EQ(heartbeat("stranger", joined.generation_id), 25);
  EXPECT_EQ(committed(), -1);
  EXPECT_EQ(commit(joined.member_id, joined.generation_id, 7), 0);
  EXPECT_EQ(commit(joined.member_id, joined.generation_id - 1, 9), 22);
  EXPECT_EQ(commit("", -1, 9), 25);  // somebody is in the group
  EXPECT_EQ(commit(joined.member_id, joined.generation_id, 9, "absent"), 3);
  EXPECT_EQ(state_of_group(), "Stable");
  crash(io::CrashKind::kPowerCut);
  EXPECT_EQ(committed(), 7);
  EXPECT_EQ(heartbeat(joined.member_id, joined.generation_id), 0);
  EXPECT_EQ(ask<SyncGroupResponse>(sync_request(joined), 5).assignment, "topics");
  world_.run_for(11s);  // nothing is heard of it
  EXPECT_EQ(heartbeat(joined.member_id, joined.generation_id), 25);
  EXPECT_EQ(state_of_group(), "Empty");
  EXPECT_EQ(commit("", -1, 9), 0);
  EXPECT_EQ(committed(), 9);
}

TEST_F(KafkaGroupsTest, a_newcomer_makes_the_others_join_again) {
  auto first = join_alone();
  EXPECT_EQ(ask<SyncGroupResponse>(sync_request(first), 5).error_code, 0);
  auto other = connect();
  auto second_id = send_join(*other, "other topics");
  world_.run_for(100ms);  // it arrives
  EXPECT_EQ(heartbeat(first.member_id, first.generation_id), 27);
  auto again = ask<JoinGroupResponse>(join_request(first.member_id), 9);
  EXPECT_EQ(again.error_code, 0);
  EXPECT_EQ(again.generation_id, first.generation_id + 1);
  ASSERT_EQ(again.members.size(), 2u);
  auto second = other->receive<JoinGroupResponse>(9);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->member_id, second_id);
  EXPECT_EQ(second->leader, first.member_id);
  EXPECT_TRUE(second->members.empty());
  ASSERT_TRUE(other->send(sync_request(*second), 5).has_value());
  EXPECT_EQ(ask<SyncGroupResponse>(sync_request(again), 5).assignment, "topics");
  auto synced = other->receive<SyncGroupResponse>(5);
  ASSERT_TRUE(synced.has_value());
  EXPECT_EQ(synced->assignment, "other topics");
  EXPECT_EQ(delete_group(), 68);
  EXPECT_EQ(leave(second_id), 0);
  EXPECT_EQ(leave(second_id), 25);
  EXPECT_EQ(heartbeat(first.member_id, again.generation_id), 27);
  EXPECT_EQ(leave(first.member_id), 0);
  EXPECT_EQ(state_of_group(), "Empty");
  EXPECT_EQ(ask<ListGroupsResponse>(ListGroupsRequest{}, 4).groups.size(), 1u);
  EXPECT_EQ(delete_group(), 0);
  EXPECT_EQ(delete_group(), 69);
  EXPECT_EQ(state_of_group(), "Dead");
}

TEST_F(KafkaGroupsTest, offsets_belong_to_the_topic_that_they_were_committed_for) {
  EXPECT_EQ(commit("", -1, 5), 0);
  EXPECT_EQ(committed(), 5);
  DeleteTopicsRequest doomed;
  doomed.topics.push_back({.name = "t"});
  EXPECT_EQ(ask<DeleteTopicsResponse>(doomed, 6).topics.at(0).error_code, 0);
  make("t", 2);
  EXPECT_EQ(committed(), -1);
  EXPECT_EQ(commit("", -1, 6), 0);
  EXPECT_EQ(committed(), 6);
}

TEST_F(KafkaGroupsTest, offsets_of_an_empty_group_are_forgotten_in_time) {
  EXPECT_EQ(commit("", -1, 5), 0);
  world_.run_for(options_.groups.offsets_retention / 2);
  client_ = connect();  // the connection was idle for too long
  EXPECT_EQ(committed(), 5);
  crash(io::CrashKind::kKill);
  EXPECT_EQ(committed(), 5);
  world_.run_for(options_.groups.offsets_retention / 2 + 11min);
  client_ = connect();
  EXPECT_EQ(committed(), -1);
  EXPECT_EQ(delete_group(), 69);
}

TEST_F(KafkaGroupsTest, a_removed_group_stays_away) {
  EXPECT_EQ(commit("", -1, 5), 0);
  EXPECT_EQ(delete_group(), 0);
  crash(io::CrashKind::kKill);
  EXPECT_EQ(state_of_group(), "Dead");
  EXPECT_EQ(delete_group(), 69);
}

TEST_F(KafkaGroupsTest, groups_and_what_they_keep_are_limited) {
  options_.groups.members_max = 1;
  options_.groups.bytes_max = 1000;
  options_.groups.groups_max = 2;
  options_.groups.group_id_bytes_max = 20;
  restart();
  auto join = [&](Bytes group, Bytes metadata, std::int16_t version = 3) {
    auto request = join_request("", metadata);
    request.group_id = group;
    return ask<JoinGroupResponse>(request, version);
  };
  EXPECT_EQ(join("", "topics").error_code, 24);
  EXPECT_EQ(join(std::string(21, 'g'), "topics").error_code, 24);
  EXPECT_EQ(join("a", std::string(1000, 'm')).error_code, -1);
  EXPECT_TRUE(ask<ListGroupsResponse>(ListGroupsRequest{}, 4).groups.empty()) << "nothing is kept";
  auto joined = join("a", "topics");
  EXPECT_EQ(joined.error_code, 0);
  EXPECT_EQ(join("a", "topics").error_code, 81);
  SyncGroupRequest sync{
      .group_id = "a", .generation_id = joined.generation_id, .member_id = joined.member_id};
  std::string large(1001, 'a');
  sync.assignments.push_back({.member_id = joined.member_id, .assignment = large});
  EXPECT_EQ(ask<SyncGroupResponse>(sync, 5).error_code, -1);
  sync.assignments[0].assignment = "small";
  EXPECT_EQ(ask<SyncGroupResponse>(sync, 5).assignment, "small");
  EXPECT_EQ(commit("", -1, 5), 0);  // the second group
  EXPECT_EQ(join("third", "topics").error_code, 81);
}

TEST_F(KafkaGroupsTest, requests_that_are_refused_leave_no_group) {
  EXPECT_EQ(commit("nobody", 3, 5), 25);
  SyncGroupRequest sync{.group_id = kGroup, .generation_id = 1, .member_id = "nobody"};
  EXPECT_EQ(ask<SyncGroupResponse>(sync, 5).error_code, 25);
  EXPECT_EQ(ask<JoinGroupResponse>(join_request("nobody"), 9).error_code, 25);
  EXPECT_EQ(heartbeat("nobody", 1), 25);
  EXPECT_EQ(leave("nobody"), 25);
  EXPECT_TRUE(ask<ListGroupsResponse>(ListGroupsRequest{}, 4).groups.empty());
  // Who was told an id and does not come again leaves none either.
  EXPECT_EQ(ask<JoinGroupResponse>(join_request(""), 9).error_code, 79);
  EXPECT_EQ(ask<ListGroupsResponse>(ListGroupsRequest{}, 4).groups.size(), 1u);
  world_.run_for(11s);
  EXPECT_TRUE(ask<ListGroupsResponse>(ListGroupsRequest{}, 4).groups.empty());
}

// Whichever comes first, what is told then is what a crash leaves.
TEST_F(KafkaGroupsTest, a_commit_and_a_removal_at_once_leave_what_was_told) {
  DeleteGroupsRequest removal;
  removal.groups.push_back(kGroup);
  std::set<std::int64_t> seen;
  for (int i = 0; i < 40; ++i) {
    auto other = connect();
    ASSERT_EQ(commit("", -1, 1), 0);
    ASSERT_TRUE(client().send(commit_request("", -1, 2), 8).has_value());
    world_.run_for(50us * i);
    ASSERT_TRUE(other->send(removal, 2).has_value());
    ASSERT_TRUE(client().receive<OffsetCommitResponse>(8).has_value());
    ASSERT_TRUE(other->receive<DeleteGroupsResponse>(2).has_value());
    other.reset();
    auto told = committed();
    seen.insert(told);
    crash(io::CrashKind::kPowerCut);
    ASSERT_EQ(committed(), told) << i;
  }
  EXPECT_FALSE(seen.contains(1));
}

// Their deadlines are found without a look at each of them.
TEST_F(KafkaGroupsTest, many_groups_end_in_their_time) {
  constexpr int kGroups = 1000;
  for (int i = 0; i < kGroups; ++i) {
    auto request = join_request("");
    auto name = fmt::format("group {}", i);
    request.group_id = name;
    request.session_timeout_ms = i % 2 == 0 ? 10'000 : 60'000;
    ASSERT_EQ(ask<JoinGroupResponse>(request, 9).error_code, 79);
  }
  auto groups = [&] { return ask<ListGroupsResponse>(ListGroupsRequest{}, 4).groups.size(); };
  EXPECT_EQ(groups(), std::size_t{kGroups});
  world_.run_for(11s);
  EXPECT_EQ(groups(), std::size_t{kGroups} / 2);
  world_.run_for(50s);
  EXPECT_EQ(groups(), 0u);
}

TEST_F(KafkaGroupsTest, native_clients_see_move_and_remove_groups) {
  TestClient native(loop_, server_->native_address());
  EXPECT_EQ(native.ask("GROUPS"), "[]");
  EXPECT_EQ(native.ask("GROUP workers"), "ERR unknown group workers");
  EXPECT_EQ(native.ask("GROUPDELETE workers"), "ERR unknown group workers");
  EXPECT_EQ(native.ask("GROUPSET t 0=0,1=1 workers"), "ERR offset out of range 0..0");
  EXPECT_EQ(native.ask("GROUPSET t 2=0 workers"), "ERR unknown topic t/2");
  EXPECT_EQ(native.ask("GROUPSET no 0=0 workers"), "ERR unknown topic no");
  EXPECT_EQ(native.ask("GROUPS"), "[]") << "nothing was set";
  EXPECT_EQ(native.ask("PUT t/1 x"), "OK");
  EXPECT_EQ(native.ask("GROUPSET t 0=0,1=1 workers"), "OK");
  native.close();
  crash(io::CrashKind::kPowerCut);
  EXPECT_EQ(committed(), 1);
  TestClient again(loop_, server_->native_address());
  EXPECT_EQ(again.ask("GROUPS"), R"([{"name":"workers","state":"Empty","protocol_type":""}])");
  EXPECT_EQ(again.ask("GROUP workers"),
            R"({"name":"workers","state":"Empty","protocol_type":"","protocol":"","members":[],)"
            R"("offsets":[{"topic":"t","partition":0,"offset":0,"log_start":0,"high_watermark":0,)"
            R"("lag":0,"metadata":""},{"topic":"t","partition":1,"offset":1,"log_start":0,)"
            R"("high_watermark":1,"lag":0,"metadata":""}]})");
  // What the leader assigned is read where it is a consumer's, and passed over where it is not.
  auto joined = join_alone();
  auto request = sync_request(joined);
  constexpr Bytes kAssignment("\0\0\0\0\0\1\0\1t\0\0\0\1\0\0\0\1\xff\xff\xff\xff", 21);
  request.assignments.at(0).assignment = kAssignment;
  EXPECT_EQ(ask<SyncGroupResponse>(request, 5).error_code, 0);
  auto told = again.ask("GROUP workers");
  EXPECT_TRUE(told.contains(R"("partitions":[{"topic":"t","partition":1}])")) << told;
  EXPECT_TRUE(told.contains(R"("state":"Stable","protocol_type":"consumer","protocol":"range")"))
      << told;
  EXPECT_EQ(again.ask("GROUPSET t 0=0 workers"), "ERR group has members workers");
  EXPECT_EQ(again.ask("GROUPDELETE workers"), "ERR group has members workers");
  EXPECT_EQ(leave(joined.member_id), 0);
  EXPECT_EQ(again.ask("GROUPDELETE workers"), "OK");
  EXPECT_EQ(committed(), -1);
  again.close();
}

TEST_F(KafkaGroupsTest, the_stream_of_groups_is_no_topic) {
  EXPECT_EQ(commit("", -1, 5), 0);
  CreateTopicsRequest request;
  request.topics.push_back(
      {.name = "__consumer_offsets", .partitions = 1, .replication_factor = 1});
  EXPECT_EQ(ask<CreateTopicsResponse>(request, 7).topics.at(0).error_code, 36);
  DeleteTopicsRequest doomed;
  doomed.topics.push_back({.name = "__consumer_offsets"});
  EXPECT_EQ(ask<DeleteTopicsResponse>(doomed, 6).topics.at(0).error_code, 3);
  EXPECT_EQ(committed(), 5);
}

}  // namespace
}  // namespace walrus::server
