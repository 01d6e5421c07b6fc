#include "replica/copy_store.h"

#include "base/check.h"

namespace walrus::replica {
namespace {

StreamOptions stream_options(const CopyAttributes& attributes) {
  StreamOptions options;
  options.durability.kind = attributes.durability;
  if (attributes.durability == Durability::kInterval)
    options.durability.interval = attributes.interval;
  return options;
}

// No room for now, or a disk that is full: it is tried again.
bool is_passing(const Error& error) {
  return error.code == Code::kBusy || error.code == Code::kNoSpace;
}

}  // namespace

CopyStore::CopyStore(log::Engine& engine, raft::Mailbox mailbox, Happened happened)
    : engine_(engine),
      mailbox_(std::move(mailbox)),
      happened_(std::move(happened)),
      self_(std::make_shared<CopyStore*>(this)) {}

CopyStore::~CopyStore() { *self_ = nullptr; }

Result<void> CopyStore::open() {
  if (auto own = engine_.find(kOwnStream)) own_ = *std::move(own);
  for (auto& stream : engine_.list(kCopyPrefix)) {
    auto segment = parse_copy_stream_name(log::stream_name(stream));
    if (!segment) continue;
    auto attributes = parse_attributes(engine_.attributes(stream));
    if (!attributes)
      return fail(attributes.error().code, "{}: {}", log::stream_name(stream),
                  attributes.error().message);
    auto& one = copies_[*segment];
    one.attributes = *attributes;
    one.life = ++lives_;
    one.stream = std::move(stream);
    // Name and place lie in different journals: of a crash in between only the name is left.
    WALRUS_ASSIGN(auto bounds, engine_.bounds(one.stream));
    if (bounds.log_end.value < one.attributes.start)
      WALRUS_TRY(engine_.begin(one.stream, Offset{one.attributes.start}));
  }
  return {};
}

std::vector<SegmentId> CopyStore::segments() const {
  std::vector<SegmentId> ids;
  ids.reserve(copies_.size());
  for (const auto& [id, one] : copies_) ids.push_back(id);
  return ids;
}

bool CopyStore::failed(SegmentId segment) const {
  auto found = copies_.find(segment);
  return found != copies_.end() && found->second.failed;
}

log::StreamRef CopyStore::stream(SegmentId segment) const {
  auto found = copies_.find(segment);
  return found == copies_.end() ? nullptr : found->second.stream;
}

std::int64_t CopyStore::end(SegmentId segment) const {
  auto of = stream(segment);
  if (!of) return 0;
  auto bounds = engine_.bounds(of);
  return bounds ? bounds->log_end.value : 0;
}

std::int64_t CopyStore::bytes(SegmentId segment) const {
  auto of = stream(segment);
  if (!of) return 0;
  std::int64_t bytes = 0;
  for (const auto& part : engine_.segments(of)) bytes += part.bytes;
  return bytes;
}

void CopyStore::set_interval(SegmentId segment, Millis interval) {
  auto found = copies_.find(segment);
  if (found == copies_.end()) return;
  auto& one = found->second;
  auto attributes = one.attributes;
  if (attributes.durability != Durability::kInterval || attributes.interval == interval) return;
  attributes.interval = interval;
  if (one.stream && !engine_.alter(one.stream, stream_options(attributes))) return;
  one.attributes = attributes;
}

std::optional<Payload> CopyStore::opening(SegmentId segment) const {
  auto of = stream(segment);
  if (!of) return std::nullopt;
  auto bytes = engine_.get_state(of, log::Table::kCopies, kProducersKey);
  if (!bytes) return std::nullopt;
  auto table = parse_opening(*bytes);
  if (!table) return std::nullopt;
  return Payload::copy_of(*table);
}

Result<CopyState> CopyStore::state(SegmentId segment) const {
  auto of = stream(segment);
  if (!of) return fail(Code::kNotFound, "segment {} is not here", segment.value);
  auto bytes = engine_.get_state(of, log::Table::kCopies, kCopyKey);
  if (!bytes) return CopyState{};
  return parse_copy_state(*bytes);
}

Result<StoredCopy> CopyStore::load(SegmentId segment) const {
  WALRUS_ASSIGN(auto state, this->state(segment));
  const auto& one = copies_.at(segment);
  StoredCopy stored{.attributes = one.attributes, .copy = {.state = state}};
  auto& copy = stored.copy;
  WALRUS_ASSIGN(auto bounds, engine_.bounds(one.stream));
  copy.end = std::max(bounds.log_end.value, one.attributes.start);
  copy.watermark = one.attributes.start;
  if (auto bytes = engine_.get_state(one.stream, log::Table::kCopies, kWatermarkKey)) {
    WALRUS_ASSIGN(copy.watermark, parse_watermark(*bytes));
  }
  // A crash may have come between the two: below a sealed end everything is acknowledged.
  if (state.sealed_end) copy.watermark = std::max(copy.watermark, *state.sealed_end);
  if (auto bytes = engine_.get_state(one.stream, log::Table::kCopies, kProducersKey)) {
    WALRUS_ASSIGN(auto table, parse_opening(*bytes));
    Decoder from(table);
    WALRUS_ASSIGN(copy.producers, log::ProducerTable::decode(from));
    copy.has_producers = true;
  }
  copy.producers.follow(engine_.producers(one.stream));
  return stored;
}

// ---- Writing ----

void CopyStore::write(SegmentId segment, const CopyAttributes& attributes, CopyWrite write) {
  auto [found, fresh] = copies_.try_emplace(segment);
  auto& one = found->second;
  if (fresh) {
    one.attributes = attributes;
    one.life = ++lives_;
    one.named = false;
  }
  one.waiting.push_back(std::move(write));
  busy_.insert(segment);
  if (one.waiting.size() == 1) advance(segment, one);
}

Result<void> CopyStore::make(SegmentId segment, One& one) {
  auto name = copy_stream_name(segment);
  if (removing_.contains(segment)) return fail(Code::kBusy, "{} is being removed", name);
  auto attributes = encode_attributes(one.attributes);
  WALRUS_ASSIGN(auto made, engine_.create(name, stream_options(one.attributes),
                                          log::Engine::Names::kOwn, attributes));
  one.stream = std::move(made.stream);
  engine_.when_done(made.pending, [mailbox = mailbox_, self = self_, segment,
                                   life = one.life](Result<void> done) mutable {
    mailbox.send([self, segment, life, ok = done.has_value()] {
      auto* here = *self ? (*self)->find(segment, life) : nullptr;
      if (!here) return;
      if (!ok) return (*self)->fail_copy(segment, *here);
      here->named = true;
      if (here->owed > 0) (*self)->persisted(segment, *here, here->owed, here->owed_synced);
    });
  });
  return {};
}

void CopyStore::advance(SegmentId segment, One& one) {
  while (!one.waiting.empty() && !one.failed) {
    Result<void> done;
    if (!one.stream) done = make(segment, one);
    if (done) done = encode(one);
    if (!done) {
      if (!is_passing(done.error())) return fail_copy(segment, one);
      return await_room(segment, one);
    }
    auto write = std::move(one.waiting.front());
    one.waiting.pop_front();
    one.part = {};
    encoded(segment, one, write);
  }
}

Result<void> CopyStore::encode(One& one) {
  if (one.part.step == Part::Step::kCut) {
    // Of a copy that was made in this start.
    WALRUS_ASSIGN(auto bounds, engine_.bounds(one.stream));
    if (bounds.log_end.value < one.attributes.start) {
      WALRUS_ASSIGN(one.place, engine_.begin(one.stream, Offset{one.attributes.start}));
    }
  }
  while (one.part.step != Part::Step::kDone) {
    WALRUS_TRY(encode_step(one, one.waiting.front()));
    one.part.step = static_cast<Part::Step>(static_cast<int>(one.part.step) + 1);
  }
  return {};
}

Result<void> CopyStore::encode_step(One& one, CopyWrite& write) {
  auto put = [&](Bytes key, const std::string& value) -> Result<void> {
    WALRUS_ASSIGN(one.place, engine_.put_state(one.stream, log::Table::kCopies, key, value));
    return {};
  };
  auto cut = [&](std::int64_t end) -> Result<void> {
    WALRUS_ASSIGN(auto bounds, engine_.bounds(one.stream));
    if (bounds.log_end.value <= end) return {};
    WALRUS_ASSIGN(one.place, engine_.truncate(one.stream, Offset{end}));
    return {};
  };
  switch (one.part.step) {
    case Part::Step::kCut: return write.cut ? cut(*write.cut) : Result<void>();
    case Part::Step::kState:
      return write.state ? put(kCopyKey, encode_copy_state(*write.state)) : Result<void>();
    case Part::Step::kProducers:
      if (!write.producers) return {};
      return put(kProducersKey, encode_opening(write.producers->bytes()));
    case Part::Step::kBatches:
      for (; one.part.batch < write.batches.size(); ++one.part.batch) {
        const auto& batch = write.batches[one.part.batch];
        // What is replaced was damaged, and what lies behind it comes again, too.
        WALRUS_TRY(cut(batch.base));
        WALRUS_ASSIGN(auto appended,
                      engine_.append_copy(one.stream, record::BatchView(batch.bytes.bytes())));
        one.place = {appended.pending.shard, appended.pending.lsn, true};
      }
      return {};
    case Part::Step::kWatermark:
      if (write.batches.empty() && !write.state) return {};
      return put(kWatermarkKey, encode_watermark(write.watermark));
    case Part::Step::kDone: break;
  }
  return {};
}

void CopyStore::encoded(SegmentId segment, One& one, const CopyWrite& write) {
  auto place = one.place;
  place.sync = true;
  one.unsynced.push_back({write.id, place});
  bool waits = write.state || one.attributes.durability == Durability::kFsync;
  await(segment, one, write.id, {place.shard, place.lsn, waits});
}

void CopyStore::await(SegmentId segment, const One& one, WriteId id, log::Pending place) {
  bool synced = place.sync;
  engine_.when_done(place, [mailbox = mailbox_, self = self_, segment, life = one.life, id,
                            synced](Result<void> done) mutable {
    mailbox.send([self, segment, life, id, synced, ok = done.has_value()] {
      auto* here = *self ? (*self)->find(segment, life) : nullptr;
      if (!here) return;
      if (ok) (*self)->persisted(segment, *here, id, synced);
      else (*self)->fail_copy(segment, *here);
    });
  });
}

void CopyStore::persisted(SegmentId segment, One& one, WriteId id, bool synced) {
  if (one.failed) return;
  while (synced && !one.unsynced.empty() && one.unsynced.front().id <= id) one.unsynced.pop_front();
  if (!one.named) {
    bool more = synced == one.owed_synced ? id > one.owed : synced;
    if (more) {
      one.owed = id;
      one.owed_synced = synced;
    }
    return;
  }
  one.owed = 0;
  happened_(segment, Follower::Persisted{id, synced});
}

void CopyStore::fail_copy(SegmentId segment, One& one) {
  if (std::exchange(one.failed, true)) return;
  one.waiting.clear();
  // Not within the call that found it out.
  mailbox_.send([self = self_, segment, life = one.life] {
    if (*self && (*self)->find(segment, life))
      (*self)->happened_(segment, Follower::PersistFailed{});
  });
}

void CopyStore::await_room(SegmentId segment, One& one) {
  if (!one.stream || std::exchange(one.asked, true)) return;  // poll() tries again
  engine_.when_room(one.stream, [mailbox = mailbox_, self = self_, segment,
                                 life = one.life](Result<void>) mutable {
    mailbox.send([self, segment, life] {
      auto* here = *self ? (*self)->find(segment, life) : nullptr;
      if (!here) return;
      here->asked = false;
      (*self)->advance(segment, *here);
    });
  });
}

void CopyStore::poll() {
  for (auto segment : std::set<SegmentId>(removing_)) {
    auto removed = engine_.remove(copy_stream_name(segment));
    if (removed || !is_passing(removed.error())) removing_.erase(segment);
  }
  for (auto at = busy_.begin(); at != busy_.end();) {
    auto segment = *at;
    auto& one = copies_.at(segment);
    if (!one.waiting.empty() && !one.asked) advance(segment, one);
    WriteId reached = 0;
    while (!one.unsynced.empty() && engine_.is_done(one.unsynced.front().place)) {
      reached = one.unsynced.front().id;
      one.unsynced.pop_front();
    }
    if (reached > 0) persisted(segment, one, reached, true);
    at = one.waiting.empty() && one.unsynced.empty() ? busy_.erase(at) : std::next(at);
  }
}

CopyStore::One* CopyStore::find(SegmentId segment, std::uint64_t life) {
  auto found = copies_.find(segment);
  return found == copies_.end() || found->second.life != life ? nullptr : &found->second;
}

void CopyStore::remove(SegmentId segment) {
  copies_.erase(segment);
  busy_.erase(segment);
  auto removed = engine_.remove(copy_stream_name(segment));
  if (!removed && is_passing(removed.error())) removing_.insert(segment);
  else removing_.erase(segment);  // of an engine that has failed: it is found at the next start
}

// ---- Reading ----

Result<Run> CopyStore::read(log::Engine& engine, const log::StreamRef& stream, const Attach& what) {
  Run run{.from = what.from};
  log::FetchOptions options{.bytes_max = static_cast<std::int64_t>(what.bytes_max),
                            .up_to = UpTo::kAppended};
  WALRUS_ASSIGN(auto fetched, engine.fetch(stream, Offset{what.from}, options));
  auto owner = std::make_shared<const std::string>(std::move(fetched.bytes));
  WALRUS_ASSIGN(run.batches, wire::peer::parse_batches(*owner, what.from, owner));
  while (!run.batches.empty() && run.batches.back().next > what.end) run.batches.pop_back();
  return run;
}

// ---- The node itself ----

Result<std::optional<NodeRecord>> CopyStore::node_record() const {
  if (!own_) return std::nullopt;
  auto bytes = engine_.get_state(own_, log::Table::kCopies, kLossesKey);
  if (!bytes) return std::nullopt;
  return parse_node_record(*bytes);
}

void CopyStore::put_node_record(const NodeRecord& record, log::Done<void> done) {
  log::Pending named{};
  if (!own_) {
    auto made = engine_.create(kOwnStream, {}, log::Engine::Names::kOwn);
    if (!made) return done(std::unexpected(made.error()));
    own_ = made->stream;
    named = made->pending;
  }
  auto put = engine_.put_state(own_, log::Table::kCopies, kLossesKey, encode_node_record(record));
  if (!put) return done(std::unexpected(put.error()));
  engine_.when_done(
      named, [&engine = engine_, place = *put, done = std::move(done)](Result<void> made) mutable {
        if (!made) return done(std::move(made));
        engine.when_done(place, std::move(done));
      });
}

}  // namespace walrus::replica
