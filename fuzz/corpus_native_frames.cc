// Writes fuzz/corpus/native_frames: corpus_native_frames DIRECTORY.

#include <fmt/format.h>

#include "base/coding.h"
#include "corpus.h"
#include "wire/native/frame.h"

namespace {

using namespace walrus;

// A frame that claims `length` and brings `size` bytes.
std::string frame(std::uint32_t length, std::size_t size) {
  std::string bytes;
  append_le(bytes, length);
  return bytes + std::string(size, 'x');
}

std::string whole(Bytes body) {
  std::string bytes;
  wire::native::append_frame(bytes, body);
  return bytes;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  const std::pair<const char*, std::string> streams[] = {
      {"one", whole("REGISTER t")},
      {"pipelined", whole("PUT t a") + whole("PUT t b") + whole("GET t")},
      {"zero", whole("") + whole("GET t")},
      {"longest", frame(100, 100) + whole("GET t")},
      {"oversize", frame(101, 101) + whole("GET t")},
      {"oversize_cut", frame(101, 50)},
      {"drained", frame(1'000, 1'000) + whole("GET t")},
      {"closed", frame(1'001, 10) + whole("GET t")},
      {"huge", frame(0xffffffff, 3)},
      {"cut_in_the_length", whole("GET t").substr(0, 3)},
      {"cut_in_the_body", whole("GET t").substr(0, 7)},
      {"empty", ""},
      {"binary", whole(Bytes("PUT t \0\xff\n", 9))},
      {"http", "GET / HTTP/1.1\r\n\r\n"},
      {"zeros", std::string(40, '\0')}};
  for (const auto& [name, bytes] : streams) {
    for (char piece : {1, 3, 7, 100}) corpus.add(fmt::format("{}_{}", name, +piece), piece + bytes);
  }
  return 0;
}
