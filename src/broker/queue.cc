#include "broker/queue.h"

#include <algorithm>

#include "base/check.h"
#include "record/batch.h"

namespace walrus::broker {
namespace {

constexpr std::int64_t kReadAheadBytes = 256 << 10;

struct DecodedBatch {
  std::vector<Claim> records;
  Offset next{};
};

// Takes one batch off the front of `rest`: its records from the offset `from` on.
Result<DecodedBatch> decode(Bytes& rest, std::size_t partition, Offset from) {
  DecodedBatch decoded;
  WALRUS_ASSIGN(auto batch, record::BatchView::parse(rest));
  rest.remove_prefix(batch.bytes().size());
  decoded.next = Offset{batch.next_offset()};
  if (batch.control()) return decoded;
  WALRUS_ASSIGN(auto records, record::RecordIterator::open(batch));
  while (true) {
    WALRUS_ASSIGN(auto record, records.next());
    if (!record) return decoded;
    if (record->offset < from.value) continue;
    decoded.records.push_back({.partition = partition,
                               .offset = Offset{record->offset},
                               .payload = std::string(record->value.value_or(Bytes()))});
  }
}

std::unexpected<Error> stopping() { return fail(Code::kClosed, "shutting down"); }

}  // namespace

Offset Queue::Lane::committed() const {
  auto position = next.value;
  if (!claimed.empty()) position = std::min(position, *claimed.begin());
  if (!restored.empty()) position = std::min(position, restored.begin()->first);
  return Offset{position};
}

Result<std::shared_ptr<Queue>> Queue::open(log::Engine& engine, io::Loop& loop,
                                           std::shared_ptr<Cursors> cursors,
                                           std::vector<log::StreamRef> partitions) {
  CHECK(!partitions.empty());
  std::shared_ptr<Queue> queue(new Queue(engine, loop, std::move(cursors)));
  for (auto& stream : partitions) {
    Lane lane;
    WALRUS_ASSIGN(auto position, queue->cursors_->get(queue->lanes_.size(), kQueueReader));
    if (position) {
      lane.next = *position;
    } else {
      WALRUS_ASSIGN(auto info, engine.info(stream));
      lane.next = info.log_start;
    }
    lane.durable = lane.read_to = lane.next;
    lane.stream = std::move(stream);
    queue->lanes_.push_back(std::move(lane));
  }
  return queue;
}

Result<std::vector<Claim>> Queue::take(std::optional<std::size_t> partition, const Limits& limits) {
  if (stopped_) return stopping();
  std::vector<Claim> claims;
  auto [from, count] = range(partition);
  std::size_t bytes = 0, idle = 0;
  while (idle < count && claims.size() < limits.records_max) {
    auto number = partition ? from : turn_++ % count;
    auto& lane = lanes_[number];
    if (lane.restored.empty()) {
      auto refilled = refill(number);
      // What was taken already is given out; the error comes again with the next call.
      if (!refilled && claims.empty()) return std::unexpected(std::move(refilled).error());
      if (!refilled || lane.ahead.empty()) {
        ++idle;
        continue;
      }
    }
    idle = 0;
    Claim claim;
    if (!lane.restored.empty()) {
      auto first = lane.restored.begin();
      claim = {
          .partition = number, .offset = Offset{first->first}, .payload = std::move(first->second)};
      lane.restored.erase(first);
    } else {
      claim = std::move(lane.ahead.front());
      lane.ahead.pop_front();
      lane.next = Offset{claim.offset.value + 1};
    }
    bytes += claim.payload.size();
    lane.claimed.insert(claim.offset.value);
    claims.push_back(std::move(claim));
    if (bytes >= limits.bytes_max) break;
  }
  return claims;
}

void Queue::delivered(std::span<const ClaimId> claims) {
  for (const auto& claim : claims) lanes_[claim.partition].claimed.erase(claim.offset.value);
  commit_soon();
  waiters_.wake_all({});
}

void Queue::restore(std::vector<Claim> claims) {
  for (auto& claim : claims) {
    auto& lane = lanes_[claim.partition];
    if (lane.claimed.erase(claim.offset.value) == 0) continue;
    lane.restored.emplace(claim.offset.value, std::move(claim.payload));
  }
  waiters_.wake_all({});
}

io::Task<bool> Queue::settle(std::optional<std::size_t> partition) {
  auto self = shared_from_this();  // the topic may be deleted meanwhile
  auto [from, count] = range(partition);
  while (true) {
    if (stopped_) co_return stopping();
    bool settled = true;
    for (auto i = from; i < from + count; ++i) {
      auto& lane = lanes_[i];
      WALRUS_CO_ASSIGN(bool available, has_record(i));
      if (available) co_return false;
      settled &= lane.quiet() && lane.durable == lane.next;
    }
    if (settled) co_return true;
    commit_soon();
    WALRUS_CO_TRY(co_await changed(io::Nanos::max()));
    if (!commit_result_) co_return std::unexpected(commit_result_.error());
  }
}

io::Task<bool> Queue::wait_available(std::optional<std::size_t> partition, io::Nanos timeout) {
  auto self = shared_from_this();
  auto [from, count] = range(partition);
  auto deadline = engine_.env().mono() + timeout;
  while (true) {
    if (stopped_) co_return stopping();
    for (auto i = from; i < from + count; ++i) {
      WALRUS_CO_ASSIGN(bool available, has_record(i));
      if (available) co_return true;
      watch(i);
    }
    auto left = deadline - engine_.env().mono();
    if (left <= io::Nanos(0)) co_return false;
    auto woken = co_await changed(left);
    if (!woken && woken.error().code == Code::kTimeout) co_return false;
    if (!woken) co_return std::unexpected(std::move(woken).error());
  }
}

io::Task<void> Queue::flush() {
  auto self = shared_from_this();
  while (committing_ || commit_is_due()) {
    commit_soon();
    WALRUS_CO_TRY(co_await changed(io::Nanos::max()));
    if (!commit_result_) co_return commit_result_;
  }
  co_return Result<void>();
}

void Queue::stop() {
  stopped_ = true;
  waiters_.wake_all(stopping());
}

Result<bool> Queue::has_record(std::size_t partition) {
  if (!lanes_[partition].restored.empty()) return true;
  WALRUS_TRY(refill(partition));
  return !lanes_[partition].ahead.empty();
}

Result<void> Queue::refill(std::size_t partition) {
  while (lanes_[partition].ahead.empty()) {
    WALRUS_ASSIGN(bool progress, refill_once(partition));
    if (!progress) break;
  }
  return {};
}

// Reads on behind `ahead`. False: nothing there. True: records, or a gap that was passed over.
Result<bool> Queue::refill_once(std::size_t partition) {
  auto& lane = lanes_[partition];
  auto fetched = engine_.fetch(lane.stream, lane.read_to, {.bytes_max = kReadAheadBytes});
  if (!fetched && fetched.error().code == Code::kOutOfRange) {
    // Retention or trim has passed the cursor: what is gone cannot be delivered.
    WALRUS_ASSIGN(auto info, engine_.info(lane.stream));
    if (lane.read_to >= info.log_start) return std::unexpected(std::move(fetched).error());
    lane.read_to = lane.next = info.log_start;
    return true;
  }
  if (!fetched) return std::unexpected(std::move(fetched).error());
  auto from = lane.read_to;
  Bytes rest = fetched->bytes;
  while (!rest.empty()) {
    auto batch = decode(rest, partition, from);
    // What stands before a bad batch is given out first; the error comes again behind it.
    if (!batch && !lane.ahead.empty()) return true;
    if (!batch) return std::unexpected(std::move(batch).error());
    std::ranges::move(batch->records, std::back_inserter(lane.ahead));
    lane.read_to = std::max(lane.read_to, batch->next);
  }
  lane.read_to = std::max(lane.read_to, fetched->next);
  if (lane.ahead.empty()) lane.next = lane.read_to;  // a gap: nothing in it can be taken
  return lane.read_to > from;
}

void Queue::watch(std::size_t partition) {
  auto& lane = lanes_[partition];
  if (lane.watched) return;
  lane.watched = true;
  auto* loop = &loop_;
  std::weak_ptr<Queue> weak = weak_from_this();
  engine_.when_readable(lane.stream, lane.read_to, UpTo::kHighWatermark,
                        [loop, weak, partition](Result<void> result) {
                          loop->post([weak, partition, result = std::move(result)] {
                            auto queue = weak.lock();
                            if (!queue) return;
                            queue->lanes_[partition].watched = false;
                            queue->waiters_.wake_all(result);
                          });
                        });
}

bool Queue::commit_is_due() const {
  return std::ranges::any_of(lanes_,
                             [](const Lane& lane) { return lane.committed() > lane.durable; });
}

void Queue::commit_soon() {
  if (committing_ || !commit_is_due()) return;
  committing_ = true;
  loop_.spawn(commit_all(shared_from_this()));
}

// One commit at a time; what is delivered meanwhile goes with the following one.
boost::asio::awaitable<void> Queue::commit_all(std::shared_ptr<Queue> queue) {
  do {
    queue->commit_result_ = co_await commit_due(queue);
    if (queue->commit_result_) queue->waiters_.wake_all({});
  } while (queue->commit_result_ && queue->commit_is_due());
  queue->committing_ = false;
  queue->waiters_.wake_all({});
}

io::Task<void> Queue::commit_due(std::shared_ptr<Queue> queue) {
  struct Put {
    std::size_t partition;
    Offset position;
    std::unique_ptr<io::Signal> done;
  };
  std::vector<Put> puts;
  for (std::size_t i = 0; i < queue->lanes_.size(); ++i) {
    auto position = queue->lanes_[i].committed();
    if (position <= queue->lanes_[i].durable) continue;
    auto done = std::make_unique<io::Signal>(queue->loop_);
    auto& cursors = *queue->cursors_;
    auto put = cursors.put(i, kQueueReader, position, done->setter());
    while (!put && put.error().code == Code::kBusy) {
      io::Signal room(queue->loop_);
      cursors.when_room(i, room.setter());
      WALRUS_CO_TRY(co_await room.wait());
      put = cursors.put(i, kQueueReader, position, done->setter());
    }
    if (!put) co_return std::unexpected(std::move(put).error());
    puts.push_back({i, position, std::move(done)});
  }
  for (const auto& put : puts) {
    WALRUS_CO_TRY(co_await put.done->wait());
    auto& durable = queue->lanes_[put.partition].durable;
    durable = std::max(durable, put.position);
  }
  co_return Result<void>();
}

// Waits until anything about the queue is different.
io::Task<void> Queue::changed(io::Nanos timeout) {
  io::Signal signal(loop_);
  auto id = waiters_.add(signal.setter());
  auto result = co_await signal.wait(timeout);
  waiters_.remove(id);
  co_return result;
}

std::pair<std::size_t, std::size_t> Queue::range(std::optional<std::size_t> partition) const {
  if (partition) return {*partition, 1};
  return {0, lanes_.size()};
}

}  // namespace walrus::broker
