// Compaction of sealed segments (docs/adr/0010). One node makes a pass over a partition: it notes
// the newest record of each key, then goes through the segments from the log start on, and where
// one gets smaller it writes a new copy of it, under an id of its own that metadata issues. The
// other replicas fetch that copy as they fetch any sealed one; when all of them hold it, metadata
// lets it take the old one's place.

#include "replica/compaction.h"

#include <algorithm>
#include <utility>

#include "replica/node_state.h"

namespace walrus::replica {
namespace {

constexpr std::int64_t kCompactedPiece = 1 << 20;
constexpr Nanos kCompactionLook = std::chrono::milliseconds(100);
constexpr int kCompactionTries = 10;

bool is_holder(const meta::Compaction& work, NodeId node) {
  return std::ranges::find(work.holders, node) != work.holders.end();
}

// Calls back for each batch that begins below `end`, until it says no.
template <class Visit>
Result<void> each_batch_below(Bytes bytes, std::int64_t end, const Visit& visit) {
  while (!bytes.empty()) {
    WALRUS_ASSIGN(auto batch, record::BatchView::parse(bytes));
    bytes.remove_prefix(batch.bytes().size());
    if (batch.base_offset() >= end) break;
    WALRUS_ASSIGN(bool more, visit(batch));
    if (!more) break;
  }
  return {};
}

}  // namespace

std::optional<Millis> compaction_of(const meta::Topic& topic) {
  auto policy = topic.settings.find("cleanup.policy");
  bool compacts = policy != topic.settings.end() &&
                  (policy->second.contains("compact") || policy->second == "true");
  if (topic.internal || !compacts) return std::nullopt;
  constexpr std::int64_t kDay = 86'400'000;
  return Millis(std::max<std::int64_t>(number_setting(topic, "delete.retention.ms", kDay), 0));
}

CompactionLag compaction_lag_of(const meta::Topic& topic) {
  CompactionLag lag{
      .min = Millis(std::max<std::int64_t>(number_setting(topic, "min.compaction.lag.ms", 0), 0))};
  auto max = number_setting(topic, "max.compaction.lag.ms", INT64_MAX);
  if (max > 0 && max < INT64_MAX) lag.max = Millis(max);
  return lag;
}

bool wants_compaction(const meta::Partition& partition, std::int64_t bytes_min, Offset ripe_end) {
  if (partition.sealed.size() < 2) return false;
  ripe_end = std::min(ripe_end, partition.sealed.last().base);  // that one waits for its successor
  std::uint64_t clean = 0, dirty = 0;
  partition.sealed.each([&](const meta::Segment& segment) {
    if (segment.end <= partition.compacted_to) clean += segment.bytes;
    else if (segment.end <= ripe_end) dirty += segment.bytes;
  });
  return dirty > std::max(clean, static_cast<std::uint64_t>(bytes_min));
}

bool can_end(const meta::State& image, const meta::Partition& partition, bool whole_at_writer) {
  const auto& work = *partition.compaction;
  auto segment = *partition.sealed.find(work.segment);
  auto made = segment;
  made.copied = work.copy;
  bool somebody = whole_at_writer;
  for (auto node : segment.replicas) {
    if (!image.intact(segment, node)) continue;
    if (!image.intact(made, node)) return false;
    somebody |= is_holder(work, node);
  }
  return somebody;
}

// What a pass knows. Used by the file worker and by the loop, never by both at once.
struct NodeState::Pass {
  Pass(const PartitionId& id, const log::CompactPolicy& policy)
      : partition(id), compactor(policy, [this](const std::string& batch) -> Result<void> {
          made += batch;
          return {};
        }) {}
  const PartitionId partition;
  std::string made{};        // batches that are to be written
  std::int64_t until = 0;    // the pass ends there
  log::Compactor compactor;  // writes to `made`
};

// ---- When ----

void NodeState::plan_compactions(Instant now) {
  if (compacting_ || image_->cluster.feature_level < 2) return;
  for (const auto& [id, part] : parts_) {
    const auto* partition = partition_of(id);
    if (!partition || part.mine.empty() || partition->sealed.empty()) continue;
    if (!compaction_of(*image_->topics.find(id.topic))) continue;
    auto wait = compaction_due(*partition, *image_->topics.find(id.topic));
    if (!wait) {
      compaction_since_.erase(id);
      continue;
    }
    auto copy = partition->compaction ? partition->compaction->copy : SegmentId{};
    auto& since = compaction_since_.try_emplace(id, copy, now).first->second;
    if (since.first != copy) since = {copy, now};
    if (now - since.second < *wait) continue;
    compaction_since_.erase(id);
    compacting_ = id;
    return loop_.spawn(run_compaction(shared_from_this(), id));
  }
}

// How long this node leaves it to others; none: nothing is to be done by it. The first intact
// replica of the oldest segment begins; who does not come further is relieved.
std::optional<Nanos> NodeState::compaction_due(const meta::Partition& partition,
                                               const meta::Topic& topic) const {
  auto first = partition.sealed.first();
  if (partition.compaction) first = *partition.sealed.find(partition.compaction->segment);
  std::int64_t rank = 0;
  for (auto node : first.replicas) {
    if (!image_->intact(first, node)) continue;
    if (node == options_.self) break;
    ++rank;
  }
  bool mine = partition.compaction && partition.compaction->by == options_.self;
  bool replica = meta::is_replica(first, options_.self) && image_->intact(first, options_.self);
  if (!mine && !replica) return std::nullopt;
  const auto stall = options_.limits.compaction_stalls;
  if (!partition.compaction) {
    auto ripe = find_ripe(partition, compaction_lag_of(topic));
    if (!ripe.late && !wants_compaction(partition, options_.limits.compact_bytes_min, ripe.end))
      return std::nullopt;
    return stall * rank;
  }
  bool whole = mine && holds(partition.compaction->copy, first.end);
  if (can_end(*image_, partition, whole)) return std::nullopt;
  return mine ? Nanos(0) : stall * (rank + 1);
}

// By the segments that are whole here. Of others no age is known: a pass that reads them finds out.
NodeState::Ripe NodeState::find_ripe(const meta::Partition& partition,
                                     const CompactionLag& lag) const {
  Ripe ripe{.end = partition.sealed.last().base};
  bool any = lag.min.count() > 0 || lag.max;
  const Time now{Millis(engine_.trusted_ms())};
  auto look = [&](const meta::Segment& segment) {
    if (segment.end <= partition.compacted_to) return true;
    if (segment.end > ripe.end) return false;
    auto newest = lag.min.count() > 0 ? newest_of(segment) : std::nullopt;
    if (newest && *newest > now - lag.min) {
      ripe.end = segment.base;
      return false;
    }
    auto oldest = lag.max ? oldest_of(segment) : std::nullopt;
    ripe.late |= oldest && *oldest > Time{} && now - *oldest > *lag.max;
    return true;
  };
  if (any) partition.sealed.scan({}, look);
  return ripe;
}

// ---- A pass ----

boost::asio::awaitable<void> NodeState::run_compaction(std::shared_ptr<NodeState> self,
                                                       PartitionId id) {
  auto done = co_await compact(self, id);
  if (self->stopped_) co_return;
  self->compacting_.reset();
  self->writing_ = {};
  if (!done) self->log(LogLevel::kInfo, "partition_compaction_ended", {}, done.error().message);
}

io::Task<void> NodeState::compact(std::shared_ptr<NodeState> self, PartitionId id) {
  const auto* partition = self->partition_of(id);
  if (!partition || partition->sealed.empty()) co_return Result<void>();
  const auto& topic = *self->image_->topics.find(id.topic);
  auto retention = compaction_of(topic);
  if (!retention) co_return Result<void>();
  const log::CompactPolicy policy{.now_ms = self->engine_.trusted_ms(),
                                  .tombstone_retention_ms = retention->count(),
                                  .map_bytes_max = self->options_.limits.compact_map_bytes_max,
                                  .lag_ms = compaction_lag_of(topic).min.count()};
  auto pass = std::make_shared<Pass>(id, policy);
  auto clean = partition->compacted_to.value, end = partition->sealed_end.value;
  pass->until = partition->sealed.last().base.value;
  WALRUS_CO_TRY(co_await note_keys(self, pass, clean, end));
  if (const auto& young = pass->compactor.young(); young && pass->until <= clean) {
    // Nothing whole is old enough. It was not known before, so the next look waits until it is.
    const auto& limits = self->options_.limits;
    const auto old = policy.now_ms - policy.lag_ms;
    const auto most = std::chrono::duration_cast<Millis>(limits.compaction_stalls);
    auto wait = young->timestamp_ms < old + most.count() ? Millis(young->timestamp_ms - old) : most;
    self->compaction_since_[id] = {SegmentId{},
                                   self->env_.mono() + std::max<Nanos>(wait, limits.retain_every)};
    co_return Result<void>();
  }
  for (std::int64_t at = 0; at < pass->until;) {
    partition = self->partition_of(id);
    if (!partition) co_return Result<void>();
    auto segment = partition->sealed.find(std::max(Offset{at}, partition->log_start));
    if (!segment) break;
    at = segment->end.value;
    if (segment->base.value < pass->until)
      WALRUS_CO_TRY(co_await compact_segment(self, pass, *segment));
  }
  auto ended = [until = Offset{pass->until}, id](const meta::Partition& now) {
    return meta::Change(meta::EndCompaction{id, now.version, until});
  };
  WALRUS_CO_TRY(co_await change_partition(self, id, ended));
  ++self->stats_.compactions;
  co_return Result<void>();
}

// The keys of [from, end), as far as there is memory for them.
io::Task<void> NodeState::note_keys(std::shared_ptr<NodeState> self, std::shared_ptr<Pass> pass,
                                    std::int64_t from, std::int64_t end) {
  bool ended = false;
  for (auto at = from; at < end && !ended;) {
    WALRUS_CO_ASSIGN(auto read, co_await read_on(self, pass->partition, at, end));
    at = read.next.value;
    auto note = [pass, bytes = std::move(read.bytes), end]() -> Result<bool> {
      bool room = true;
      WALRUS_TRY(each_batch_below(bytes, end, [&](const record::BatchView& batch) -> Result<bool> {
        return room = pass->compactor.note(batch);
      }));
      return !room;
    };
    WALRUS_CO_ASSIGN(ended, co_await self->files_->run<bool>(std::move(note)));
  }
  if (const auto& young = pass->compactor.young()) {
    // A segment is compacted once all of it is old enough, and not again as it grows older.
    const auto* partition = self->partition_of(pass->partition);
    auto segment = partition ? partition->sealed.find(Offset{young->offset}) : std::nullopt;
    pass->until = std::min(pass->until, segment ? segment->base.value : from);
  } else if (ended) {
    pass->until = std::min(pass->until, pass->compactor.noted_end());
  }
  // All segments before the one at work have been gone through by this pass or an earlier one.
  pass->compactor.end_noting(true);
  co_return Result<void>();
}

// Batches at or above `at`, where the log begins if that is above; some, unless the end is reached.
io::Task<log::Fetched> NodeState::read_on(std::shared_ptr<NodeState> self, PartitionId id,
                                          std::int64_t at, std::int64_t end) {
  for (int attempt = 0;; ++attempt) {
    if (self->stopped_) co_return fail(Code::kClosed, "stopped");
    const auto* partition = self->partition_of(id);
    if (!partition) co_return fail(Code::kNotFound, "the partition is gone");
    auto from = std::max(Offset{at}, partition->log_start);
    if (from.value >= end) co_return log::Fetched{.bytes = {}, .next = Offset{end}};
    auto read = co_await fetch(self, id, from, {.bytes_max = kCompactedPiece});
    if (read && read->next > from) co_return read;
    bool passes = read || read.error().code == Code::kOutOfRange ||
                  read.error().code == Code::kBusy || read.error().code == Code::kNotFound;
    if (!passes) co_return read;
    if (attempt >= kCompactionTries)
      co_return fail(Code::kBusy, "nothing can be read at {}", from.value);
    if (self->stopped_) co_return fail(Code::kClosed, "stopped");
    co_await self->compact_gate_->wait(kCompactionLook);
  }
}

// ---- A segment ----

io::Task<void> NodeState::compact_segment(std::shared_ptr<NodeState> self,
                                          std::shared_ptr<Pass> pass, meta::Segment segment) {
  WALRUS_CO_ASSIGN(bool shrinks, co_await look_through(self, pass, segment));
  if (!shrinks) co_return Result<void>();
  auto id = pass->partition;
  auto begun = [id, segment, by = self->options_.self](const meta::Partition& now) {
    return meta::Change(meta::BeginCompaction{id, now.version, segment.id, by});
  };
  auto outcome = co_await change_partition(self, id, begun);
  if (self->stopped_) co_return fail(Code::kClosed, "stopped");
  const auto* partition = self->partition_of(id);
  bool gone = !partition || !partition->sealed.find(segment.id);
  if (gone) co_return Result<void>();  // trimmed meanwhile
  WALRUS_CO_TRY(outcome);
  SegmentId copy{outcome->value};
  if (!partition->compaction || partition->compaction->copy != copy)
    co_return fail(Code::kMismatch, "another node compacts it");
  WALRUS_CO_TRY(co_await write_copy(self, pass, segment, copy));
  co_return co_await await_holders(self, id, segment.id, copy);
}

io::Task<bool> NodeState::look_through(std::shared_ptr<NodeState> self, std::shared_ptr<Pass> pass,
                                       meta::Segment segment) {
  bool shrinks = false;
  for (auto at = segment.base.value; at < segment.end.value && !shrinks;) {
    WALRUS_CO_ASSIGN(auto read, co_await read_on(self, pass->partition, at, segment.end.value));
    at = read.next.value;
    auto look = [pass, bytes = std::move(read.bytes)]() -> Result<bool> {
      bool found = false;
      WALRUS_TRY(
          each_batch_below(bytes, INT64_MAX, [&](const record::BatchView& batch) -> Result<bool> {
            found = pass->compactor.shrinks(batch);
            return !found;
          }));
      return found;
    };
    WALRUS_CO_ASSIGN(shrinks, co_await self->files_->run<bool>(std::move(look)));
  }
  co_return shrinks;
}

// The first copy is written as if it came from another replica, a piece at a time.
io::Task<void> NodeState::write_copy(std::shared_ptr<NodeState> self, std::shared_ptr<Pass> pass,
                                     meta::Segment segment, SegmentId copy) {
  const auto* topic = self->image_->topics.find(pass->partition.topic);
  if (!topic) co_return fail(Code::kNotFound, "the topic is gone");
  self->writing_ = self->written_[pass->partition] = copy;
  auto& cell =
      self->make_copy(copy, {segment.base.value, durability_of(*topic).kind}, std::nullopt);
  self->push(copy, cell, Follower::Sealed{segment.end.value, {}});
  pass->made.clear();
  pass->compactor.begin(segment.base.value, static_cast<std::int32_t>(segment.epoch.value));
  for (auto at = segment.base.value; at < segment.end.value;) {
    WALRUS_CO_ASSIGN(auto read, co_await read_on(self, pass->partition, at, segment.end.value));
    at = read.next.value;
    auto make = [pass, bytes = std::move(read.bytes), at,
                 end = segment.end.value]() -> Result<std::string> {
      WALRUS_TRY(each_batch_below(bytes, end, [&](const record::BatchView& batch) -> Result<bool> {
        WALRUS_TRY(pass->compactor.copy(batch));
        return true;
      }));
      if (at >= end) WALRUS_TRY(pass->compactor.end(end));
      return std::exchange(pass->made, {});
    };
    WALRUS_CO_ASSIGN(auto batches, co_await self->files_->run<std::string>(std::move(make)));
    WALRUS_CO_TRY(co_await write_piece(self, copy, std::move(batches)));
  }
  co_return Result<void>();
}

io::Task<void> NodeState::write_piece(std::shared_ptr<NodeState> self, SegmentId copy,
                                      std::string batches) {
  if (batches.empty()) co_return Result<void>();
  auto until = self->env_.mono() + self->options_.limits.compaction_stalls;
  auto cell = self->copies_.find(copy);
  if (self->stopped_ || cell == self->copies_.end())
    co_return fail(Code::kClosed, "the copy is gone");
  auto owner = std::make_shared<const std::string>(std::move(batches));
  Run run{.from = cell->second.core->accepted()};
  WALRUS_CO_ASSIGN(run.batches, wire::peer::parse_batches(*owner, run.from, owner));
  auto end = run.end();
  self->push(copy, cell->second,
             Follower::Receive{{self->options_.self, self->options_.self, copy, Epoch{},
                                FetchReply{.answer = Answer::kOk, .run = std::move(run)}}});
  for (;;) {
    co_await self->compact_gate_->wait(kCompactionLook);
    cell = self->copies_.find(copy);
    if (self->stopped_ || cell == self->copies_.end() || cell->second.core->failed())
      co_return fail(Code::kIo, "the copy cannot be written");
    if (cell->second.core->durable() >= end) co_return Result<void>();
    if (self->env_.mono() >= until)
      co_return fail(Code::kTimeout, "the disk does not come further");
  }
}

// Until the copy is everywhere. Who is away keeps the pass waiting for a while; the copy waits
// longer.
io::Task<void> NodeState::await_holders(std::shared_ptr<NodeState> self, PartitionId id,
                                        SegmentId segment, SegmentId copy) {
  auto until = self->env_.mono() + self->options_.limits.compaction_stalls;
  for (std::size_t held = 0;;) {
    const auto* partition = self->partition_of(id);
    auto now = partition ? partition->sealed.find(segment) : std::nullopt;
    if (!now) co_return Result<void>();
    if (meta::copy_of(*now) == copy) {
      ++self->stats_.segments_compacted;
      co_return Result<void>();
    }
    if (!partition->compaction || partition->compaction->copy != copy)
      co_return fail(Code::kMismatch, "another node compacts it");
    if (std::exchange(held, partition->compaction->holders.size()) != held)
      until = self->env_.mono() + self->options_.limits.compaction_stalls;
    if (self->env_.mono() >= until)
      co_return fail(Code::kTimeout, "segment {} waits for replicas", segment.value);
    co_await self->compact_gate_->wait(kCompactionLook);
    if (self->stopped_) co_return fail(Code::kClosed, "stopped");
  }
}

// ---- Metadata ----

// Proposes until it is done or refused for another reason than that the partition had changed;
// when it is done, this node knows of it.
io::Task<meta::Outcome> NodeState::change_partition(
    std::shared_ptr<NodeState> self, PartitionId id,
    std::function<meta::Change(const meta::Partition&)> make) {
  for (int attempt = 0; attempt < kCompactionTries && !self->stopped_; ++attempt) {
    const auto* partition = self->partition_of(id);
    if (!partition) co_return fail(Code::kNotFound, "the partition is gone");
    meta::Command command{.time = self->env_.wall()};
    command.changes.push_back(make(*partition));
    auto outcomes = co_await self->metadata_.propose(std::move(command));
    if (self->stopped_) break;
    bool known = outcomes && outcomes->size() == 1;
    if (auto current = co_await self->metadata_.current(); current && !self->stopped_)
      self->learned(*std::move(current));
    if (known && outcomes->front().done()) co_return outcomes->front();
    if (known && outcomes->front().refusal != meta::Refusal::kMismatch)
      co_return fail(Code::kMismatch, "metadata refuses: {}",
                     meta::refusal_name(outcomes->front().refusal));
  }
  co_return fail(Code::kTimeout, "metadata does not answer");
}

// All of the copy, on the disk. What is encoded need not be synced while its core is here.
bool NodeState::holds(SegmentId copy, Offset end) const {
  auto cell = copies_.find(copy);
  bool owes = cell != copies_.end() && (!cell->second.core->complete() ||
                                        !cell->second.core->idle() || cell->second.core->failed());
  return !owes && !store_->failed(copy) && is_whole(copy, end);
}

// What this node holds of new copies it says, whoever writes them.
void NodeState::tell_compacted(Instant now) {
  for (auto& [id, again] : compactions_) {
    const auto* partition = partition_of(id);
    if (now < again || !partition || !partition->compaction) continue;
    const auto& work = *partition->compaction;
    auto segment = *partition->sealed.find(work.segment);
    if (is_holder(work, options_.self) && !image_->compacted_everywhere(*partition)) continue;
    if (!holds(work.copy, segment.end)) continue;
    again = now + options_.limits.metadata_retry;
    auto bytes = static_cast<std::uint64_t>(store_->bytes(work.copy));
    propose(meta::HoldCompacted{id, partition->version, work.copy, options_.self, bytes},
            [this](const meta::Outcome* outcome) {
              if (!outcome || !outcome->done()) refresh();
            });
  }
}

// New copies that others write are fetched from whoever has all of them by now. What this node has
// written for others it keeps until they need it no more.
void NodeState::learn_compaction(const PartitionId& id, const meta::Partition& partition) {
  const auto& work = partition.compaction;
  auto of = work ? find_copied(partition, work->copy) : std::nullopt;
  bool mine = of && meta::is_replica(of->segment, options_.self);
  if (!mine) compactions_.erase(id);
  else compactions_.try_emplace(id, Instant{});
  auto cell = mine && work->by != options_.self ? copies_.find(work->copy) : copies_.end();
  if (cell != copies_.end() && !cell->second.core->complete())
    push(work->copy, cell->second, Follower::Sealed{of->segment.end.value, of->sources});
  // It has left the segment since, and has come back: it removed what it had written.
  bool lacks = mine && work->by == options_.self && !is_holder(*work, options_.self);
  if (lacks) learn_sealed(id, work->copy, *of);
  auto written = written_.find(id);
  if (written != written_.end() && (!work || work->copy != written->second)) {
    if (!std::ranges::binary_search(parts_[id].mine, written->second)) orphan(written->second);
    written_.erase(written);
  }
  if (compacting_ == id) compact_gate_->open();
}

// Sealed copies that this node is to have, and was not to have before.
void NodeState::learn_fresh(const PartitionId& id, const meta::Partition& partition,
                            const std::function<bool(SegmentId)>& is_fresh) {
  const auto& work = partition.compaction;
  partition.sealed.each([&](const meta::Segment& segment) {
    if (!meta::is_replica(segment, options_.self)) return;
    if (auto copy = meta::copy_of(segment); is_fresh(copy))
      learn_sealed(id, copy, {segment, segment.replicas, false});
    if (work && work->segment == segment.id && is_fresh(work->copy))
      learn_sealed(id, work->copy, *find_copied(partition, work->copy));
  });
}

// Which segment the copies of this id are of: those that there are, or those that are being made.
std::optional<NodeState::Copied> NodeState::find_copied(const meta::Partition& partition,
                                                        SegmentId copy) {
  const auto& work = partition.compaction;
  if (work && work->copy == copy) {
    Copied found{*partition.sealed.find(work->segment), {work->by}, true};
    for (auto node : work->holders)
      if (node != work->by) found.sources.push_back(node);
    return found;
  }
  auto segment = partition.sealed.find(copy);
  if (!segment || meta::copy_of(*segment) != copy) {
    segment.reset();
    partition.sealed.each([&](const meta::Segment& one) {
      if (one.compacted == copy) segment = one;
    });
  }
  if (!segment) return std::nullopt;
  return Copied{*segment, segment->replicas, false};
}

}  // namespace walrus::replica
