// Frames of the native protocol as they come off a socket. The first byte says in what pieces the
// rest arrives: however it is cut, the frames are the same, and no claimed length takes memory.

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "wire/native/frame.h"

namespace {

using namespace walrus;
using wire::native::FrameSplitter;

constexpr FrameSplitter::Limits kLimits{.frame_bytes_max = 100, .drain_bytes_max = 1'000};
using Events = std::vector<std::pair<FrameSplitter::Kind, std::string>>;

Events split(Bytes input, std::size_t piece) {
  FrameSplitter splitter(kLimits);
  Events events;
  auto given = input.size();
  while (!input.empty()) {
    auto space = splitter.space();
    CHECK(!space.empty());
    auto size = std::min({piece, input.size(), space.size()});
    std::copy_n(input.data(), size, space.data());
    input.remove_prefix(size);
    splitter.received(size);
    CHECK(splitter.pending().size() <= given);
    while (auto event = splitter.next()) {
      CHECK(event->body.size() <= kLimits.frame_bytes_max);
      CHECK((event->kind == FrameSplitter::Kind::kFrame) == !event->body.empty());
      events.emplace_back(event->kind, event->body);
      if (event->kind == FrameSplitter::Kind::kClose) return events;
    }
    // What was received, doubled, and the least that a read is offered.
    CHECK(splitter.buffer_bytes() <= 2 * given + (8 << 10));
  }
  return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Bytes input(reinterpret_cast<const char*>(data) + 1, size - 1);
  CHECK(split(input, std::max<std::size_t>(data[0], 1)) == split(input, input.size() + 1));
  return 0;
}
