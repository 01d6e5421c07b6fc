// Taking snapshots of the Machine, keeping them as long as somebody needs them, reading them for
// peers.

#include <algorithm>
#include <utility>

#include "raft/host_state.h"
#include "raft/node_state.h"

namespace walrus::raft {
namespace {

constexpr Nanos kRetry = std::chrono::seconds(1);  // after a full disk

}  // namespace

// ---- Taking ----

void NodeState::take_snapshot() {
  snapshot_wanted_ = true;
  maybe_snapshot();
}

void NodeState::maybe_snapshot() {
  if (!usable() || failure_ || snapshotting_ || restoring_) return;
  bool due = snapshot_wanted_ || bytes_since_snapshot_ >= options_.snapshot_after_bytes ||
             core_->log_bytes() * 2 > options_.core.log_bytes_max;
  if (!due) return;
  bool fresh = applied_.index > core_->snapshot().last.index && applied_.index != snapshot_tried_;
  if (!fresh || host_->env.mono() < snapshot_after_) {
    if (applied_.index <= core_->snapshot().last.index) snapshot_wanted_ = false;
    return;
  }
  if (!core_->snapshot_at(applied_.index)) {
    snapshot_tried_ = applied_.index;
    return;
  }
  snapshotting_ = true;
  snapshot_wanted_ = false;
  enqueue(FreezeTask{});
}

void NodeState::frozen(std::unique_ptr<Frozen> view) {
  auto meta = core_->snapshot_at(applied_.index);
  if (!meta) {  // a leader's snapshot came in between
    snapshotting_ = false;
    return;
  }
  ++running_;
  loop().spawn(write_snapshot(shared_from_this(), std::move(view), *std::move(meta)));
}

boost::asio::awaitable<void> NodeState::write_snapshot(std::shared_ptr<NodeState> self,
                                                       std::shared_ptr<Frozen> view,
                                                       SnapshotMeta meta) {
  auto bytes = std::exchange(self->bytes_since_snapshot_, 0);
  auto number = self->store_->new_number();
  auto written = co_await write_pieces(self, view, std::move(meta), number);
  bool written_ours = written.has_value();
  if (self->usable()) {
    if (!written_ours) {
      self->bytes_since_snapshot_ += bytes;
      bool begun = self->builder_ && self->builder_->pieces() != nullptr;
      if (begun)
        self->submit({.removed = {std::make_shared<const StoredSnapshot>(SnapshotMeta{}, number)}});
    }
    self->snapshot_written(std::move(written));
  } else if (const auto* pieces = self->builder_->pieces()) {
    // The group may be opened again, and has to find the stream then.
    (void)co_await HostState::durable(self->host_, {pieces->named()});
  }
  self->builder_.reset();
  if (!self->host_->stopped)
    (void)co_await self->host_->files().run<void>([view = std::move(view)]() mutable {
      view.reset();
      return Result<void>();
    });
  if (--self->running_ == 0) self->idle_->open();
}

// Part by part, so that other work of that worker comes between.
io::Task<SnapshotRef> NodeState::write_pieces(std::shared_ptr<NodeState> self,
                                              std::shared_ptr<Frozen> view, SnapshotMeta meta,
                                              std::uint64_t number) {
  auto host = self->host_;
  auto builder =
      std::make_shared<SnapshotBuilder>(host->engine, snapshot_stream_name(self->group_, number),
                                        self->options_.core.snapshot_chunk_bytes);
  self->builder_ = builder;
  for (bool more = true; more;) {
    auto part = [builder, view]() -> Result<bool> { return view->write(*builder); };
    WALRUS_CO_ASSIGN(more, co_await host->files().run<bool>(part));
    if (!self->usable()) co_return fail(Code::kClosed, "the node has stopped");
  }
  WALRUS_CO_TRY(co_await host->files().run<void>([builder] { return builder->finish(); }));
  if (!self->usable()) co_return fail(Code::kClosed, "the node has stopped");
  if (const auto* pieces = builder->pieces())
    WALRUS_CO_TRY(co_await HostState::durable(host, pieces->pending()));
  co_return builder->stored(std::move(meta), number);
}

void NodeState::snapshot_written(Result<SnapshotRef> written) {
  if (written) {
    ++host_->stats.snapshots_taken;
    host_->stats.snapshot_bytes_written += (*written)->meta.size;
    submit({.save = *std::move(written)});
    return;
  }
  snapshotting_ = false;
  bool of_sink = builder_ && builder_->error();
  if (!of_sink && !failure_) {
    fail_with({written.error().code, "snapshot: " + written.error().message});
    return;
  }
  snapshot_after_ = host_->env.mono() + kRetry;
  host_->look_at(*this);
  host_->log(LogLevel::kWarning, "raft.snapshot_failed", group_, written.error().message);
}

// ---- Keeping ----

void NodeState::adopt_snapshot(SnapshotRef snapshot) {
  bool newer = !snapshot_ || snapshot->meta.last.index >= snapshot_->meta.last.index;
  auto older = newer ? std::exchange(snapshot_, std::move(snapshot)) : std::move(snapshot);
  if (older && older->number != 0) older_.push_back(std::move(older));
}

// Those that are not sent, read or restored from any more.
void NodeState::release_snapshots() {
  StoreJob job;
  std::erase_if(older_, [&](SnapshotRef& one) {
    if (one.use_count() > 1 || core_->sends_snapshot(one->meta.id)) return false;
    job.removed.push_back(std::move(one));
    return true;
  });
  if (!job.removed.empty()) submit(std::move(job));
}

SnapshotRef NodeState::find_snapshot(std::uint64_t id) const {
  if (snapshot_ && snapshot_->meta.id == id) return snapshot_;
  auto found = std::ranges::find(older_, id, [](const SnapshotRef& one) { return one->meta.id; });
  return found == older_.end() ? nullptr : *found;
}

// ---- Sending ----

boost::asio::awaitable<void> NodeState::send_piece(std::shared_ptr<NodeState> self,
                                                   SnapshotRequest request) {
  SnapshotRead answer{.peer = request.peer, .id = request.meta.id, .position = request.position};
  auto snapshot = self->find_snapshot(request.meta.id);
  if (snapshot && !snapshot->starts.empty()) {
    auto call = [snapshot, request, &engine = self->host_->engine]() -> Result<Payload> {
      return read_range(engine, *snapshot, request.position, request.size);
    };
    snapshot.reset();
    auto bytes = co_await self->host_->files().run<Payload>(std::move(call));
    if (bytes) answer.bytes = *std::move(bytes);
  }
  self->push(std::move(answer));
  if (--self->running_ == 0) self->idle_->open();
}

}  // namespace walrus::raft
