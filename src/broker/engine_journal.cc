#include "broker/engine_journal.h"

#include <utility>

#include "base/check.h"
#include "record/batch.h"

namespace walrus::broker {
namespace {

constexpr std::int64_t kReadBytes = 1 << 20;

}  // namespace

Result<void> apply_batches(Bytes batches, Journal::Apply& apply) {
  while (!batches.empty()) {
    WALRUS_ASSIGN(auto batch, record::BatchView::parse(batches));
    batches.remove_prefix(batch.bytes().size());
    if (batch.control()) continue;
    WALRUS_ASSIGN(auto records, record::RecordIterator::open(batch));
    while (true) {
      WALRUS_ASSIGN(auto record, records.next());
      if (!record) break;
      WALRUS_TRY(apply(record->key.value_or(Bytes()), record->value));
    }
  }
  return {};
}

EngineJournal::EngineJournal(log::Engine& engine, io::Loop& loop, std::string stream)
    : engine_(engine), loop_(loop), name_(std::move(stream)) {}

io::Task<void> EngineJournal::load(Apply apply) {
  if (auto found = engine_.find(name_)) {
    stream_ = *found;
    co_return read(apply);
  }
  WALRUS_CO_ASSIGN(auto created,
                   engine_.create(name_, {.compact = true}, log::Engine::Names::kOwn));
  io::Signal signal(loop_);
  engine_.when_done(created.pending, signal.setter());
  auto made = co_await signal.wait();
  stream_ = created.stream;
  co_return made;
}

Result<void> EngineJournal::read(Apply& apply) {
  WALRUS_ASSIGN(auto bounds, engine_.bounds(*stream_));
  for (auto from = bounds.log_start; from < bounds.high_watermark;) {
    WALRUS_ASSIGN(auto fetched, engine_.fetch(*stream_, from, {.bytes_max = kReadBytes}));
    WALRUS_TRY(apply_batches(fetched.bytes, apply));
    if (fetched.next <= from) break;
    from = fetched.next;
  }
  return {};
}

Result<void> EngineJournal::append(std::span<const JournalRecord> records, log::Done<void> done) {
  CHECK(stream_.has_value());
  std::vector<walrus::Record> encoded;
  encoded.reserve(records.size());
  for (const auto& record : records)
    encoded.push_back({.key = record.key,
                       .value = record.value ? std::optional<Bytes>(*record.value) : std::nullopt});
  WALRUS_ASSIGN(auto appended, engine_.append(*stream_, encoded, {}));
  engine_.when_done(appended.pending, std::move(done));
  return {};
}

void EngineJournal::when_room(log::Done<void> done) {
  CHECK(stream_.has_value());
  engine_.when_room(*stream_, std::move(done));
}

// Nobody else can write to it.
io::Task<void> EngineJournal::confirm() { co_return Result<void>(); }

}  // namespace walrus::broker
