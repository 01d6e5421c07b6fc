#ifndef WALRUS_C_H
#define WALRUS_C_H
/* walrus/c.h: the embeddable log engine (walrus/log.h) for C and for all that speaks C.
 *
 * The functions mirror walrus/log.h one to one; that header says what they mean. What C adds:
 *
 * Errors. A function that can fail returns NULL when it did its work, else a walrus_error that the
 * caller frees with walrus_error_free(). What it would have put into its output arguments is then
 * left alone.
 *
 * Handles. walrus_log, walrus_stream, walrus_cursor, walrus_reader, walrus_records and the lists
 * are made by this library and freed by the function named after them; freeing NULL does nothing.
 * Freeing a walrus_log closes it and drops the error: walrus_log_close() tells it. Streams,
 * cursors and readers may outlive their log: every call on them then answers WALRUS_CLOSED.
 *
 * Bytes. A walrus_bytes whose data is NULL is "none" where that is allowed (key, value: no value is
 * a tombstone); an empty value has data and size 0. The library copies what it is given before the
 * call returns. What it gives out belongs to the handle it came from.
 *
 * Options. Each options struct opens with its size. Fill it with its _init function, change what
 * you want, pass its address; NULL means the defaults. A struct compiled against an older header
 * is shorter: the fields that it lacks have their defaults. Fields added by a newer header must be
 * zero for an older library.
 *
 *     walrus_options options;
 *     walrus_options_init(&options, sizeof options);
 *     options.root = "/var/lib/app";
 *     walrus_log* log = NULL;
 *     walrus_error* error = walrus_log_open(&options, &log);
 *
 * Times are milliseconds since 1970 UTC, durations milliseconds, sizes bytes. Any thread may call
 * anything, except that a walrus_reader is used by one thread at a time and a handle is freed once,
 * when no call on it runs any more. No C++ exception leaves the library.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define WALRUS_NOEXCEPT noexcept
extern "C" {
#else
#define WALRUS_NOEXCEPT
#endif

/* ---- Errors ---- */

typedef enum walrus_code {
  WALRUS_INVALID = 1, /* an argument that can never be right */
  WALRUS_NOT_FOUND,
  WALRUS_EXISTS,
  WALRUS_TOO_LARGE,
  WALRUS_MISMATCH,
  WALRUS_OUT_OF_RANGE,
  WALRUS_BUSY,
  WALRUS_TIMEOUT,
  WALRUS_LOCKED,
  WALRUS_CORRUPT,
  WALRUS_NO_SPACE,
  WALRUS_IO,
  WALRUS_VERSION,
  WALRUS_READ_ONLY,
  WALRUS_CLOSED,
  WALRUS_FENCED
} walrus_code;

typedef struct walrus_error walrus_error;
walrus_code walrus_error_code(const walrus_error* error) WALRUS_NOEXCEPT;
const char* walrus_error_message(const walrus_error* error) WALRUS_NOEXCEPT; /* one line */
const char* walrus_code_name(walrus_code code) WALRUS_NOEXCEPT;              /* "not_found" */
void walrus_error_free(walrus_error* error) WALRUS_NOEXCEPT;

/* ---- Values ---- */

typedef struct walrus_bytes {
  const char* data; /* NULL: none */
  size_t size;
} walrus_bytes;

typedef struct walrus_header {
  walrus_bytes name;
  walrus_bytes value;
} walrus_header;

/* A record to append. All zero but the value is a good one. */
typedef struct walrus_record {
  walrus_bytes key;
  walrus_bytes value; /* none: a tombstone */
  const walrus_header* headers;
  size_t header_count;
  bool has_timestamp; /* false: the time of the append */
  int64_t timestamp_ms;
} walrus_record;

typedef struct walrus_stored_record {
  int64_t offset;
  int32_t epoch;
  int64_t timestamp_ms;
  walrus_bytes key;
  walrus_bytes value;
  const walrus_header* headers;
  size_t header_count;
} walrus_stored_record;

/* ---- Options ---- */

typedef struct walrus_options {
  size_t size;
  const char* root; /* NUL-terminated path */
  walrus_bytes key; /* namespace below root; none: root itself */
  bool read_only;
  int32_t shards; /* 0: cores */
  int64_t batch_bytes_max;
  int64_t batch_records_max;
  int64_t in_flight_bytes_max;
  int64_t journal_bytes_max; /* per shard */
  int64_t cache_bytes_max;
  int64_t background_bytes_per_s;
} walrus_options;

typedef enum walrus_durability {
  WALRUS_FSYNC = 0,    /* acknowledged = on the disk */
  WALRUS_INTERVAL = 1, /* in the page cache, on the disk within interval_ms */
  WALRUS_OS = 2        /* in the page cache: survives the process, not a power cut */
} walrus_durability;

