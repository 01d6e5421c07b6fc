#pragma once
// Replies of the native protocol: builders for the server, parsers for the client. Pure.
//
//   OK | OK <payload> | EMPTY | ERR <text> | JSON or text without a prefix (STATE, METRICS, LIST,
//   DESCRIBE, CONFIG, HELP)
//   READ, POLL   OK <count> <next offset>\n then, per record,
//                <offset> <timestamp_ms> <length> <bytes>\n      length -1: no value (a tombstone)
//   READBATCH    OK <next offset>\n then whole record batches
//   BATCH        OK <first offset> <count>
//   PRODUCER     OK <producer id> <epoch>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace walrus::wire::native {

// Server side: each appends one whole frame.
void append_ok(std::string& to);
void append_payload(std::string& to, Bytes payload);  // OK <payload>, also of an empty one
void append_offset(std::string& to, Offset);
void append_pair(std::string& to, std::int64_t, std::int64_t);
void append_empty(std::string& to);
void append_error(std::string& to, Bytes text);
void append_text(std::string& to, Bytes whole);
void append_batches(std::string& to, Offset next, Bytes batches);

struct ReadRecord {
  Offset offset{};
  std::int64_t timestamp_ms = 0;
  std::optional<Bytes> value{};
  bool operator==(const ReadRecord&) const = default;
};
// One line of a READ reply; append_records() puts the lines behind the head.
void append_record_line(std::string& lines, const ReadRecord&);
void append_records(std::string& to, std::size_t count, Offset next, Bytes lines);

// Client side. The body of an `ERR` reply becomes the Error that error_of() makes of it; a body of
// another shape than asked for is kCorrupt. Views into the body.
Result<void> parse_ok(Bytes body);                       // REGISTER, PUT, COMMIT, DELETE, CREATE
Result<Offset> parse_offset(Bytes body);                 // APPEND, APPENDAT, FIND
Result<std::optional<Bytes>> parse_payload(Bytes body);  // GET; none = EMPTY
Result<Bytes> parse_text(Bytes body);                    // JSON and HELP

struct BatchReply {
  Offset first{};
  std::int64_t count = 0;
};
Result<BatchReply> parse_batch_reply(Bytes body);

struct ProducerReply {
  std::int64_t id = -1;
  std::int16_t epoch = -1;
};
Result<ProducerReply> parse_producer(Bytes body);

struct RecordsReply {
  std::vector<ReadRecord> records;
  Offset next{};
};
Result<RecordsReply> parse_records(Bytes body);

struct BatchesReply {
  Offset next{};
  Bytes batches{};
};
Result<BatchesReply> parse_batches(Bytes body);

// `text` without the leading `ERR `: the code by which a caller may act, the text as message.
Error error_of(Bytes text);

}  // namespace walrus::wire::native
