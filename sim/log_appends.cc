// The appends of the log world: plain, conditional, idempotent, and those that wait for room.

#include "log_run.h"

namespace walrus::sim {
namespace {

// What a record adds to a stream at most, the padding behind its piece of a segment file included:
// retention by size is judged leniently by it.
constexpr std::int64_t kRecordOverheadMax = 4096 + 200;
constexpr std::size_t kEvenBytes = 40;  // more than any number has digits

std::string filler(io::SimRandom& random, std::uint64_t number, std::size_t size) {
  auto text = fmt::format("{}/", number);
  auto state = random.next();
  while (text.size() < size) {
    text.push_back(static_cast<char>(state >> 56));
    state = state * 6364136223846793005u + 1442695040888963407u;
  }
  return text;
}

struct Views {
  std::vector<Record> records;
  std::vector<std::vector<Header>> headers;
};

std::optional<Bytes> view(const std::optional<std::string>& bytes) {
  if (!bytes) return std::nullopt;
  return Bytes(*bytes);
}

}  // namespace

std::vector<RecordRef> LogRun::draw_records(std::size_t count) {
  std::vector<RecordRef> records;
  for (std::size_t i = 0; i < count; ++i) {
    auto record = std::make_shared<ModelRecord>();
    auto size = random_.below(200);
    if (plan_.large_records && random_.chance(0.2)) size = random_.below(6'000);
    if (random_.chance(0.5)) record->key = fmt::format("key{}", random_.below(8));
    if (!record->key || !random_.chance(0.15)) record->value = filler(random_, ++values_, size);
    if (random_.chance(0.1)) {
      record->headers.emplace_back(
          "trace", random_.chance(0.5) ? std::optional(std::to_string(values_)) : std::nullopt);
    }
    auto wall = true_ms() + wall_jump_.count();
    record->stamp = {wall, wall};
    if (random_.chance(0.1)) {
      auto stamp = wall + random_.between(-10'000, 10'000);
      record->stamp = {stamp, stamp};
    }
    record->appended_ms = std::min(true_ms(), record->stamp.low);
    record->bytes = kRecordOverheadMax + static_cast<std::int64_t>(size);
    records.push_back(std::move(record));
  }
  return records;
}

// All of these take the same room in a journal.
RecordRef LogRun::draw_even_record() {
  auto record = std::make_shared<ModelRecord>();
  record->value = filler(random_, ++values_, kEvenBytes);
  auto wall = true_ms() + wall_jump_.count();
  record->stamp = {wall, wall};
  record->appended_ms = std::min(true_ms(), wall);
  record->bytes = kRecordOverheadMax + std::int64_t{kEvenBytes};
  return record;
}

void LogRun::append(Name& name) {
  auto count = random_.chance(0.6) ? 1 : static_cast<std::size_t>(random_.between(2, 12));
  issue_append(name, draw_records(count), std::nullopt, std::nullopt);
}

void LogRun::append_conditionally(Name& name) {
  auto next = history(name).now().next;
  auto expected =
      random_.chance(0.6) ? next : std::max<std::int64_t>(0, next + random_.between(-3, 3));
  issue_append(name, draw_records(1 + random_.below(3)), expected, std::nullopt);
}

// The next batch of a producer, one sent again, one out of order, one of an old or a new epoch.
std::optional<Producer> LogRun::draw_producer(const StreamState& state, std::size_t& count) {
  auto id = static_cast<std::int64_t>(1'000 + random_.below(2));
  auto known = state.producers.find(id);
  if (known == state.producers.end() || known->second.batches.empty()) {
    auto epoch = known == state.producers.end() ? std::int16_t{0} : known->second.epoch;
    // Now and then just below where sequences wrap.
    return Producer{id, epoch, random_.chance(0.2) ? INT32_MAX - 2 : 0};
  }
  const auto& producer = known->second;
  const auto& last = producer.batches.back();
  auto next = static_cast<std::int32_t>((std::int64_t{last.last} + 1) & 0x7fffffff);
  auto draw = random_.below(100);
  if (draw < 55) return Producer{id, producer.epoch, next};
  if (draw < 85) {
    const auto& batch = producer.batches[random_.below(producer.batches.size())];
    count = static_cast<std::size_t>((std::int64_t{batch.last} - batch.first) & 0x7fffffff) + 1;
    return Producer{id, producer.epoch, batch.first};
  }
  if (draw < 92) {
    return Producer{
        id, producer.epoch,
        static_cast<std::int32_t>(
            (std::int64_t{next} + 1 + static_cast<std::int64_t>(random_.below(5))) & 0x7fffffff)};
  }
  if (draw < 96 && producer.epoch > 0) {
    return Producer{id, static_cast<std::int16_t>(producer.epoch - 1), next};
  }
  return Producer{id, static_cast<std::int16_t>(producer.epoch + 1), random_.chance(0.8) ? 0 : 3};
}

void LogRun::append_as_producer(Name& name) {
  auto count = static_cast<std::size_t>(random_.between(1, 5));
  auto producer = draw_producer(history(name).now(), count);
  issue_append(name, draw_records(count), std::nullopt, producer);
}

void LogRun::issue_append(Name& name, const std::vector<RecordRef>& records,
                          std::optional<std::int64_t> expected,
                          const std::optional<Producer>& producer) {
  Views views;
  views.headers.resize(records.size());
  for (std::size_t i = 0; i < records.size(); ++i) {
    const auto& record = *records[i];
    for (const auto& [key, value] : record.headers) views.headers[i].push_back({key, view(value)});
    Record out{.key = view(record.key), .value = view(record.value), .headers = views.headers[i]};
    if (record.stamp.low != true_ms() + wall_jump_.count()) {
      out.timestamp = Time(Millis(record.stamp.low));
    }
    views.records.push_back(out);
  }
  AppendOptions options;
  if (expected) options.expected_next = Offset{*expected};
  if (producer) {
    options.producer = ProducerSequence{
        .id = producer->id, .epoch = producer->epoch, .sequence = producer->sequence};
  }
  auto& model = history(name);
  auto owed = model.expect_append(records.size(), expected, producer);
  auto before = engine_failed();
  auto answer = engine_->append(name.stream, views.records, options);
  Mutation mutation{.kind = Mutation::kAppend,
                    .offset = model.now().next,
                    .records = records,
                    .producer = producer,
                    .durability = model.options().durability};
  if (crashed()) {  // perhaps it came as far as the journal
    if (owed.kind == ExpectedAnswer::kAppended) model.add(std::move(mutation));
    return;
  }
  if (!answer) return append_refused(name, answer.error(), owed, before);
  if (before) return flag("lives-after-failure", "an append was taken");
  append_answered(name, *answer, std::move(mutation), owed);
}

void LogRun::append_refused(Name& name, const Error& error, const ExpectedAnswer& owed,
                            bool failed_before) {
  ++tally_.refused;
  say(fmt::format("append to {} refused: {}", name.name, error.message));
  if (owed.kind == ExpectedAnswer::kRefused && error.code == owed.code) return;
  if (failed_before || engine_failed()) return;
  if (error.code == Code::kTooLarge) return;
  if (!tolerates(error)) {
    return flag("append-refused", fmt::format("{}: {}", name.name, error.message));
  }
  if (error.code != Code::kBusy) return;
  if (nobody_waits_ || random_.chance(0.5)) {
    engine_->when_room(name.stream, answer([] {}));
  } else if (!disk_full_ && !errors_on_ && !damaged_) {
    append_until_room(name);
  }
}

// One record each, which nobody waits for.
void LogRun::append_evenly(Name& name, std::int64_t count) {
  nobody_waits_ = true;
  for (; count > 0 && !violation_; --count) {
    issue_append(name, {draw_even_record()}, std::nullopt, std::nullopt);
  }
  nobody_waits_ = false;
}

// Nobody asks whether these appends are durable before a checkpoint has come: unless it has seen to
// that itself, what it has stored is not to be read yet.
void LogRun::append_unasked(Name& name) {
  asks_later_ = true;
  for (auto count = random_.between(1, 4); count > 0 && !violation_ && !crashed(); --count) {
    append(name);
  }
  asks_later_ = false;
  if (!violation_ && !crashed()) read_stored(name);
  auto unasked = std::exchange(unasked_, {});
  if (violation_ || crashed()) return;
  for (auto& [pending, then] : unasked) engine_->when_done(pending, answer(std::move(then)));
}

// What can be read, right after a checkpoint.
void LogRun::read_stored(Name& name) {
  auto before = engine_->info(name.stream);
  if (!before || crashed()) return;
  if (random_.chance(0.7)) {
    checkpoint();
  } else {
    pass(io::Nanos(random_.between(0, plan_.engine.checkpoint_interval.count())));
  }
  if (violation_ || crashed() || engine_failed()) return;
  auto info = engine_->info(name.stream);
  if (!info || crashed()) return;
  check_bounds(name, info->log_start, info->high_watermark, info->log_end);
  auto low = info->log_start.value, end = info->high_watermark.value;
  if (violation_ || low >= end) return;
  if (before->high_watermark < before->log_end) ++tally_.hits["stored_unasked"];
  read_from(name, std::max(low, end - random_.between(1, 5)), {.bytes_max = 8'000});
}

// While a reader waits: enough to fill journal files and to use again those that it found.
void LogRun::append_meanwhile() {
  slow_read_ = false;
  nobody_waits_ = true;
  for (auto count = random_.between(20, 120); count > 0; --count) {
    auto& name = names_[random_.below(names_.size())];
    if (name.stream && !name.creating) append(name);
    if (violation_ || crashed() || engine_failed()) break;
    pass(std::chrono::milliseconds(random_.between(0, 30)));
  }
  nobody_waits_ = false;
}

// Where nothing is wrong with the disk, room comes by itself.
void LogRun::append_until_room(Name& name) {
  auto room = std::make_shared<bool>(false);
  constexpr auto kPatience = std::chrono::minutes(20);
  engine_->when_room(name.stream, answer([room] { *room = true; }));
  world_->run_until([&] { return *room || crashed() || engine_failed(); }, kPatience);
  if (!*room && !crashed() && !engine_failed()) {
    flag("no-progress", fmt::format("{}: no room after 20 minutes", name.name));
  }
}

void LogRun::append_answered(Name& name, const log::Appended& answer, Mutation mutation,
                             const ExpectedAnswer& owed) {
  auto& model = history(name);
  auto first = answer.first.value;
  say(fmt::format("append {} records to {} ({}): {}", mutation.records.size(), name.name, name.id,
                  first));
  if (owed.kind == ExpectedAnswer::kRefused) {
    return flag(owed.code == Code::kFenced ? "fenced-append-taken" : "mismatched-append-taken",
                fmt::format("{}: answered {}, the end was {}", name.name, first, owed.offset));
  }
  if (first != owed.offset) {
    return flag(owed.kind == ExpectedAnswer::kDuplicate ? "retry-answered-differently" : "offset",
                fmt::format("{}: answered {} instead of {}", name.name, first, owed.offset));
  }
  std::optional<std::uint64_t> number;
  if (owed.kind == ExpectedAnswer::kDuplicate) {
    number = model.appender_of(first);  // the answer stands for the batch that came first
  } else {
    auto next = first + static_cast<std::int64_t>(mutation.records.size());
    if (answer.next.value != next) {
      return flag("offset",
                  fmt::format("{}: next is {} instead of {}", name.name, answer.next.value, next));
    }
    number = model.add(std::move(mutation));
    appended_ = true;
  }
  auto place = static_cast<std::size_t>(&name - names_.data());
  await(answer.pending, [this, place, id = name.id, number] {
    auto& streams = names_[place].streams;
    auto found = streams.find(id);
    if (number && found != streams.end()) found->second.acknowledge(*number, true_ms());
    say(fmt::format("acknowledged: {} ({}) append {}", names_[place].name, id, number.value_or(0)));
  });
}

}  // namespace walrus::sim