typedef struct walrus_stream_options {
  size_t size;
  walrus_durability durability;
  int64_t interval_ms;
  int64_t segment_records_max;
  int64_t segment_bytes_max;
  bool has_segment_time_max;
  int64_t segment_time_max_ms;
  bool has_retention_bytes;
  int64_t retention_bytes;
  bool has_retention_time;
  int64_t retention_time_ms;
  bool compact;
  int64_t tombstone_retention_ms;
  int64_t compaction_lag_min_ms;
  bool has_compaction_lag_max;
  int64_t compaction_lag_max_ms;
} walrus_stream_options;

typedef struct walrus_append_options {
  size_t size;
  bool has_expected_next;
  int64_t expected_next;
  bool has_producer;
  int64_t producer_id;
  int16_t producer_epoch;
  int32_t producer_sequence; /* of the batch's first record */
} walrus_append_options;

typedef struct walrus_read_options {
  size_t size;
  int64_t bytes_max; /* payload: keys and values; one record always fits */
  int64_t records_max;
  int64_t wait_ms; /* at the end, so long for more */
  bool up_to_appended;
} walrus_read_options;

typedef enum walrus_delivery { WALRUS_AT_MOST_ONCE = 0, WALRUS_AT_LEAST_ONCE = 1 } walrus_delivery;

typedef struct walrus_cursor_options {
  size_t size;
  walrus_delivery delivery;
  uint32_t persist_every; /* records between durable positions */
  int64_t start;          /* for a cursor that does not exist yet */
} walrus_cursor_options;

/* Sets `size` and the defaults; call them with sizeof the struct. */
void walrus_options_init(walrus_options* options, size_t size) WALRUS_NOEXCEPT;
void walrus_stream_options_init(walrus_stream_options* options, size_t size) WALRUS_NOEXCEPT;
void walrus_append_options_init(walrus_append_options* options, size_t size) WALRUS_NOEXCEPT;
void walrus_read_options_init(walrus_read_options* options, size_t size) WALRUS_NOEXCEPT;
void walrus_cursor_options_init(walrus_cursor_options* options, size_t size) WALRUS_NOEXCEPT;

/* ---- Records, lists ---- */

typedef struct walrus_records walrus_records; /* the views live until it is freed */
size_t walrus_records_size(const walrus_records* records) WALRUS_NOEXCEPT;
const walrus_stored_record* walrus_records_begin(const walrus_records* records)
    WALRUS_NOEXCEPT; /* an array */
int64_t walrus_records_next(const walrus_records* records)
    WALRUS_NOEXCEPT; /* where to go on reading */
void walrus_records_free(walrus_records* records) WALRUS_NOEXCEPT;

typedef struct walrus_stream_info {
  walrus_bytes name;
  uint64_t id;
  walrus_stream_options options;
  bool clean;
  int64_t log_start;
  int64_t high_watermark;
  int64_t log_end;
  int64_t segments;
  int64_t bytes;
  int64_t reclaimed_bytes;
  bool has_times; /* false: no record */
  int64_t oldest_ms;
  int64_t newest_ms;
} walrus_stream_info;

typedef struct walrus_infos walrus_infos;
size_t walrus_infos_size(const walrus_infos* infos) WALRUS_NOEXCEPT;
const walrus_stream_info* walrus_infos_at(const walrus_infos* infos,
                                          size_t i) WALRUS_NOEXCEPT; /* NULL: no such */
void walrus_infos_free(walrus_infos* infos) WALRUS_NOEXCEPT;

typedef struct walrus_names walrus_names;
size_t walrus_names_size(const walrus_names* names) WALRUS_NOEXCEPT;
walrus_bytes walrus_names_at(const walrus_names* names,
                             size_t i) WALRUS_NOEXCEPT; /* none: no such */
void walrus_names_free(walrus_names* names) WALRUS_NOEXCEPT;

typedef struct walrus_finding {
  const char* file; /* NUL-terminated path */
  int64_t position;
  walrus_code code;
  const char* what;
} walrus_finding;

typedef struct walrus_findings walrus_findings;
size_t walrus_findings_size(const walrus_findings* findings) WALRUS_NOEXCEPT;
const walrus_finding* walrus_findings_at(const walrus_findings* findings, size_t i) WALRUS_NOEXCEPT;
void walrus_findings_free(walrus_findings* findings) WALRUS_NOEXCEPT;

/* ---- Log ---- */

typedef struct walrus_log walrus_log;
typedef struct walrus_stream walrus_stream;
typedef struct walrus_cursor walrus_cursor;
typedef struct walrus_reader walrus_reader;

walrus_error* walrus_log_open(const walrus_options* options, walrus_log** log) WALRUS_NOEXCEPT;
walrus_error* walrus_log_close(walrus_log* log)
    WALRUS_NOEXCEPT; /* the handle is still to be freed */
void walrus_log_free(walrus_log* log) WALRUS_NOEXCEPT;
walrus_error* walrus_log_create(walrus_log* log, walrus_bytes name,
                                const walrus_stream_options* options,
                                walrus_stream** stream) WALRUS_NOEXCEPT;
