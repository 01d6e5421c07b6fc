#include "broker/cluster/replicated_log.h"

#include <algorithm>

#include "broker/run_on.h"
#include "replica/copy_format.h"

namespace walrus::broker {
namespace {

// What runs on the cluster's loop.

io::Task<log::Fetched> fetch_there(std::shared_ptr<Bridge> bridge, ViewRef view, Offset from,
                                   log::FetchOptions options) {
  WALRUS_CO_ASSIGN(auto* node, bridge->node());
  auto fetched = co_await node->fetch(view->id(), from, options);
  if (bridge->node()) bridge->refresh(*view);
  co_return fetched;
}

io::Task<Offset> find_there(std::shared_ptr<Bridge> bridge, ViewRef view, Time time) {
  WALRUS_CO_ASSIGN(auto* node, bridge->node());
  co_return co_await node->find_time(view->id(), time);
}

io::Task<void> trim_there(std::shared_ptr<Bridge> bridge, ViewRef view, Offset first_kept) {
  WALRUS_CO_ASSIGN(auto* node, bridge->node());
  auto trimmed = co_await node->trim(view->id(), first_kept);
  if (bridge->node()) bridge->refresh(*view);
  co_return trimmed;
}

io::Task<Offset> confirm_there(std::shared_ptr<Bridge> bridge, ViewRef view) {
  WALRUS_CO_ASSIGN(auto* node, bridge->node());
  io::Signal signal(bridge->loop());
  auto watermark = std::make_shared<Offset>();
  node->confirm(view->id(), [watermark, set = signal.setter()](Result<Offset> confirmed) mutable {
    if (confirmed) *watermark = *confirmed;
    set(confirmed ? Result<void>() : std::unexpected(confirmed.error()));
  });
  WALRUS_CO_TRY(co_await signal.wait());
  if (bridge->node()) bridge->refresh(*view);
  co_return *watermark;
}

}  // namespace

struct ReplicatedLog::Answer {
  std::shared_ptr<ReplicatedLog> log{};
  std::shared_ptr<Owed> owed{};
  std::size_t bytes = 0;
  Result<Placed> placed{};
};

ReplicatedLog::ReplicatedLog(std::shared_ptr<Bridge> bridge, io::Loop& home, std::string name,
                             const PartitionId& id)
    : Log(std::move(name)),
      bridge_(std::move(bridge)),
      home_(home),
      view_(bridge_->view(id)),
      answers_(std::make_shared<Mailbox<Answer>>(
          home, [](Answer&& answer) { answer.log->settle(std::move(answer)); })) {}

Result<Appending> ReplicatedLog::append(std::span<const walrus::Record> records,
                                        const AppendRules& rules) {
  return give(record::encode(records, {.now = bridge_->env().wall()}), rules);
}

Result<Appending> ReplicatedLog::append_batch(const record::BatchView& batch,
                                              const AppendRules& rules) {
  return give(std::string(batch.bytes()), rules);
}

Result<Appending> ReplicatedLog::give(std::string batch, const AppendRules& rules) {
  WALRUS_TRY(view_->load());
  auto bytes = batch.size();
  if (taken_bytes_ > 0 && taken_bytes_ + bytes > kTakenBytesMax)
    return fail(Code::kBusy, "{} bytes wait for their acknowledgement", taken_bytes_);
  taken_bytes_ += bytes;
  Appending appending{.owed = std::make_shared<Owed>(home_)};
  auto done = [self = shared_from_this(), owed = appending.owed, bytes](Result<Placed> placed) {
    self->answers_->put({self, owed, bytes, std::move(placed)});
  };
  bridge_->append({.view = view_,
                   .batch = std::move(batch),
                   .request = {.acks = rules.acks,
                               .expected_next = rules.expected_next,
                               .wait = rules.wait,
                               .hand_on = rules.hand_on,
                               .in_sequence = rules.in_sequence,
                               .follows = rules.follows,
                               .pipeline = rules.pipeline},
                   .done = std::move(done)});
  return appending;
}

void ReplicatedLog::settle(Answer&& answer) {
  taken_bytes_ -= answer.bytes;
  answer.owed->settle(std::move(answer.placed));
  if (taken_bytes_ > kTakenBytesMax / 2) return;
  for (auto& wake : std::exchange(for_room_, {})) wake({});
}

void ReplicatedLog::when_room(log::Done<void> done) {
  if (taken_bytes_ <= kTakenBytesMax / 2) return done({});
  for_room_.push_back(std::move(done));
}

io::Task<log::Fetched> ReplicatedLog::fetch(Offset from, log::FetchOptions options) {
  return run_on<log::Fetched>(home_, bridge_->loop(),
                              [bridge = bridge_, view = view_, from, options] {
                                return fetch_there(bridge, view, from, options);
                              });
}

io::Task<Offset> ReplicatedLog::find_time(Time time) {
  return run_on<Offset>(home_, bridge_->loop(), [bridge = bridge_, view = view_, time] {
    return find_there(bridge, view, time);
  });
}

io::Task<Offset> ReplicatedLog::confirm() {
  return run_on<Offset>(home_, bridge_->loop(),
                        [bridge = bridge_, view = view_] { return confirm_there(bridge, view); });
}

io::Task<void> ReplicatedLog::trim(io::Loop& here, Offset first_kept) {
  return run_on<void>(here, bridge_->loop(), [bridge = bridge_, view = view_, first_kept] {
    return trim_there(bridge, view, first_kept);
  });
}

std::uint64_t ReplicatedLog::when_readable(Offset offset, log::Done<void> done) {
  auto id = bridge_->next_ticket();
  bridge_->loop().post(
      [bridge = bridge_, view = view_, id, offset, done = std::move(done)]() mutable {
        bridge->when_readable(id, view, offset, std::move(done));
      });
  return id;
}

void ReplicatedLog::cancel(std::uint64_t id) {
  bridge_->loop().post([bridge = bridge_, id] { bridge->cancel(id); });
}

std::optional<StreamInfo> ReplicatedLog::copy_here(SegmentId segment) const {
  auto stream = bridge_->engine().find(replica::copy_stream_name(segment));
  if (!stream) return std::nullopt;
  auto info = bridge_->engine().info(*stream);
  return info ? std::optional(std::move(*info)) : std::nullopt;
}

// As this node knows it.
Tail ReplicatedLog::tail_here(const meta::Partition& partition) const {
  Tail tail;
  if (auto bounds = view_->load()) {
    tail.log_start = bounds->log_start;
    tail.high_watermark = bounds->high_watermark;
    tail.log_end = bounds->log_end;
    tail.epoch = bounds->epoch;
    tail.leader = bounds->leader;
  }
  if (!partition.tail) return tail;
  tail.segment = partition.tail->id;
  if (auto here = copy_here(tail.segment)) tail.bytes = here->bytes;
  return tail;
}

// The image may be of another moment than the tail: nothing goes back for that.
Result<LogStatus> ReplicatedLog::status(const Tail& tail, bool with_segments) const {
  auto image = bridge_->image();
  const auto* partition = image->partitions.find(view_->id());
  if (partition == nullptr) return fail(Code::kNotFound, "{} was removed", name());
  auto end = std::max(tail.log_end, partition->sealed_end);
  LogStatus status{.current = tail.current,
                   .leader = tail.leader,
                   .epoch = tail.epoch,
                   .info = {.log_start = std::max(tail.log_start, partition->log_start),
                            .high_watermark = std::max(tail.high_watermark, partition->sealed_end),
                            .log_end = end}};
  auto add = [&](const meta::Segment& segment, Offset until, std::int64_t bytes) {
    status.info.bytes += bytes;
    if (!with_segments) return;
    status.segments.push_back({.base_offset = segment.base.value,
                               .end_offset = until.value,
                               .records = until.value - segment.base.value,
                               .bytes = bytes,
                               .epoch = static_cast<std::int32_t>(segment.epoch.value),
                               .sealed = segment.state == meta::SegmentState::kSealed,
                               .leader = segment.leader,
                               .replicas = segment.replicas});
  };
  partition->sealed.each([&](const meta::Segment& segment) {
    add(segment, segment.end, static_cast<std::int64_t>(segment.bytes));
  });
  const auto& open = partition->tail;
  if (open) add(*open, std::max(end, open->base), open->id == tail.segment ? tail.bytes : 0);
  return status;
}

// The newest record is known of the segments that have a copy here.
Result<LogInfo> ReplicatedLog::info() const {
  WALRUS_TRY(view_->load());
  auto image = bridge_->image();
  const auto* partition = image->partitions.find(view_->id());
  if (partition == nullptr) return fail(Code::kNotFound, "{} was removed", name());
  WALRUS_ASSIGN(auto here, status(tail_here(*partition), false));
  auto see = [&](SegmentId segment) {
    auto copy = copy_here(segment);
    if (!copy) return;
    here.info.newest = std::max(here.info.newest, copy->newest);
    here.info.bytes_here = here.info.bytes_here.value_or(0) + copy->bytes;
  };
  partition->sealed.each([&](const meta::Segment& segment) { see(meta::copy_of(segment)); });
  if (partition->tail) see(partition->tail->id);
  return here.info;
}

std::vector<LogSegment> ReplicatedLog::segments() const {
  auto image = bridge_->image();
  const auto* partition = image->partitions.find(view_->id());
  if (partition == nullptr) return {};
  auto here = status(tail_here(*partition), true);
  return here ? std::move(here->segments) : std::vector<LogSegment>();
}

}  // namespace walrus::broker
