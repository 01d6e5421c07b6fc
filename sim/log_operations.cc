// The operations of the log world other than appends.

#include "log_run.h"
#include "record/batch.h"

namespace walrus::sim {
namespace {

using std::chrono::milliseconds;

std::optional<std::string> owned(const std::optional<Bytes>& bytes) {
  if (!bytes) return std::nullopt;
  return std::string(*bytes);
}

// The records of whole batches from `from` on; each batch's checksum has to hold.
Result<std::vector<ObservedRecord>> decode(Bytes bytes, std::int64_t from) {
  std::vector<ObservedRecord> records;
  while (!bytes.empty()) {
    WALRUS_ASSIGN(auto batch, record::BatchView::parse(bytes));
    if (!batch.crc_holds()) return fail(Code::kInvalid, "a batch that was read fails its CRC");
    bytes.remove_prefix(batch.bytes().size());
    WALRUS_ASSIGN(auto iterator, record::RecordIterator::open(batch));
    for (;;) {
      WALRUS_ASSIGN(auto next, iterator.next());
      if (!next) break;
      if (next->offset < from) continue;
      ObservedRecord seen{.offset = next->offset,
                          .epoch = batch.epoch(),
                          .timestamp_ms = next->timestamp_ms,
                          .key = owned(next->key),
                          .value = owned(next->value)};
      std::vector<Header> headers;
      WALRUS_TRY(record::decode_headers(*next, headers));
      for (const auto& header : headers) {
        seen.headers.emplace_back(std::string(header.name), owned(header.value));
      }
      records.push_back(std::move(seen));
    }
  }
  return records;
}

std::string lag_of(const StreamOptions& options) {
  return fmt::format(" {} to {} ms old", options.compaction_lag_min.count(),
                     options.compaction_lag_max.value_or(Millis(-1)).count());
}

}  // namespace

StreamOptions LogRun::draw_options() {
  StreamOptions options;
  auto kind = random_.below(10);
  if (kind < 6) {
    options.durability = {Durability::kFsync, Millis(0)};
  } else if (kind < 8) {
    options.durability = {Durability::kInterval, Millis(random_.between(1, 300))};
  } else {
    options.durability = {Durability::kOs, Millis(0)};
  }
  options.segment_records_max = random_.between(5, 50);
  if (random_.chance(0.3)) options.segment_bytes_max = random_.between(1'000, 20'000);
  if (random_.chance(0.2)) options.segment_time_max = Millis(random_.between(50, 2'000));
  if (random_.chance(0.2)) options.retention_bytes = random_.between(1'000, 30'000);
  if (random_.chance(0.15)) options.retention_time = Millis(random_.between(200, 20'000));
  if (random_.chance(0.25)) {
    options.compact = true;
    options.tombstone_retention = Millis(random_.between(10, 5'000));
    if (random_.chance(0.4)) options.compaction_lag_min = Millis(random_.between(1, 10'000));
    if (random_.chance(0.4))
      options.compaction_lag_max = options.compaction_lag_min + Millis(random_.between(1, 2'000));
  }
  return options;
}

void LogRun::create(Name& name) {
  auto options = draw_options();
  auto before = engine_failed();
  auto made = engine_->create(name.name, options);
  if (crashed()) {
    name.naming.add({.kind = Naming::kCreate, .id = 0, .options = options});
    return;
  }
  if (!made) {
    ++tally_.refused;
    if (!before && !tolerates(made.error())) {
      flag("create-refused", fmt::format("{}: {}", name.name, made.error().message));
    }
    return;
  }
  if (before) return flag("lives-after-failure", "a stream was created");
  name.id = log::stream_id(made->stream);
  name.creating = true;
  say(fmt::format("create {} = {}: durability {} {} ms, retention {} bytes {} ms{}", name.name,
                  name.id, static_cast<int>(options.durability.kind),
                  options.durability.interval.count(), options.retention_bytes.value_or(-1),
                  options.retention_time.value_or(Millis(-1)).count(),
                  options.compact ? ", compact" + lag_of(options) : ""));
  if (name.streams.contains(name.id)) {
    return flag("stream-id-reused", fmt::format("{}: id {}", name.name, name.id));
  }
  if (!name.streams.empty()) ++tally_.hits["recreated"];
  if (options.compact && options.compaction_lag_min.count() > 0) ++tally_.hits["compaction_lag"];
  name.streams.emplace(name.id, StreamHistory(name.id, options));
  auto number = name.naming.add({.kind = Naming::kCreate, .id = name.id, .options = options});
  auto place = static_cast<std::size_t>(&name - names_.data());
  // Its records lie in another journal than its name: it may be used once the name is durable.
  await(made->pending, [this, place, number, stream = made->stream] {
    names_[place].naming.acknowledge(number, true_ms());
    names_[place].stream = stream;
    names_[place].creating = false;
  });
}

void LogRun::remove(Name& name) {
  auto before = engine_failed();
  auto pending = engine_->remove(name.name);
  if (!pending && !crashed()) {
    ++tally_.refused;
    if (!before && !tolerates(pending.error())) flag("remove-refused", pending.error().message);
    return;
  }
  if (before && !crashed()) return flag("lives-after-failure", "a stream was removed");
  say(fmt::format("remove {} = {}", name.name, name.id));
  auto number = name.naming.add({.kind = Naming::kRemove, .id = name.id});
  if (crashed()) return;
  auto old = name.stream;
  name.stream.reset();
  if (auto still = engine_->find(name.name); still || still.error().code != Code::kNotFound) {
    if (!crashed()) return flag("removed-but-found", name.name);
  }
  auto place = static_cast<std::size_t>(&name - names_.data());
  await(*pending, [this, place, number] { names_[place].naming.acknowledge(number, true_ms()); });
}

void LogRun::alter(Name& name) {
  auto& model = history(name);
  auto options = draw_options();
  // Compaction counts on what supersedes a record staying: see truncate().
  options.compact = model.options().compact;
  auto before = engine_failed();
  auto pending = engine_->alter(name.stream, options);
  if (!pending && !crashed()) {
    ++tally_.refused;
    if (!before && !tolerates(pending.error())) flag("alter-refused", pending.error().message);
    return;
  }
  if (before && !crashed()) return flag("lives-after-failure", "a stream was altered");
  model.set_options(options);
  say(fmt::format("alter {} = {}: durability {} {} ms, retention {} bytes {} ms{}", name.name,
                  name.id, static_cast<int>(options.durability.kind),
                  options.durability.interval.count(), options.retention_bytes.value_or(-1),
                  options.retention_time.value_or(Millis(-1)).count(), lag_of(options)));
  auto number = name.naming.add({.kind = Naming::kAlter, .id = name.id, .options = options});
  if (crashed()) return;
  auto place = static_cast<std::size_t>(&name - names_.data());
  await(*pending, [this, place, number] { names_[place].naming.acknowledge(number, true_ms()); });
}

// After a trim, a truncation or a cursor was put, or failed to be.
void LogRun::settled(Name& name, Mutation mutation, const Result<log::Pending>& pending,
                     bool failed_before) {
  if (!pending && !crashed()) {
    ++tally_.refused;
    if (!failed_before && !tolerates(pending.error())) flag("refused", pending.error().message);
    return;
  }
  if (failed_before && !crashed()) return flag("lives-after-failure", "a change was taken");
  auto number = history(name).add(std::move(mutation));
  if (crashed()) return;
  auto place = static_cast<std::size_t>(&name - names_.data());
  await(*pending, [this, place, id = name.id, number] {
    auto& streams = names_[place].streams;
    if (auto found = streams.find(id); found != streams.end()) {
      found->second.acknowledge(number, true_ms());
    }
  });
}

void LogRun::trim(Name& name) {
  auto info = engine_->info(name.stream);
  if (!info || crashed()) return;
  auto low = info->log_start.value, high = info->high_watermark.value;
  auto first_kept = random_.between(low, std::max(low, high));
  if (random_.chance(0.7)) first_kept = low + (first_kept - low) / 4;
  say(fmt::format("trim {} to {}", name.name, first_kept));
  auto before = engine_failed();
  auto pending = engine_->trim(name.stream, {first_kept});
  // A trim that changes nothing promises nothing about what was issued before it.
  if (first_kept <= low && pending) return;
  settled(name, {.kind = Mutation::kTrim, .offset = first_kept}, pending, before);
}

void LogRun::truncate(Name& name) {
  auto& model = history(name);
  // A compacted stream has dropped records because of later ones; those must stay.
  if (model.options().compact) return;
  auto info = engine_->info(name.stream);
  if (!info || crashed()) return;
  auto low = info->log_start.value, end = model.now().next;
  if (end <= low) return;
  auto dropped = std::max(low, end - random_.between(1, 20));
  say(fmt::format("truncate {} to {}", name.name, dropped));
  auto before = engine_failed();
  auto pending = engine_->truncate(name.stream, {dropped});
  settled(name, {.kind = Mutation::kTruncate, .offset = dropped}, pending, before);
}

void LogRun::put_cursor(Name& name) {
  auto key = fmt::format("cursor{}", random_.below(3));
  std::optional<std::string> value;
  if (!random_.chance(0.1)) value = fmt::format("{}:{}", ++values_, history(name).now().next);
  auto before = engine_failed();
  auto pending = engine_->put_state(name.stream, log::Table::kCursors, key,
                                    value ? std::optional<Bytes>(*value) : std::nullopt);
  settled(name, {.kind = Mutation::kPut, .key = key, .value = value}, pending, before);
}

void LogRun::check_cursors(Name& name) {
  auto seen = engine_->list_state(name.stream, log::Table::kCursors);
  if (crashed() || engine_failed()) return;
  flag(name, history(name).check_cursors(seen));
}

Result<std::vector<ObservedRecord>> LogRun::fetch(log::Engine& engine, const log::StreamRef& ref,
                                                  std::int64_t from,
                                                  const log::FetchOptions& options,
                                                  log::Fetched& fetched) {
  WALRUS_ASSIGN(fetched, engine.fetch(ref, {from}, options));
  auto records = decode(fetched.bytes, from);
  if (!records) flag("read-undecodable", records.error().message);
  auto limit = options.up_to == UpTo::kAppended ? fetched.log_end : fetched.high_watermark;
  if (fetched.next > std::max(limit, Offset{from})) {
    flag("read-beyond-end", fmt::format("{}: next {} above {}", log::stream_name(ref),
                                        fetched.next.value, limit.value));
  }
  return records;
}

void LogRun::read(Name& name) {
  auto info = engine_->info(name.stream);
  if (!info || crashed()) return;
  log::FetchOptions options{.bytes_max = random_.between(1, 8'000),
                            .up_to = random_.chance(0.7) ? UpTo::kHighWatermark : UpTo::kAppended};
  auto end = options.up_to == UpTo::kAppended ? info->log_end : info->high_watermark;
  auto from = random_.between(info->log_start.value, std::max(info->log_start, end).value);
  read_from(name, from, options);
}

void LogRun::read_from(Name& name, std::int64_t from, const log::FetchOptions& options) {
  auto& model = history(name);
  log::Fetched fetched;
  auto records = fetch(*engine_, name.stream, from, options, fetched);
  if (crashed() || violation_) return;
  if (!records) {
    auto code = records.error().code;
    bool retained = code == Code::kOutOfRange &&
                    (model.options().retention_time || model.options().retention_bytes);
    if (!retained && !tolerates(records.error())) {
      flag("read-refused", fmt::format("{} at {}: {}", name.name, from, records.error().message));
    }
    return;
  }
  ++tally_.reads;
  tally_.records_read += static_cast<std::int64_t>(records->size());
  say(fmt::format("read {} from {}: {} records, next {}, end {}", name.name, from, records->size(),
                  fetched.next.value, fetched.high_watermark.value));
  check_bounds(name, fetched.log_start, fetched.high_watermark, fetched.log_end);
  auto limit = options.up_to == UpTo::kAppended ? fetched.log_end : fetched.high_watermark;
  if (from < limit.value && fetched.next.value <= from) {
    flag("read-empty", fmt::format("{}: nothing at {} below {}", name.name, from, limit.value));
  }
  flag(name, model.check_read(from, fetched.next.value, *records, true_ms()));
}

// A read of the newest records, between whose two halves others append: the place that it found
// must stay what it was.
void LogRun::read_slowly(Name& name) {
  auto info = engine_->info(name.stream);
  if (!info || crashed() || engine_failed()) return;
  auto low = info->log_start.value, end = info->high_watermark.value;
  if (end <= low) return;
  auto from = std::max(low, end - random_.between(1, 10));
  slow_read_ = true;
  log::Fetched fetched;
  auto records = fetch(*engine_, name.stream, from, {.bytes_max = 8'000}, fetched);
  slow_read_ = false;
  if (crashed() || violation_ || engine_failed()) return;
  ++tally_.hits["slow_read"];
  if (!records) {
    bool retained = records.error().code == Code::kOutOfRange &&
                    engine_->info(name.stream)->log_start.value > from;
    if (retained || tolerates(records.error())) return;
    return flag("slow-read", fmt::format("{} at {}: {}", name.name, from, records.error().message));
  }
  flag(name, history(name).check_read(from, fetched.next.value, *records, true_ms()));
}

// Right after bytes were damaged: all that is read is what was written, or refused.
void LogRun::read_damaged(Name& name) {
  auto info = engine_->info(name.stream);
  if (!info || crashed() || engine_failed()) return;
  auto from = info->log_start.value;
  while (from < info->high_watermark.value) {
    log::Fetched fetched;
    auto records = fetch(*engine_, name.stream, from, {.bytes_max = 4'000}, fetched);
    if (crashed() || violation_ || engine_failed()) return;
    if (!records) {
      bool retained = records.error().code == Code::kOutOfRange;
      if (!retained && !tolerates(records.error())) {
        return flag("read-damaged", fmt::format("{}: {}", name.name, records.error().message));
      }
      ++from;
      continue;
    }
    flag(name, history(name).check_read(from, fetched.next.value, *records, true_ms()));
    from = std::max(from + 1, fetched.next.value);
  }
}

void LogRun::read_outside(Name& name) {
  auto info = engine_->info(name.stream);
  if (!info || crashed()) return;
  log::Fetched fetched;
  auto from = info->log_end.value + random_.between(1, 5);
  if (info->log_start.value > 0 && random_.chance(0.5)) {
    from = random_.between(0, info->log_start.value - 1);
  }
  auto records = fetch(*engine_, name.stream, from, {.up_to = UpTo::kAppended}, fetched);
  if (crashed() || engine_failed()) return;
  if (records || records.error().code != Code::kOutOfRange) {
    flag("out-of-range", fmt::format("{}: a read at {} was answered", name.name, from));
  }
}

void LogRun::find_time(Name& name) {
  auto time = true_ms() + random_.between(-8'000, 1'000);
  auto found = engine_->find_time(name.stream, Time(Millis(time)));
  if (crashed()) return;
  if (!found) {
    if (!tolerates(found.error())) flag("find-time-refused", found.error().message);
    return;
  }
  auto info = engine_->info(name.stream);
  if (!info || crashed()) return;
  auto& model = history(name);
  check_bounds(name, info->log_start, info->high_watermark, info->log_end);
  flag(name, model.check_find(time, info->high_watermark.value, found->value));
}

void LogRun::check_bounds(Name& name, Offset log_start, Offset high_watermark, Offset log_end) {
  auto& model = history(name);
  seen_early_ = seen_early_ || high_watermark.value > model.acknowledged_end();
  flag(name, model.check_bounds(log_start.value, high_watermark.value, log_end.value, true_ms()));
}

void LogRun::check_info(Name& name) {
  auto info = engine_->info(name.stream);
  if (crashed() || engine_failed()) return;
  if (!info) return flag("info-refused", info.error().message);
  check_bounds(name, info->log_start, info->high_watermark, info->log_end);
  if (info->id != name.id || info->name != name.name ||
      !same_options(info->options, history(name).options())) {
    flag("info",
         fmt::format("{}: id {} instead of {}, or other options", name.name, info->id, name.id));
  }
}

void LogRun::wait_for_tail(Name& name) {
  auto info = engine_->info(name.stream);
  if (!info || crashed() || engine_failed()) return;
  auto wait = std::make_unique<TailWait>();
  wait->name = static_cast<std::size_t>(&name - names_.data());
  wait->stream = name.id;
  wait->ref = name.stream;
  wait->up_to = random_.chance(0.7) ? UpTo::kHighWatermark : UpTo::kAppended;
  wait->offset = info->high_watermark.value + random_.between(-2, 4);
  if (wait->offset < 0) wait->offset = 0;
  auto* state = wait.get();
  waits_.push_back(std::move(wait));
  state->engine_id = engine_->when_readable(
      name.stream, {state->offset}, state->up_to,
      [this, state, incarnation = incarnation_](Result<void> result) {
        if (incarnation != incarnation_) return;
        if (state->fired || state->cancelled) return flag("tail-wait", "called back again");
        state->fired = true;
        if (!result || crashed()) return;
        auto now = engine_->info(state->ref);
        if (!now || history(names_[state->name]).now().epoch > 0) return;  // truncated since
        auto end = state->up_to == UpTo::kAppended ? now->log_end : now->high_watermark;
        if (end.value <= state->offset) {
          flag("tail-wait", fmt::format("called back at {} for {}", end.value, state->offset));
        }
      });
}

void LogRun::cancel_tail_wait() {
  for (auto& wait : waits_) {
    if (wait->fired || wait->cancelled) continue;
    engine_->cancel(wait->ref, wait->engine_id);
    wait->cancelled = true;
    return;
  }
}

void LogRun::sync(Name& name) {
  auto before = engine_failed();
  auto pending = engine_->sync(name.stream);
  if (crashed()) return;
  if (!pending) {
    if (!before && !tolerates(pending.error())) flag("sync-refused", pending.error().message);
    return;
  }
  if (before) return flag("lives-after-failure", "a sync was taken");
  auto place = static_cast<std::size_t>(&name - names_.data());
  auto issued = history(name).issued();
  await(*pending, [this, place, id = name.id, issued] {
    auto& streams = names_[place].streams;
    if (auto found = streams.find(id); found != streams.end()) {
      found->second.acknowledge_sync(issued);
    }
  });
}

void LogRun::checkpoint() {
  std::vector<std::uint64_t> issued;
  for (auto& name : names_) issued.push_back(name.stream ? history(name).issued() : 0);
  auto before = engine_failed();
  auto done = engine_->checkpoint();
  if (crashed()) return;
  say(fmt::format("checkpoint: {}", done ? "done" : done.error().message));
  if (!done) {
    if (!before && !tolerates(done.error())) flag("checkpoint-refused", done.error().message);
    return;
  }
  for (std::size_t i = 0; i < names_.size(); ++i) {
    if (names_[i].stream) history(names_[i]).acknowledge_sync(issued[i]);
  }
}

void LogRun::compact(Name& name) {
  auto before = engine_failed();
  auto done = engine_->compact(name.stream);
  if (crashed() || done || before) return;
  if (!tolerates(done.error())) flag("compact-refused", done.error().message);
}

// A backup holds at least what was acknowledged when it began, and opens like any directory.
void LogRun::backup() {
  if (damaged_ || disk_full_ || errors_on_) return;
  auto copies = names_;
  for (auto& copy : copies) copy.stream.reset();
  io::Path to = fmt::format("/backup{}", ++copies_);
  auto done = engine_->backup(to);
  if (crashed() || engine_failed()) return;
  if (!done) return flag("backup-refused", done.error().message);
  // What was issued meanwhile, by workers only, is nothing: the copies of the model still hold.
  auto options = plan_.engine;
  options.user.root = to;
  auto opened = log::Engine::open(world_->node(0).env(), options);
  if (crashed()) return;
  if (!opened) {
    if (!tolerates(opened.error()) && hits("sync_error") == sync_errors_before_)
      flag("backup-unreadable", opened.error().message);
    return;
  }
  Loss loss{.page_cache_lost = true,
            .at_ms = true_ms(),
            .interval_slack_ms = std::chrono::duration_cast<Millis>(sync_slack(plan_)).count()};
  reconcile(**opened, copies, loss);
  if (violation_ && !crashed()) violation_->rule = "backup: " + violation_->rule;
}

// Shared and read only, beside the writer: a prefix that holds what was acknowledged.
void LogRun::open_read_only() {
  if (damaged_ || errors_on_ || disk_full_) return;
  auto copies = names_;
  for (auto& copy : copies) copy.stream.reset();
  auto options = plan_.engine;
  options.user.read_only = true;
  auto opened = log::Engine::open(world_->node(0).env(), options);
  if (crashed()) return;
  if (!opened) {
    if (!tolerates(opened.error()) && hits("sync_error") == sync_errors_before_)
      flag("read-only-open", opened.error().message);
    return;
  }
  Loss loss{.page_cache_lost = true,
            .at_ms = true_ms(),
            .interval_slack_ms = std::chrono::duration_cast<Millis>(sync_slack(plan_)).count()};
  reconcile(**opened, copies, loss);
  if (violation_ && !crashed()) violation_->rule = "read only: " + violation_->rule;
}

void LogRun::open_twice() {
  auto opened = log::Engine::open(world_->node(0).env(), plan_.engine);
  if (crashed() || errors_on_ || damaged_) return;
  if (opened || opened.error().code != Code::kLocked) {
    flag("lock", opened ? "the directory was opened twice" : opened.error().message);
  }
}

// Everything of the stream. After planned damage, what answers kCorrupt is noted as unreadable.
bool LogRun::read_all(log::Engine& engine, const log::StreamRef& ref, ObservedStream& seen) {
  auto info = engine.info(ref);
  if (crashed() || !info) return false;
  seen.log_start = info->log_start.value;
  seen.high_watermark = info->high_watermark.value;
  seen.log_end = info->log_end.value;
  seen.cursors = engine.list_state(ref, log::Table::kCursors);
  auto from = seen.log_start;
  while (from < seen.high_watermark) {
    log::Fetched fetched;
    auto records = fetch(engine, ref, from, {.bytes_max = random_.between(1, 100'000)}, fetched);
    if (crashed() || violation_) return false;
    if (!records) {
      if (records.error().code == Code::kOutOfRange) {  // retention went on meanwhile
        auto again = engine.info(ref);
        if (again && again->log_start.value > from) {
          from = seen.log_start = again->log_start.value;
          continue;
        }
      }
      if (records.error().code != Code::kCorrupt || !damaged_) {
        flag("recovered-unreadable", records.error().message);
        return false;
      }
      seen.unreadable.emplace_back(from, from + 1);
      ++from;
      continue;
    }
    if (fetched.next.value <= from) {
      flag("read-empty", fmt::format("nothing at {} of {}", from, seen.high_watermark));
      return false;
    }
    for (auto& record : *records) seen.records.push_back(std::move(record));
    from = fetched.next.value;
  }
  std::erase_if(seen.records, [&](const auto& one) { return one.offset < seen.log_start; });
  return true;
}

}  // namespace walrus::sim
