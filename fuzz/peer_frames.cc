// Frames between nodes as they come off a socket. The first byte says in what pieces the rest
// arrives: however it is cut, the frames and the error are the same, and no claimed length takes
// memory.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "net/frame.h"

namespace {

using namespace walrus;

constexpr net::ClusterId kCluster{1, 2};
constexpr std::size_t kBodyMax = 200;

struct Outcome {
  std::vector<std::string> frames;
  std::string error;
  bool operator==(const Outcome&) const = default;
};

Outcome split(Bytes input, std::size_t piece) {
  net::FrameSplitter splitter(kCluster, kBodyMax);
  Outcome outcome;
  const auto given = input.size();
  while (!input.empty()) {
    auto space = splitter.space();
    CHECK(!space.empty());
    const auto size = std::min({piece, input.size(), space.size()});
    std::copy_n(input.data(), size, space.data());
    input.remove_prefix(size);
    splitter.received(size);
    // What was received, doubled, and the least that a read is offered, doubled for a busy peer.
    CHECK(splitter.buffer_bytes() <= 4 * given + (16 << 10));
    while (true) {
      const auto frame = splitter.next();
      if (!frame) {
        outcome.error = frame.error().message;
        return outcome;
      }
      if (!*frame) break;
      CHECK((*frame)->body.size() <= kBodyMax);
      // What was accepted is what its writer would write.
      std::string again;
      net::append_frame(again, (*frame)->header, kCluster, (*frame)->body);
      outcome.frames.push_back(std::move(again));
    }
  }
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = split(input, input.size() + 1);
  CHECK(split(input, std::max<std::size_t>(data[0], 1)) == whole);
  std::string accepted;
  for (const auto& frame : whole.frames) accepted += frame;
  CHECK(input.starts_with(accepted));
  return 0;
}
