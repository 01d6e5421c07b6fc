// Writes fuzz/corpus/peer_frames: corpus_peer_frames DIRECTORY.

#include <fmt/format.h>

#include "base/coding.h"
#include "corpus.h"
#include "net/frame.h"

namespace {

using namespace walrus;

constexpr net::ClusterId kCluster{1, 2};

std::string whole(net::FrameType type, Bytes body, net::ClusterId cluster = kCluster) {
  std::string bytes;
  net::append_frame(bytes, {.type = type, .id = 7, .incarnation = {3}}, cluster, body);
  return bytes;
}

std::string changed(std::string bytes, std::size_t position, char value) {
  bytes[position] = value;
  return bytes;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  const auto call = whole(net::FrameType::kCall, "hello");
  const std::pair<const char*, std::string> streams[] = {
      {"one", call},
      {"pipelined", call + whole(net::FrameType::kPing, "") + call},
      {"longest", whole(net::FrameType::kData, std::string(200, 'x')) + call},
      {"too_long", whole(net::FrameType::kData, std::string(201, 'x')) + call},
      {"huge", changed(call, 11, '\xff').substr(0, 50)},
      {"cut_in_the_header", call.substr(0, 20)},
      {"cut_in_the_body", call.substr(0, 50)},
      {"version", changed(call, 3, 2)},
      {"type", changed(call, 4, 99)},
      {"flags", changed(call, 5, 1)},
      {"checksum", changed(call, 12, 'x')},
      {"cluster", whole(net::FrameType::kCall, "hello", {9, 9})},
      {"http", "GET / HTTP/1.1\r\n\r\n"},
      {"empty", ""},
      {"zeros", std::string(60, '\0')}};
  for (const auto& [name, bytes] : streams) {
    for (char piece : {1, 3, 47, 100})
      corpus.add(fmt::format("{}_{}", name, +piece), piece + bytes);
  }
  return 0;
}
