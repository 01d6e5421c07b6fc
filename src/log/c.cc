#include "walrus/c.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "walrus/log.h"

using walrus::Bytes;
using walrus::Code;
using walrus::Error;
using walrus::Millis;
using walrus::Offset;
using walrus::Result;
using walrus::Time;

struct walrus_error {
  Error error;
};
struct walrus_log {
  walrus::Log log;
};
struct walrus_stream {
  walrus::Stream stream;
};
struct walrus_cursor {
  walrus::Cursor cursor;
};
struct walrus_reader {
  walrus::Reader reader;
  walrus_stored_record record;
  std::vector<walrus_header> headers;
};
struct walrus_records {
  walrus::Records records;  // the views below point into it
  std::vector<walrus_header> headers;
  std::vector<walrus_stored_record> views;
};
struct walrus_infos {
  std::vector<walrus::StreamInfo> infos;
  std::vector<walrus_stream_info> views;
};
struct walrus_names {
  std::vector<std::string> names;
};
struct walrus_findings {
  std::vector<walrus::Finding> findings;
  std::vector<walrus_finding> views;
};

namespace {

// The codes are the same numbers.
static_assert(WALRUS_INVALID == static_cast<int>(Code::kInvalid));
static_assert(WALRUS_MISMATCH == static_cast<int>(Code::kMismatch));
static_assert(WALRUS_CORRUPT == static_cast<int>(Code::kCorrupt));
static_assert(WALRUS_FENCED == static_cast<int>(Code::kFenced));
static_assert(WALRUS_INTERVAL == static_cast<int>(walrus::Durability::kInterval));
static_assert(WALRUS_OS == static_cast<int>(walrus::Durability::kOs));

walrus_error* failed(Error error) { return new walrus_error{std::move(error)}; }

template <class T>
walrus_error* answer(Result<T> result) {
  if (result) return nullptr;
  return failed(std::move(result).error());
}

walrus_error* answer_offset(Result<Offset> result, int64_t* to) {
  if (!result) return failed(std::move(result).error());
  if (to) *to = result->value;
  return nullptr;
}

Bytes bytes(walrus_bytes from) { return from.data ? Bytes(from.data, from.size) : Bytes(); }
std::optional<Bytes> optional_bytes(walrus_bytes from) {
  if (!from.data) return std::nullopt;
  return Bytes(from.data, from.size);
}
walrus_bytes view(Bytes from) {
  // An empty value is a value: its data is never null.
  return {from.data() ? from.data() : "", from.size()};
}
walrus_bytes view(const std::optional<Bytes>& from) {
  return from ? view(*from) : walrus_bytes{nullptr, 0};
}

// ---- Options: from the caller's struct, which may be older and shorter or newer and longer. ----

template <class T>
void defaults(T& options) = delete;

template <>
void defaults(walrus_options& to) {
  walrus::Options from;
  to.root = "";
  to.batch_bytes_max = from.batch_bytes_max;
  to.batch_records_max = from.batch_records_max;
  to.in_flight_bytes_max = from.in_flight_bytes_max;
  to.journal_bytes_max = from.journal_bytes_max;
  to.cache_bytes_max = from.cache_bytes_max;
  to.background_bytes_per_s = from.background_bytes_per_s;
}
template <>
void defaults(walrus_stream_options& to) {
  walrus::StreamOptions from;
  to.segment_records_max = from.segment_records_max;
  to.segment_bytes_max = from.segment_bytes_max;
  to.tombstone_retention_ms = from.tombstone_retention.count();
}
template <>
void defaults(walrus_append_options& to) {
  to.producer_id = -1;
  to.producer_epoch = -1;
  to.producer_sequence = -1;
}
template <>
void defaults(walrus_read_options& to) {
  walrus::ReadOptions from;
  to.bytes_max = from.bytes_max;
  to.records_max = from.records_max;
}
template <>
void defaults(walrus_cursor_options& to) {
  to.delivery = WALRUS_AT_LEAST_ONCE;
  to.persist_every = 1;
}

template <class T>
T with_defaults() {
  T options;
  std::memset(static_cast<void*>(&options), 0, sizeof options);
  options.size = sizeof options;
  defaults(options);
  return options;
}

template <class T>
void init(T* options, std::size_t size) {
  T full = with_defaults<T>();
  full.size = size;
  if (size > sizeof full) std::memset(static_cast<void*>(options), 0, size);
  std::memcpy(static_cast<void*>(options), &full, std::min(size, sizeof full));
}

template <class T>
Result<T> complete(const T* options) {
  T full = with_defaults<T>();
  if (!options) return full;
  if (options->size < sizeof(std::size_t))
    return walrus::fail(Code::kInvalid, "options of size {}: use their _init function",
                        options->size);
  const auto* raw = reinterpret_cast<const char*>(options);
  for (std::size_t i = sizeof full; i < options->size; ++i) {
    if (raw[i] != 0)
      return walrus::fail(Code::kInvalid, "options of a newer walrus/c.h: {} bytes, here {}",
                          options->size, sizeof full);
  }
  std::memcpy(static_cast<void*>(&full), raw, std::min(options->size, sizeof full));
  return full;
}

Result<walrus::Options> log_options(const walrus_options* from) {
  WALRUS_ASSIGN(auto options, complete(from));
  walrus::Options to;
  to.root = options.root ? options.root : "";
  to.key = bytes(options.key);
  to.read_only = options.read_only;
  to.shards = options.shards;
  to.batch_bytes_max = options.batch_bytes_max;
  to.batch_records_max = options.batch_records_max;
  to.in_flight_bytes_max = options.in_flight_bytes_max;
  to.journal_bytes_max = options.journal_bytes_max;
  to.cache_bytes_max = options.cache_bytes_max;
  to.background_bytes_per_s = options.background_bytes_per_s;
  return to;
}

Result<walrus::StreamOptions> stream_options(const walrus_stream_options* from) {
  WALRUS_ASSIGN(auto options, complete(from));
  if (options.durability < WALRUS_FSYNC || options.durability > WALRUS_OS)
    return walrus::fail(Code::kInvalid, "durability {}: not known",
                        static_cast<int>(options.durability));
  walrus::StreamOptions to;
  to.durability = {static_cast<walrus::Durability::Kind>(options.durability),
                   Millis(options.interval_ms)};
  to.segment_records_max = options.segment_records_max;
  to.segment_bytes_max = options.segment_bytes_max;
  if (options.has_segment_time_max) to.segment_time_max = Millis(options.segment_time_max_ms);
  if (options.has_retention_bytes) to.retention_bytes = options.retention_bytes;
  if (options.has_retention_time) to.retention_time = Millis(options.retention_time_ms);
  to.compact = options.compact;
  to.tombstone_retention = Millis(options.tombstone_retention_ms);
  to.compaction_lag_min = Millis(options.compaction_lag_min_ms);
  if (options.has_compaction_lag_max) to.compaction_lag_max = Millis(options.compaction_lag_max_ms);
  return to;
}

walrus_stream_options view(const walrus::StreamOptions& from) {
  auto to = with_defaults<walrus_stream_options>();
  to.durability = static_cast<walrus_durability>(from.durability.kind);
  to.interval_ms = from.durability.interval.count();
  to.segment_records_max = from.segment_records_max;
  to.segment_bytes_max = from.segment_bytes_max;
  to.has_segment_time_max = from.segment_time_max.has_value();
  to.segment_time_max_ms = from.segment_time_max.value_or(Millis(0)).count();
  to.has_retention_bytes = from.retention_bytes.has_value();
  to.retention_bytes = from.retention_bytes.value_or(0);
  to.has_retention_time = from.retention_time.has_value();
  to.retention_time_ms = from.retention_time.value_or(Millis(0)).count();
  to.compact = from.compact;
  to.tombstone_retention_ms = from.tombstone_retention.count();
  to.compaction_lag_min_ms = from.compaction_lag_min.count();
  to.has_compaction_lag_max = from.compaction_lag_max.has_value();
  to.compaction_lag_max_ms = from.compaction_lag_max.value_or(Millis(0)).count();
  return to;
}

Result<walrus::AppendOptions> append_options(const walrus_append_options* from) {
  walrus::AppendOptions to;
  if (!from) return to;
  WALRUS_ASSIGN(auto options, complete(from));
  if (options.has_expected_next) to.expected_next = Offset{options.expected_next};
  if (options.has_producer)
    to.producer = {.id = options.producer_id,
                   .epoch = options.producer_epoch,
                   .sequence = options.producer_sequence};
  return to;
}

Result<walrus::ReadOptions> read_options(const walrus_read_options* from) {
  walrus::ReadOptions to;
  if (!from) return to;
  WALRUS_ASSIGN(auto options, complete(from));
  to.bytes_max = options.bytes_max;
  to.records_max = options.records_max;
  to.wait = Millis(options.wait_ms);
  to.up_to = options.up_to_appended ? walrus::UpTo::kAppended : walrus::UpTo::kHighWatermark;
  return to;
}

Result<walrus::CursorOptions> cursor_options(const walrus_cursor_options* from) {
  WALRUS_ASSIGN(auto options, complete(from));
  if (options.delivery != WALRUS_AT_MOST_ONCE && options.delivery != WALRUS_AT_LEAST_ONCE)
    return walrus::fail(Code::kInvalid, "delivery {}: not known",
                        static_cast<int>(options.delivery));
  walrus::CursorOptions to;
  to.delivery = options.delivery == WALRUS_AT_MOST_ONCE ? walrus::Delivery::kAtMostOnce
                                                        : walrus::Delivery::kAtLeastOnce;
  to.persist_every = options.persist_every;
  to.start = Offset{options.start};
  return to;
}

// ---- Records: the views of one side as views of the other. ----

// The caller's records for the time of one call. One record without headers costs no allocation.
class Borrowed {
 public:
  Borrowed(const walrus_record* records, std::size_t count) {
    std::size_t headers = 0;
    for (std::size_t i = 0; i < count; ++i) headers += records[i].header_count;
    headers_.reserve(headers);  // spans into it are taken below
    if (count != 1) many_.resize(count);
    records_ = count == 1 ? std::span(&one_, 1) : std::span(many_);
    for (std::size_t i = 0; i < count; ++i) borrow(records[i], records_[i]);
  }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  std::span<const walrus::Record> records() const { return records_; }