walrus_error* walrus_log_stream(walrus_log* log, walrus_bytes name,
                                walrus_stream** stream) WALRUS_NOEXCEPT;
walrus_error* walrus_log_remove(walrus_log* log, walrus_bytes name) WALRUS_NOEXCEPT;
walrus_error* walrus_log_list(walrus_log* log, walrus_bytes prefix,
                              walrus_infos** infos) WALRUS_NOEXCEPT;
walrus_error* walrus_log_checkpoint(walrus_log* log) WALRUS_NOEXCEPT;
walrus_error* walrus_log_backup(walrus_log* log, const char* to) WALRUS_NOEXCEPT;
walrus_error* walrus_verify(const char* directory, walrus_findings** findings) WALRUS_NOEXCEPT;
walrus_error* walrus_restore(const char* backup, const char* to) WALRUS_NOEXCEPT;

/* ---- Stream ---- */

void walrus_stream_free(walrus_stream* stream) WALRUS_NOEXCEPT;
/* One record, or a batch of them: all or nothing. `first`, which may be NULL, is the first offset.
 */
walrus_error* walrus_stream_append(walrus_stream* stream, const walrus_record* records,
                                   size_t count, const walrus_append_options* options,
                                   int64_t* first) WALRUS_NOEXCEPT;
/* Called once, on the flusher's thread or on the caller's: hand over, never block. `error` is NULL
 * or is freed by the callee; `first` counts only without an error. */
typedef void (*walrus_append_done)(void* context, walrus_error* error, int64_t first);
void walrus_stream_append_async(walrus_stream* stream, const walrus_record* records, size_t count,
                                const walrus_append_options* options, walrus_append_done done,
                                void* context) WALRUS_NOEXCEPT;
walrus_error* walrus_stream_read(walrus_stream* stream, int64_t from,
                                 const walrus_read_options* options,
                                 walrus_records** records) WALRUS_NOEXCEPT;
walrus_error* walrus_stream_scan(walrus_stream* stream, int64_t from,
                                 const walrus_read_options* options,
                                 walrus_reader** reader) WALRUS_NOEXCEPT;
walrus_error* walrus_stream_find(walrus_stream* stream, int64_t time_ms,
                                 int64_t* offset) WALRUS_NOEXCEPT;
walrus_error* walrus_stream_cursor(walrus_stream* stream, walrus_bytes name,
                                   const walrus_cursor_options* options,
                                   walrus_cursor** cursor) WALRUS_NOEXCEPT;
walrus_error* walrus_stream_cursors(walrus_stream* stream, walrus_names** names) WALRUS_NOEXCEPT;
walrus_error* walrus_stream_remove_cursor(walrus_stream* stream, walrus_bytes name) WALRUS_NOEXCEPT;
walrus_error* walrus_stream_info_get(walrus_stream* stream,
                                     walrus_infos** infos) WALRUS_NOEXCEPT; /* one entry */
walrus_error* walrus_stream_alter(walrus_stream* stream,
                                  const walrus_stream_options* options) WALRUS_NOEXCEPT;
walrus_error* walrus_stream_mark_clean(walrus_stream* stream) WALRUS_NOEXCEPT;
walrus_error* walrus_stream_mark_dirty(walrus_stream* stream) WALRUS_NOEXCEPT;
walrus_error* walrus_stream_trim(walrus_stream* stream, int64_t first_kept) WALRUS_NOEXCEPT;
walrus_error* walrus_stream_truncate(walrus_stream* stream, int64_t first_dropped) WALRUS_NOEXCEPT;
walrus_error* walrus_stream_compact(walrus_stream* stream) WALRUS_NOEXCEPT;
walrus_error* walrus_stream_sync(walrus_stream* stream) WALRUS_NOEXCEPT;

/* ---- Reader, cursor ---- */

/* `record` is NULL at the end; else it lives until the following call. */
walrus_error* walrus_reader_next(walrus_reader* reader,
                                 const walrus_stored_record** record) WALRUS_NOEXCEPT;
void walrus_reader_free(walrus_reader* reader) WALRUS_NOEXCEPT;

void walrus_cursor_free(walrus_cursor* cursor) WALRUS_NOEXCEPT;
walrus_error* walrus_cursor_read(walrus_cursor* cursor, const walrus_read_options* options,
                                 walrus_records** records) WALRUS_NOEXCEPT;
walrus_error* walrus_cursor_peek(walrus_cursor* cursor, const walrus_read_options* options,
                                 walrus_records** records) WALRUS_NOEXCEPT;
walrus_error* walrus_cursor_commit(walrus_cursor* cursor, int64_t next) WALRUS_NOEXCEPT;
walrus_error* walrus_cursor_position(walrus_cursor* cursor, int64_t* position) WALRUS_NOEXCEPT;
walrus_error* walrus_cursor_unread(walrus_cursor* cursor, int64_t* unread) WALRUS_NOEXCEPT;

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* WALRUS_C_H */
