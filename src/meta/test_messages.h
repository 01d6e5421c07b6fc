#pragma once
// For tests and the fuzz corpus: one message about metadata of each kind, in their order.

#include "meta/identity.h"
#include "meta/message.h"

namespace walrus::meta {

inline std::vector<Message> all_messages() {
  Uuid topic;
  topic.bytes.fill(0x11);
  Uuid directory;
  directory.bytes.fill(0x22);
  const PartitionId partition{topic, 300};
  const Placement place{NodeId{2}, {NodeId{2}, NodeId{1}, NodeId{300}}};
  const Copy copy{partition, SegmentId{1000}, NodeId{1}, NodeId{4}, NodeId{3}, 123'456};
  const Condition condition{
      1ull << 40, true, {{partition, SegmentId{1000}, NodeId{3}}}, {{partition, SegmentId{1001}}}};
  return {
      JoinRequest{NodeId{4}, "10.0.0.4:9093", 1},
      EnrollRequest{{.node = NodeId{4},
                     .directory = directory,
                     .incarnation = 1ull << 40,
                     .claimed = {7, 9},
                     .feature_level_max = 1,
                     .listeners = {{"peer", "10.0.0.4:9093"}},
                     .rack = "r"}},
      Enrolled{{Refusal::kEpoch, {17}, 1ull << 41}},
      ProposeRequest{"a command"},
      Proposed{300, "a reply"},
      Heartbeat{1ull << 40, 3, Leaving::kNow, {partition}, {copy}, 1'000'000},
      Leased{true, 4},
      Handout{1ull << 40,
              {500},
              {{partition, SegmentId{1000}, Epoch{9}, place},
               {partition, SegmentId{1001}, Epoch{10}, std::nullopt}},
              {{partition, SegmentId{1002}, RollReason::kBalance, place}},
              {copy}},
      Here{1ull << 40},
      Done{},
      NotLeader{NodeId{2}, "10.0.0.2:9093"},
      Health{.controller = NodeId{2},
             .nodes = {{NodeId{1}, true, 1ull << 40, std::chrono::milliseconds(1500)}},
             .drains = {{NodeId{3}, {1, 2, 3, 4}, std::chrono::seconds(90)}},
             .stuck = {{Stuck::Why::kUnsealable, partition, SegmentId{1000}}},
             .copies = {copy},
             .stuck_total = 2,
             .under_replicated = 3,
             .searched = true},
      Concerns{{{partition, SegmentId{1000}, 1, 3}}},
      condition,
      Conditions{{{NodeId{2}, condition}}},
      RejoinRequest{{NodeId{4}, "10.0.0.4:9093", 1}, 2, 7, 1ull << 33},
  };
}

inline Identity an_identity() {
  Identity identity{.node = NodeId{300},
                    .begins = Begins::kFounds,
                    .confirmed = 1ull << 32,
                    .floor = 3ull << 32,
                    .claimed = {(1ull << 32) + 1, 2ull << 32}};
  identity.cluster.bytes.fill(0x33);
  identity.directory.bytes.fill(0x44);
  return identity;
}

}  // namespace walrus::meta
