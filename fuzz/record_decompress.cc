// Compressed records of a stranger: the first byte is the codec, the rest is what it decompresses.

#include <cstdint>

#include "base/check.h"
#include "record/batch.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace walrus;
  using namespace walrus::record;
  constexpr std::size_t kLimit = 256 << 10;
  if (size == 0) return 0;
  Bytes input(reinterpret_cast<const char*>(data), size);
  auto codec = static_cast<Codec>(data[0] & 7);
  input.remove_prefix(1);
  auto plain = decompress(codec, input, kLimit);
  if (!plain) {
    CHECK(plain.error().code == Code::kCorrupt || plain.error().code == Code::kTooLarge);
    return 0;
  }
  CHECK(plain->size() <= kLimit);
  // The limit is exact: one byte less is too little.
  if (plain->empty()) return 0;
  auto less = decompress(codec, input, plain->size() - 1);
  CHECK(!less && less.error().code == Code::kTooLarge);
  auto exact = decompress(codec, input, plain->size());
  CHECK(exact && *exact == *plain);
  return 0;
}