 private:
  void borrow(const walrus_record& from, walrus::Record& to) {
    std::size_t first = headers_.size();
    for (std::size_t i = 0; i < from.header_count; ++i)
      headers_.push_back({bytes(from.headers[i].name), optional_bytes(from.headers[i].value)});
    to.key = optional_bytes(from.key);
    to.value = optional_bytes(from.value);
    to.headers = std::span(headers_).subspan(first);
    if (from.has_timestamp) to.timestamp = Time(Millis(from.timestamp_ms));
  }

  walrus::Record one_;
  std::vector<walrus::Record> many_;
  std::vector<walrus::Header> headers_;
  std::span<walrus::Record> records_;
};

walrus_stored_record view(const walrus::StoredRecord& from, std::vector<walrus_header>& headers) {
  for (const auto& header : from.headers)
    headers.push_back({view(header.name), view(header.value)});
  walrus_stored_record to;
  to.offset = from.offset.value;
  to.epoch = from.epoch;
  to.timestamp_ms = from.timestamp ? from.timestamp->time_since_epoch().count() : 0;
  to.key = view(from.key);
  to.value = view(from.value);
  to.headers = headers.data() + (headers.size() - from.headers.size());
  to.header_count = from.headers.size();
  return to;
}

walrus_error* answer_records(Result<walrus::Records> result, walrus_records** to) {
  if (!result) return failed(std::move(result).error());
  auto records = std::make_unique<walrus_records>(*std::move(result));
  std::size_t headers = 0;
  for (const auto& record : records->records) headers += record.headers.size();
  records->headers.reserve(headers);  // the views point into it
  records->views.reserve(
      static_cast<std::size_t>(records->records.end() - records->records.begin()));
  for (const auto& record : records->records)
    records->views.push_back(view(record, records->headers));
  *to = records.release();
  return nullptr;
}

walrus_error* answer_infos(std::vector<walrus::StreamInfo> from, walrus_infos** to) {
  auto infos = std::make_unique<walrus_infos>();
  infos->infos = std::move(from);
  for (const auto& info : infos->infos) {
    infos->views.push_back({
        .name = view(Bytes(info.name)),
        .id = info.id,
        .options = view(info.options),
        .clean = info.clean,
        .log_start = info.log_start.value,
        .high_watermark = info.high_watermark.value,
        .log_end = info.log_end.value,
        .segments = info.segments,
        .bytes = info.bytes,
        .reclaimed_bytes = info.reclaimed_bytes,
        .has_times = info.oldest && info.newest,
        .oldest_ms = info.oldest.value_or(Time{}).time_since_epoch().count(),
        .newest_ms = info.newest.value_or(Time{}).time_since_epoch().count(),
    });
  }
  *to = infos.release();
  return nullptr;
}

}  // namespace

