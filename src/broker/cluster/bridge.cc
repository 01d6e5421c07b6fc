#include "broker/cluster/bridge.h"

#include "base/check.h"

namespace walrus::broker {
namespace {

std::unexpected<Error> stopped() { return fail(Code::kClosed, "shutting down"); }

// Of what is being written.
bool has_copy(const meta::Partition& partition, NodeId self) {
  return !partition.tail || meta::is_replica(*partition.tail, self);
}

}  // namespace

void PartitionView::advance(Offset high_watermark, Offset log_end) {
  log_end_.store(log_end.value, std::memory_order_release);
  high_watermark_.store(high_watermark.value, std::memory_order_release);
}

Result<Bounds> PartitionView::load() const {
  if (gone_.load(std::memory_order_acquire))
    return fail(Code::kNotFound, "the partition was removed");
  Bounds bounds;
  bounds.epoch = epoch_.load(std::memory_order_acquire);
  bounds.leader = NodeId{leader_.load(std::memory_order_acquire)};
  bounds.here = here_.load(std::memory_order_acquire);
  bounds.sealed_end = Offset{sealed_end_.load(std::memory_order_acquire)};
  bounds.hands_on_until = io::Nanos(hands_on_until_.load(std::memory_order_acquire));
  bounds.leaderless_since = io::Nanos(leaderless_since_.load(std::memory_order_acquire));
  bounds.log_start = Offset{log_start_.load(std::memory_order_acquire)};
  bounds.high_watermark = Offset{high_watermark_.load(std::memory_order_acquire)};
  bounds.log_end = Offset{log_end_.load(std::memory_order_acquire)};
  return bounds;
}

void PartitionView::store(const Bounds& bounds) {
  log_end_.store(bounds.log_end.value, std::memory_order_release);
  high_watermark_.store(bounds.high_watermark.value, std::memory_order_release);
  log_start_.store(bounds.log_start.value, std::memory_order_release);
  sealed_end_.store(bounds.sealed_end.value, std::memory_order_release);
  leaderless_since_.store(bounds.leaderless_since.count(), std::memory_order_release);
  hands_on_until_.store(bounds.hands_on_until.count(), std::memory_order_release);
  here_.store(bounds.here, std::memory_order_release);
  leader_.store(bounds.leader.value, std::memory_order_release);
  epoch_.store(bounds.epoch, std::memory_order_release);
}

std::shared_ptr<Bridge> Bridge::make(const BridgeParts& parts) {
  std::shared_ptr<Bridge> bridge(new Bridge(parts));
  bridge->appends_ = std::make_shared<Mailbox<OutwardAppend>>(
      parts.loop, [weak = std::weak_ptr(bridge)](OutwardAppend&& append) {
        if (auto self = weak.lock()) self->take(std::move(append));
        else append.done(stopped());
      });
  parts.node.on_reach([weak = std::weak_ptr(bridge)](const std::set<NodeId>& nodes) {
    if (auto self = weak.lock()) self->reach_changed(nodes);
  });
  return bridge;
}

// Who leads these partitions is another now, or nobody.
void Bridge::reach_changed(const std::set<NodeId>& nodes) {
  if (stopped_) return;
  auto image = this->image();
  std::vector<ViewRef> views;
  {
    LockGuard guard(lock_);
    for (const auto& [id, view] : views_) {
      const auto* partition = image->partitions.find(id);
      bool led = partition && partition->tail && nodes.contains(partition->tail->leader);
      if (auto held = led ? view.lock() : nullptr) views.push_back(std::move(held));
    }
  }
  for (const auto& view : views) refresh(*view);
}

// The first image of a partition is what metadata says of it; the rest follows from the node.
ViewRef Bridge::view(const PartitionId& id) {
  LockGuard guard(lock_);
  auto& known = views_[id];
  if (auto view = known.lock()) return view;
  auto view = std::make_shared<PartitionView>(id);
  if (const auto* partition = image()->partitions.find(id)) {
    Bounds bounds{.log_start = partition->log_start,
                  .high_watermark = std::max(partition->sealed_end, partition->log_start),
                  .epoch = static_cast<std::int32_t>(partition->epoch.value)};
    bounds.log_end = bounds.high_watermark;
    // Whether this life of this node leads it is for the node to say: follow().
    if (partition->tail && partition->tail->leader != parts_.self)
      bounds.leader = partition->tail->leader;
    bounds.here = has_copy(*partition, parts_.self);
    bounds.sealed_end = partition->sealed_end;
    if (bounds.leader == NodeId{}) bounds.leaderless_since = parts_.env.mono();
    view->store(bounds);
  }
  known = view;
  guard.unlock();
  parts_.loop.post([self = shared_from_this(), view] { self->follow(view); });
  return view;
}

// Follows what is readable here for as long as anybody has the view. What the node does not know
// (yet) is looked at again with the next image that tells of it.
void Bridge::follow(const ViewRef& view) {
  if (stopped_) return;
  refresh(*view);
  watch(view);
}

void Bridge::watch(const ViewRef& view) {
  auto bounds = view->load();
  if (!bounds || view->followed) return;
  view->followed = true;
  auto call = [weak = weak_from_this(), to = std::weak_ptr(view)](const Result<void>& readable) {
    auto self = weak.lock();
    auto seen = to.lock();
    if (!self || !seen) return;
    seen->followed = false;
    if (self->stopped_) return;
    if (!readable) return self->refresh(*seen);
    if (seen->known) self->advance(*seen);
    else self->refresh(*seen);
    self->watch(seen);
  };
  parts_.node.when_readable(view->id(), bounds->high_watermark, std::move(call));
}

// All else of a view follows from images.
void Bridge::advance(PartitionView& view) {
  if (auto bounds = parts_.node.bounds(view.id()))
    view.advance(bounds->high_watermark, bounds->log_end);
}

void Bridge::refresh(PartitionView& view) {
  auto bounds = parts_.node.bounds(view.id());
  auto image = this->image();
  const auto* partition = image->partitions.find(view.id());
  if (!bounds || partition == nullptr) {
    // What only one of the two knows is there soon, or gone soon.
    if (!bounds && partition == nullptr) view.set_gone();
    return;
  }
  auto leader = parts_.node.leader_of(view.id());
  auto before = view.load();
  io::Nanos leaderless_since{};
  if (leader.leader == NodeId{}) {
    bool already = before && before->leaderless_since > io::Nanos(0);
    leaderless_since = already ? before->leaderless_since : parts_.env.mono();
  }
  view.known = true;
  view.store({.log_start = bounds->log_start,
              .high_watermark = bounds->high_watermark,
              .log_end = bounds->log_end,
              .epoch = bounds->epoch,
              .leader = leader.leader,
              .here = has_copy(*partition, parts_.self),
              .sealed_end = partition->sealed_end,
              .hands_on_until = leader.hands_on_until,
              .leaderless_since = leaderless_since});
}

void Bridge::learned(ImageRef image) {
  auto before = this->image();
  if (stopped_ || image->version <= before->version) return;
  image_.store(image, std::memory_order_release);
  auto changes = image->changes_since(before->version);
  std::vector<ViewRef> views;
  {
    LockGuard guard(lock_);
    auto add = [&](const std::weak_ptr<PartitionView>& view) {
      if (auto held = view.lock()) views.push_back(std::move(held));
    };
    std::erase_if(views_, [](const auto& one) { return one.second.expired(); });
    if (changes.whole || !changes.deleted.empty())
      for (const auto& [id, view] : views_) add(view);
    else
      for (const auto& id : changes.partitions)
        if (auto found = views_.find(id); found != views_.end()) add(found->second);
  }
  for (const auto& view : views) follow(view);
  for (const auto& call : on_image_) call(image);
  seen_.wake_all({});
}

void Bridge::stop() {
  stopped_ = true;
  seen_.wake_all(stopped());
}

Result<replica::Node*> Bridge::node() {
  if (stopped_) return stopped();
  return &parts_.node;
}

Result<replica::Metadata*> Bridge::metadata() {
  if (stopped_) return stopped();
  return &parts_.metadata;
}

io::Task<void> Bridge::seen(meta::Version version, io::Nanos timeout) {
  auto self = shared_from_this();
  auto deadline = parts_.env.mono() + timeout;
  while (image()->version < version) {
    if (stopped_) co_return stopped();
    io::Signal signal(parts_.loop);
    auto waiter = seen_.add(signal.setter());
    auto waited = co_await signal.wait(std::max(deadline - parts_.env.mono(), io::Nanos(0)));
    seen_.remove(waiter);
    WALRUS_CO_TRY(waited);
  }
  co_return Result<void>();
}

void Bridge::when_readable(std::uint64_t id, const ViewRef& view, Offset offset,
                           log::Done<void> done) {
  if (stopped_) return done(stopped());
  auto call = [weak = weak_from_this(), id, view, done = std::move(done)](Result<void> r) mutable {
    if (auto self = weak.lock()) {
      self->tickets_.erase(id);
      if (!self->stopped_) self->refresh(*view);
    }
    done(std::move(r));
  };
  tickets_[id] = parts_.node.when_readable(view->id(), offset, std::move(call));
}

void Bridge::cancel(std::uint64_t id) {
  auto found = tickets_.find(id);
  if (found == tickets_.end()) return;
  if (!stopped_) parts_.node.cancel(found->second);
  tickets_.erase(found);
}

void Bridge::take(OutwardAppend&& append) {
  if (stopped_) return append.done(stopped());
  auto records = std::int64_t{record::BatchView(append.batch).last_offset_delta()} + 1;
  auto call = [weak = weak_from_this(), view = append.view, records,
               done = std::move(append.done)](replica::Appended appended) mutable {
    bool shown = appended.done() && view->high_watermark().value >= appended.first.value + records;
    if (auto self = weak.lock(); self && !self->stopped_ && !shown) self->refresh(*view);
    done(placed_of(appended, records));
  };
  parts_.node.append(append.view->id(), std::move(append.batch), append.request, std::move(call));
}

Result<Placed> placed_of(const replica::Appended& appended, std::int64_t records) {
  using replica::Refusal;
  switch (appended.refusal) {
    case Refusal::kNone:
      return Placed{.first = appended.first, .next = Offset{appended.first.value + records}};
    case Refusal::kMismatch: return fail(Code::kMismatch, "not the expected offset");
    case Refusal::kOutOfOrder: return fail(Code::kMismatch, "producer sequence out of order");
    case Refusal::kStaleProducer: return fail(Code::kFenced, "an older producer epoch");
    case Refusal::kInvalid: return fail(Code::kInvalid, "not a sound batch");
    case Refusal::kUnknown: return fail(Code::kTimeout, "it is not known whether it is stored");
    case Refusal::kNoRoom: return fail(Code::kNoSpace, "storage full");
    default: return fail(Code::kBusy, "not taken: {}", replica::refusal_name(appended.refusal));
  }
}

}  // namespace walrus::broker
