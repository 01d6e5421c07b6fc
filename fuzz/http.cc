// Heads of HTTP requests. One that is whole is the same whatever follows it.

#include <cstdint>

#include "base/check.h"
#include "wire/http/message.h"

using namespace walrus;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes received(reinterpret_cast<const char*>(data), size);
  auto request = wire::http::parse_request(received);
  if (!request || !*request) return 0;
  CHECK((*request)->head_bytes <= size && (*request)->path.starts_with('/'));
  auto head = wire::http::parse_request(received.substr(0, (*request)->head_bytes));
  CHECK(head.has_value() && head->has_value() && (*head)->path == (*request)->path);
  return 0;
}
