/* The C face used from C: what c_test.cc runs. Each function answers NULL, or what went wrong. */

#include "walrus/c.h"

#include <stdio.h>
#include <string.h>

static char failure[512];

#define EXPECT(condition)                                                             \
  do {                                                                                \
    if (!(condition)) {                                                               \
      snprintf(failure, sizeof failure, "%s:%d: %s", __FILE__, __LINE__, #condition); \
      return failure;                                                                 \
    }                                                                                 \
  } while (0)
#define SUCCEEDS(call)                                                                             \
  do {                                                                                             \
    walrus_error* call_error = (call);                                                             \
    if (call_error) {                                                                              \
      snprintf(failure, sizeof failure, "%s:%d: %s: %s: %s", __FILE__, __LINE__, #call,            \
               walrus_code_name(walrus_error_code(call_error)), walrus_error_message(call_error)); \
      walrus_error_free(call_error);                                                               \
      return failure;                                                                              \
    }                                                                                              \
  } while (0)
#define FAILS(wanted, call)                               \
  do {                                                    \
    walrus_error* call_error = (call);                    \
    EXPECT(call_error != NULL);                           \
    EXPECT(walrus_error_code(call_error) == (wanted));    \
    EXPECT(strlen(walrus_error_message(call_error)) > 0); \
    walrus_error_free(call_error);                        \
  } while (0)

static walrus_bytes text(const char* from) {
  walrus_bytes bytes = {from, strlen(from)};
  return bytes;
}
static int equal(walrus_bytes bytes, const char* wanted) {
  return bytes.data != NULL && bytes.size == strlen(wanted) &&
         memcmp(bytes.data, wanted, bytes.size) == 0;
}

static walrus_options options_of(const char* root) {
  walrus_options options;
  walrus_options_init(&options, sizeof options);
  options.root = root;
  options.shards = 1;
  return options;
}

const char* c_appends_and_reads(const char* root) {
  walrus_options options = options_of(root);
  walrus_log* log = NULL;
  walrus_stream* stream = NULL;
  SUCCEEDS(walrus_log_open(&options, &log));
  SUCCEEDS(walrus_log_create(log, text("orders"), NULL, &stream));
  walrus_header headers[2] = {{{"h", 1}, {"1", 1}}, {{"none", 4}, {NULL, 0}}};
  walrus_record records[3];
  memset(records, 0, sizeof records);
  records[0].value = text("hello");
  records[0].headers = headers;
  records[0].header_count = 2;
  records[1].key = text("k");
  records[2].value = text("");
  records[2].has_timestamp = true;
  records[2].timestamp_ms = 1234;
  int64_t first = -1;
  SUCCEEDS(walrus_stream_append(stream, records, 3, NULL, &first));
  EXPECT(first == 0);
  walrus_append_options expected;
  walrus_append_options_init(&expected, sizeof expected);
  expected.has_expected_next = true;
  expected.expected_next = 2;
  FAILS(WALRUS_MISMATCH, walrus_stream_append(stream, records, 1, &expected, NULL));
  walrus_records* read = NULL;
  SUCCEEDS(walrus_stream_read(stream, 0, NULL, &read));
  EXPECT(walrus_records_size(read) == 3);
  EXPECT(walrus_records_next(read) == 3);
  const walrus_stored_record* got = walrus_records_begin(read);
  EXPECT(equal(got[0].value, "hello") && got[0].key.data == NULL);
  EXPECT(got[0].header_count == 2 && equal(got[0].headers[0].name, "h"));
  EXPECT(equal(got[0].headers[0].value, "1") && got[0].headers[1].value.data == NULL);
  EXPECT(got[1].offset == 1 && equal(got[1].key, "k") && got[1].value.data == NULL);
  EXPECT(equal(got[2].value, "") && got[2].timestamp_ms == 1234 && got[2].header_count == 0);
  walrus_records_free(read);
  FAILS(WALRUS_OUT_OF_RANGE, walrus_stream_read(stream, 9, NULL, &read));
  walrus_stream_free(stream);
  SUCCEEDS(walrus_log_close(log));
  FAILS(WALRUS_CLOSED, walrus_log_close(log));
  walrus_log_free(log);
  return NULL;
}

const char* c_scans(const char* root) {
  walrus_options options = options_of(root);
  walrus_log* log = NULL;
  walrus_stream* stream = NULL;
  walrus_reader* reader = NULL;
  SUCCEEDS(walrus_log_open(&options, &log));
  SUCCEEDS(walrus_log_create(log, text("t"), NULL, &stream));
  walrus_record records[10];
  memset(records, 0, sizeof records);
  for (int i = 0; i < 10; ++i) records[i].value = text(&"0123456789"[i]);
  SUCCEEDS(walrus_stream_append(stream, records, 10, NULL, NULL));
  SUCCEEDS(walrus_stream_scan(stream, 2, NULL, &reader));
  const walrus_stored_record* record = NULL;
  for (int i = 2; i < 10; ++i) {
    SUCCEEDS(walrus_reader_next(reader, &record));
    EXPECT(record != NULL && record->offset == i && equal(record->value, &"0123456789"[i]));
  }
  SUCCEEDS(walrus_reader_next(reader, &record));
  EXPECT(record == NULL);
  walrus_reader_free(reader);
  int64_t found = -1;
  SUCCEEDS(walrus_stream_find(stream, 0, &found));
  EXPECT(found == 0);
  walrus_stream_free(stream);
  walrus_log_free(log);
  return NULL;
}

const char* c_cursors(const char* root) {
  walrus_options options = options_of(root);
  walrus_log* log = NULL;
  walrus_stream* stream = NULL;
  walrus_cursor* cursor = NULL;
  walrus_records* records = NULL;
  walrus_names* names = NULL;
  SUCCEEDS(walrus_log_open(&options, &log));
  SUCCEEDS(walrus_log_create(log, text("t"), NULL, &stream));
  walrus_record record = {{NULL, 0}, {"x", 1}, NULL, 0, false, 0};
  for (int i = 0; i < 5; ++i) SUCCEEDS(walrus_stream_append(stream, &record, 1, NULL, NULL));
  walrus_cursor_options once;
  walrus_cursor_options_init(&once, sizeof once);
  once.delivery = WALRUS_AT_MOST_ONCE;
  SUCCEEDS(walrus_stream_cursor(stream, text("billing"), &once, &cursor));
  walrus_read_options two;
  walrus_read_options_init(&two, sizeof two);
  two.records_max = 2;
  SUCCEEDS(walrus_cursor_peek(cursor, &two, &records));
  EXPECT(walrus_records_size(records) == 2);
  walrus_records_free(records);
  SUCCEEDS(walrus_cursor_read(cursor, &two, &records));
  EXPECT(walrus_records_next(records) == 2);
  walrus_records_free(records);
  int64_t position = -1, unread = -1;
  SUCCEEDS(walrus_cursor_position(cursor, &position));
  SUCCEEDS(walrus_cursor_unread(cursor, &unread));
  EXPECT(position == 2 && unread == 3);
  SUCCEEDS(walrus_cursor_commit(cursor, 5));
  FAILS(WALRUS_OUT_OF_RANGE, walrus_cursor_commit(cursor, 6));
  SUCCEEDS(walrus_stream_cursors(stream, &names));
  EXPECT(walrus_names_size(names) == 1 && equal(walrus_names_at(names, 0), "billing"));
  EXPECT(walrus_names_at(names, 1).data == NULL);
  walrus_names_free(names);
  SUCCEEDS(walrus_stream_remove_cursor(stream, text("billing")));
  FAILS(WALRUS_NOT_FOUND, walrus_cursor_read(cursor, NULL, &records));
  SUCCEEDS(walrus_log_close(log));
  FAILS(WALRUS_CLOSED, walrus_cursor_position(cursor, &position));
  walrus_cursor_free(cursor);
  walrus_stream_free(stream);
  walrus_log_free(log);
  return NULL;
}

const char* c_tells_of_streams(const char* root) {
  walrus_options options = options_of(root);
  walrus_log* log = NULL;
  walrus_stream* stream = NULL;
  walrus_infos* infos = NULL;
  walrus_findings* findings = NULL;
  SUCCEEDS(walrus_log_open(&options, &log));
  walrus_stream_options wanted;
  walrus_stream_options_init(&wanted, sizeof wanted);
  wanted.durability = WALRUS_INTERVAL;
  wanted.interval_ms = 50;
  wanted.has_retention_bytes = true;
  wanted.retention_bytes = 1 << 30;
  SUCCEEDS(walrus_log_create(log, text("a"), &wanted, &stream));
  FAILS(WALRUS_EXISTS, walrus_log_create(log, text("a"), NULL, &stream));
  walrus_record record = {{NULL, 0}, {"x", 1}, NULL, 0, false, 0};
  for (int i = 0; i < 4; ++i) SUCCEEDS(walrus_stream_append(stream, &record, 1, NULL, NULL));
  SUCCEEDS(walrus_stream_trim(stream, 1));
  SUCCEEDS(walrus_stream_truncate(stream, 3));
  SUCCEEDS(walrus_stream_mark_clean(stream));
  SUCCEEDS(walrus_stream_sync(stream));
  SUCCEEDS(walrus_log_list(log, text(""), &infos));
  EXPECT(walrus_infos_size(infos) == 1 && walrus_infos_at(infos, 1) == NULL);
  const walrus_stream_info* info = walrus_infos_at(infos, 0);
  EXPECT(equal(info->name, "a") && info->clean && info->has_times);
  EXPECT(info->log_start == 1 && info->log_end == 3 && info->high_watermark == 3);
  EXPECT(info->options.durability == WALRUS_INTERVAL && info->options.interval_ms == 50);
  EXPECT(info->options.has_retention_bytes && info->options.retention_bytes == 1 << 30);
  EXPECT(!info->options.has_retention_time && !info->options.compact);
  walrus_infos_free(infos);
  SUCCEEDS(walrus_stream_mark_dirty(stream));
  wanted.durability = WALRUS_OS;
  SUCCEEDS(walrus_stream_alter(stream, &wanted));
  SUCCEEDS(walrus_stream_info_get(stream, &infos));
  EXPECT(!walrus_infos_at(infos, 0)->clean);
  EXPECT(walrus_infos_at(infos, 0)->options.durability == WALRUS_OS);
  walrus_infos_free(infos);
  SUCCEEDS(walrus_log_checkpoint(log));
  SUCCEEDS(walrus_verify(root, &findings));
  EXPECT(walrus_findings_size(findings) == 0 && walrus_findings_at(findings, 0) == NULL);
  walrus_findings_free(findings);
  SUCCEEDS(walrus_log_remove(log, text("a")));
  FAILS(WALRUS_NOT_FOUND, walrus_log_stream(log, text("a"), &stream));
  walrus_stream_free(stream);
  walrus_log_free(log);
  return NULL;
}

const char* c_compacts_and_backs_up(const char* root) {
  char backup[512], restored[512];
  snprintf(backup, sizeof backup, "%s-backup", root);
  snprintf(restored, sizeof restored, "%s-restored", root);
  walrus_options options = options_of(root);
  walrus_log* log = NULL;
  walrus_stream* stream = NULL;
  walrus_records* records = NULL;
  SUCCEEDS(walrus_log_open(&options, &log));
  walrus_stream_options compacted;
  walrus_stream_options_init(&compacted, sizeof compacted);
  compacted.compact = true;
  compacted.segment_records_max = 2;
  SUCCEEDS(walrus_log_create(log, text("settings"), &compacted, &stream));
  walrus_record record = {text("colour"), text("red"), NULL, 0, false, 0};
  for (int i = 0; i < 5; ++i) SUCCEEDS(walrus_stream_append(stream, &record, 1, NULL, NULL));
  SUCCEEDS(walrus_stream_compact(stream));
  SUCCEEDS(walrus_stream_read(stream, 0, NULL, &records));
  EXPECT(walrus_records_size(records) < 5 && walrus_records_next(records) == 5);
  walrus_records_free(records);
  SUCCEEDS(walrus_log_backup(log, backup));
  FAILS(WALRUS_EXISTS, walrus_log_backup(log, backup));
  walrus_stream_free(stream);
  walrus_log_free(log);

  SUCCEEDS(walrus_restore(backup, restored));
  options.root = restored;
  SUCCEEDS(walrus_log_open(&options, &log));
  SUCCEEDS(walrus_log_stream(log, text("settings"), &stream));
  SUCCEEDS(walrus_stream_read(stream, 4, NULL, &records));
  EXPECT(equal(walrus_records_begin(records)->value, "red"));
  walrus_records_free(records);
  walrus_stream_free(stream);
  walrus_log_free(log);
  return NULL;
}

/* A struct compiled against an older header is shorter, against a newer one longer. */
const char* c_takes_older_and_newer_options(const char* root) {
  walrus_options options = options_of(root);
  walrus_log* log = NULL;
  walrus_stream* stream = NULL;
  SUCCEEDS(walrus_log_open(&options, &log));
  walrus_stream_options older;
  memset(&older, 0xff, sizeof older);
  walrus_stream_options_init(&older, offsetof(walrus_stream_options, segment_records_max));
  SUCCEEDS(walrus_log_create(log, text("older"), &older, &stream));
  walrus_stream_free(stream);
  struct {
    walrus_stream_options known;
    int64_t unknown;
  } newer;
  walrus_stream_options_init(&newer.known, sizeof newer);
  SUCCEEDS(walrus_log_create(log, text("newer"), &newer.known, &stream));
  walrus_stream_free(stream);
  newer.unknown = 1;
  FAILS(WALRUS_INVALID, walrus_log_create(log, text("newest"), &newer.known, &stream));
  newer.known.size = 0;
  FAILS(WALRUS_INVALID, walrus_log_create(log, text("none"), &newer.known, &stream));
  walrus_stream_options wrong;
  walrus_stream_options_init(&wrong, sizeof wrong);
  wrong.durability = (walrus_durability)3;
  FAILS(WALRUS_INVALID, walrus_log_create(log, text("wrong"), &wrong, &stream));
  walrus_log_free(log);
  return NULL;
}

const char* c_frees_nothing_quietly(const char* root) {
  (void)root;
  walrus_error_free(NULL);
  walrus_log_free(NULL);
  walrus_stream_free(NULL);
  walrus_cursor_free(NULL);
  walrus_reader_free(NULL);
  walrus_records_free(NULL);
  walrus_infos_free(NULL);
  walrus_names_free(NULL);
  walrus_findings_free(NULL);
  return NULL;
}

struct sum {
  int64_t offsets;
  int failed;
};
static void add(void* context, walrus_error* error, int64_t first) {
  struct sum* sum = context;
  if (error) {
    ++sum->failed;
    walrus_error_free(error);
    return;
  }
  sum->offsets += first;
}

const char* c_appends_without_waiting(const char* root) {
  walrus_options options = options_of(root);
  walrus_log* log = NULL;
  walrus_stream* stream = NULL;
  SUCCEEDS(walrus_log_open(&options, &log));
  SUCCEEDS(walrus_log_create(log, text("t"), NULL, &stream));
  walrus_record record = {{NULL, 0}, {"x", 1}, NULL, 0, false, 0};
  struct sum sum = {0, 0};
  for (int i = 0; i < 10; ++i) walrus_stream_append_async(stream, &record, 1, NULL, add, &sum);
  SUCCEEDS(walrus_log_close(log)); /* everything is answered */
  EXPECT(sum.failed == 0 && sum.offsets == 45);
  walrus_stream_append_async(stream, &record, 1, NULL, add, &sum);
  EXPECT(sum.failed == 1);
  walrus_stream_free(stream);
  walrus_log_free(log);
  return NULL;
}
