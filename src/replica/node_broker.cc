// The face for the broker: appends, reads, and what is known of a partition here.

#include <algorithm>
#include <utility>

#include "replica/node_methods.h"
#include "replica/node_state.h"

namespace walrus::replica {
namespace {

constexpr Nanos kFeedAgain = std::chrono::milliseconds(2);
constexpr Nanos kReadTimeout = std::chrono::seconds(2);
constexpr int kTrimAttempts = 10;

// Something in front of it was sent away.
bool is_broken(const AppendRequest& request) {
  return request.pipeline && request.pipeline->broken;
}

// What a leader says that does not know yet of a later one may be outdated.
bool has_to_be_current(Refusal refusal) {
  return refusal == Refusal::kOutOfOrder || refusal == Refusal::kStaleProducer ||
         refusal == Refusal::kMismatch;
}

// How many of the bytes are whole batches below `end`, and the offset behind them. kCorrupt: what
// another node sent is none.
struct Whole {
  std::size_t bytes = 0;
  std::int64_t next = 0;
};
Result<Whole> whole_below(Bytes bytes, std::int64_t from, std::int64_t end) {
  Whole whole{0, from};
  while (whole.bytes < bytes.size()) {
    WALRUS_ASSIGN(auto batch, record::BatchView::parse(bytes.substr(whole.bytes)));
    bool first = whole.bytes == 0;
    bool follows = first ? batch.base_offset() <= from && batch.next_offset() > from
                         : batch.base_offset() == whole.next;
    if (!follows) return fail(Code::kCorrupt, "batches that do not follow each other");
    if (batch.next_offset() > end) break;
    whole.bytes += batch.bytes().size();
    whole.next = batch.next_offset();
  }
  return whole;
}

std::unexpected<Error> out_of_range(Offset offset, const log::Bounds& bounds) {
  return fail(Code::kOutOfRange, "offset {} out of range {}..{}", offset.value,
              bounds.log_start.value, bounds.high_watermark.value);
}

// A read of a copy, which may have to wait for the disk.
auto reader_of(log::Engine& engine, log::StreamRef stream, const Attach& what) {
  log::FetchOptions options{.bytes_max = static_cast<std::int64_t>(what.bytes_max),
                            .up_to = UpTo::kAppended};
  return [&engine, stream = std::move(stream), from = Offset{what.from},
          options]() -> Result<std::string> {
    WALRUS_ASSIGN(auto fetched, engine.fetch(stream, from, options));
    return std::move(fetched.bytes);
  };
}

Result<void> check_batches(Bytes bytes) {
  while (!bytes.empty()) {
    WALRUS_ASSIGN(auto batch, record::BatchView::parse(bytes));
    if (!batch.crc_holds()) return fail(Code::kCorrupt, "a batch whose CRC does not hold");
    bytes.remove_prefix(batch.bytes().size());
  }
  return {};
}

}  // namespace

// ---- Appends ----

void NodeState::append(PartitionId id, std::string batch, const AppendRequest& request,
                       AppendDone done) {
  ++stats_.appends;
  stats_.append_bytes += batch.size();
  Waiting one{.batch = std::move(batch),
              .request = request,
              .until = env_.mono() + request.wait.value_or(options_.limits.append_wait_max),
              .done = std::move(done)};
  if (request.in_sequence)
    if (auto view = record::BatchView::parse(one.batch)) one.sequence = sequence_of(*view);
  bool gone = stopped_ || stopping_ || (image_ && !partition_of(id));
  if (gone || is_broken(request)) return refuse(id, one, Refusal::kNotLeader);
  if (lacks_room(id)) return refuse(id, one, Refusal::kNoRoom);
  if (waiting_count_ >= options_.limits.waiting_max ||
      waiting_bytes_ + one.batch.size() > options_.limits.waiting_bytes_max)
    return refuse(id, one, Refusal::kBusy);
  auto& part = parts_[id];
  ++waiting_count_;
  waiting_bytes_ += one.batch.size();
  part.waiting.push_back(std::move(one));
  hungry_.insert(id);
  mark(id, part);
}

// Whether fewer nodes have room than it is to be written to. While as many have, it moves to them.
bool NodeState::lacks_room(const PartitionId& id) const {
  const auto* topic = full_.empty() || !image_ ? nullptr : image_->topics.find(id.topic);
  if (!topic || topic->internal) return false;
  std::size_t with_room = 0;
  image_->nodes.each([&](NodeId node, const meta::Node& known) {
    with_room += known.state == meta::NodeState::kActive && !full_.contains(node) ? 1 : 0;
  });
  return with_room < topic->min_copies;
}

// What may be taken another time, or was, is owed by its producer from now on; and what is not in
// order because of that is to come again as well.
void NodeState::refuse(const PartitionId& id, Waiting& one, Refusal why) {
  ++stats_.appends_refused;
  if (why == Refusal::kOutOfOrder && is_behind(id, one)) why = Refusal::kNotLeader;
  if (is_passing(why) || why == Refusal::kUnknown) send_away(id, one);
  else if (why == Refusal::kNoRoom && one.sequence) arrears_.owe(id, *one.sequence, env_.mono());
  calls_.push_back([done = std::move(one.done), why]() mutable { done({why}); });
  post_turn();
}

void NodeState::send_away(const PartitionId& id, const Waiting& one) {
  if (one.sequence) arrears_.owe(id, *one.sequence, env_.mono());
  if (one.request.pipeline) one.request.pipeline->broken = true;
}

bool NodeState::is_behind(const PartitionId& id, const Waiting& one) const {
  return one.sequence && (one.request.follows || arrears_.behind(id, *one.sequence, env_.mono()));
}

// What belongs before it is not in the log. Whether that may come yet.
bool NodeState::may_be_filled(const PartitionId& id, const Waiting& one) {
  if (one.gap_lasted) return false;
  arrears_.miss(id, *one.sequence, env_.mono());
  return true;
}

NodeState::WriterCell* NodeState::writer_of(const PartitionId& id) const {
  auto part = parts_.find(id);
  if (part == parts_.end() || part->second.writer == SegmentId{}) return nullptr;
  return const_cast<WriterCell*>(&writers_.at(part->second.writer));
}

NodeState::Waiting NodeState::leave(Part& part) {
  --waiting_count_;
  waiting_bytes_ -= part.waiting.front().batch.size();
  auto one = std::move(part.waiting.front());
  part.waiting.pop_front();
  return one;
}

// What waits goes to the writer if there is one, in order; away if there is one elsewhere, or no
// room. Behind what was handed on it keeps its place.
void NodeState::feed(const PartitionId& id, Part& part, Instant now) {
  if (part.waiting.empty() || !part.handed.empty() || now < part.feed_again) return;
  bool full = lacks_room(id);
  while (full && !part.waiting.empty()) {
    auto one = leave(part);
    refuse(id, one, Refusal::kNoRoom);
  }
  auto* writer = writer_of(id);
  if (writer && writer->core->role() == Leader::Role::kWriter) {
    while (!part.waiting.empty()) {
      auto one = leave(part);
      if (is_broken(one.request)) {
        refuse(id, one, Refusal::kNotLeader);
        continue;
      }
      auto ticket = ++last_ticket_;
      Leader::Append append{
          .ticket = ticket, .batch = std::move(one.batch), .acks = one.request.acks};
      if (one.request.expected_next) append.expected_next = one.request.expected_next->value;
      if (one.sequence) {
        arrears_.come(id, *one.sequence);
        one.gap_lasted = !is_behind(id, one) && arrears_.gap_lasted(id, *one.sequence, now);
      }
      append.any_sequence = one.gap_lasted;
      requests_.emplace(ticket, std::move(one));
      push(part.writer, *writer, std::move(append));
    }
  } else {
    const auto* partition = partition_of(id);
    bool open = partition && partition->tail && partition->tail->state == meta::SegmentState::kOpen;
    bool elsewhere = open && partition->tail->leader != options_.self;
    if (elsewhere && may_go_on(part, partition->tail->leader, now))
      hand_on(id, part, partition->tail->leader, now);
    bool coming = open && partition->tail->leader_incarnation == options_.incarnation;
    want_now_ |= !part.waiting.empty() && !coming && !part.wants;
    part.wants = !part.waiting.empty() && !coming;
  }
  if (!part.waiting.empty()) return;
  hungry_.erase(id);
  part.wants = false;
}

void NodeState::expire(const PartitionId& id, Part& part, Instant now) {
  std::erase_if(part.waiting, [&](Waiting& one) {
    if (now < one.until) return false;
    --waiting_count_;
    waiting_bytes_ -= one.batch.size();
    refuse(id, one, one.why);
    return true;
  });
}

// What a writer refused for now waits in front of all that came later.
void NodeState::take_answers(WriterCell& cell, Leader::Actions& actions,
                             std::span<Leader::Event> events) {
  std::unordered_map<Ticket, std::string*> batches;
  bool refused = std::ranges::any_of(actions.appended,
                                     [](const auto& one) { return is_passing(one.refusal); });
  if (refused)
    for (auto& event : events)
      if (auto* append = std::get_if<Leader::Append>(&event))
        batches[append->ticket] = &append->batch;
  auto now = env_.mono();
  bool room = false;
  std::vector<Waiting> again;
  for (const auto& answer : actions.appended) {
    auto found = requests_.find(answer.ticket);
    if (found == requests_.end()) continue;
    auto one = std::move(found->second);
    requests_.erase(found);
    auto batch = batches.find(answer.ticket);
    bool waits = is_passing(answer.refusal) && batch != batches.end() && now < one.until &&
                 !stopping_ && parts_.contains(cell.partition);
    if (waits) {
      one.batch = std::move(*batch->second);
      one.why = answer.refusal;
      again.push_back(std::move(one));
    } else if (answer.refusal == Refusal::kOutOfOrder && may_be_filled(cell.partition, one)) {
      refuse(cell.partition, one, Refusal::kNotLeader);
    } else if (has_to_be_current(answer.refusal)) {
      confirm_refusal(cell, std::move(one), answer.refusal);
    } else if (answer.refusal != Refusal::kNone) {
      cell.unsure |= answer.refusal == Refusal::kUnknown;
      refuse(cell.partition, one, answer.refusal);
    } else {
      room = true;
      if (one.sequence) arrears_.settle(cell.partition, *one.sequence);
      calls_.push_back([done = std::move(one.done), first = answer.offset]() mutable {
        done({Refusal::kNone, Offset{first}});
      });
    }
  }
  for (const auto& answer : actions.confirmed) take_confirmed(answer);
  auto part = parts_.find(cell.partition);
  if (part == parts_.end()) return;
  auto& waiting = part->second.waiting;
  for (auto& one : again) {
    ++waiting_count_;
    waiting_bytes_ += one.batch.size();
  }
  waiting.insert(waiting.begin(), std::make_move_iterator(again.begin()),
                 std::make_move_iterator(again.end()));
  if (waiting.empty()) return;
  hungry_.insert(cell.partition);
  if (room && again.empty()) {
    part->second.feed_again = {};
    return mark(cell.partition, part->second);
  }
  part->second.feed_again = now + kFeedAgain;
  look_at_ = std::min(look_at_, part->second.feed_again);
}

void NodeState::take_confirmed(const Leader::Confirmed& answer) {
  auto found = confirms_.find(answer.ticket);
  if (found == confirms_.end()) return;
  calls_.push_back([done = std::move(found->second.done), answer]() mutable {
    if (answer.refusal == Refusal::kNone) done(Offset{answer.watermark});
    else done(fail(Code::kBusy, "not confirmed: {}", refusal_name(answer.refusal)));
  });
  confirms_.erase(found);
}

void NodeState::ask(WriterCell& writer, Instant until, ConfirmDone done) {
  auto ticket = ++last_ticket_;
  confirms_.emplace(ticket, Asking{until, std::move(done)});
  push(writer.core->segment().id, writer, Leader::Confirm{ticket});
}

void NodeState::confirm_refusal(WriterCell& writer, Waiting one, Refusal why) {
  auto until = one.until;
  ask(writer, until,
      [this, id = writer.partition, one = std::move(one), why](Result<Offset> confirmed) mutable {
        if (!confirmed) send_away(id, one);
        else note_refusal(id, one, why);
        one.done({confirmed ? why : Refusal::kNotLeader});
      });
}

// What a producer takes for the loss of its place, or its right.
void NodeState::note_refusal(const PartitionId& id, const Waiting& one, Refusal why) {
  if (!options_.log || !one.sequence) return;
  auto suppressed = refusals_.admit(env_.mono());
  if (!suppressed) return;
  const auto* topic = image_->topics.find(id.topic);
  log_line(*options_.log, LogLevel::kWarning, "producer_refused",
           {{"topic", topic ? Bytes(topic->name) : Bytes("-")},
            {"partition", id.index},
            {"producer", one.sequence->producer},
            {"epoch", one.sequence->epoch},
            {"sequence", one.sequence->first},
            {"why", refusal_name(why)},
            {"suppressed", *suppressed}});
}

void NodeState::lease_granted(Nanos asked_at) {
  if (stopped_) return;
  bool lapsed = !lease_.holds(env_.mono());
  lease_.granted(asked_at);
  if (!lapsed) return;
  for (auto& [segment, cell] : writers_) push(segment, cell, Leader::Tick{});
  feed_all();
}

void NodeState::learn_full(std::set<NodeId> full) {
  full_ = std::move(full);
  if (!stopped_) feed_all();
}

void NodeState::feed_all() {
  for (const auto& id : hungry_) {
    parts_[id].feed_again = {};
    mark(id, parts_[id]);
  }
}

std::vector<PartitionId> NodeState::wanted() const {
  std::vector<PartitionId> wanted;
  for (const auto& id : hungry_)
    if (parts_.at(id).wants) wanted.push_back(id);
  return wanted;
}

void NodeState::confirm(PartitionId id, ConfirmDone done) {
  auto refuse = [&](Error error) {
    calls_.push_back([done = std::move(done), error = std::move(error)]() mutable {
      done(std::unexpected(std::move(error)));
    });
    post_turn();
  };
  const auto* partition = partition_of(id);
  if (stopped_) return refuse({Code::kClosed, "stopped"});
  if (!partition) return refuse(unknown_partition());
  if (!partition->tail) return loop_.spawn(confirm_closed(shared_from_this(), id, std::move(done)));
  auto* writer = writer_of(id);
  if (!writer) return refuse({Code::kBusy, "another node leads it, or none for now"});
  ask(*writer, env_.mono() + options_.limits.append_wait_max, std::move(done));
}

// Nobody writes where no segment is open: then metadata knows the end (R34).
boost::asio::awaitable<void> NodeState::confirm_closed(std::shared_ptr<NodeState> self,
                                                       PartitionId id, ConfirmDone done) {
  auto current = co_await self->metadata_.current();
  if (self->stopped_) {
    done(fail(Code::kClosed, "stopped"));
    co_return;
  }
  if (!current) {
    done(fail(Code::kBusy, "metadata does not answer"));
    co_return;
  }
  const auto* partition = (*current)->partitions.find(id);
  if (!partition) done(fail(Code::kNotFound, "no such partition"));
  else if (partition->tail) done(fail(Code::kBusy, "a segment is being opened"));
  else done(partition->sealed_end);
  self->learned(*std::move(current));
}

// ---- What there is ----

// Up to where records are acknowledged, as far as it is known here.
std::int64_t NodeState::watermark_of(const PartitionId& id,
                                     const meta::Partition& partition) const {
  if (!partition.tail) return partition.sealed_end.value;
  auto base = partition.tail->base.value;
  if (const auto* writer = writer_of(id);
      writer && writer->core->segment().id == partition.tail->id)
    return std::max(base, writer->core->watermark());
  auto copy = copies_.find(partition.tail->id);
  return copy == copies_.end() ? base : std::max(base, copy->second.core->acknowledged());
}

// What the disk may have lost is written down before the first image counts.
Error NodeState::unknown_partition() const {
  if (!image_) return {Code::kBusy, "this node does not know the partitions yet"};
  return {Code::kNotFound, "no such partition"};
}

Result<log::Bounds> NodeState::bounds(PartitionId id) const {
  const auto* partition = partition_of(id);
  if (!partition) return std::unexpected(unknown_partition());
  Offset end{watermark_of(id, *partition)};
  auto epoch = partition->tail             ? partition->tail->epoch
               : partition->sealed.empty() ? Epoch{}
                                           : partition->sealed.last().epoch;
  return log::Bounds{partition->log_start, std::max(end, partition->log_start), end,
                     static_cast<std::int32_t>(epoch.value)};
}

std::vector<log::SegmentInfo> NodeState::segments(PartitionId id) const {
  std::vector<log::SegmentInfo> segments;
  const auto* partition = partition_of(id);
  if (!partition) return segments;
  auto info = [](const meta::Segment& segment, std::int64_t end) {
    return log::SegmentInfo{.base_offset = segment.base.value,
                            .end_offset = end,
                            .records = end - segment.base.value,
                            .bytes = static_cast<std::int64_t>(segment.bytes),
                            .epoch = static_cast<std::int32_t>(segment.epoch.value),
                            .sealed = segment.state == meta::SegmentState::kSealed};
  };
  partition->sealed.each(
      [&](const meta::Segment& segment) { segments.push_back(info(segment, segment.end.value)); });
  if (partition->tail) {
    segments.push_back(info(*partition->tail, watermark_of(id, *partition)));
    segments.back().bytes = store_->bytes(partition->tail->id);
  }
  return segments;
}

LeaderHint NodeState::leader_of(PartitionId id) const {
  const auto* partition = partition_of(id);
  if (!partition || !partition->tail || partition->tail->state != meta::SegmentState::kOpen)
    return {};
  const auto* writer = writer_of(id);
  const auto* node = image_->find_node(partition->tail->leader);
  bool gone = partition->tail->leader == options_.self
                  ? writer == nullptr
                  : !node || node->incarnation != partition->tail->leader_incarnation ||
                        out_of_reach_.contains(partition->tail->leader);
  if (gone) return {};  // a life that is over leads nothing (R42)
  LeaderHint hint{.leader = partition->tail->leader,
                  .epoch = partition->tail->epoch,
                  .here = writer && writer->core->role() == Leader::Role::kWriter};
  // Longer than append() does: what is under way then is answered before anything is refused.
  if (auto part = parts_.find(id); part != parts_.end() && part->second.hand_on_until > Instant{})
    hint.hands_on_until = part->second.hand_on_until + 2 * options_.limits.hand_on_max;
  return hint;
}

std::pair<Epoch, Offset> NodeState::end_of_epoch(PartitionId id, Epoch epoch) const {
  const auto* partition = partition_of(id);
  if (!partition) return {};
  if (partition->tail && partition->tail->epoch <= epoch)
    return {partition->tail->epoch, Offset{watermark_of(id, *partition)}};
  auto found = partition->sealed.find(epoch);
  if (!found) return {};
  return {found->epoch, found->end};
}

std::uint64_t NodeState::when_readable(PartitionId id, Offset offset, log::Done<void> done) {
  auto reader = ++last_reader_;
  if (stopped_ || (image_ && !partition_of(id))) {
    calls_.push_back(
        [done = std::move(done)]() mutable { done(fail(Code::kNotFound, "no such partition")); });
    post_turn();
    return reader;
  }
  auto& part = parts_[id];
  part.readers.push_back({reader, offset.value, std::move(done)});
  readers_.emplace(reader, id);
  wake_readers(id, part);
  return reader;
}

void NodeState::cancel(std::uint64_t id) {
  auto found = readers_.find(id);
  if (found == readers_.end()) return;
  auto& readers = parts_[found->second].readers;
  std::erase_if(readers, [&](const Reader& one) { return one.id == id; });
  readers_.erase(found);
}

void NodeState::wake_readers(const PartitionId& id, Part& part) {
  const auto* partition = part.readers.empty() ? nullptr : partition_of(id);
  if (!partition) return;
  auto watermark = watermark_of(id, *partition);
  std::erase_if(part.readers, [&](Reader& one) {
    if (one.offset >= watermark) return false;
    readers_.erase(one.id);
    calls_.push_back([done = std::move(one.done)]() mutable { done({}); });
    return true;
  });
  if (!calls_.empty()) post_turn();
}

// ---- Reading ----

std::optional<NodeState::Place> NodeState::find_place(const PartitionId& id,
                                                      std::int64_t offset) const {
  const auto* partition = partition_of(id);
  if (!partition) return std::nullopt;
  bool in_tail = partition->tail && offset >= partition->tail->base.value;
  auto segment = in_tail ? partition->tail : partition->sealed.find(Offset{offset});
  if (!segment) return std::nullopt;
  Place place{.segment = *std::move(segment), .tail = in_tail};
  place.end = in_tail ? watermark_of(id, *partition) : place.segment.end.value;
  auto copy = meta::copy_of(place.segment);
  if (store_->end(copy) > offset) place.stream = store_->stream(copy);
  return place;
}

log::Fetched NodeState::empty_fetch(const PartitionId& id, std::int64_t at) const {
  auto bounds = this->bounds(id).value_or(log::Bounds{});
  return {{}, bounds.log_start, bounds.high_watermark, bounds.log_end, Offset{at}};
}

io::Task<log::Fetched> NodeState::fetch(std::shared_ptr<NodeState> self, PartitionId id,
                                        Offset from, log::FetchOptions options) {
  if (self->stopped_) co_return fail(Code::kClosed, "stopped");
  WALRUS_CO_ASSIGN(auto bounds, self->bounds(id));
  if (from < bounds.log_start || from > bounds.high_watermark) co_return out_of_range(from, bounds);
  auto fetched = self->empty_fetch(id, from.value);
  auto place = self->find_place(id, from.value);
  if (!place || from.value >= place->end) co_return fetched;
  Attach what{from.value, place->end,
              static_cast<std::uint64_t>(std::clamp<std::int64_t>(
                  options.bytes_max, 1, self->options_.limits.fetch_bytes_max))};
  auto bytes = co_await read_place(self, *place, what);
  if (self->stopped_) co_return fail(Code::kClosed, "stopped");
  if (auto now = self->find_place(id, from.value);
      !bytes && now && meta::copy_of(now->segment) != meta::copy_of(place->segment)) {
    place = std::move(now);  // compaction has put another copy in its place meanwhile
    what.end = place->end;
    bytes = co_await read_place(self, *place, what);
    if (self->stopped_) co_return fail(Code::kClosed, "stopped");
  }
  if (auto now = self->bounds(id); !bytes && now && from < now->log_start)
    co_return out_of_range(from, *now);  // it went meanwhile
  WALRUS_CO_TRY(bytes);
  WALRUS_CO_ASSIGN(auto whole, whole_below(*bytes, from.value, place->end));
  bytes->resize(whole.bytes);
  fetched = self->empty_fetch(id, whole.next);
  fetched.bytes = *std::move(bytes);
  co_return fetched;
}

io::Task<std::string> NodeState::read_place(std::shared_ptr<NodeState> self, Place place,
                                            Attach what) {
  Result<std::string> bytes = fail(Code::kNotFound, "not here");
  if (place.stream) bytes = co_await read_here(self, place, what);
  if (!bytes && !self->stopped_) bytes = co_await read_there(self, place, what);
  co_return bytes;
}

// The end of a partition is in memory; what is older may have to be waited for.
io::Task<std::string> NodeState::read_here(std::shared_ptr<NodeState> self, Place place,
                                           Attach what) {
  auto read = reader_of(self->engine_, place.stream, what);
  auto bytes = place.tail ? read() : co_await self->files_->run<std::string>(read);
  if (bytes || self->stopped_ || bytes.error().code != Code::kCorrupt) co_return bytes;
  auto segment = meta::copy_of(place.segment);
  if (!place.tail) {
    self->suspect(segment);
  } else if (auto* cell = self->copy_cell(segment)) {
    self->log(LogLevel::kError, "segment_copy_damaged", segment, bytes.error().message);
    self->push(segment, *cell, Follower::Damaged{what.from});
  }
  co_return bytes;
}

// Reads all of that from another copy, which is kNotFound or kCorrupt where it has not got it.
io::Task<void> NodeState::check_source(std::shared_ptr<NodeState> self, NodeId source,
                                       SegmentId segment, Attach what) {
  while (what.from < what.end) {
    std::string request;
    append_uvarint(request, segment.value);
    append_uvarint(request, static_cast<std::uint64_t>(what.from));
    append_uvarint(request, what.bytes_max);
    append_uvarint(request, static_cast<std::uint64_t>(what.end));
    WALRUS_CO_ASSIGN(auto bytes, co_await self->rpc_.call(source, kSegmentRead, request,
                                                          {.timeout = kReadTimeout}));
    if (self->stopped_) co_return fail(Code::kClosed, "stopped");
    WALRUS_CO_TRY(check_batches(bytes));
    WALRUS_CO_ASSIGN(auto whole, whole_below(bytes, what.from, what.end));
    if (whole.next <= what.from) co_return fail(Code::kNotFound, "it ends before");
    what.from = whole.next;
  }
  co_return Result<void>();
}

io::Task<std::string> NodeState::read_there(std::shared_ptr<NodeState> self, Place place,
                                            Attach what) {
  ++self->stats_.remote_reads;
  std::string request;
  append_uvarint(request, meta::copy_of(place.segment).value);
  append_uvarint(request, static_cast<std::uint64_t>(what.from));
  append_uvarint(request, what.bytes_max);
  append_uvarint(request, static_cast<std::uint64_t>(what.end));
  Error last{Code::kBusy, "no other replica has it"};
  for (auto replica : place.segment.replicas) {
    if (replica == self->options_.self) continue;
    auto bytes =
        co_await self->rpc_.call(replica, kSegmentRead, request, {.timeout = kReadTimeout});
    if (self->stopped_) co_return fail(Code::kClosed, "stopped");
    if (bytes && !bytes->empty()) {
      auto sound = check_batches(*bytes);
      if (sound) co_return bytes;
      last = sound.error();
    } else if (!bytes) {
      last = {Code::kBusy, bytes.error().message};
    }
  }
  co_return std::unexpected(std::move(last));
}

io::Task<std::string> NodeState::serve_read(std::shared_ptr<NodeState> self, net::Request request) {
  if (!self || self->stopped_) co_return fail(Code::kClosed, "stopped");
  Decoder in(request.body);
  SegmentId segment{in.uvarint().value_or(0)};
  Attach what;
  what.from = static_cast<std::int64_t>(in.uvarint().value_or(0));
  what.bytes_max = std::min<std::uint64_t>(
      in.uvarint().value_or(0), static_cast<std::uint64_t>(self->options_.limits.fetch_bytes_max));
  what.end = static_cast<std::int64_t>(in.uvarint().value_or(0));
  if (!in.ok() || !in.at_end() || what.from < 0 || what.end < what.from)
    co_return fail(Code::kInvalid, "a malformed read of a segment");
  auto stream = self->store_->stream(segment);
  if (!stream || self->orphans_.contains(segment))
    co_return fail(Code::kNotFound, "segment {} is not here", segment.value);
  auto read = co_await self->files_->run<std::string>(reader_of(self->engine_, stream, what));
  if (self->stopped_) co_return fail(Code::kClosed, "stopped");
  if (!read && read.error().code == Code::kCorrupt) self->suspect(segment);
  WALRUS_CO_ASSIGN(auto bytes, std::move(read));
  WALRUS_CO_ASSIGN(auto whole, whole_below(bytes, what.from, what.end));
  bytes.resize(whole.bytes);
  if (bytes.empty()) co_return fail(Code::kNotFound, "segment {} ends before", segment.value);
  co_return bytes;
}

// ---- By time ----

// In the segment, or its end.
io::Task<std::int64_t> NodeState::find_in(std::shared_ptr<NodeState> self, meta::Segment segment,
                                          Time time) {
  auto copy = meta::copy_of(segment);
  auto stream = self->store_->stream(copy);
  if (stream && self->store_->end(copy) >= segment.end.value) {
    WALRUS_CO_ASSIGN(auto found, self->engine_.find_time(stream, time));
    co_return std::min(found.value, segment.end.value);
  }
  std::string request;
  append_uvarint(request, copy.value);
  append_uvarint(request, zigzag(time.time_since_epoch().count()));
  for (auto replica : segment.replicas) {
    if (replica == self->options_.self) continue;
    auto reply =
        co_await self->rpc_.call(replica, kSegmentFind, request, {.timeout = kReadTimeout});
    if (self->stopped_) co_return fail(Code::kClosed, "stopped");
    if (!reply) continue;
    auto found = Decoder(*reply).uvarint();
    if (found && *found == 0) co_return segment.end.value;
    if (found && *found <= static_cast<std::uint64_t>(segment.end.value))
      co_return static_cast<std::int64_t>(*found - 1);
  }
  co_return fail(Code::kBusy, "no replica of segment {} answers", segment.id.value);
}

io::Task<std::string> NodeState::serve_find(std::shared_ptr<NodeState> self, net::Request request) {
  if (!self || self->stopped_) co_return fail(Code::kClosed, "stopped");
  Decoder in(request.body);
  SegmentId segment{in.uvarint().value_or(0)};
  auto ms = in.varint().value_or(0);
  if (!in.ok() || !in.at_end()) co_return fail(Code::kInvalid, "a malformed search in a segment");
  auto stream = self->store_->stream(segment);
  if (!stream) co_return fail(Code::kNotFound, "segment {} is not here", segment.value);
  auto end = self->store_->end(segment);
  auto search = [&engine = self->engine_, stream, ms] {
    return engine.find_time(stream, Time(Millis(ms)));
  };
  WALRUS_CO_ASSIGN(auto found, co_await self->files_->run<Offset>(search));
  std::string reply;
  append_uvarint(reply, found.value >= end ? 0 : static_cast<std::uint64_t>(found.value) + 1);
  co_return reply;
}

io::Task<Offset> NodeState::find_time(std::shared_ptr<NodeState> self, PartitionId id, Time time) {
  if (self->stopped_) co_return fail(Code::kClosed, "stopped");
  WALRUS_CO_ASSIGN(auto bounds, self->bounds(id));
  std::vector<meta::Segment> chain;
  const auto* partition = self->partition_of(id);
  partition->sealed.each([&](const meta::Segment& segment) {
    if (segment.end > bounds.log_start) chain.push_back(segment);
  });
  if (partition->tail) {
    chain.push_back(*partition->tail);
    chain.back().end = bounds.high_watermark;
  }
  for (const auto& segment : chain) {
    if (segment.end <= segment.base) continue;
    WALRUS_CO_ASSIGN(auto found, co_await find_in(self, segment, time));
    if (found < segment.end.value) co_return std::max(Offset{found}, bounds.log_start);
  }
  co_return bounds.high_watermark;
}

// ---- The log start ----

// Done when this node knows of it, too: nobody reads below it here any more.
io::Task<void> NodeState::trim(std::shared_ptr<NodeState> self, PartitionId id, Offset first_kept) {
  bool taken = false;
  for (int attempt = 0; attempt < kTrimAttempts; ++attempt) {
    if (self->stopped_) co_return fail(Code::kClosed, "stopped");
    WALRUS_CO_ASSIGN(auto bounds, self->bounds(id));
    if (first_kept > bounds.high_watermark) co_return out_of_range(first_kept, bounds);
    if (first_kept <= bounds.log_start) co_return Result<void>();
    if (!taken) {
      meta::Command command{.time = self->env_.wall()};
      command.changes.push_back(meta::SetLogStart{id, self->partition_of(id)->version, first_kept});
      auto outcomes = co_await self->metadata_.propose(std::move(command));
      taken = outcomes && outcomes->size() == 1 && outcomes->front().done();
    }
    if (self->stopped_) continue;
    if (auto current = co_await self->metadata_.current(); current && !self->stopped_)
      self->learned(*std::move(current));
  }
  if (taken) co_return Result<void>();
  co_return fail(Code::kTimeout, "metadata does not take the log start");
}

// ---- The end ----

// A few at a time: a partition stands still while its own segment is ended, and not longer.
io::Task<void> NodeState::give_away(std::shared_ptr<NodeState> self, Nanos timeout) {
  constexpr std::size_t kAtOnce = 32;
  const auto until = self->env_.mono() + timeout;
  std::vector<SegmentId> left, under_way;
  for (const auto& [segment, cell] : self->writers_) left.push_back(segment);
  std::size_t turn = 0;
  for (auto now = self->env_.mono(); !self->stopped_ && now < until; now = self->env_.mono()) {
    std::erase_if(under_way, [&](SegmentId segment) {
      auto found = self->writers_.find(segment);
      return found == self->writers_.end() || !found->second.next;
    });
    for (; !left.empty() && under_way.size() < kAtOnce; left.pop_back()) {
      auto found = self->writers_.find(left.back());
      if (found == self->writers_.end() || found->second.core->role() != Leader::Role::kWriter)
        continue;
      auto heirs = self->heirs_of(found->second, turn++);
      if (!heirs) continue;
      self->close(left.back(), found->second, std::move(heirs));
      under_way.push_back(left.back());
    }
    if (under_way.empty()) break;
    co_await self->ended_->wait(until - now);
  }
  co_return Result<void>();
}

io::Task<void> NodeState::stop(std::shared_ptr<NodeState> self, Nanos timeout) {
  self->stopping_ = true;
  auto until = self->env_.mono() + timeout;
  std::size_t turn = 0;
  for (auto& [segment, cell] : self->writers_)
    self->close(segment, cell, self->heirs_of(cell, turn++));
  for (auto now = self->env_.mono(); !self->stopped_ && !self->writers_.empty() && now < until;
       now = self->env_.mono())
    co_await self->ended_->wait(until - now);
  self->shut();
  co_return Result<void>();
}

}  // namespace walrus::replica
