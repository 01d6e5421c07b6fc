#pragma once
// The little of HTTP/1.1 (RFC 9112) that an admin port for GET needs: a strict parser of request
// heads and a builder of responses. Pure. A request with a body is refused: nothing here takes one.

#include <optional>
#include <string>

#include "base/result.h"

namespace walrus::wire::http {

constexpr std::size_t kHeadBytesMax = 8 << 10;

struct Request {
  std::string method{};  // as sent: "GET"
  std::string path{};    // without the query: "/metrics"
  bool keep_alive = true;
  std::size_t head_bytes = 0;  // consumed, with the blank line
};

struct Refusal {
  int status = 400;
  std::string reason{};
};

// None: the head is not whole yet. A refusal: answer it and close.
std::expected<std::optional<Request>, Refusal> parse_request(Bytes received);

struct Response {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body{};
  std::string allow{};  // the Allow header of a 405
  bool keep_alive = true;
  bool head = false;  // answer to HEAD: the body's length, not the body
};
std::string encode(const Response&);

}  // namespace walrus::wire::http
