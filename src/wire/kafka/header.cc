#include "wire/kafka/header.h"

#include "wire/kafka/codec.h"

namespace walrus::wire::kafka {
namespace {

constexpr std::int16_t kApiVersionsKey = 18;

bool has_response_tags(const Api& api, std::int16_t version) {
  return version >= api.flexible_from && api.key != kApiVersionsKey;
}

std::unexpected<Error> malformed() { return fail(Code::kCorrupt, "malformed header"); }

}  // namespace

Result<RequestFrame> parse_request(Bytes bytes) {
  Input input(bytes);
  RequestFrame frame;
  auto& header = frame.header;
  header.key = input.integer<std::int16_t>();
  header.version = input.integer<std::int16_t>();
  header.correlation_id = input.integer<std::int32_t>();
  if (!input.ok()) return malformed();
  frame.api = find_api(header.key);
  if (frame.api == nullptr) return frame;
  auto size = decode_size(input, Prefix::kString, {});
  if (size) header.client_id = input.take(*size);
  // Of a version that is not known nothing more is: ApiVersions is answered all the same.
  if (header.version >= frame.api->flexible_from && frame.api->versions.contains(header.version))
    decode_fields(input, {}, nullptr, {.version = header.version, .flexible = true});
  if (!input.ok()) return malformed();
  frame.body = input.rest();
  return frame;
}

void append_request_header(std::string& to, const RequestHeader& header) {
  append_be(to, header.key);
  append_be(to, header.version);
  append_be(to, header.correlation_id);
  auto size = header.client_id ? std::optional(header.client_id->size()) : std::nullopt;
  encode_size(to, size, Prefix::kString, {});
  to += header.client_id.value_or(Bytes());
  const auto* api = find_api(header.key);
  if (api != nullptr && header.version >= api->flexible_from &&
      api->versions.contains(header.version))
    to.push_back('\0');
}

void append_response_header(std::string& to, const Api& api, std::int16_t version,
                            std::int32_t correlation_id) {
  append_be<std::int32_t>(to, 0);
  append_be(to, correlation_id);
  if (has_response_tags(api, version)) to.push_back('\0');
}

void finish_frame(std::string& to, std::size_t start, std::size_t beside) {
  auto size = to.size() - start - kLengthBytes + beside;
  store_be(to.data() + start, static_cast<std::int32_t>(size));
}

Result<ResponseFrame> parse_response(Bytes bytes, const Api& api, std::int16_t version) {
  Input input(bytes);
  ResponseFrame frame{.correlation_id = input.integer<std::int32_t>()};
  if (has_response_tags(api, version))
    decode_fields(input, {}, nullptr, {.version = version, .flexible = true});
  if (!input.ok()) return malformed();
  frame.body = input.rest();
  return frame;
}

}  // namespace walrus::wire::kafka
