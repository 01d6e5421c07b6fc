#include "replica/follower.h"

#include "base/check.h"
#include "record/batch.h"

namespace walrus::replica {

void Follower::Actions::clear() {
  write = {};
  messages.clear();
  wake_at = Instant::max();
}

std::unique_ptr<Follower> Follower::open(const Options& options, const std::optional<Copy>& found,
                                         Knowledge knowledge) {
  std::unique_ptr<Follower> copy(new Follower(options));
  copy->accepted_ = copy->durable_ = copy->watermark_ = options.start;
  if (found) {
    CHECK(found->end >= options.start);
    copy->state_ = found->state;
    copy->accepted_ = copy->durable_ = found->end;
    copy->watermark_ = std::max(found->watermark, options.start);
    copy->producers_ = found->producers;
    copy->has_producers_ = found->has_producers;
  }
  // What a copy lost in an earlier start, it has not found again in this one.
  if (knowledge > copy->state_.knowledge) {
    copy->state_.knowledge = knowledge;
    copy->state_dirty_ = true;
  }
  return copy;
}

void Follower::step(Instant now, std::span<Event> events, Actions& out) {
  CHECK(!out_);
  now_ = now;
  out_ = &out;
  out.clear();
  for (auto& event : events)
    if (!failed_) std::visit([this](auto& one) { handle(one); }, event);
  if (!failed_) {
    settle();
    put_write();
    answer_fences();
    answer_replicate();
    answer_sync();
    repair();
  } else {
    out.write = {};
    out.messages.clear();
  }
  out_ = nullptr;
}

std::int64_t Follower::readable() const { return std::min(watermark_, durable_); }

void Follower::send(NodeId to, Epoch epoch, wire::peer::SegmentBody body,
                    std::optional<Attach> attach) {
  out_->messages.push_back({{options_.self, to, options_.segment, epoch, std::move(body)}, attach});
}

// ---- Epochs ----

// True: the epoch is in force here from now on. It is answered to when that is on the disk.
bool Follower::promise(Epoch epoch) {
  if (epoch < state_.promised) return false;
  if (epoch > state_.promised) {
    state_.promised = epoch;
    state_dirty_ = true;
    reply_ = {};  // what was owed to a lower epoch is not said any more
    syncing_.reset();
  }
  return true;
}

// ---- The writer, and what is written back ----

void Follower::handle(Receive& event) {
  auto& message = event.message;
  if (message.segment != options_.segment) return;
  std::visit([&](auto& body) { on(message, body); }, message.body);
}

std::optional<Answer> Follower::refusal(const Message& message, const Replicate& body) const {
  if (message.epoch < state_.promised) return Answer::kFenced;
  if (state_.sealed_end) return Answer::kFenced;
  // What may lack something is replaced, soon, by a copy of which nobody has to ask that (R19): it
  // is told at once, while the writer is there to end the segment without it.
  if (state_.knowledge != Knowledge::kWhole && !body.recovery) return Answer::kLimbo;
  return std::nullopt;
}

void Follower::on(const Message& message, Replicate& body) {
  if (auto answer = refusal(message, body)) return refuse(message, body.round, *answer);
  promise(message.epoch);
  if (!take_producers(body.run)) return;
  out_->write.epoch = message.epoch;
  auto before = accepted_;
  bool fits = take(body.run);
  sync_write_ |= body.recovery && accepted_ > before;
  if (body.sync && !syncing_) syncing_ = {.to = message.from, .epoch = message.epoch};
  watermark_ = std::max(watermark_, body.watermark);
  reply_.to = message.from;
  reply_.epoch = message.epoch;
  reply_.round = std::max(reply_.round, body.round);
  reply_.due |= !body.quiet;
  if (accepted_ == before) reply_.at_once |= !body.quiet;
  if (!fits) refuse(message, reply_.round, Answer::kGap);
}

// The producer state that a segment begins with. False: it is none.
bool Follower::take_producers(const Run& run) {
  if (!run.producers || run.from != options_.start || has_producers_) return true;
  Decoder from(run.producers->bytes());
  auto table = log::ProducerTable::decode(from);
  if (!table || !from.at_end()) return false;
  if (accepted_ == options_.start) producers_ = *std::move(table);
  has_producers_ = true;
  out_->write.producers = *run.producers;
  return true;
}

// Batches in order, each once. False: one is missing before them, or one is not what was sent.
bool Follower::take(Run& run) {
  for (auto& batch : run.batches) {
    if (batch.next <= accepted_) continue;
    record::BatchView view(batch.bytes.bytes());
    if (batch.base != accepted_ || !view.crc_holds()) return false;
    if (state_.sealed_end && batch.next > *state_.sealed_end) return false;
    accepted_ = batch.next;
    if (view.producer_id() >= 0)
      producers_.add(view.producer_id(), view.producer_epoch(), view.base_sequence(), view.count(),
                     view.base_offset(), view.newest_timestamp());
    out_->write.batches.push_back(std::move(batch));
  }
  return run.from <= accepted_;
}

void Follower::refuse(const Message& message, std::uint64_t round, Answer answer) {
  // The promise that this tells of may not be on the disk yet: whoever is refused stops all the
  // same.
  send(message.from, message.epoch,
       ReplicateReply{.answer = answer,
                      .promised = state_.promised,
                      .round = round,
                      .durable = durable_,
                      .accepted = accepted_});
}

// ---- Recovery ----

void Follower::on(const Message& message, Fence& request) {
  if (!promise(message.epoch)) {
    return send(message.from, message.epoch,
                FenceReply{.answer = Answer::kFenced, .promised = state_.promised});
  }
  std::erase_if(fences_, [&](const OwedFence& owed) {
    return owed.epoch < message.epoch || owed.request == request;
  });
  if (fences_.size() == kFencesOwedMax) return;
  fences_.push_back({.to = message.from, .epoch = message.epoch, .request = request});
}

// Everything that was taken before the fence is on the disk when the promise is, so that what is
// told is all that this copy ever answered for, or will.
void Follower::answer_fences() {
  std::erase_if(fences_, [&](OwedFence& owed) {
    if (owed.epoch < state_.promised) return true;
    if (!owed.after) owed.after = last_write_;
    if (*owed.after > counted_ || state_write_ > synced_) return false;
    FenceReply reply{.promised = state_.promised,
                     .knowledge = state_.knowledge,
                     .watermark = watermark_,
                     .durable = durable_,
                     .run = {.from = owed.request.from}};
    std::optional<Attach> attach;
    if (owed.request.bytes_max > 0 && owed.request.from >= options_.start &&
        owed.request.from < durable_)
      attach = {.from = owed.request.from,
                .end = durable_,
                .bytes_max = std::min(owed.request.bytes_max, options_.read_bytes_max)};
    send(owed.to, owed.epoch, std::move(reply), attach);
    return true;
  });
}

// ---- The disk ----

void Follower::put_write() {
  auto& write = out_->write;
  // A state is synced whatever the durability, and all that was written before it.
  bool asked = syncing_ && !syncing_->after;
  bool unsynced = synced_ < last_write_ || !write.batches.empty();
  if (sync_write_ || (asked && unsynced)) write.state = state_;
  if (!state_dirty_ && !write.state && !write.cut && !write.producers && write.batches.empty()) {
    write = {};
  } else {
    number_write(write);
  }
  sync_write_ = false;
  if (!asked) return;
  syncing_->after = last_write_;
  syncing_->end = accepted_;
}

void Follower::number_write(CopyWrite& write) {
  write.id = ++last_write_;
  write.watermark = watermark_;
  if (state_dirty_) {
    write.state = state_;
    state_write_ = write.id;
    state_dirty_ = false;
  }
  pending_.push_back({.id = write.id, .end = accepted_, .once_synced = sync_write_});
}

void Follower::handle(Persisted& event) {
  if (event.synced) synced_ = std::max(synced_, event.id);
  else if (options_.durability == Durability::kFsync) return;
  counted_ = std::max(counted_, event.id);
  while (!pending_.empty() &&
         pending_.front().id <= (pending_.front().once_synced ? synced_ : counted_)) {
    durable_ = std::max(durable_, pending_.front().end);
    pending_.pop_front();
  }
}

// One answer for all that became durable. A promise that is not on the disk yet is not told.
void Follower::answer_replicate() {
  if (!reply_.due || reply_.epoch != state_.promised || state_write_ > synced_) return;
  bool news = durable_ > reply_.told || durable_ == accepted_;
  if (!news && !reply_.at_once) return;
  reply_.due = durable_ < accepted_;
  reply_.at_once = false;
  reply_.told = durable_;
  send(reply_.to, reply_.epoch,
       ReplicateReply{.promised = state_.promised,
                      .round = reply_.round,
                      .durable = durable_,
                      .accepted = accepted_});
}

void Follower::answer_sync() {
  if (!syncing_ || *syncing_->after > synced_) return;
  send(syncing_->to, syncing_->epoch,
       ReplicateReply{.answer = Answer::kSynced,
                      .promised = state_.promised,
                      .durable = syncing_->end,
                      .accepted = accepted_});
  syncing_.reset();
}

// What lies at the offset and behind it is not offered any more; the bytes stay until others
// replace them (R36).
void Follower::handle(Damaged& event) {
  if (event.from >= accepted_) return;
  auto from = std::max(event.from, options_.start);
  known_ = acknowledged();
  accepted_ = from;
  durable_ = std::min(durable_, from);
  for (auto& one : pending_) one.end = std::min(one.end, from);
  producers_.truncate(from);
  reply_ = {};
  syncing_.reset();
  state_.knowledge = Knowledge::kLimbo;
  state_dirty_ = true;
}

// ---- Sealed ----

void Follower::handle(Sealed& event) {
  replicas_ = event.replicas;
  if (state_.sealed_end) return;  // R22
  state_.sealed_end = event.end;
  state_dirty_ = true;
  reply_ = {};
  syncing_.reset();
  cut(event.end);
  watermark_ = event.end;
}

// What lies behind the end of a sealed segment was never acknowledged (R18).
void Follower::cut(std::int64_t end) {
  out_->write.cut = end;
  std::erase_if(out_->write.batches, [&](const Batch& batch) { return batch.base >= end; });
  accepted_ = std::min(accepted_, end);
  durable_ = std::min(durable_, end);
  for (auto& one : pending_) one.end = std::min(one.end, end);
  producers_.truncate(end);
}

// A copy that has all of a sealed segment knows all there is to know.
void Follower::settle() {
  if (!complete() || state_.knowledge == Knowledge::kWhole) return;
  state_.knowledge = Knowledge::kWhole;
  state_dirty_ = true;
}

void Follower::repair() {
  if (!state_.sealed_end || accepted_ >= *state_.sealed_end || replicas_.empty()) return;
  if (now_ >= fetch_at_) {
    if (now_ >= fetched_at_ + options_.repair_retry) ++source_;  // it has not answered, or has not
    fetch_at_ = now_ + options_.repair_retry;
    if (replicas_[source_ % replicas_.size()] == options_.self) ++source_;
    auto source = replicas_[source_ % replicas_.size()];
    if (source != options_.self)
      send(source, state_.promised,
           Fetch{.from = accepted_, .bytes_max = options_.repair_bytes_max});
  }
  out_->wake_at = fetch_at_;
}

void Follower::on(const Message& message, Fetch& request) {
  FetchReply reply{.answer = Answer::kUnknown, .run = {.from = request.from}};
  std::optional<Attach> attach;
  auto end = readable();
  if (request.from >= options_.start && request.from < end) {
    reply.answer = Answer::kOk;
    attach = {.from = request.from,
              .end = end,
              .bytes_max = std::min(request.bytes_max, options_.read_bytes_max)};
  } else if (complete() && request.from == *state_.sealed_end && has_producers_) {
    std::string bytes;
    producers_.encode(bytes);
    reply.answer = Answer::kOk;
    reply.run.producers = Payload::copy_of(bytes);
  }
  send(message.from, message.epoch, std::move(reply), attach);
}

// Only what this copy asked for, of a sealed segment, and below its end (R30).
void Follower::on(const Message& message, FetchReply& reply) {
  bool asked = state_.sealed_end && accepted_ < *state_.sealed_end;
  if (!asked || message.epoch != state_.promised || reply.answer != Answer::kOk) return;
  if (!take_producers(reply.run)) return;
  auto before = accepted_;
  out_->write.epoch = message.epoch;
  take(reply.run);
  if (accepted_ == before) return;
  sync_write_ = true;
  fetch_at_ = fetched_at_ = now_;
}

}  // namespace walrus::replica
