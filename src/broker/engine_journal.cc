#include "broker/engine_journal.h"

#include <utility>

#include "base/check.h"
#include "broker/each_record.h"

namespace walrus::broker {
namespace {

constexpr std::int64_t kReadBytes = 1 << 20;

}  // namespace

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
    auto take = [&apply](const record::RecordView& record) {
      return apply(record.key.value_or(Bytes()), record.value);
    };
    WALRUS_TRY(for_each_record(fetched.bytes, take));
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
