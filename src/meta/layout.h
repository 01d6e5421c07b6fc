#pragma once
// The fields of commands and of a snapshot's records, in the order in which they are written. A
// field may be added at the end of a change at a new feature level; nothing else here may change.

#include <tuple>

#include "meta/command.h"
#include "meta/fields.h"

namespace walrus::meta {

template <>
struct Range<NodeState> {
  static constexpr auto first = NodeState::kJoining, last = NodeState::kRemoved;
};
template <>
struct Range<wire::sasl::ScramMechanism> {
  using enum wire::sasl::ScramMechanism;
  static constexpr auto first = kSha256, last = kSha512;
};
template <>
struct Range<SegmentState> {
  static constexpr auto first = SegmentState::kOpen, last = SegmentState::kSealed;
};
template <>
struct Range<Refusal> {
  static constexpr auto first = Refusal::kNone, last = Refusal::kLimit;
};
template <>
struct Range<Unreadable::Why> {
  static constexpr auto first = Unreadable::Why::kMalformed, last = Unreadable::Why::kUnknown;
};

template <>
struct Fields<Placement> {
  static constexpr std::tuple members{&Placement::leader, &Placement::replicas};
};
template <>
struct Fields<Listener> {
  static constexpr std::tuple members{&Listener::name, &Listener::address};
};

template <>
struct Fields<Unreadable> {
  static constexpr std::tuple members{&Unreadable::why};
};
template <>
struct Fields<Found> {
  static constexpr std::tuple members{&Found::cluster, &Found::feature_level, &Found::users_secret};
};
template <>
struct Fields<RaiseLevel> {
  static constexpr std::tuple members{&RaiseLevel::expected, &RaiseLevel::level};
};
template <>
struct Fields<ConfigureCluster> {
  static constexpr std::tuple members{&ConfigureCluster::expected, &ConfigureCluster::set,
                                      &ConfigureCluster::unset};
};
template <>
struct Fields<RegisterNode> {
  static constexpr std::tuple members{
      &RegisterNode::node,        &RegisterNode::expected, &RegisterNode::directory,
      &RegisterNode::incarnation, &RegisterNode::claimed,  &RegisterNode::feature_level_max,
      &RegisterNode::listeners,   &RegisterNode::rack,     &RegisterNode::capacity};
};
template <>
struct Fields<SetNodeState> {
  static constexpr std::tuple members{&SetNodeState::node, &SetNodeState::expected,
                                      &SetNodeState::state, &SetNodeState::force};
};
template <>
struct Fields<ReplaceNode> {
  static constexpr std::tuple members{&ReplaceNode::old, &ReplaceNode::expected, &ReplaceNode::by,
                                      &ReplaceNode::by_expected};
};
template <>
struct Fields<ExpireLease> {
  static constexpr std::tuple members{&ExpireLease::node, &ExpireLease::expected};
};
template <>
struct Fields<CreateTopic> {
  static constexpr std::tuple members{&CreateTopic::topic,
                                      &CreateTopic::name,
                                      &CreateTopic::internal,
                                      &CreateTopic::partitions,
                                      &CreateTopic::replication_factor,
                                      &CreateTopic::min_copies,
                                      &CreateTopic::settings,
                                      &CreateTopic::first};
};
template <>
struct Fields<DeleteTopic> {
  static constexpr std::tuple members{&DeleteTopic::topic, &DeleteTopic::expected};
};
template <>
struct Fields<AlterTopic> {
  static constexpr std::tuple members{
      &AlterTopic::topic, &AlterTopic::expected,           &AlterTopic::set,
      &AlterTopic::unset, &AlterTopic::replication_factor, &AlterTopic::min_copies};
};
template <>
struct Fields<AddPartitions> {
  static constexpr std::tuple members{&AddPartitions::topic, &AddPartitions::expected,
                                      &AddPartitions::partitions, &AddPartitions::first};
};
template <>
struct Fields<PartitionId> {
  static constexpr std::tuple members{&PartitionId::topic, &PartitionId::index};
};
template <>
struct Fields<OpenSegment> {
  static constexpr std::tuple members{&OpenSegment::partition, &OpenSegment::expected,
                                      &OpenSegment::place};
};
template <>
struct Fields<BeginSeal> {
  static constexpr std::tuple members{&BeginSeal::partition, &BeginSeal::expected,
                                      &BeginSeal::recoverer};
};
template <>
struct Fields<AcceptedLoss> {
  static constexpr std::tuple members{&AcceptedLoss::known, &AcceptedLoss::accepted_by};
};
template <>
struct Fields<Seal> {
  static constexpr std::tuple members{&Seal::partition, &Seal::expected, &Seal::segment,
                                      &Seal::epoch,     &Seal::end,      &Seal::bytes,
                                      &Seal::loss,      &Seal::next};
};
template <>
struct Fields<SetLogStart> {
  static constexpr std::tuple members{&SetLogStart::partition, &SetLogStart::expected,
                                      &SetLogStart::log_start};
};
template <>
struct Fields<CopyMove> {
  static constexpr std::tuple members{&CopyMove::segment, &CopyMove::added, &CopyMove::dropped};
};
template <>
struct Fields<MoveCopies> {
  static constexpr std::tuple members{&MoveCopies::partition, &MoveCopies::expected,
                                      &MoveCopies::moves};
};
template <>
struct Fields<wire::sasl::ScramCredential> {
  static constexpr std::tuple members{
      &wire::sasl::ScramCredential::iterations, &wire::sasl::ScramCredential::salt,
      &wire::sasl::ScramCredential::stored_key, &wire::sasl::ScramCredential::server_key};
};
template <>
struct Fields<SetUser> {
  static constexpr std::tuple members{&SetUser::name, &SetUser::expected, &SetUser::credentials};
};
template <>
struct Fields<TakeProducerIds> {
  static constexpr std::tuple members{&TakeProducerIds::expected_next, &TakeProducerIds::count};
};
template <>
struct Fields<BeginCompaction> {
  static constexpr std::tuple members{&BeginCompaction::partition, &BeginCompaction::expected,
                                      &BeginCompaction::segment, &BeginCompaction::by};
};
template <>
struct Fields<HoldCompacted> {
  static constexpr std::tuple members{&HoldCompacted::partition, &HoldCompacted::expected,
                                      &HoldCompacted::copy, &HoldCompacted::node,
                                      &HoldCompacted::bytes};
};
template <>
struct Fields<EndCompaction> {
  static constexpr std::tuple members{&EndCompaction::partition, &EndCompaction::expected,
                                      &EndCompaction::compacted_to};
};
template <>
struct Fields<RecoverMetadata> {
  static constexpr std::tuple members{&RecoverMetadata::from, &RecoverMetadata::cluster,
                                      &RecoverMetadata::by, &RecoverMetadata::term,
                                      &RecoverMetadata::index};
};
template <>
struct Fields<HandOver> {
  static constexpr std::tuple members{&HandOver::old, &HandOver::expected, &HandOver::by,
                                      &HandOver::by_expected};
};
template <>
struct Fields<Outcome> {
  static constexpr std::tuple members{&Outcome::refusal, &Outcome::version, &Outcome::value};
};

template <>
struct Fields<Cluster> {
  static constexpr std::tuple members{&Cluster::version, &Cluster::id, &Cluster::feature_level,
                                      &Cluster::settings, &Cluster::users_secret};
};
template <>
struct Fields<Recovery> {
  static constexpr std::tuple members{&Recovery::cluster, &Recovery::by, &Recovery::term,
                                      &Recovery::index, &Recovery::at};
};
template <>
struct Fields<Node> {
  static constexpr std::tuple members{
      &Node::version,           &Node::state,       &Node::directory,
      &Node::incarnation,       &Node::lease_epoch, &Node::intact_from,
      &Node::feature_level_max, &Node::listeners,   &Node::rack,
      &Node::capacity,          &Node::since,       &Node::replaced_by};
};
template <>
struct Fields<Topic> {
  static constexpr std::tuple members{&Topic::version,
                                      &Topic::name,
                                      &Topic::internal,
                                      &Topic::partitions,
                                      &Topic::replication_factor,
                                      &Topic::min_copies,
                                      &Topic::settings,
                                      &Topic::created};
};
template <>
struct Fields<Tombstone> {
  static constexpr std::tuple members{&Tombstone::version, &Tombstone::name, &Tombstone::deleted};
};
template <>
struct Fields<Loss> {
  static constexpr std::tuple members{&Loss::segment, &Loss::epoch,       &Loss::end,
                                      &Loss::known,   &Loss::accepted_by, &Loss::at};
};
template <>
struct Fields<Segment> {
  static constexpr std::tuple members{&Segment::id,
                                      &Segment::epoch,
                                      &Segment::state,
                                      &Segment::base,
                                      &Segment::end,
                                      &Segment::leader,
                                      &Segment::leader_incarnation,
                                      &Segment::replicas,
                                      &Segment::min_copies,
                                      &Segment::bytes,
                                      &Segment::copied,
                                      &Segment::recovery_epoch,
                                      &Segment::recoverer};
};
template <>
struct Fields<Compaction> {
  static constexpr std::tuple members{&Compaction::segment, &Compaction::copy, &Compaction::by,
                                      &Compaction::holders};
};
template <>
struct Fields<User> {
  static constexpr std::tuple members{&User::version, &User::credentials};
};

}  // namespace walrus::meta
