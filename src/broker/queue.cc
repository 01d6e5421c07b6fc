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

}  // namespace

Offset Queue::Lane::committed() const {
  auto position = next.value;
  if (!claimed.empty()) position = std::min(position, *claimed.begin());
  if (!restored.empty()) position = std::min(position, restored.begin()->first);
  return Offset{position};
}

Result<std::shared_ptr<Queue>> Queue::open(io::Env& env, io::Loop& loop,
                                           std::shared_ptr<Cursors> cursors,
                                           std::vector<LogRef> partitions) {
  CHECK(!partitions.empty());
  std::shared_ptr<Queue> queue(new Queue(env, loop, std::move(cursors)));
  for (auto& log : partitions) {
    auto number = queue->lanes_.size();
    auto& lane = queue->lanes_.emplace_back();
    WALRUS_ASSIGN(auto position, queue->cursors_->get(number, kQueueReader));
    if (position) {
      lane.next = *position;
    } else {
      WALRUS_ASSIGN(auto bounds, log->bounds());
      lane.next = bounds.log_start;
    }
    lane.durable = lane.read_to = lane.next;
    lane.log = std::move(log);
  }
  return queue;
}

io::Task<std::vector<Claim>> Queue::take(std::optional<std::size_t> partition, Limits limits) {
  auto self = shared_from_this();  // the topic may be deleted meanwhile
  if (stopped_) co_return std::unexpected(*stopped_);
  WALRUS_CO_TRY(co_await cursors_->confirm());
  std::vector<Claim> claims;
  auto [from, count] = range(partition);
  std::size_t bytes = 0, idle = 0;
  while (idle < count && claims.size() < limits.records_max && bytes < limits.bytes_max) {
    auto number = partition ? from : turn_++ % count;
    auto& lane = lanes_[number];
    if (lane.restored.empty() && lane.ahead.empty()) {
      auto refilled = co_await refill(number);
      // What was taken already is given out; the error comes again with the next call.
      if (!refilled && claims.empty()) co_return std::unexpected(std::move(refilled).error());
    }
    if (lane.restored.empty() && lane.ahead.empty()) {
      ++idle;
      continue;
    }
    idle = 0;
    claims.push_back(claim(lane, number));
    bytes += claims.back().payload.size();
  }
  if (stopped_ && claims.empty()) co_return std::unexpected(*stopped_);
  co_return claims;
}

