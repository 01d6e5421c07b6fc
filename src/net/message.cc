#include "net/message.h"

#include "base/coding.h"

namespace walrus::net {
namespace {

void append_limits(std::string& to, const PeerLimits& limits) {
  for (auto value : {limits.message_bytes_max, limits.bulk_window, limits.control_window,
                     limits.stream_window, limits.streams_max})
    append_le(to, value);
}

PeerLimits take_limits(Decoder& from) {
  PeerLimits limits;
  for (auto* value : {&limits.message_bytes_max, &limits.bulk_window, &limits.control_window,
                      &limits.stream_window, &limits.streams_max})
    *value = from.le<std::uint32_t>().value_or(0);
  return limits;
}

std::unexpected<Error> bad(const char* what) {
  return fail(Code::kCorrupt, "a malformed {}", what);
}

// Printable ASCII, so that what a stranger says can stand in a line of the log.
std::string clean(Bytes text) {
  std::string result(text.substr(0, kTextBytesMax));
  for (char& c : result)
    if (c < ' ' || c > '~') c = '?';
  return result;
}

}  // namespace

void append_hello(std::string& to, const Hello& hello) {
  for (auto value : {hello.from.value, hello.to.value, hello.link, hello.last_link})
    append_le(to, value);
  append_limits(to, hello.limits);
}

void append_welcome(std::string& to, const Welcome& welcome) {
  append_le(to, welcome.from.value);
  append_le(to, welcome.link);
  append_limits(to, welcome.limits);
}

void append_refusal(std::string& to, const Refusal& refusal) {
  append_le(to, static_cast<std::uint8_t>(refusal.reason));
  to.append(clean(refusal.text));
}

void append_error(std::string& to, const Error& error) {
  append_le(to, static_cast<std::uint8_t>(error.code));
  to.append(clean(error.message));
}

void append_credit(std::string& to, const Credit& credit) {
  append_le(to, static_cast<std::uint8_t>(credit.window));
  append_le(to, credit.bytes);
}

Result<Hello> parse_hello(Bytes body) {
  Decoder from(body);
  Hello hello;
  for (auto* value : {&hello.from.value, &hello.to.value, &hello.link, &hello.last_link})
    *value = from.le<std::uint64_t>().value_or(0);
  hello.limits = take_limits(from);
  if (!from.ok() || !from.at_end() || hello.from.value == 0 || hello.link == 0) return bad("hello");
  return hello;
}

Result<Welcome> parse_welcome(Bytes body) {
  Decoder from(body);
  Welcome welcome;
  welcome.from.value = from.le<std::uint64_t>().value_or(0);
  welcome.link = from.le<std::uint64_t>().value_or(0);
  welcome.limits = take_limits(from);
  if (!from.ok() || !from.at_end() || welcome.from.value == 0) return bad("welcome");
  return welcome;
}

Result<Refusal> parse_refusal(Bytes body) {
  Decoder from(body);
  const auto reason = from.le<std::uint8_t>().value_or(0);
  if (reason < static_cast<std::uint8_t>(RefusalReason::kProtocol) ||
      reason > static_cast<std::uint8_t>(RefusalReason::kTaken))
    return bad("refusal");
  return Refusal{RefusalReason(reason), clean(from.rest())};
}

Result<CallBody> parse_call(Bytes body) {
  Decoder from(body);
  const auto timeout_ms = from.le<std::uint32_t>();
  if (!timeout_ms) return bad("request");
  return CallBody{*timeout_ms, from.rest()};
}

Result<Error> parse_error(Bytes body) {
  Decoder from(body);
  const auto code = from.le<std::uint8_t>().value_or(0);
  if (code < static_cast<std::uint8_t>(Code::kInvalid) ||
      code > static_cast<std::uint8_t>(Code::kFenced))
    return bad("error");
  return Error{Code(code), clean(from.rest())};
}

Result<Credit> parse_credit(Bytes body) {
  Decoder from(body);
  const auto window = from.le<std::uint8_t>().value_or(0);
  const auto bytes = from.le<std::uint32_t>().value_or(0);
  if (!from.ok() || !from.at_end() || bytes == 0 ||
      window > static_cast<std::uint8_t>(WindowKind::kStream))
    return bad("credit");
  return Credit{WindowKind(window), bytes};
}

}  // namespace walrus::net
