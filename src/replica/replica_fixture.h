#pragma once
// Batches, and single copies and writers, for the tests of this room.

#include <string>
#include <vector>

#include "record/batch.h"
#include "replica/follower.h"
#include "replica/leader.h"
#include "replica/sealer.h"

namespace walrus::replica {

inline std::string batch_bytes(std::int64_t producer = -1, std::int32_t sequence = -1) {
  Record records[] = {{.value = "v"}};
  return record::encode(records, {.producer_id = producer,
                                  .producer_epoch = std::int16_t(producer < 0 ? -1 : 0),
                                  .base_sequence = sequence});
}
inline Batch batch_at(std::int64_t offset) {
  auto bytes = batch_bytes();
  record::set_base_offset(bytes.data(), offset);
  return {offset, offset + 1, Payload::copy_of(bytes)};
}
inline Payload no_producers() {
  std::string bytes;
  log::ProducerTable().encode(bytes);
  return Payload::copy_of(bytes);
}

constexpr NodeId kSelf{2}, kWriter{1}, kRecoverer{3};
constexpr SegmentId kSegment{7};

// One copy, what it wrote and what it said.
struct OneCopy {
  explicit OneCopy(std::optional<Copy> found = {}, Knowledge knowledge = Knowledge::kWhole,
                   Durability::Kind durability = Durability::kFsync)
      : core(Follower::open({.self = kSelf, .segment = kSegment, .durability = durability}, found,
                            knowledge)) {}

  void step(Follower::Event event) {
    Follower::Event events[] = {std::move(event)};
    core->step(Instant(++now), events, actions);
    if (actions.write.id > 0) written = actions.write.id;
  }
  void receive(Epoch epoch, wire::peer::SegmentBody body, NodeId from = kWriter) {
    step(Follower::Receive{{from, kSelf, kSegment, epoch, std::move(body)}});
  }
  void replicate(std::uint32_t epoch, std::int64_t from, int count, bool recovery = false) {
    Replicate body{.recovery = recovery, .round = ++round, .run = {.from = from}};
    if (from == 0) body.run.producers = no_producers();
    for (int i = 0; i < count; ++i) body.run.batches.push_back(batch_at(from + i));
    receive({epoch}, std::move(body));
  }
  void fence(std::uint32_t epoch) { receive({epoch}, Fence{}, kRecoverer); }
  void sync() { step(Follower::Persisted{written}); }
  void reach_the_file() { step(Follower::Persisted{written, false}); }
  template <class Body>
  const Body* said() const {
    for (const auto& one : actions.messages)
      if (const auto* body = std::get_if<Body>(&one.message.body)) return body;
    return nullptr;
  }

  std::unique_ptr<Follower> core;
  Follower::Actions actions{};
  WriteId written = 0;
  std::uint64_t round = 0;
  std::int64_t now = 0;
};

inline Segment three_replicas() {
  return {.id = kSegment,
          .epoch = {1},
          .leader = kWriter,
          .leader_incarnation = 5,
          .replicas = {NodeId{1}, NodeId{2}, NodeId{3}},
          .ack_quorum = 2};
}

}  // namespace walrus::replica
