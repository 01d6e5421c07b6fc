#pragma once
// Headers of requests and responses, and the length before them.
//
//   request   int32 length of what follows, int16 API key, int16 version, int32 correlation id,
//             nullable string client id (int16 length in all versions), in a flexible version
//             tagged fields, then the body
//   response  int32 length of what follows, int32 correlation id, in a flexible version tagged
//             fields (never in ApiVersions: the client does not know yet what we speak), the body

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "wire/kafka/api.h"

namespace walrus::wire::kafka {

constexpr std::size_t kLengthBytes = 4;
constexpr std::size_t kRequestHeaderBytesMin = 8;  // without client id

struct RequestHeader {
  std::int16_t key = 0, version = 0;
  std::int32_t correlation_id = 0;
  std::optional<Bytes> client_id{};
  bool operator==(const RequestHeader&) const = default;
};

struct RequestFrame {
  RequestHeader header{};
  const Api* api = nullptr;  // none: the key is unknown, and where the body begins too
  Bytes body{};
};
// `frame` is what follows the length. kCorrupt.
Result<RequestFrame> parse_request(Bytes frame);
void append_request_header(std::string& to, const RequestHeader&);

// Room for the length, the correlation id, and tags; finish_frame() sets the length of the frame
// that begins at `start`, of which so many bytes go out beside.
void append_response_header(std::string& to, const Api&, std::int16_t version,
                            std::int32_t correlation_id);
void finish_frame(std::string& to, std::size_t start, std::size_t beside = 0);
// The body of a response frame, after its length. kCorrupt.
struct ResponseFrame {
  std::int32_t correlation_id = 0;
  Bytes body{};
};
Result<ResponseFrame> parse_response(Bytes frame, const Api&, std::int16_t version);

}  // namespace walrus::wire::kafka
