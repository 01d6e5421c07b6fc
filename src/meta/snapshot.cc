#include "meta/snapshot.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/crc32c.h"
#include "meta/invariants.h"
#include "meta/layout.h"

namespace walrus::meta {
namespace {

constexpr Bytes kMagic = "WALRMETA";
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kHeadBytes = kMagic.size() + 1;

enum Kind : std::uint8_t {
  kCounters = 1,
  kCluster = 2,
  kNode = 3,
  kTopic = 4,
  kTombstone = 5,
  kPartition = 6,
  kBlock = 7,
  kUser = 8,
  kEnd = 9,
  kRecovery = 10,
};

// One partition after the other has its blocks behind it, the cluster its recoveries.
unsigned rank(unsigned kind) {
  if (kind == kRecovery) return kCluster;
  return kind == kBlock ? kPartition : kind;
}

template <class... Parts>
void append_record(std::string& to, Kind kind, const Parts&... parts) {
  std::string payload;
  (put(payload, parts), ...);
  to.push_back(static_cast<char>(kind));
  append_string(to, payload);
}

template <class... Parts>
bool read_record(Bytes payload, Parts&... parts) {
  FieldReader from(payload);
  (from.get(parts), ...);
  return from.whole();
}

template <class T>
constexpr Kind kKindOf{};
template <>
constexpr Kind kKindOf<Node> = kNode;
template <>
constexpr Kind kKindOf<Topic> = kTopic;
template <>
constexpr Kind kKindOf<Tombstone> = kTombstone;
template <>
constexpr Kind kKindOf<User> = kUser;

// What is said of compaction stands where there is any.
void append_partition(std::string& to, const PartitionId& id, const Partition& partition) {
  bool compacts = partition.compacted_to > Offset{} || partition.compaction;
  if (!compacts)
    return append_record(to, kPartition, id, partition.version, partition.epoch,
                         partition.log_start, partition.sealed_end, partition.tail,
                         partition.losses, partition.losses_total);
  append_record(to, kPartition, id, partition.version, partition.epoch, partition.log_start,
                partition.sealed_end, partition.tail, partition.losses, partition.losses_total,
                partition.compacted_to, partition.compaction);
}

// From the partitions, as apply() keeps them up with each change.
Loads count_loads(const State& state) {
  std::map<NodeId, Load> loads;
  state.partitions.each([&](const PartitionId&, const Partition& partition) {
    partition.sealed.each([&](const Segment& segment) {
      for (auto node : segment.replicas) {
        ++loads[node].sealed;
        loads[node].sealed_bytes += segment.bytes;
      }
    });
    if (!partition.tail) return;
    ++loads[partition.tail->leader].leads;
    for (auto node : partition.tail->replicas) ++loads[node].tails;
  });
  return {loads.begin(), loads.end()};
}

std::unexpected<Error> corrupt() { return fail(Code::kCorrupt, "malformed metadata snapshot"); }

}  // namespace

bool SnapshotStream::next(std::string& to, std::size_t bytes) {
  if (part_ == Part::kDone) return false;
  auto start = to.size();
  full_at_ = start + std::max<std::size_t>(bytes, 1);
  auto advance = [this](bool complete) {
    if (complete) part_ = static_cast<Part>(static_cast<unsigned>(part_) + 1);
    return complete;
  };
  bool goes_on = true;
  while (goes_on && part_ != Part::kEnd) {
    switch (part_) {
      case Part::kHead:
        to.append(kMagic);
        to.push_back(static_cast<char>(kVersion));
        append_record(to, kCounters, image_.version, image_.time, image_.next_segment,
                      image_.next_producer, image_.forgotten, image_.users_version);
        append_record(to, kCluster, image_.cluster);
        for (const auto& one : image_.recoveries) append_record(to, kRecovery, one);
        goes_on = advance(true);
        break;
      case Part::kNodes: goes_on = advance(append_map(to, image_.nodes, node_)); break;
      case Part::kTopics: goes_on = advance(append_map(to, image_.topics, topic_)); break;
      case Part::kTombstones:
        goes_on = advance(append_map(to, image_.tombstones, tombstone_));
        break;
      case Part::kPartitions: goes_on = advance(append_partitions(to)); break;
      case Part::kUsers: goes_on = advance(append_map(to, image_.users, user_)); break;
      case Part::kEnd:
      case Part::kDone: break;
    }
  }
  crc_ = crc32c(Bytes(to).substr(start), crc_);
  if (part_ != Part::kEnd) return true;
  std::string crc;
  append_le(crc, crc_);
  to.push_back(static_cast<char>(kEnd));
  append_string(to, crc);
  part_ = Part::kDone;
  return true;
}

template <class Key, class Value>
bool SnapshotStream::append_map(std::string& to, const Map<Key, Value>& map,
                                std::optional<Key>& from) {
  map.scan(from.value_or(Key{}), [&](const Key& key, const Value& value) {
    if (from == key) return true;
    if (full(to)) return false;
    append_record(to, kKindOf<Value>, key, value);
    from = key;
    return true;
  });
  return !full(to);
}

bool SnapshotStream::append_partitions(std::string& to) {
  auto append_blocks = [&](const Partition& partition) {
    const auto& blocks = partition.sealed.blocks();
    for (; blocks_ < blocks.size() && !full(to); ++blocks_)
      append_record(to, kBlock, blocks[blocks_]->base, blocks[blocks_]->packed);
    return !full(to);
  };
  image_.partitions.scan(partition_.value_or(PartitionId{}),
                         [&](const PartitionId& id, const Partition& partition) {
                           if (partition_ != id) {
                             if (full(to)) return false;
                             append_partition(to, id, partition);
                             partition_ = id;
                             blocks_ = 0;
                           }
                           return append_blocks(partition);
                         });
  return !full(to);
}

Result<void> SnapshotLoader::feed(Bytes bytes) {
  pending_.append(bytes);
  Bytes rest = pending_;
  if (!begun_ && rest.size() >= kHeadBytes) {
    if (!rest.starts_with(kMagic)) return corrupt();
    auto version = static_cast<std::uint8_t>(rest[kMagic.size()]);
    if (version != kVersion)
      return fail(Code::kVersion, "metadata snapshot of version {}, this node knows {}", version,
                  kVersion);
    crc_ = crc32c(rest.substr(0, kHeadBytes));
    rest.remove_prefix(kHeadBytes);
    begun_ = true;
  }
  while (begun_ && !rest.empty()) {
    if (ended_) return corrupt();
    Decoder from(rest);
    auto kind = from.le<std::uint8_t>();
    auto size = from.uvarint();
    if (!size && rest.size() > kVarintBytesMax) return corrupt();
    if (size && *size > kSnapshotRecordBytesMax) return corrupt();
    if (!size || *size > from.remaining()) break;  // more is to come
    WALRUS_TRY(record(*kind, *from.take(*size)));
    auto whole = rest.size() - from.remaining();
    if (!ended_) crc_ = crc32c(rest.substr(0, whole), crc_);
    rest.remove_prefix(whole);
  }
  pending_.erase(0, pending_.size() - rest.size());
  return {};
}

Result<void> SnapshotLoader::record(unsigned kind, Bytes payload) {
  bool once = kind == kCounters || kind == kCluster || kind == kEnd;
  if (rank(kind) < rank(last_kind_) || (once && kind == last_kind_)) return corrupt();
  if (kind != kCounters && (kind == kCluster) != (last_kind_ == kCounters)) return corrupt();
  if (kind != kBlock) close_partition();
  last_kind_ = kind;
  bool good = false;
  switch (kind) {
    case kCounters:
      good = read_record(payload, state_.version, state_.time, state_.next_segment,
                         state_.next_producer, state_.forgotten, state_.users_version);
      break;
    case kCluster: good = read_record(payload, state_.cluster); break;
    case kRecovery:
      good = state_.recoveries.size() < kRecoveriesMax &&
             read_record(payload, state_.recoveries.emplace_back());
      break;
    case kNode: good = add(state_.nodes, payload); break;
    case kTopic: good = add(state_.topics, payload); break;
    case kTombstone: good = add(state_.tombstones, payload); break;
    case kPartition: good = add_partition(payload); break;
    case kBlock: good = add_block(payload); break;
    case kUser: good = add(state_.users, payload); break;
    case kEnd:
      ended_ = true;
      good = payload.size() == sizeof crc_ && load_le<std::uint32_t>(payload.data()) == crc_;
      break;
    default: return fail(Code::kVersion, "metadata snapshot with a record of kind {}", kind);
  }
  if (!good) return corrupt();
  return {};
}

template <class Key, class Value>
bool SnapshotLoader::add(Map<Key, Value>& map, Bytes payload) {
  Key key{};
  Value value{};
  if (!read_record(payload, key, value) || map.contains(key)) return false;
  map.set(key, std::move(value));
  return true;
}

bool SnapshotLoader::add_partition(Bytes payload) {
  PartitionId id{};
  FieldReader from(payload);
  from.get(id);
  from.get(open_.version);
  from.get(open_.epoch);
  from.get(open_.log_start);
  from.get(open_.sealed_end);
  from.get(open_.tail);
  from.get(open_.losses);
  from.get(open_.losses_total);
  if (!from.whole()) {
    from.get(open_.compacted_to);
    from.get(open_.compaction);
  }
  if (!from.whole() || state_.partitions.contains(id)) return false;
  partition_ = id;
  return true;
}

bool SnapshotLoader::add_block(Bytes payload) {
  Offset base{};
  std::string packed{};
  return partition_ && read_record(payload, base, packed) &&
         open_.sealed.restore(base, packed).has_value();
}

void SnapshotLoader::close_partition() {
  if (partition_) state_.partitions.set(*partition_, std::move(open_));
  partition_.reset();
  open_ = {};
}

Result<State> SnapshotLoader::finish() {
  if (!ended_ || !pending_.empty()) return corrupt();
  bool unique = true;
  state_.topics.each([&](const Uuid& id, const Topic& topic) {
    unique &= !state_.topic_names.contains(topic.name);
    state_.topic_names.set(topic.name, id);
  });
  if (!unique) return corrupt();
  state_.loads = std::make_shared<const Loads>(count_loads(state_));
  if (auto why = broken_rule(state_); !why.empty())
    return fail(Code::kCorrupt, "metadata snapshot breaks a rule: {}", why);
  return std::move(state_);
}

std::uint64_t fingerprint(const State& state) {
  constexpr std::size_t kChunkBytes = 64 << 10;
  XXH3_state_t hash;
  XXH3_64bits_reset(&hash);
  SnapshotStream stream(state);
  for (std::string chunk; stream.next(chunk, kChunkBytes); chunk.clear())
    XXH3_64bits_update(&hash, chunk.data(), chunk.size());
  return XXH3_64bits_digest(&hash);
}

}  // namespace walrus::meta