// Every function that C calls is noexcept: running out of memory ends the process, as it does
// everywhere in the library, and no exception reaches C.

walrus_code walrus_error_code(const walrus_error* error) noexcept {
  return static_cast<walrus_code>(error->error.code);
}
const char* walrus_error_message(const walrus_error* error) noexcept {
  return error->error.message.c_str();
}
const char* walrus_code_name(walrus_code code) noexcept {
  return walrus::code_name(static_cast<Code>(code));
}
void walrus_error_free(walrus_error* error) noexcept { delete error; }

void walrus_options_init(walrus_options* options, size_t size) noexcept { init(options, size); }
void walrus_stream_options_init(walrus_stream_options* options, size_t size) noexcept {
  init(options, size);
}
void walrus_append_options_init(walrus_append_options* options, size_t size) noexcept {
  init(options, size);
}
void walrus_read_options_init(walrus_read_options* options, size_t size) noexcept {
  init(options, size);
}
void walrus_cursor_options_init(walrus_cursor_options* options, size_t size) noexcept {
  init(options, size);
}

size_t walrus_records_size(const walrus_records* records) noexcept { return records->views.size(); }
const walrus_stored_record* walrus_records_begin(const walrus_records* records) noexcept {
  return records->views.data();
}
int64_t walrus_records_next(const walrus_records* records) noexcept {
  return records->records.next().value;
}
void walrus_records_free(walrus_records* records) noexcept { delete records; }

