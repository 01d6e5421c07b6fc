#include "replica/sealer.h"

#include <algorithm>

#include "base/check.h"

namespace walrus::replica {
namespace {

Told* find(std::vector<Told>& told, NodeId id) {
  auto found = std::ranges::find(told, id, &Told::replica);
  return found == told.end() ? nullptr : &*found;
}

}  // namespace

// A copy is a run from the start, so that what any of them holds reaches up to the longest. Behind
// it there are only negatives to count.
End decide_end(std::int64_t start, std::size_t cover, std::span<const Told> told) {
  std::int64_t longest = start, known = start;
  for (const auto& one : told) {
    if (!one.answered) continue;
    longest = std::max(longest, one.durable);
    known = std::max(known, one.watermark);
  }
  std::size_t plain = 0, torn = 0, answered = 0;
  for (const auto& one : told) {
    answered += one.answered || one.gone;
    plain += one.answered && one.knowledge == Knowledge::kWhole;
    torn += one.answered && one.knowledge == Knowledge::kTorn;
  }
  bool all = answered == told.size();
  // Somebody saw it acknowledged, so that a no about it is worth nothing.
  bool missing = known > longest;
  if (!missing && plain >= cover) return {End::kAt, longest};
  if (!missing && all && plain + torn >= cover) return {End::kAt, longest};
  if (all) return {End::kLost, longest, std::max(known, longest)};
  return {};
}

void Sealer::Actions::clear() {
  commands.clear();
  messages.clear();
  done.clear();
  blocked.clear();
  wake_at = Instant::max();
}

void Sealer::step(Instant now, std::span<Event> events, Actions& out) {
  CHECK(!out_);
  now_ = now;
  out_ = &out;
  out.clear();
  for (auto& event : events) std::visit([this](auto& one) { handle(one); }, event);
  for (auto& [id, task] : tasks_) drive(task);
  if (!tasks_.empty()) out.wake_at = now + options_.retry;
  out_ = nullptr;
}

std::optional<Sealer::Survey> Sealer::survey(SegmentId id) const {
  auto found = tasks_.find(id);
  if (found == tasks_.end() || found->second.phase == Phase::kClaim) return std::nullopt;
  const auto& task = found->second;
  Survey survey{.recovery = task.segment.recovery,
                .start = task.segment.start,
                .end = decide_end(task.segment.start, task.segment.cover(), task.told),
                .told = task.told};
  survey.needs_operator = survey.end.kind == End::kLost && task.end.kind == End::kWait;
  survey.end.end = survey.end.known = task.segment.start;
  for (const auto& one : task.told) {
    if (!one.answered) continue;
    survey.end.end = std::max(survey.end.end, one.durable);
    survey.end.known = std::max({survey.end.known, one.watermark, one.durable});
  }
  return survey;
}

void Sealer::send(const Task& task, NodeId to, wire::peer::SegmentBody body) {
  out_->messages.push_back(
      {options_.self, to, task.segment.id, task.segment.recovery, std::move(body)});
}

void Sealer::forget(SegmentId id) {
  out_->done.push_back(id);
  tasks_.erase(id);
}

// ---- Metadata ----

void Sealer::handle(Seal& event) {
  if (event.segment.state == SegmentState::kSealed || tasks_.size() >= options_.segments_max)
    return;
  if (tasks_.contains(event.segment.id)) return;
  Task task{.segment = std::move(event.segment), .accepted = event.accepted};
  for (auto id : task.segment.replicas) {
    bool gone = std::ranges::find(event.gone, id) != event.gone.end();
    task.told.push_back({.replica = id,
                         .durable = task.segment.start,
                         .watermark = task.segment.start,
                         .gone = gone});
  }
  task.acted_at = now_ - options_.retry;
  tasks_.emplace(task.segment.id, std::move(task));
}

void Sealer::handle(AcceptLoss& event) {
  auto found = tasks_.find(event.segment);
  if (found != tasks_.end()) found->second.accepted = event.end_min;
}

void Sealer::handle(Removed& event) {
  for (auto& [id, task] : tasks_)
    if (auto* one = find(task.told, event.node)) one->gone = true;
}

void Sealer::handle(Decided& event) {
  auto found = tasks_.find(event.segment.id);
  if (found == tasks_.end()) return;
  auto& task = found->second;
  if (event.segment.state == SegmentState::kSealed) return forget(event.segment.id);
  if (!event.taken) return forget(event.segment.id);  // somebody else's turn
  if (task.phase != Phase::kClaim) return;
  task.segment = std::move(event.segment);
  task.phase = Phase::kFence;
  task.acted_at = now_ - options_.retry;
}

void Sealer::handle(Learned& event) {
  auto found = tasks_.find(event.segment.id);
  if (found == tasks_.end()) return;
  bool over = event.segment.state == SegmentState::kSealed ||
              event.segment.recovery > found->second.segment.recovery;
  if (over && found->second.phase != Phase::kClaim) forget(event.segment.id);
}

// ---- One segment ----

void Sealer::drive(Task& task) {
  if (task.phase == Phase::kClaim) return claim(task);
  if (task.phase == Phase::kFence) {
    decide(task);
    if (is_due(task)) fence(task);
    copy(task);
  }
  finish(task);
}

void Sealer::claim(Task& task) {
  if (!is_due(task)) return;
  task.acted_at = now_;
  out_->commands.push_back({.kind = Command::kClaim, .segment = task.segment});
}

void Sealer::fence(Task& task) {
  task.acted_at = now_;
  for (const auto& one : task.told) {
    if (one.answered || one.gone) continue;
    send(task, one.replica,
         Fence{.durability = task.segment.durability,
               .start = task.segment.start,
               .from = task.segment.start});
  }
}

// Every later answer may move the end: a longer copy that comes in time is recovered, too.
void Sealer::decide(Task& task) {
  task.end = decide_end(task.segment.start, task.segment.cover(), task.told);
  if (task.end.kind != End::kLost) return;
  if (task.accepted && task.end.end >= *task.accepted) return;
  if (task.segment.durability != Durability::kFsync) return;
  task.end.kind = End::kWait;
  if (task.blocked_told) return;
  task.blocked_told = true;
  Blocked blocked{.segment = task.segment.id, .recovery = task.segment.recovery, .end = task.end};
  for (const auto& one : task.told)
    if (one.gone || one.knowledge == Knowledge::kLimbo) blocked.limbo.push_back(one.replica);
  out_->blocked.push_back(std::move(blocked));
}

void Sealer::handle(Receive& event) {
  auto& message = event.message;
  auto found = tasks_.find(message.segment);
  if (found == tasks_.end()) return;
  auto& task = found->second;
  if (task.phase == Phase::kClaim || message.epoch != task.segment.recovery) return;
  if (auto* fenced = std::get_if<FenceReply>(&message.body)) on(task, message, *fenced);
  else if (auto* written = std::get_if<ReplicateReply>(&message.body)) on(task, message, *written);
}

void Sealer::on(Task& task, const Message& message, FenceReply& reply) {
  auto* one = find(task.told, message.from);
  if (!one) return;
  if (reply.answer == Answer::kFenced && reply.promised > task.segment.recovery)
    return forget(message.segment);  // another recoverer's turn
  if (reply.answer != Answer::kOk) return;
  // A read found out that what it told of is damaged: as below.
  if (one->answered && reply.durable < one->durable && reply.run.batches.empty())
    return forget(message.segment);
  one->answered = true;
  one->knowledge = reply.knowledge;
  one->durable = std::max(one->durable, reply.durable);
  one->watermark = std::max(one->watermark, reply.watermark);
  if (!reply.run.batches.empty()) write_back(task, reply.run);
}

void Sealer::on(Task& task, const Message& message, const ReplicateReply& reply) {
  auto* one = find(task.told, message.from);
  if (!one || reply.answer == Answer::kFenced || reply.answer == Answer::kLimbo) return;
  bool newer = reply.round > one->round;
  one->round = std::max(one->round, reply.round);
  // It told of more before: its disk was lost in between. What the others told may be outdated,
  // too, and this may be about a loss: all are asked again, in another epoch.
  if (newer && reply.accepted < one->durable) return forget(message.segment);
  if (reply.durable <= one->durable) return;
  one->durable = reply.durable;
  task.copied_at.erase(message.from);
}

// ---- Writing back ----

// What ends before the end is given what it lacks, from a copy that has it.
void Sealer::copy(Task& task) {
  if (task.end.kind == End::kWait) return;
  for (const auto& target : task.told) {
    if (!target.answered || target.durable >= task.end.end) continue;
    auto& at = task.copied_at.try_emplace(target.replica, now_ - options_.retry).first->second;
    if (now_ - at < options_.retry) continue;
    at = now_;
    read_for(task, target);
  }
}

void Sealer::read_for(Task& task, const Told& target) {
  const Told* source = nullptr;
  for (const auto& one : task.told)
    if (one.answered && one.durable > target.durable && (!source || one.durable > source->durable))
      source = &one;
  if (!source) return;
  send(task, source->replica,
       Fence{.durability = task.segment.durability,
             .start = task.segment.start,
             .from = target.durable,
             .bytes_max = options_.copy_bytes_max});
}

void Sealer::write_back(Task& task, Run& run) {
  std::int64_t watermark = task.segment.start;
  for (const auto& one : task.told) watermark = std::max(watermark, one.watermark);
  for (const auto& target : task.told) {
    if (!target.answered || target.durable < run.from || target.durable >= run.end()) continue;
    task.copied_at[target.replica] = now_;
    send(task, target.replica,
         Replicate{.recovery = true,
                   .durability = task.segment.durability,
                   .start = task.segment.start,
                   .watermark = watermark,
                   .round = ++task.round,
                   .run = run});
  }
}

// The end goes to metadata when Qa hold everything up to it, durably (R17): of those that are
// there, if an operator gave some up.
void Sealer::finish(Task& task) {
  if (task.phase == Phase::kEnd) {
    if (!is_due(task)) return;
  } else {
    if (task.end.kind == End::kWait) return;
    std::size_t whole = 0, present = 0;
    for (const auto& one : task.told) {
      present += !one.gone;
      whole += one.answered && one.durable >= task.end.end;
    }
    if (whole < std::min(task.segment.ack_quorum, present)) return;
    task.phase = Phase::kEnd;
  }
  task.acted_at = now_;
  out_->commands.push_back({.kind = Command::kEnd,
                            .segment = task.segment,
                            .end = task.end.end,
                            .lost = task.end.kind == End::kLost,
                            .known = task.end.known});
}

}  // namespace walrus::replica
