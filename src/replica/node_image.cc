// What metadata says, and what this node asks of it.

#include <algorithm>
#include <charconv>
#include <ranges>

#include "replica/compaction.h"
#include "replica/node_methods.h"
#include "replica/node_state.h"

namespace walrus::replica {
namespace {

constexpr Nanos kWrittenLately = std::chrono::seconds(2);
constexpr Nanos kClaimAgain = std::chrono::milliseconds(300);
constexpr Nanos kStall = std::chrono::seconds(2);  // of a repair: it makes way for others
constexpr Nanos kSurveyTimeout = std::chrono::seconds(2);
constexpr std::size_t kAuthorBytesMax = 255;

std::optional<Leader::Previous> previous_of(const meta::Partition& partition) {
  if (partition.sealed.empty()) return std::nullopt;
  auto last = partition.sealed.last();
  return Leader::Previous{last.id, std::move(last.replicas)};
}

// Half of the time that a record may wait until it is compacted: a segment is compacted when its
// successor ends.
std::optional<Millis> segment_age_max(const meta::Topic& topic) {
  constexpr std::int64_t kYears = 50LL * 365 * 86'400'000;  // as good as never
  auto ms = number_setting(topic, "segment.ms", -1);
  auto age = ms > 0 ? std::optional(Millis(std::min(ms, kYears))) : std::nullopt;
  auto lag = compaction_of(topic) ? compaction_lag_of(topic).max : std::nullopt;
  if (lag) age = std::min(age.value_or(Millis(kYears)), std::max(*lag / 2, Millis(1)));
  return age;
}

}  // namespace

Durability durability_of(const meta::Topic& topic) {
  auto found = topic.settings.find("walrus.durability");
  if (found == topic.settings.end()) return {};
  Bytes text = found->second;
  if (text == "os") return {Durability::kOs};
  constexpr Bytes kInterval = "interval=";
  if (!text.starts_with(kInterval)) return {};
  std::int64_t ms = 0;
  text.remove_prefix(kInterval.size());
  std::from_chars(text.data(), text.data() + text.size(), ms);
  return {Durability::kInterval, Millis(std::clamp<std::int64_t>(ms, 1, 3'600'000))};
}

std::int64_t number_setting(const meta::Topic& topic, Bytes name, std::int64_t otherwise) {
  auto found = topic.settings.find(name);
  if (found == topic.settings.end()) return otherwise;
  const auto& text = found->second;
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : otherwise;
}

Segment to_segment(const meta::Segment& segment, const meta::Topic& topic) {
  return {.id = segment.id,
          .epoch = segment.epoch,
          .state = static_cast<SegmentState>(static_cast<int>(segment.state) - 1),
          .leader = segment.leader,
          .leader_incarnation = segment.leader_incarnation,
          .replicas = segment.replicas,
          .ack_quorum = ack_quorum(segment.replicas.size(), segment.min_copies),
          .durability = durability_of(topic).kind,
          .start = segment.base.value,
          .end = segment.end.value,
          .recovery = segment.recovery_epoch};
}
static_assert(static_cast<int>(SegmentState::kOpen) + 1 ==
                  static_cast<int>(meta::SegmentState::kOpen) &&
              static_cast<int>(SegmentState::kSealing) + 1 ==
                  static_cast<int>(meta::SegmentState::kSealing) &&
              static_cast<int>(SegmentState::kSealed) + 1 ==
                  static_cast<int>(meta::SegmentState::kSealed));

meta::Placement NodeState::placement_of(const Segment& segment) {
  return {segment.leader, segment.replicas};
}

// ---- Images ----

void NodeState::learned(ImageRef image) {
  if (stopped_ || !image) return;
  if (begun_) return apply(std::move(image));
  if (!waiting_ || image->version > waiting_->version) waiting_ = std::move(image);
  if (!std::exchange(beginning_, true)) begin();
}

// What the disk may have lost is known now by the ids that metadata has issued, and is durable
// before anything is answered (R19).
void NodeState::begin() {
  auto found = store_->node_record();
  if (!found) return log(LogLevel::kError, "segments_unreadable", {}, found.error().message);
  auto next = waiting_->next_segment;
  auto boot = env_.disk().boot_id();
  auto record = found->value_or(NodeRecord{.boot_id = boot});
  bool changed = !*found || record.boot_id != boot || engine_.opened_torn();
  if (record.boot_id != boot) record.losses.unsynced_below = next;
  if (engine_.opened_torn()) record.losses.torn_below = next;
  record.boot_id = boot;
  losses_ = record.losses;
  auto go = [weak = weak_from_this(), mailbox = mailbox_](Result<void> done) mutable {
    mailbox.send([weak, done = std::move(done)] {
      auto self = weak.lock();
      if (!self || self->stopped_) return;
      if (!done) {
        self->beginning_ = false;  // the next image tries again
        return self->log(LogLevel::kWarning, "segments_wait", {}, done.error().message);
      }
      self->begun_ = true;
      self->apply(std::exchange(self->waiting_, nullptr));
    });
  };
  if (changed) store_->put_node_record(record, std::move(go));
  else go({});
}

void NodeState::apply(ImageRef image) {
  if (image_ && image->version <= image_->version) return;
  auto before = std::exchange(image_, std::move(image));
  if (const auto* self = image_->find_node(options_.self))
    losses_.directory_below = std::max(losses_.directory_below, self->intact_from);
  auto changes = before ? image_->changes_since(before->version) : meta::Changes{.whole = true};
  if (!before) apply_first();
  if (!recoveries_.empty() && (changes.whole || !changes.nodes.empty())) tell_removed();
  if (!changes.whole) {
    for (const auto& id : changes.partitions) learn_partition(id);
    for (const auto& topic : changes.deleted)
      for (auto at = parts_.lower_bound({topic, 0});
           at != parts_.end() && at->first.topic == topic;) {
        const PartitionId id = (at++)->first;  // goes with what is forgotten
        forget_partition(id);
      }
    judge_ahead();
    return post_turn();
  }
  image_->partitions.each([this](const PartitionId& id, const auto&) { learn_partition(id); });
  std::vector<PartitionId> gone;
  for (const auto& [id, part] : parts_)
    if (!image_->partitions.find(id)) gone.push_back(id);
  for (const auto& id : gone) forget_partition(id);
  if (!before) {
    std::set<SegmentId> mine;
    for (const auto& [id, part] : parts_) mine.insert(part.mine.begin(), part.mine.end());
    for (auto segment : store_->segments())
      if (!mine.contains(segment) && !repairs_.contains(segment)) orphan(segment);
  }
  judge_ahead();
  post_turn();
}

// A copy may have been begun of a segment that is gone again in the first image that could tell of
// it.
void NodeState::judge_ahead() {
  for (auto at = ahead_.begin(); at != ahead_.end() && *at < image_->next_segment;) {
    auto segment = *at;
    at = ahead_.erase(at);
    bool mine = std::ranges::any_of(parts_, [segment](const auto& one) {
      return std::ranges::binary_search(one.second.mine, segment);
    });
    if (!mine && !repairs_.contains(segment)) orphan(segment);
  }
}

// Who was taken out of the cluster answers no fence any more (R19).
void NodeState::tell_removed() {
  image_->nodes.each([this](NodeId id, const meta::Node& node) {
    if (node.state == meta::NodeState::kRemoved) push(Sealer::Removed{id});
  });
}

// A recovery that an earlier life was told of is begun in an epoch of its own.
void NodeState::apply_first() {
  image_->partitions.each([this](const PartitionId&, const meta::Partition& partition) {
    if (partition.tail && partition.tail->recoverer == options_.self)
      used_[partition.tail->id] = partition.tail->recovery_epoch;
  });
}

std::vector<SegmentId> NodeState::find_mine(const meta::Partition& partition) const {
  std::vector<SegmentId> mine;
  const auto& work = partition.compaction;
  partition.sealed.each([&](const meta::Segment& segment) {
    if (!meta::is_replica(segment, options_.self)) return;
    mine.push_back(meta::copy_of(segment));
    if (work && work->segment == segment.id) mine.push_back(work->copy);
  });
  if (partition.tail && meta::is_replica(*partition.tail, options_.self))
    mine.push_back(partition.tail->id);
  std::ranges::sort(mine);
  return mine;
}

void NodeState::learn_partition(const PartitionId& id) {
  const auto* partition = partition_of(id);
  if (!partition) return forget_partition(id);
  auto mine = find_mine(*partition);
  auto is_sealed_here = [&] {
    return std::ranges::any_of(recoveries_,
                               [&](const auto& one) { return one.second.partition == id; });
  };
  if (mine.empty() && !parts_.contains(id) && !is_sealed_here()) return;
  auto& part = parts_[id];
  auto old = std::exchange(part.mine, std::move(mine));
  auto was_tail = part.tail;
  for (auto segment : old)
    if (!std::ranges::binary_search(part.mine, segment)) orphan(segment);
  for (auto segment : part.mine) orphans_.erase(segment);
  learn_tail(id, part, *partition);
  auto is_fresh = [&](SegmentId copy) {
    return (!std::ranges::binary_search(old, copy) || copy == was_tail) && copy != part.tail;
  };
  if (std::ranges::any_of(part.mine, is_fresh)) learn_fresh(id, *partition, is_fresh);
  learn_compaction(id, *partition);
  open_writer(id, *partition);
  want_next(part, *partition);
  if (!part.waiting.empty()) mark(id, part);
  wake_readers(id, part);
}

void NodeState::learn_tail(const PartitionId& id, Part& part, const meta::Partition& partition) {
  const auto& tail = partition.tail;
  auto now = tail && meta::is_replica(*tail, options_.self) ? tail->id : SegmentId{};
  if (part.tail != now) {
    tails_.erase(part.tail);
    part.tail = now;
    if (now != SegmentId{}) tails_[now] = id;
  }
  if (now != SegmentId{} && store_->has(now)) copy_cell(now);
  if (auto interval = interval_of(now)) {
    store_->set_interval(now, *interval);
    if (auto cell = copies_.find(now); cell != copies_.end())
      cell->second.attributes.interval = *interval;
  }
  if (part.writer != SegmentId{}) {
    bool open = tail && tail->id == part.writer && tail->state == meta::SegmentState::kOpen;
    auto& writer = writers_.at(part.writer);
    if (!open) push(part.writer, writer, Leader::Deposed{});
    else if (!writer.core->knows_producers())
      push(part.writer, writer, Leader::Before{previous_of(partition)});
    if (!tail || tail->id != part.writer) end_writer(std::exchange(part.writer, {}));
  }
  const auto& topic = *image_->topics.find(id.topic);
  std::vector<SegmentId> over;
  for (const auto& [segment, work] : recoveries_) {
    if (work.partition != id) continue;
    bool is_tail = tail && tail->id == segment;
    if (sealer_.has(segment))
      push(Sealer::Learned{is_tail ? to_segment(*tail, topic)
                                   : Segment{.id = segment, .state = SegmentState::kSealed}});
    if (!is_tail) over.push_back(segment);
    else try_recover(work);
  }
  for (auto segment : over) {
    recoveries_.erase(segment);
    used_.erase(segment);
    claimed_at_.erase(segment);
    accepted_.erase(segment);
  }
}

// Of a segment whose writer is gone: whoever wrote to it a moment ago, or to the one before if it
// has just been opened, goes on, and need not come first to find that nothing is open.
void NodeState::want_next(const Part& part, const meta::Partition& partition) {
  bool copied = part.tail != SegmentId{};  // here, of a segment that is not sealed
  if (!copied || partition.tail->state != meta::SegmentState::kSealing) return;
  bool written = std::ranges::any_of(
      part.mine | std::views::reverse | std::views::take(2), [&](SegmentId segment) {
        auto copy = copies_.find(segment);
        return copy != copies_.end() && env_.mono() - copy->second.written_at <= kWrittenLately;
      });
  if (written) wanted_next_.push_back(tails_.at(part.tail));
}

void NodeState::forget_partition(const PartitionId& id) {
  auto found = parts_.find(id);
  if (found == parts_.end()) return;
  auto part = std::move(found->second);
  parts_.erase(found);
  hungry_.erase(id);
  compactions_.erase(id);
  compaction_since_.erase(id);
  if (auto written = written_.extract(id)) orphan(written.mapped());
  tails_.erase(part.tail);
  if (part.writer != SegmentId{}) end_writer(part.writer);
  for (auto segment : part.mine) orphan(segment);
  std::erase_if(repairs_, [&](const auto& one) { return one.second.partition == id; });
  for (auto& one : part.handed) refuse(id, one, Refusal::kUnknown);
  while (!part.waiting.empty()) {
    auto one = leave(part);
    refuse(id, one, Refusal::kNotLeader);
  }
  for (auto& reader : part.readers) {
    readers_.erase(reader.id);
    calls_.push_back([done = std::move(reader.done)]() mutable {
      done(fail(Code::kNotFound, "the partition is gone"));
    });
  }
  post_turn();
}

// ---- Writers ----

void NodeState::open_writer(const PartitionId& id, const meta::Partition& partition) {
  const auto& tail = partition.tail;
  bool mine = tail && tail->state == meta::SegmentState::kOpen && tail->leader == options_.self &&
              tail->leader_incarnation == options_.incarnation;
  if (!mine || stopping_ || writers_.contains(tail->id)) return;
  const auto& topic = *image_->topics.find(id.topic);
  auto options = options_.leader;
  options.self = options_.self;
  options.incarnation = options_.incarnation;
  options.records_max = number_setting(topic, "walrus.segment.records", options.records_max);
  options.bytes_max = number_setting(topic, "segment.bytes", options.bytes_max);
  auto leader = Leader::open(options, to_segment(*tail, topic), previous_of(partition), lease_);
  if (!leader)
    return log(LogLevel::kError, "segment_not_written", tail->id, leader.error().message);
  auto& cell = writers_[tail->id];
  cell.partition = id;
  cell.core = *std::move(leader);
  if (auto age = segment_age_max(topic)) cell.roll_at = env_.mono() + *age;
  parts_[id].writer = tail->id;
  push(tail->id, cell, Leader::Tick{});
}

// Its answers go out as it leaves.
void NodeState::end_writer(SegmentId segment) {
  auto& cell = writers_.at(segment);
  cell.events.push_back(Leader::Deposed{});
  auto partition = cell.partition;
  step_writer(segment);
  drop_wake(Kind::kWriter, segment, cell);
  // All that it took is answered for: what comes behind may go on elsewhere, in its order.
  bool rolled = cell.close_at && !cell.unsure && !stopping_;
  writers_.erase(segment);
  closing_.erase(segment);
  if (auto part = parts_.find(partition); part != parts_.end()) {
    part->second.writer = {};
    part->second.hand_on_until = rolled ? env_.mono() + options_.limits.hand_on_max : Instant{};
    part->second.handed_to = {};
  }
  ended_->open();
}

void NodeState::close_segment(SegmentId segment, WriterCell& cell) {
  const auto* partition = partition_of(cell.partition);
  bool there = partition && partition->tail && partition->tail->id == segment &&
               partition->tail->state == meta::SegmentState::kOpen;
  if (!there || cell.closing) return;
  cell.closing = true;
  meta::Seal seal{.partition = cell.partition,
                  .expected = partition->version,
                  .segment = segment,
                  .epoch = partition->tail->epoch,
                  .end = Offset{*cell.close_at},
                  .bytes = static_cast<std::uint64_t>(store_->bytes(segment)),
                  .next = cell.next};
  propose(std::move(seal), [this, segment](const meta::Outcome* outcome) {
    auto found = writers_.find(segment);
    if (found == writers_.end()) return;
    auto& cell = found->second;
    cell.closing = false;
    cell.close_again = env_.mono() + options_.limits.metadata_retry;
    if (outcome && outcome->done()) return;  // the image will tell
    bool misplaced = outcome && outcome->refusal != meta::Refusal::kMismatch;
    if (misplaced) {  // somebody else finds a place for what follows
      cell.next.reset();
      ended_->open();  // give_away() waits for it no longer
    }
    refresh();
  });
}

// Who takes over from this node when it stops: the others that have the copies; one that keeps up
// leads, another one each turn. None: the controller has to find a place, as it does for internal
// topics, which have a home.
std::optional<meta::Placement> NodeState::heirs_of(const WriterCell& cell, std::size_t turn) const {
  const auto* topic = image_->topics.find(cell.partition.topic);
  if (!topic || topic->internal) return std::nullopt;
  meta::Placement heirs;
  std::vector<NodeId> leaders;
  for (auto id : cell.core->segment().replicas) {
    const auto* node = image_->find_node(id);
    bool stays = id != options_.self && node && node->state == meta::NodeState::kActive;
    if (!stays) continue;
    heirs.replicas.push_back(id);
    if (cell.core->keeps_up(id)) leaders.push_back(id);
  }
  if (leaders.empty() || heirs.replicas.size() < topic->min_copies) return std::nullopt;
  heirs.leader = leaders[turn % leaders.size()];
  return heirs;
}

void NodeState::roll(const std::vector<meta::Roll>& work) {
  if (stopped_) return;
  for (const auto& one : work) {
    auto found = writers_.find(one.segment);
    if (found == writers_.end() || found->second.core->role() != Leader::Role::kWriter) continue;
    close(one.segment, found->second, one.next);
  }
}

void NodeState::close(SegmentId segment, WriterCell& cell, std::optional<meta::Placement> next) {
  cell.next = std::move(next);
  push(segment, cell, Leader::Close{});
}

// ---- Recovery ----

void NodeState::recover(const std::vector<meta::Recover>& work) {
  if (stopped_) return;
  for (const auto& one : work) {
    recoveries_[one.segment] = one;
    if (begun_) try_recover(one);
  }
}

// Of a segment that this node writes: too few of its copies are what they were, so only a recovery
// ends it (Leader::Roll::kQuorumLost). The claim takes the segment from its writer, too.
void NodeState::recover_own(SegmentId segment, const PartitionId& id) {
  const auto* partition = partition_of(id);
  if (!partition || !recoveries_.try_emplace(segment, meta::Recover{id, segment}).second) return;
  propose(meta::BeginSeal{id, partition->version, options_.self},
          [this, segment](const meta::Outcome* outcome) {
            if (outcome && outcome->done()) return;
            recoveries_.erase(segment);  // asked for again while it is so
            refresh();
          });
}

void NodeState::try_recover(const meta::Recover& work) {
  const auto* partition = partition_of(work.partition);
  if (!partition || !partition->tail || sealer_.has(work.segment)) return;
  const auto& tail = *partition->tail;
  bool ours = tail.id == work.segment && tail.state == meta::SegmentState::kSealing &&
              tail.recoverer == options_.self;
  if (!ours) return;  // or the image that says so is still on its way
  auto now = env_.mono();
  if (used_[work.segment] >= tail.recovery_epoch) {
    auto& at = claimed_at_.try_emplace(work.segment, now - kClaimAgain).first->second;
    if (now - at < kClaimAgain) return;
    at = now;
    return propose(meta::BeginSeal{work.partition, partition->version, options_.self},
                   [this](const meta::Outcome* outcome) {
                     if (!outcome || !outcome->done()) refresh();
                   });
  }
  used_[work.segment] = tail.recovery_epoch;
  Sealer::Seal seal{.segment = to_segment(tail, *image_->topics.find(work.partition.topic)),
                    .accepted = std::nullopt};
  if (auto found = accepted_.find(work.segment); found != accepted_.end())
    seal.accepted = found->second.end.value;
  for (auto replica : tail.replicas) {
    const auto* node = image_->find_node(replica);
    if (!node || node->state == meta::NodeState::kRemoved) seal.gone.push_back(replica);
  }
  push(std::move(seal));
}

void NodeState::take_sealer(Sealer::Actions& actions) {
  for (auto& message : actions.messages) send(std::move(message));
  for (const auto& command : actions.commands) {
    if (command.kind == Sealer::Command::kClaim) claim(command);
    else end_segment(command);
  }
  for (const auto& blocked : actions.blocked)
    log(LogLevel::kError, "segment_waits_for_operator", blocked.segment,
        fmt::format("ends at {} or at {}, {} replicas cannot tell", blocked.end.end,
                    blocked.end.known, blocked.limbo.size()));
}

// The controller claimed it for this node; the epoch is used by one attempt.
void NodeState::claim(const Sealer::Command& command) {
  auto work = recoveries_.find(command.segment.id);
  const auto* partition =
      work == recoveries_.end() ? nullptr : partition_of(work->second.partition);
  bool ours = partition && partition->tail && partition->tail->id == command.segment.id &&
              partition->tail->recoverer == options_.self &&
              partition->tail->recovery_epoch == command.segment.recovery;
  push(Sealer::Decided{.segment = command.segment, .taken = ours});
}

void NodeState::end_segment(const Sealer::Command& command) {
  auto segment = command.segment.id;
  auto work = recoveries_.find(segment);
  const auto* partition =
      work == recoveries_.end() ? nullptr : partition_of(work->second.partition);
  if (!partition) return;
  // What was trimmed need not be there: where a loss reaches below the log start, only that is
  // left.
  auto end = std::max(command.end, partition->log_start.value);
  meta::Seal seal{.partition = work->second.partition,
                  .expected = partition->version,
                  .segment = segment,
                  .epoch = command.segment.recovery,
                  .end = Offset{end},
                  .bytes = static_cast<std::uint64_t>(store_->bytes(segment)),
                  .next = work->second.next};
  if (command.lost) {
    auto word = accepted_.find(segment);
    seal.loss = {Offset{std::max(command.known, end + 1)},
                 word == accepted_.end() ? "" : word->second.by};
  }
  propose(std::move(seal), [this, segment, at = command.segment](const meta::Outcome* outcome) {
    if (outcome && outcome->done()) {
      auto sealed = at;
      sealed.state = SegmentState::kSealed;
      return push(Sealer::Decided{.segment = sealed, .taken = true});
    }
    auto work = recoveries_.find(segment);
    bool misplaced = outcome && outcome->refusal != meta::Refusal::kMismatch;
    if (misplaced && work != recoveries_.end()) work->second.next.reset();
    refresh();
  });
}

// ---- For an operator ----

Result<SealSurvey> NodeState::survey_here(SegmentId segment) const {
  if (stopped_) return fail(Code::kClosed, "stopped");
  auto found = sealer_.survey(segment);
  if (!found) return fail(Code::kNotFound, "segment {} is not being sealed here", segment.value);
  SealSurvey survey{.epoch = found->recovery,
                    .waits = found->needs_operator,
                    .start = Offset{found->start},
                    .end = Offset{found->end.end},
                    .known = Offset{found->end.known}};
  for (const auto& one : found->told)
    survey.copies.push_back({.node = one.replica,
                             .answered = one.answered,
                             .removed = one.gone,
                             .knowledge = one.knowledge,
                             .end = Offset{one.durable}});
  return survey;
}

Result<void> NodeState::accept_here(SegmentId segment, AcceptedEnd accepted) {
  WALRUS_ASSIGN(auto survey, survey_here(segment));
  if (survey.epoch != accepted.epoch || survey.end < accepted.end)
    return fail(Code::kMismatch, "segment {} is not as it was shown any more: look again",
                segment.value);
  for (const auto& copy : survey.copies)
    if (!copy.answered && !copy.removed)
      return fail(Code::kBusy, "node {} has not answered for segment {}", copy.node.value,
                  segment.value);
  log(LogLevel::kWarning, "segment_loss_accepted", segment,
      fmt::format("{} accepts its end at {}, acknowledged was up to {} at least", accepted.by,
                  survey.end.value, survey.known.value));
  push(Sealer::AcceptLoss{segment, accepted.end.value});
  accepted_[segment] = std::move(accepted);
  return {};
}

io::Task<SealSurvey> NodeState::survey(std::shared_ptr<NodeState> self, NodeId sealer,
                                       SegmentId segment) {
  if (sealer == self->options_.self) co_return self->survey_here(segment);
  std::string body;
  append_uvarint(body, segment.value);
  WALRUS_CO_ASSIGN(auto reply, co_await self->rpc_.call(sealer, kSegmentSurvey, std::move(body),
                                                        {.timeout = kSurveyTimeout}));
  co_return parse_survey(reply);
}

io::Task<std::string> NodeState::serve_survey(std::shared_ptr<NodeState> self,
                                              net::Request request) {
  if (!self) co_return fail(Code::kClosed, "stopped");
  Decoder in(request.body);
  SegmentId segment{in.uvarint().value_or(0)};
  if (!in.ok() || !in.at_end()) co_return fail(Code::kInvalid, "a malformed survey");
  WALRUS_CO_ASSIGN(auto survey, self->survey_here(segment));
  co_return encode(survey);
}

io::Task<void> NodeState::accept_loss(std::shared_ptr<NodeState> self, NodeId sealer,
                                      SegmentId segment, AcceptedEnd accepted) {
  if (sealer == self->options_.self) co_return self->accept_here(segment, std::move(accepted));
  std::string body;
  append_uvarint(body, segment.value);
  append_uvarint(body, accepted.epoch.value);
  append_uvarint(body, static_cast<std::uint64_t>(accepted.end.value));
  append_string(body, accepted.by);
  WALRUS_CO_TRY(co_await self->rpc_.call(sealer, kSegmentAccept, std::move(body),
                                         {.timeout = kSurveyTimeout}));
  co_return Result<void>();
}

io::Task<std::string> NodeState::serve_accept(std::shared_ptr<NodeState> self,
                                              net::Request request) {
  if (!self) co_return fail(Code::kClosed, "stopped");
  Decoder in(request.body);
  SegmentId segment{in.uvarint().value_or(0)};
  AcceptedEnd accepted{.epoch = {static_cast<std::uint32_t>(in.uvarint().value_or(0))},
                       .end = Offset{static_cast<std::int64_t>(in.uvarint().value_or(0))}};
  accepted.by = in.string().value_or(Bytes());
  bool sound = in.ok() && in.at_end() && accepted.end >= Offset{} && !accepted.by.empty() &&
               accepted.by.size() <= kAuthorBytesMax;
  if (!sound) co_return fail(Code::kInvalid, "a malformed acceptance of a loss");
  WALRUS_CO_TRY(self->accept_here(segment, std::move(accepted)));
  co_return std::string();
}

std::string encode(const SealSurvey& survey) {
  std::string to(1, survey.waits ? '\1' : '\0');
  append_uvarint(to, survey.epoch.value);
  for (auto offset : {survey.start, survey.end, survey.known})
    append_uvarint(to, static_cast<std::uint64_t>(offset.value));
  append_uvarint(to, survey.copies.size());
  for (const auto& copy : survey.copies) {
    append_uvarint(to, copy.node.value);
    to.push_back(static_cast<char>((copy.answered ? 1 : 0) | (copy.removed ? 2 : 0)));
    to.push_back(static_cast<char>(copy.knowledge));
    append_uvarint(to, static_cast<std::uint64_t>(copy.end.value));
  }
  return to;
}

Result<SealSurvey> parse_survey(Bytes bytes) {
  Decoder in(bytes);
  auto byte = [&in](unsigned max) {
    auto value = in.le<std::uint8_t>();
    return value && *value <= max ? value : std::nullopt;
  };
  auto offset = [&in] { return Offset{static_cast<std::int64_t>(in.uvarint().value_or(0))}; };
  SealSurvey survey;
  bool sound = true;
  auto waits = byte(1);
  survey.waits = waits == 1;
  survey.epoch.value = static_cast<std::uint32_t>(in.uvarint().value_or(0));
  survey.start = offset();
  survey.end = offset();
  survey.known = offset();
  auto left = in.uvarint().value_or(0);
  if (!waits || left > meta::kReplicasMax) sound = false;
  for (; sound && left > 0; --left) {
    auto& copy = survey.copies.emplace_back();
    copy.node.value = in.uvarint().value_or(0);
    auto flags = byte(3), knowledge = byte(static_cast<unsigned>(Knowledge::kLimbo));
    copy.end = offset();
    sound = flags && knowledge && in.ok();
    copy.answered = (flags.value_or(0) & 1) != 0;
    copy.removed = (flags.value_or(0) & 2) != 0;
    copy.knowledge = static_cast<Knowledge>(knowledge.value_or(0));
  }
  if (!sound || !in.ok() || !in.at_end())
    return fail(Code::kCorrupt, "a malformed survey of a segment");
  return survey;
}

// ---- Sealed copies ----

bool NodeState::is_whole(SegmentId copy, Offset end) const {
  if (!store_->has(copy)) return false;
  auto state = store_->state(copy);
  return state && state->sealed_end == end.value && state->knowledge == Knowledge::kWhole &&
         store_->end(copy) == end.value;
}

// What this node is to write itself it does not fetch, as long as nobody else has it.
void NodeState::learn_sealed(const PartitionId& id, SegmentId copy, const Copied& of) {
  bool writes = of.pending && of.sources.front() == options_.self;
  if (writes && of.sources.size() == 1) return;
  auto cell = copies_.find(copy);
  if (cell != copies_.end()) {
    push(copy, cell->second, Follower::Sealed{of.segment.end.value, of.sources});
  } else if (!is_whole(copy, of.segment.end)) {
    repairs_[copy].partition = id;
  }
}

void NodeState::copy(const std::vector<meta::Copy>& work) {
  if (stopped_) return;
  for (const auto& one : work) {
    const auto* partition = partition_of(one.partition);
    auto segment = partition ? partition->sealed.find(one.segment) : std::nullopt;
    if (one.to != options_.self || !segment) continue;
    auto copy = meta::copy_of(*segment);
    auto& repair = repairs_[copy];
    repair.partition = one.partition;
    repair.order = one;
    orphans_.erase(copy);
  }
}

std::vector<meta::Copy> NodeState::copying() const {
  std::vector<meta::Copy> copies;
  for (const auto& [segment, repair] : repairs_)
    if (repair.order) copies.push_back(*repair.order);
  return copies;
}

// False: there is nothing to repair.
bool NodeState::start_repair(SegmentId id, Repair& repair) {
  const auto* partition = partition_of(repair.partition);
  auto found = partition ? find_copied(*partition, id) : std::nullopt;
  if (!found) return false;
  auto* cell = copy_cell(id);
  if (!cell) {
    auto durability = durability_of(*image_->topics.find(repair.partition.topic)).kind;
    cell = &make_copy(id, {found->segment.base.value, durability}, std::nullopt);
  }
  auto sources = found->sources;
  auto first = repair.order ? repair.order->from : repair.source;
  if (first != NodeId{}) sources.insert(sources.begin(), first);
  push(id, *cell, Follower::Sealed{found->segment.end.value, std::move(sources)});
  repair.started = true;
  repair.bytes = found->segment.bytes;
  repair.stalls_at = env_.mono() + kStall;
  return true;
}

void NodeState::work_on_repairs(Instant now) {
  std::size_t active = 0;
  std::uint64_t bytes = 0;
  for (auto& [id, repair] : repairs_) {
    repair.started = repair.started && copies_.contains(id);
    if (!repair.started || now >= repair.stalls_at) continue;
    ++active;
    bytes += repair.bytes;
  }
  const auto& limits = options_.limits;
  auto has_room = [&] {
    return active < limits.copies_at_once ||
           (active < limits.copies_small_max && bytes < limits.copies_bytes);
  };
  std::vector<SegmentId> over, done;
  for (auto& [id, repair] : repairs_) {
    if (repair.started) {
      auto reached = copies_.at(id).core->accepted();
      if (std::exchange(repair.reached, reached) != reached) repair.stalls_at = now + kStall;
      if (now >= repair.again) done.push_back(id);
    } else if (has_room()) {
      // Its core may be there: opened by a message, it does not know yet that it is sealed.
      if (!start_repair(id, repair)) {
        over.push_back(id);
        continue;
      }
      ++active;
      bytes += repair.bytes;
    }
  }
  for (auto id : over) give_up_repair(id);
  for (auto id : done) finish_repair(id);
}

// Metadata does not know the segment any more, or not here.
void NodeState::give_up_repair(SegmentId id) {
  repairs_.erase(id);
  orphan(id);
}

void NodeState::finish_repair(SegmentId id) {
  auto& repair = repairs_.at(id);
  const auto* partition = partition_of(repair.partition);
  auto found = partition ? find_copied(*partition, id) : std::nullopt;
  if (!found) return give_up_repair(id);
  const auto* segment = &found->segment;
  bool mine = meta::is_replica(*segment, options_.self);
  if (!repair.order && !mine) return give_up_repair(id);  // it was placed elsewhere meanwhile
  auto cell = copies_.find(id);
  if (cell == copies_.end() || !cell->second.core->complete() || !cell->second.core->idle()) return;
  bool told = mine && image_->intact(*segment, options_.self);
  if (!repair.order || told) return end_repair(id);
  if (repair.proposed || env_.mono() < repair.again) return;
  repair.proposed = true;
  meta::CopyMove move{.segment = segment->id, .added = {options_.self}};
  auto replaces = repair.order->replaces;
  if (replaces != NodeId{} && replaces != options_.self) move.dropped.push_back(replaces);
  propose(meta::MoveCopies{repair.partition, partition->version, {std::move(move)}},
          [this, id](const meta::Outcome* outcome) {
            auto found = repairs_.find(id);
            if (found == repairs_.end()) return;
            found->second.proposed = false;
            found->second.again = env_.mono() + options_.limits.metadata_retry;
            bool again = !outcome || outcome->refusal == meta::Refusal::kMismatch;
            if (again) return refresh();
            repairs_.erase(found);
            // There may be enough without it; or it is ours, and gone before an image told so. What
            // a sweep asked for before this may be older: another one has to see to it.
            orphans_.erase(id);
            orphan(id);
          });
}

// Copies of segments that metadata does not know, or has placed elsewhere, go (R32). Ids are never
// given again, but a segment may come back to a node: so an image that is current decides.
boost::asio::awaitable<void> NodeState::sweep(std::shared_ptr<NodeState> self) {
  auto candidates = self->orphans_;
  auto current = co_await self->metadata_.current();
  if (self->stopped_) co_return;
  self->sweeping_ = false;
  if (!current) co_return;
  std::set<SegmentId> kept;
  (*current)->partitions.each([&](const PartitionId&, const meta::Partition& partition) {
    auto mine = self->find_mine(partition);
    kept.insert(mine.begin(), mine.end());
  });
  for (auto [segment, number] : candidates) {
    // What came back meanwhile is none any more; if it has gone again since, the next sweep asks.
    auto found = self->orphans_.find(segment);
    if (found == self->orphans_.end() || found->second != number) continue;
    self->orphans_.erase(found);
    if (kept.contains(segment) || self->repairs_.contains(segment)) continue;
    self->close_copy(segment);
    if (!self->store_->has(segment)) continue;
    self->store_->remove(segment);
    ++self->stats_.copies_removed;
  }
  self->learned(*std::move(current));
}

// ---- Proposals ----

void NodeState::propose(meta::Change change, std::function<void(const meta::Outcome*)> done) {
  proposals_.push_back({std::move(change), std::move(done)});
  post_turn();
}

boost::asio::awaitable<void> NodeState::run_proposals(std::shared_ptr<NodeState> self,
                                                      std::vector<Proposal> proposals) {
  constexpr std::size_t kChanges = 1'000;
  for (std::size_t from = 0; from < proposals.size(); from += kChanges) {
    auto to = std::min(proposals.size(), from + kChanges);
    meta::Command command{.time = self->env_.wall()};
    for (auto i = from; i < to; ++i) command.changes.push_back(std::move(proposals[i].change));
    auto outcomes = co_await self->metadata_.propose(std::move(command));
    if (self->stopped_) co_return;
    for (auto i = from; i < to; ++i) {
      bool known = outcomes && outcomes->size() == to - from;
      proposals[i].done(known ? &(*outcomes)[i - from] : nullptr);
    }
  }
}

void NodeState::refresh() {
  if (!std::exchange(refreshing_, true)) loop_.spawn(run_refresh(shared_from_this()));
}

boost::asio::awaitable<void> NodeState::run_refresh(std::shared_ptr<NodeState> self) {
  auto current = co_await self->metadata_.current();
  if (self->stopped_) co_return;
  self->refreshing_ = false;
  if (current) self->learned(*std::move(current));
}

}  // namespace walrus::replica