size_t walrus_infos_size(const walrus_infos* infos) noexcept { return infos->views.size(); }
const walrus_stream_info* walrus_infos_at(const walrus_infos* infos, size_t i) noexcept {
  return i < infos->views.size() ? &infos->views[i] : nullptr;
}
void walrus_infos_free(walrus_infos* infos) noexcept { delete infos; }

size_t walrus_names_size(const walrus_names* names) noexcept { return names->names.size(); }
walrus_bytes walrus_names_at(const walrus_names* names, size_t i) noexcept {
  return i < names->names.size() ? view(Bytes(names->names[i])) : walrus_bytes{nullptr, 0};
}
void walrus_names_free(walrus_names* names) noexcept { delete names; }

size_t walrus_findings_size(const walrus_findings* findings) noexcept {
  return findings->views.size();
}
const walrus_finding* walrus_findings_at(const walrus_findings* findings, size_t i) noexcept {
  return i < findings->views.size() ? &findings->views[i] : nullptr;
}
void walrus_findings_free(walrus_findings* findings) noexcept { delete findings; }

walrus_error* walrus_log_open(const walrus_options* options, walrus_log** log) noexcept {
  auto wanted = log_options(options);
  if (!wanted) return failed(std::move(wanted).error());
  auto opened = walrus::Log::open(*wanted);
  if (!opened) return failed(std::move(opened).error());
  *log = new walrus_log{*std::move(opened)};
  return nullptr;
}
walrus_error* walrus_log_close(walrus_log* log) noexcept { return answer(log->log.close()); }
void walrus_log_free(walrus_log* log) noexcept { delete log; }

