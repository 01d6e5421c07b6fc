// A stranger's record batch: parse, validate, iterate, headers. Each input is tried as it is, and
// once more with the CRC and the length made right, so that what lies behind them is reached.

#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/crc32c.h"
#include "record/batch.h"

namespace {

using namespace walrus;
using namespace walrus::record;

constexpr std::size_t kPlainBytesMax = 1 << 20;

// The number of records that can be read; -1 when something is wrong with one.
std::int64_t walk(const BatchView& batch) {
  auto iterator = RecordIterator::open(batch, kPlainBytesMax);
  if (!iterator) return -1;
  std::vector<Header> headers;
  std::int64_t last = batch.base_offset() - 1;
  for (std::int64_t seen = 0;; ++seen) {
    auto record = iterator->next();
    if (!record) return -1;
    if (!*record) return seen;
    CHECK((*record)->offset > last && (*record)->offset <= batch.last_offset());
    last = (*record)->offset;
    headers.clear();
    if (!decode_headers(**record, headers)) return -1;
    CHECK(headers.size() == static_cast<std::size_t>((*record)->header_count));
  }
}

void read(Bytes bytes, const Limits& limits) {
  auto batch = BatchView::parse(bytes);
  auto valid = validate(bytes, limits);
  if (!batch) {
    CHECK(!valid);
    return;
  }
  auto seen = walk(*batch);
  if (!valid) return;
  // What passes validation can be read to its end, and compressed again without a change.
  CHECK(valid->bytes() == bytes && valid->crc_holds());
  CHECK(seen == valid->count());
  auto plain = compress(*valid, Codec::kNone);
  CHECK(plain && walk(BatchView(*plain)) == seen);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(reinterpret_cast<const char*>(data), size);
  Limits clients{.batch_bytes_max = kPlainBytesMax, .records_max = 10'000};
  Limits peers{.batch_bytes_max = kPlainBytesMax, .dense = false, .control = true};
  read(bytes, clients);
  if (size < kBatchHeaderBytes) return 0;
  std::vector<char> mended(bytes.begin(), bytes.end());
  store_be(mended.data() + kLengthPosition, static_cast<std::int32_t>(size - kLogOverheadBytes));
  store_be(mended.data() + 17, crc32c(bytes.substr(kBatchHeadBytes)));
  read(Bytes(mended.data(), size), clients);
  read(Bytes(mended.data(), size), peers);
  return 0;
}
