// A decoder with a bug planted on purpose: it trusts a length. `./dev test fuzz` proves by it that
// the fuzzer and the sanitizers bite: fuzz_planted must crash within seconds.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace {

constexpr std::size_t kHeaderBytes = 4;

// 'W', version 2, a flags byte, the length of the text; then the text. Returns the sum of its
// bytes.
unsigned sum_of_text(const std::uint8_t* data, std::size_t size) {
  if (size < kHeaderBytes || data[0] != 'W' || data[1] != 2) return 0;
  std::size_t length = data[3];
  unsigned sum = 0;
  for (std::size_t i = 0; i < length; ++i) sum += data[kHeaderBytes + i];  // never asks for `size`
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (sum_of_text(data, size) > 255 * 255) std::abort();  // uses the sum; cannot be
  return 0;
}
