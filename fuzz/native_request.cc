// Requests of the native protocol: the input is what a connection receives, cut into pieces as its
// first byte says. What parses must encode to a request that parses to the same.

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "wire/native/frame.h"
#include "wire/native/request.h"

using namespace walrus;
using namespace walrus::wire::native;

namespace {

void take(Bytes body) {
  auto request = parse_request(body);
  if (!request) {
    CHECK(!request.error().message.empty());
    return;
  }
  std::string frame;
  append_request(frame, *request);
  auto again = parse_request(Bytes(frame).substr(kFrameHeaderBytes));
  CHECK(again.has_value() && *again == *request);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr std::size_t kFrameMax = 4096;
  std::size_t piece = data[0] + std::size_t{1};
  Bytes bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  FrameSplitter splitter({.frame_bytes_max = kFrameMax, .drain_bytes_max = 64 << 10});
  while (!bytes.empty()) {
    auto space = splitter.space();
    auto count = std::min({piece, space.size(), bytes.size()});
    std::memcpy(space.data(), bytes.data(), count);
    splitter.received(count);
    bytes.remove_prefix(count);
    while (auto event = splitter.next())
      if (event->kind == FrameSplitter::Kind::kFrame) take(event->body);
    CHECK(splitter.buffer_bytes() <= 64u << 10);
  }
  return 0;
}