walrus_error* walrus_log_create(walrus_log* log, walrus_bytes name,
                                const walrus_stream_options* options,
                                walrus_stream** stream) noexcept {
  auto wanted = stream_options(options);
  if (!wanted) return failed(std::move(wanted).error());
  auto created = log->log.create(bytes(name), *wanted);
  if (!created) return failed(std::move(created).error());
  *stream = new walrus_stream{*std::move(created)};
  return nullptr;
}
walrus_error* walrus_log_stream(walrus_log* log, walrus_bytes name,
                                walrus_stream** stream) noexcept {
  auto found = log->log.stream(bytes(name));
  if (!found) return failed(std::move(found).error());
  *stream = new walrus_stream{*std::move(found)};
  return nullptr;
}
walrus_error* walrus_log_remove(walrus_log* log, walrus_bytes name) noexcept {
  return answer(log->log.remove(bytes(name)));
}
walrus_error* walrus_log_list(walrus_log* log, walrus_bytes prefix, walrus_infos** infos) noexcept {
  auto listed = log->log.list(bytes(prefix));
  if (!listed) return failed(std::move(listed).error());
  return answer_infos(*std::move(listed), infos);
}
walrus_error* walrus_log_checkpoint(walrus_log* log) noexcept {
  return answer(log->log.checkpoint());
}
walrus_error* walrus_log_backup(walrus_log* log, const char* to) noexcept {
  return answer(log->log.backup(to));
}

walrus_error* walrus_verify(const char* directory, walrus_findings** findings) noexcept {
  auto found = walrus::verify(directory);
  if (!found) return failed(std::move(found).error());
  auto list = std::make_unique<walrus_findings>();
  list->findings = *std::move(found);
  for (const auto& finding : list->findings)
    list->views.push_back({finding.file.c_str(), finding.position,
                           static_cast<walrus_code>(finding.code), finding.what.c_str()});
  *findings = list.release();
  return nullptr;
}
walrus_error* walrus_restore(const char* backup, const char* to) noexcept {
  return answer(walrus::restore(backup, to));
}

void walrus_stream_free(walrus_stream* stream) noexcept { delete stream; }