// The first record of a lane that has one.
Claim Queue::claim(Lane& lane, std::size_t partition) {
  Claim claim;
  if (!lane.restored.empty()) {
    auto first = lane.restored.begin();
    claim = {.partition = partition,
             .offset = Offset{first->first},
             .payload = std::move(first->second)};
    lane.restored.erase(first);
  } else {
    claim = std::move(lane.ahead.front());
    lane.ahead.pop_front();
    lane.next = Offset{claim.offset.value + 1};
  }
  lane.claimed.insert(claim.offset.value);
  return claim;
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

// Where each partition ends, with everything that was acknowledged before.
io::Task<std::vector<Offset>> Queue::confirm(std::optional<std::size_t> partition) {
  WALRUS_CO_TRY(co_await cursors_->confirm());
  auto [from, count] = range(partition);
  std::vector<Offset> ends;
  for (auto i = from; i < from + count; ++i) {
    WALRUS_CO_ASSIGN(auto end, co_await lanes_[i].log->confirm());
    ends.push_back(end);
  }
  co_return ends;
}

io::Task<bool> Queue::settle(std::optional<std::size_t> partition) {
  auto self = shared_from_this();  // the topic may be deleted meanwhile
  auto [from, count] = range(partition);
  if (stopped_) co_return std::unexpected(*stopped_);
  WALRUS_CO_ASSIGN(auto ends, co_await confirm(partition));
  while (true) {
    if (stopped_) co_return std::unexpected(*stopped_);
    bool settled = true;
    for (auto i = from; i < from + count; ++i) {
      auto& lane = lanes_[i];
      WALRUS_CO_ASSIGN(bool available, co_await has_record(i));
      if (available) co_return false;
      settled &= lane.quiet() && lane.durable == lane.next;
      if (lane.read_to >= ends[i - from]) continue;
      settled = false;  // there is more, which is not here yet
      watch(i);
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
  auto deadline = env_.mono() + timeout;
  while (true) {
    if (stopped_) co_return std::unexpected(*stopped_);
    for (auto i = from; i < from + count; ++i) {
      WALRUS_CO_ASSIGN(bool available, co_await has_record(i));
      if (available) co_return true;
      watch(i);
    }
    auto left = deadline - env_.mono();
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

void Queue::stop(Error why) {
  stopped_ = std::move(why);
  waiters_.wake_all(std::unexpected(*stopped_));
}

io::Task<bool> Queue::has_record(std::size_t partition) {
  if (!lanes_[partition].restored.empty()) co_return true;
  WALRUS_CO_TRY(co_await refill(partition));
  co_return !lanes_[partition].ahead.empty() || !lanes_[partition].restored.empty();
}

// One reads on, the others take what comes of it.
io::Task<void> Queue::refill(std::size_t partition) {
  auto& lane = lanes_[partition];
  while (lane.reading) {
    io::Signal signal(loop_);
    lane.read.add(signal.setter());
    WALRUS_CO_TRY(co_await signal.wait());
  }
  lane.reading = true;
  Result<void> result;
  while (result && lane.ahead.empty()) {
    auto progress = co_await refill_once(partition);
    if (!progress) result = std::unexpected(std::move(progress).error());
    else if (!*progress) break;
  }
  lane.reading = false;
  lane.read.wake_all({});
  co_return result;
}

// Reads on behind `ahead`. False: nothing there. True: records, or a gap that was passed over.
io::Task<bool> Queue::refill_once(std::size_t partition) {
  auto& lane = lanes_[partition];
  auto fetched = co_await lane.log->fetch(lane.read_to, {.bytes_max = kReadAheadBytes});
  if (fetched) co_return take_batches(partition, *fetched);
  if (fetched.error().code != Code::kOutOfRange)
    co_return std::unexpected(std::move(fetched).error());
  WALRUS_CO_ASSIGN(bool passed, co_await pass_over(partition));
  co_return passed;
}

// The cursor stands where the log is not. True: it stands somewhere else now.
io::Task<bool> Queue::pass_over(std::size_t partition) {
  auto& lane = lanes_[partition];
  WALRUS_CO_ASSIGN(auto bounds, lane.log->bounds());
  if (lane.read_to < bounds.log_start) {
    // Retention or trim has passed it: what is gone cannot be delivered.
    lane.read_to = lane.next = bounds.log_start;
    co_return true;
  }
  WALRUS_CO_ASSIGN(auto end, co_await lane.log->confirm());
  if (lane.read_to <= end) co_return false;  // not here yet
  // What was read has been lost, as its durability allows: their offsets are given again.
  lane.read_to = lane.next = end;
  lane.durable = Offset{-1};
  co_return true;
}

Result<bool> Queue::take_batches(std::size_t partition, const log::Fetched& fetched) {
  auto& lane = lanes_[partition];
  auto from = lane.read_to;
  Bytes rest = fetched.bytes;
  while (!rest.empty()) {
    auto batch = decode(rest, partition, from);
    // What stands before a bad batch is given out first; the error comes again behind it.
    if (!batch && !lane.ahead.empty()) return true;
    if (!batch) return std::unexpected(std::move(batch).error());
    std::ranges::move(batch->records, std::back_inserter(lane.ahead));
    lane.read_to = std::max(lane.read_to, batch->next);
  }
  lane.read_to = std::max(lane.read_to, fetched.next);
  if (lane.ahead.empty()) lane.next = lane.read_to;  // a gap: nothing in it can be taken
  return lane.read_to > from;
}

void Queue::watch(std::size_t partition) {
  auto& lane = lanes_[partition];
  if (lane.watched) return;
  lane.watched = true;
  auto* loop = &loop_;
  std::weak_ptr<Queue> weak = weak_from_this();
  lane.log->when_readable(lane.read_to, [loop, weak, partition](Result<void> result) {
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
