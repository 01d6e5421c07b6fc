// Writes fuzz/corpus/record_decompress: corpus_record_decompress DIRECTORY.

#include <fmt/format.h>

#include "corpus.h"
#include "record/batch.h"

namespace {

using namespace walrus;
using namespace walrus::record;

constexpr const char* kNames[] = {"none", "gzip", "snappy", "lz4", "zstd"};

std::string packed(Codec codec, Bytes plain) {
  std::string batch(kBatchHeaderBytes, '\0');
  store_be<std::int32_t>(batch.data() + 57, 1);  // an empty batch would not be compressed
  batch.append(plain);
  return compress(BatchView(batch), codec)->substr(kBatchHeaderBytes);
}

std::string noise(std::size_t size) {
  std::string bytes;
  std::uint32_t state = 1;
  while (bytes.size() < size) bytes += static_cast<char>((state = state * 1'664'525 + 1) >> 24);
  return bytes;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  const std::pair<const char*, std::string> plains[] = {
      {"empty", ""},
      {"byte", "x"},
      {"text", "walrus walrus walrus walrus"},
      {"zeros", std::string(3000, '\0')},
      {"noise", noise(200)},
      {"mixed", noise(50) + std::string(400, 'm') + noise(50)},
  };
  for (int codec = 0; codec <= 4; ++codec) {
    auto tag = std::string(1, static_cast<char>(codec));
    auto add = [&](const std::string& what, Bytes input) {
      corpus.add(fmt::format("{}_{}", kNames[codec], what), tag + std::string(input));
    };
    for (const auto& [name, plain] : plains) add(name, packed(static_cast<Codec>(codec), plain));
    auto text = packed(static_cast<Codec>(codec), plains[2].second);
    add("twice", text + text);
    add("cut", Bytes(text).substr(0, text.size() - 3));
    add("head", Bytes(text).substr(0, 7));
    add("junk", text + "junk");
    auto flipped = text;
    flipped[text.size() / 2] ^= 0x10;
    add("flipped", flipped);
  }
  // Raw snappy, as librdkafka writes it: a literal, a copy, and a length that lies.
  corpus.add("raw_snappy_literal", Bytes("\x02\x04\x0c"
                                         "abcd",
                                         7));
  corpus.add("raw_snappy_copy", Bytes("\x02\x14\x0c"
                                      "abcd\x3e\x04\x00",
                                      10));
  corpus.add("raw_snappy_liar", Bytes("\x02\xff\xff\xff\x1f\x0c"
                                      "abcd",
                                      10));
  corpus.add("xerial_version", Bytes("\x02\x82SNAPPY\0\0\0\0\2\0\0\0\2", 17));
  corpus.add("xerial_block_negative",
             Bytes("\x02\x82SNAPPY\0\0\0\0\1\0\0\0\1\xff\xff\xff\xff", 21));
  corpus.add("unknown_codec", Bytes("\x07 abc", 5));
  return 0;
}