walrus_error* walrus_stream_append(walrus_stream* stream, const walrus_record* records,
                                   size_t count, const walrus_append_options* options,
                                   int64_t* first) noexcept {
  auto wanted = append_options(options);
  if (!wanted) return failed(std::move(wanted).error());
  Borrowed borrowed(records, count);
  return answer_offset(stream->stream.append(borrowed.records(), *wanted), first);
}
void walrus_stream_append_async(walrus_stream* stream, const walrus_record* records, size_t count,
                                const walrus_append_options* options, walrus_append_done done,
                                void* context) noexcept {
  auto wanted = append_options(options);
  if (!wanted) return done(context, failed(std::move(wanted).error()), 0);
  Borrowed borrowed(records, count);
  stream->stream.append_async(borrowed.records(), *wanted,
                              [done, context](Result<Offset> result) noexcept {
                                if (result) done(context, nullptr, result->value);
                                else done(context, failed(std::move(result).error()), 0);
                              });
}
walrus_error* walrus_stream_read(walrus_stream* stream, int64_t from,
                                 const walrus_read_options* options,
                                 walrus_records** records) noexcept {
  auto wanted = read_options(options);
  if (!wanted) return failed(std::move(wanted).error());
  return answer_records(stream->stream.read({from}, *wanted), records);
}
walrus_error* walrus_stream_scan(walrus_stream* stream, int64_t from,
                                 const walrus_read_options* options,
                                 walrus_reader** reader) noexcept {
  auto wanted = read_options(options);
  if (!wanted) return failed(std::move(wanted).error());
  auto opened = stream->stream.scan({from}, *wanted);
  if (!opened) return failed(std::move(opened).error());
  *reader = new walrus_reader{*std::move(opened), {}, {}};
  return nullptr;
}
walrus_error* walrus_stream_find(walrus_stream* stream, int64_t time_ms, int64_t* offset) noexcept {
  return answer_offset(stream->stream.find(Time(Millis(time_ms))), offset);
}
walrus_error* walrus_stream_cursor(walrus_stream* stream, walrus_bytes name,
                                   const walrus_cursor_options* options,
                                   walrus_cursor** cursor) noexcept {
  auto wanted = cursor_options(options);
  if (!wanted) return failed(std::move(wanted).error());
  auto opened = stream->stream.cursor(bytes(name), *wanted);
  if (!opened) return failed(std::move(opened).error());
  *cursor = new walrus_cursor{*std::move(opened)};
  return nullptr;
}
walrus_error* walrus_stream_cursors(walrus_stream* stream, walrus_names** names) noexcept {
  auto listed = stream->stream.cursors();
  if (!listed) return failed(std::move(listed).error());
  *names = new walrus_names{*std::move(listed)};
  return nullptr;
}
walrus_error* walrus_stream_remove_cursor(walrus_stream* stream, walrus_bytes name) noexcept {
  return answer(stream->stream.remove_cursor(bytes(name)));
}
walrus_error* walrus_stream_info_get(walrus_stream* stream, walrus_infos** infos) noexcept {
  auto info = stream->stream.info();
  if (!info) return failed(std::move(info).error());
  return answer_infos({*std::move(info)}, infos);
}
walrus_error* walrus_stream_alter(walrus_stream* stream,
                                  const walrus_stream_options* options) noexcept {
  auto wanted = stream_options(options);
  if (!wanted) return failed(std::move(wanted).error());
  return answer(stream->stream.alter(*wanted));
}
walrus_error* walrus_stream_mark_clean(walrus_stream* stream) noexcept {
  return answer(stream->stream.mark_clean());
}
walrus_error* walrus_stream_mark_dirty(walrus_stream* stream) noexcept {
  return answer(stream->stream.mark_dirty());
}
walrus_error* walrus_stream_trim(walrus_stream* stream, int64_t first_kept) noexcept {
  return answer(stream->stream.trim({first_kept}));
}
walrus_error* walrus_stream_truncate(walrus_stream* stream, int64_t first_dropped) noexcept {
  return answer(stream->stream.truncate({first_dropped}));
}
walrus_error* walrus_stream_compact(walrus_stream* stream) noexcept {
  return answer(stream->stream.compact());
}
walrus_error* walrus_stream_sync(walrus_stream* stream) noexcept {
  return answer(stream->stream.sync());
}

walrus_error* walrus_reader_next(walrus_reader* reader,
                                 const walrus_stored_record** record) noexcept {
  auto next = reader->reader.next();
  if (!next) return failed(std::move(next).error());
  *record = nullptr;
  if (*next == nullptr) return nullptr;
  reader->headers.clear();
  reader->headers.reserve((*next)->headers.size());
  reader->record = view(**next, reader->headers);
  *record = &reader->record;
  return nullptr;
}
void walrus_reader_free(walrus_reader* reader) noexcept { delete reader; }

void walrus_cursor_free(walrus_cursor* cursor) noexcept { delete cursor; }
walrus_error* walrus_cursor_read(walrus_cursor* cursor, const walrus_read_options* options,
                                 walrus_records** records) noexcept {
  auto wanted = read_options(options);
  if (!wanted) return failed(std::move(wanted).error());
  return answer_records(cursor->cursor.read(*wanted), records);
}
walrus_error* walrus_cursor_peek(walrus_cursor* cursor, const walrus_read_options* options,
                                 walrus_records** records) noexcept {
  auto wanted = read_options(options);
  if (!wanted) return failed(std::move(wanted).error());
  return answer_records(cursor->cursor.peek(*wanted), records);
}
walrus_error* walrus_cursor_commit(walrus_cursor* cursor, int64_t next) noexcept {
  return answer(cursor->cursor.commit({next}));
}
walrus_error* walrus_cursor_position(walrus_cursor* cursor, int64_t* position) noexcept {
  return answer_offset(cursor->cursor.position(), position);
}
walrus_error* walrus_cursor_unread(walrus_cursor* cursor, int64_t* unread) noexcept {
  auto count = cursor->cursor.unread();
  if (!count) return failed(std::move(count).error());
  *unread = *count;
  return nullptr;
}
