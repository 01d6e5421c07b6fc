#include "wire/http/message.h"

#include <algorithm>

namespace walrus::wire::http {
namespace {

std::unexpected<Refusal> refuse(int status, Bytes reason) {
  return std::unexpected(Refusal{status, std::string(reason)});
}

bool is_token(Bytes text) {
  static constexpr Bytes kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kMarks.contains(c);
  });
}

bool equal_ignoring_case(Bytes a, Bytes b) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

Bytes trimmed(Bytes text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::expected<Request, Refusal> parse_line(Bytes line) {
  auto first = line.find(' '), last = line.rfind(' ');
  if (first == Bytes::npos || first == last) return refuse(400, "malformed request line");
  Request request{.method = std::string(line.substr(0, first))};
  auto target = line.substr(first + 1, last - first - 1);
  auto version = line.substr(last + 1);
  if (!version.starts_with("HTTP/")) return refuse(400, "malformed request line");
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return refuse(505, "HTTP/1.1 is spoken here");
  if (!is_token(request.method)) return refuse(400, "malformed method");
  bool printable = std::ranges::all_of(target, [](char c) { return c > ' ' && c < '\x7f'; });
  if (target.empty() || target.front() != '/' || !printable) return refuse(400, "malformed target");
  request.path = std::string(target.substr(0, target.find_first_of("?#")));
  request.keep_alive = version == "HTTP/1.1";
  return request;
}

std::expected<void, Refusal> apply_header(Request& request, Bytes line) {
  auto colon = line.find(':');
  if (colon == Bytes::npos || !is_token(line.substr(0, colon)))
    return refuse(400, "malformed header");
  auto name = line.substr(0, colon);
  auto value = trimmed(line.substr(colon + 1));
  bool clean = std::ranges::none_of(value, [](char c) { return c == '\0' || c == '\r'; });
  if (!clean) return refuse(400, "malformed header");
  if (equal_ignoring_case(name, "transfer-encoding") ||
      (equal_ignoring_case(name, "content-length") && value != "0"))
    return refuse(413, "requests with a body are not taken here");
  if (equal_ignoring_case(name, "connection")) {
    if (equal_ignoring_case(value, "close")) request.keep_alive = false;
    if (equal_ignoring_case(value, "keep-alive")) request.keep_alive = true;
  }
  return {};
}

Bytes status_text(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Content Too Large";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Error";
  }
}

}  // namespace

std::expected<std::optional<Request>, Refusal> parse_request(Bytes received) {
  constexpr Bytes kEnd = "\r\n\r\n";
  auto end = received.substr(0, kHeadBytesMax).find(kEnd);
  if (end == Bytes::npos) {
    if (received.size() >= kHeadBytesMax) return refuse(431, "request head too large");
    return std::optional<Request>();
  }
  auto head = received.substr(0, end + 2);  // every line with its line end
  auto line_end = head.find("\r\n");
  auto request = parse_line(head.substr(0, line_end));
  if (!request) return std::unexpected(std::move(request).error());
  head.remove_prefix(line_end + 2);
  while (!head.empty()) {
    line_end = head.find("\r\n");
    auto applied = apply_header(*request, head.substr(0, line_end));
    if (!applied) return std::unexpected(std::move(applied).error());
    head.remove_prefix(line_end + 2);
  }
  request->head_bytes = end + kEnd.size();
  return std::optional(std::move(*request));
}

std::string encode(const Response& response) {
  auto text = fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {}\r\n{}{}\r\n",
      response.status, status_text(response.status), response.content_type, response.body.size(),
      response.keep_alive ? "keep-alive" : "close",
      response.allow.empty() ? "" : fmt::format("Allow: {}\r\n", response.allow),
      "X-Content-Type-Options: nosniff\r\n");
  if (!response.head) text += response.body;
  return text;
}

}  // namespace walrus::wire::http
