#include "wire/native/reply.h"

#include <fmt/format.h>

#include <charconv>
#include <iterator>

#include "wire/native/errors.h"
#include "wire/native/frame.h"

namespace walrus::wire::native {
namespace {

constexpr Bytes kOkSpace = "OK ";
constexpr Bytes kErrSpace = "ERR ";

std::unexpected<Error> malformed(Bytes what) {
  return fail(Code::kCorrupt, "malformed reply: {}", what);
}

// What follows `OK `; an `ERR` reply as its Error.
Result<Bytes> after_ok(Bytes body) {
  if (body.starts_with(kErrSpace)) return std::unexpected(error_of(body.substr(kErrSpace.size())));
  if (!body.starts_with(kOkSpace)) return malformed("neither OK nor ERR");
  return body.substr(kOkSpace.size());
}

// Takes a number and the one byte that ends it off the front; `end` '\0': the text ends there.
Result<std::int64_t> take_number(Bytes& rest, char end) {
  std::int64_t value = 0;
  auto [stop, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (error != std::errc()) return malformed("not a number");
  rest.remove_prefix(static_cast<std::size_t>(stop - rest.data()));
  if (end == '\0') {
    if (!rest.empty()) return malformed("bytes behind a number");
    return value;
  }
  if (rest.empty() || rest.front() != end) return malformed("a number that does not end");
  rest.remove_prefix(1);
  return value;
}

Result<Offset> take_offset(Bytes& rest, char end) {
  WALRUS_ASSIGN(auto value, take_number(rest, end));
  if (value < 0) return malformed("a negative offset");
  return Offset{value};
}

Result<ReadRecord> take_record(Bytes& rest) {
  ReadRecord record;
  WALRUS_ASSIGN(record.offset, take_offset(rest, ' '));
  WALRUS_ASSIGN(record.timestamp_ms, take_number(rest, ' '));
  WALRUS_ASSIGN(auto length, take_number(rest, ' '));
  if (length < -1) return malformed("a negative length");
  auto size = length < 0 ? std::size_t{0} : static_cast<std::size_t>(length);
  if (rest.size() <= size || rest[size] != '\n') return malformed("a record that is cut");
  if (length >= 0) record.value = rest.substr(0, size);
  rest.remove_prefix(size + 1);
  return record;
}

}  // namespace

void append_ok(std::string& to) { append_frame(to, "OK"); }
void append_empty(std::string& to) { append_frame(to, "EMPTY"); }
void append_text(std::string& to, Bytes whole) { append_frame(to, whole); }

void append_payload(std::string& to, Bytes payload) {
  auto mark = begin_frame(to);
  to.append(kOkSpace).append(payload);
  end_frame(to, mark);
}

void append_offset(std::string& to, Offset offset) {
  auto mark = begin_frame(to);
  fmt::format_to(std::back_inserter(to), "OK {}", offset.value);
  end_frame(to, mark);
}

void append_pair(std::string& to, std::int64_t first, std::int64_t second) {
  auto mark = begin_frame(to);
  fmt::format_to(std::back_inserter(to), "OK {} {}", first, second);
  end_frame(to, mark);
}

void append_error(std::string& to, Bytes text) {
  auto mark = begin_frame(to);
  to.append(kErrSpace).append(text);
  end_frame(to, mark);
}

void append_batches(std::string& to, Offset next, Bytes batches) {
  auto mark = begin_frame(to);
  fmt::format_to(std::back_inserter(to), "OK {}\n", next.value);
  to.append(batches);
  end_frame(to, mark);
}

void append_record_line(std::string& lines, const ReadRecord& record) {
  auto length = record.value ? static_cast<std::int64_t>(record.value->size()) : -1;
  fmt::format_to(std::back_inserter(lines), "{} {} {} ", record.offset.value, record.timestamp_ms,
                 length);
  if (record.value) lines.append(*record.value);
  lines.push_back('\n');
}

void append_records(std::string& to, std::size_t count, Offset next, Bytes lines) {
  auto mark = begin_frame(to);
  fmt::format_to(std::back_inserter(to), "OK {} {}\n", count, next.value);
  to.append(lines);
  end_frame(to, mark);
}

Result<void> parse_ok(Bytes body) {
  if (body == "OK") return {};
  WALRUS_TRY(after_ok(body));
  return malformed("more than OK");
}

Result<Offset> parse_offset(Bytes body) {
  WALRUS_ASSIGN(auto rest, after_ok(body));
  return take_offset(rest, '\0');
}

Result<std::optional<Bytes>> parse_payload(Bytes body) {
  if (body == "EMPTY") return std::optional<Bytes>();
  WALRUS_ASSIGN(auto payload, after_ok(body));
  return std::optional(payload);
}

Result<Bytes> parse_text(Bytes body) {
  if (body.starts_with(kErrSpace)) return std::unexpected(error_of(body.substr(kErrSpace.size())));
  return body;
}

Result<BatchReply> parse_batch_reply(Bytes body) {
  WALRUS_ASSIGN(auto rest, after_ok(body));
  BatchReply reply;
  WALRUS_ASSIGN(reply.first, take_offset(rest, ' '));
  WALRUS_ASSIGN(reply.count, take_number(rest, '\0'));
  return reply;
}

Result<ProducerReply> parse_producer(Bytes body) {
  WALRUS_ASSIGN(auto rest, after_ok(body));
  ProducerReply reply;
  WALRUS_ASSIGN(reply.id, take_number(rest, ' '));
  WALRUS_ASSIGN(auto epoch, take_number(rest, '\0'));
  if (reply.id < 0 || epoch < 0 || epoch > INT16_MAX) return malformed("a producer out of range");
  reply.epoch = static_cast<std::int16_t>(epoch);
  return reply;
}

Result<RecordsReply> parse_records(Bytes body) {
  WALRUS_ASSIGN(auto rest, after_ok(body));
  WALRUS_ASSIGN(auto count, take_number(rest, ' '));
  RecordsReply reply;
  WALRUS_ASSIGN(reply.next, take_offset(rest, '\n'));
  // A line has at least seven bytes; a count that the bytes cannot hold takes no memory.
  if (count < 0 || static_cast<std::uint64_t>(count) > rest.size() / 7)
    return malformed("a count that the bytes do not hold");
  reply.records.reserve(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    WALRUS_ASSIGN(auto record, take_record(rest));
    reply.records.push_back(record);
  }
  if (!rest.empty()) return malformed("bytes behind the last record");
  return reply;
}

Result<BatchesReply> parse_batches(Bytes body) {
  WALRUS_ASSIGN(auto rest, after_ok(body));
  BatchesReply reply;
  WALRUS_ASSIGN(reply.next, take_offset(rest, '\n'));
  reply.batches = rest;
  return reply;
}

Error error_of(Bytes text) {
  static constexpr struct {
    Bytes prefix;
    Code code;
  } kCodes[] = {
      {"unknown topic ", Code::kNotFound},
      {"unknown consumer ", Code::kNotFound},
      {"topic exists ", Code::kExists},
      {"user exists ", Code::kExists},
      {"unknown user ", Code::kNotFound},
      {"unknown group ", Code::kNotFound},
      {"group has members ", Code::kBusy},
      {"unknown node ", Code::kNotFound},
      {"no leader for ", Code::kBusy},
      // Also where it was proven and the time for that is over: connecting again proves it again.
      {text::kAuthenticationRequired, Code::kClosed},
      {"expected offset ", Code::kMismatch},
      {"offset out of range ", Code::kOutOfRange},
      {text::kInvalidFrameLength, Code::kTooLarge},
      {text::kTooLarge, Code::kTooLarge},
      {text::kStorageFull, Code::kNoSpace},
      {text::kStorageFailed, Code::kIo},
      {text::kTooManyConnections, Code::kBusy},
      {text::kBusy, Code::kBusy},
      {text::kShuttingDown, Code::kClosed},
      {text::kTimedOut, Code::kTimeout},
      {text::kOutOfOrder, Code::kMismatch},
      {text::kFenced, Code::kFenced},
      {text::kCorrupt, Code::kCorrupt},
  };
  auto code = Code::kInvalid;
  for (const auto& entry : kCodes)
    if (text.starts_with(entry.prefix)) {
      code = entry.code;
      break;
    }
  return Error{code, std::string(text)};
}

}  // namespace walrus::wire::native
