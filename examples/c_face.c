/* c_face.c: the engine from C: create, append, read, and how errors come back.
 *   c_face DIRECTORY
 */
#include <stdio.h>
#include <string.h>
#include <walrus/c.h>

/* Prints the error and frees it. True if there was one. */
static bool failed(walrus_error* error) {
  if (error == NULL) return false;
  fprintf(stderr, "c_face: %s: %s\n", walrus_code_name(walrus_error_code(error)),
          walrus_error_message(error));
  walrus_error_free(error);
  return true;
}

static walrus_bytes bytes(const char* text) {
  walrus_bytes result = {text, strlen(text)};
  return result;
}

static int append_and_read(walrus_stream* stream) {
  walrus_record record = {0};
  record.key = bytes("greeting");
  record.value = bytes("hello from C");
  int64_t at = 0;
  if (failed(walrus_stream_append(stream, &record, 1, NULL, &at))) return 1;

  walrus_records* records = NULL;
  if (failed(walrus_stream_read(stream, at, NULL, &records))) return 1;
  const walrus_stored_record* first = walrus_records_begin(records);
  for (size_t i = 0; i < walrus_records_size(records); ++i) {
    printf("%lld %.*s %.*s\n", (long long)first[i].offset, (int)first[i].key.size,
           first[i].key.data, (int)first[i].value.size, first[i].value.data);
  }
  walrus_records_free(records);
  return 0;
}

int main(int count, char** arguments) {
  if (count != 2) {
    fprintf(stderr, "usage: c_face DIRECTORY\n");
    return 2;
  }
  walrus_options options;
  walrus_options_init(&options, sizeof options);
  options.root = arguments[1];
  walrus_log* log = NULL;
  if (failed(walrus_log_open(&options, &log))) return 1;

  /* Opened, or made if it is not there yet. */
  walrus_stream* stream = NULL;
  walrus_error* error = walrus_log_stream(log, bytes("letters"), &stream);
  if (error != NULL && walrus_error_code(error) == WALRUS_NOT_FOUND) {
    walrus_error_free(error);
    error = walrus_log_create(log, bytes("letters"), NULL, &stream);
  }
  int status = failed(error) ? 1 : append_and_read(stream);
  walrus_stream_free(stream);
  if (failed(walrus_log_close(log))) status = 1;
  walrus_log_free(log);
  return status;
}
