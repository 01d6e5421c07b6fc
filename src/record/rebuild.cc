#include "base/crc32c.h"
#include "record/batch.h"

namespace walrus::record {
namespace {

constexpr std::size_t kMaxTimestampPosition = 35;

// The records as they are, without compression; the CRC is left to who goes on.
Result<std::string> decompressed(const BatchView& batch, std::size_t limit) {
  std::string plain(batch.bytes().substr(0, kBatchHeaderBytes));
  WALRUS_ASSIGN(auto body, decompress(batch.codec(), batch.body(), limit));
  plain += body;
  auto attributes = static_cast<std::int16_t>(batch.attributes() & ~kCodecBits);
  store_be(plain.data() + kAttributesPosition, attributes);
  store_be(plain.data() + kLengthPosition,
           static_cast<std::int32_t>(plain.size() - kLogOverheadBytes));
  return plain;
}

}  // namespace

Result<std::string> rebuild(const BatchView& batch, const Changes& changes) {
  bool recompressed = changes.codec && *changes.codec != batch.codec() && batch.count() > 0;
  std::string made(recompressed ? Bytes() : batch.bytes());
  if (recompressed) {
    WALRUS_ASSIGN(made, decompressed(batch, changes.decompressed_bytes_max));
    if (*changes.codec != Codec::kNone) {
      WALRUS_ASSIGN(made, compress(BatchView(made), *changes.codec, changes.level));
    }
  }
  if (changes.append_time_ms) {
    auto attributes = static_cast<std::int16_t>(BatchView(made).attributes() | kLogAppendTimeBit);
    store_be(made.data() + kAttributesPosition, attributes);
    store_be(made.data() + kMaxTimestampPosition, *changes.append_time_ms);
  }
  store_be(made.data() + 17, crc32c(Bytes(made).substr(kBatchHeadBytes)));
  return made;
}

}  // namespace walrus::record
