#include <algorithm>

#include "meta/applier.h"

namespace walrus::meta {
namespace {

constexpr std::size_t kTopicNameBytesMax = 249;  // as Kafka

bool valid_name(Bytes name) {
  if (name.empty() || name.size() > kTopicNameBytesMax || name == "." || name == "..") return false;
  return std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

bool valid_copies(std::uint32_t replication_factor, std::uint32_t min_copies) {
  return replication_factor >= 1 && replication_factor <= kReplicasMax && min_copies >= 1 &&
         min_copies <= replication_factor;
}

}  // namespace

Outcome Applier::change(const CreateTopic& change) {
  if (change.topic.is_zero() || !valid_name(change.name) || change.partitions < 1 ||
      !valid_copies(change.replication_factor, change.min_copies) ||
      !valid_settings(change.settings) || change.first.size() > change.partitions)
    return refuse(Refusal::kInvalid);
  if (const auto* taken = state_.find_topic(change.name))
    return refuse(Refusal::kExists, taken->version);
  if (const auto* taken = state_.topics.find(change.topic))
    return refuse(Refusal::kExists, taken->version);
  if (const auto* buried = state_.tombstones.find(change.topic))
    return refuse(Refusal::kExists, buried->version);
  if (state_.topics.size() >= kTopicsMax || change.partitions > kTopicPartitionsMax ||
      change.partitions > kPartitionsMax - state_.partitions.size())
    return refuse(Refusal::kLimit);
  Topic topic{.name = change.name,
              .internal = change.internal,
              .partitions = 0,
              .replication_factor = change.replication_factor,
              .min_copies = change.min_copies,
              .settings = change.settings,
              .created = state_.time};
  for (const auto& place : change.first)
    if (auto why = check_place(place, topic); why != Refusal::kNone) return refuse(why);
  topic.version = next_version();
  add_partitions(change.topic, topic, change.partitions, change.first);
  state_.topic_names.set(topic.name, change.topic);
  state_.topics.set(change.topic, std::move(topic));
  return done(state_.version);
}

void Applier::add_partitions(const Uuid& id, Topic& topic, std::uint32_t partitions,
                             std::span<const Placement> first) {
  for (auto index = topic.partitions; index < partitions; ++index) {
    Partition partition{.version = topic.version};
    if (index - topic.partitions < first.size())
      open(partition, first[index - topic.partitions], topic);
    state_.partitions.set({id, index}, std::move(partition));
  }
  topic.partitions = partitions;
}

Outcome Applier::change(const DeleteTopic& change) {
  const auto* topic = expect(state_.topics, change.topic, change.expected);
  if (!topic) return refused_;
  for (std::uint32_t index = 0; index < topic->partitions; ++index) {
    PartitionId id{change.topic, index};
    const auto* partition = state_.partitions.find(id);
    partition->sealed.each([&](const Segment& segment) { count(segment, false); });
    if (partition->tail) count(*partition->tail, false);
    state_.partitions.erase(id);
  }
  bury(change.topic, *topic);
  state_.topic_names.erase(topic->name);
  state_.topics.erase(change.topic);
  return done({});
}

void Applier::bury(const Uuid& id, const Topic& topic) {
  state_.tombstones.set(id,
                        {.version = next_version(), .name = topic.name, .deleted = state_.time});
  if (state_.tombstones.size() <= kTombstonesMax) return;
  std::vector<std::pair<Version, Uuid>> all;
  state_.tombstones.each(
      [&](const Uuid& of, const Tombstone& tombstone) { all.emplace_back(tombstone.version, of); });
  auto kept = all.begin() + kTombstonesMax / 10;  // a tenth at once, so that it is seldom
  std::ranges::nth_element(all, kept);
  for (auto oldest = all.begin(); oldest != kept; ++oldest) {
    state_.forgotten = std::max(state_.forgotten, oldest->first);
    state_.tombstones.erase(oldest->second);
  }
}

Outcome Applier::change(const AlterTopic& change) {
  const auto* found = expect(state_.topics, change.topic, change.expected);
  if (!found) return refused_;
  auto settings = changed(found->settings, change.set, change.unset);
  auto replication_factor = change.replication_factor.value_or(found->replication_factor);
  auto min_copies = change.min_copies.value_or(found->min_copies);
  if (!settings || !valid_copies(replication_factor, min_copies))
    return refuse(Refusal::kInvalid, found->version);
  Topic topic = *found;
  topic.settings = *std::move(settings);
  topic.replication_factor = replication_factor;
  topic.min_copies = min_copies;
  topic.version = next_version();
  state_.topics.set(change.topic, std::move(topic));
  return done(state_.version);
}

Outcome Applier::change(const AddPartitions& change) {
  const auto* found = expect(state_.topics, change.topic, change.expected);
  if (!found) return refused_;
  if (change.partitions <= found->partitions ||
      change.first.size() > change.partitions - found->partitions)
    return refuse(Refusal::kInvalid, found->version);
  if (change.partitions > kTopicPartitionsMax ||
      change.partitions - found->partitions > kPartitionsMax - state_.partitions.size())
    return refuse(Refusal::kLimit, found->version);
  for (const auto& place : change.first)
    if (auto why = check_place(place, *found); why != Refusal::kNone)
      return refuse(why, found->version);
  Topic topic = *found;
  topic.version = next_version();
  add_partitions(change.topic, topic, change.partitions, change.first);
  state_.topics.set(change.topic, std::move(topic));
  return done(state_.version);
}

}  // namespace walrus::meta
