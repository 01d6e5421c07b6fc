// The end of a sealed segment file (index entries and footer) and the file header. The input is
// taken as the end of a file whose batches are before it; once as it is, once with a right CRC.

#include "base/check.h"
#include "base/crc32c.h"
#include "log/segment_format.h"

namespace {

using namespace walrus;
using namespace walrus::log;

constexpr std::int64_t kBatchesEnd = 1 << 20;

void decode(Bytes bytes) {
  if (bytes.size() < kFooterBytes) return;
  auto index_bytes = bytes.size() - kFooterBytes;
  auto block = bytes.substr(index_bytes);
  auto footer = decode_footer(block, kBatchesEnd + static_cast<std::int64_t>(bytes.size()));
  if (!footer) return;
  auto entries = decode_index(*footer, bytes.substr(0, index_bytes), block);
  if (!entries) return;
  CHECK(encode_footer(*footer, *entries) == bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  decode(bytes);
  if (auto header = decode_segment_header(bytes)) CHECK(header->directory_uuid.size() == 16);
  if (bytes.size() < kFooterBytes) return 0;
  auto index_bytes = bytes.size() - kFooterBytes;
  auto index = Bytes(bytes).substr(0, index_bytes), block = Bytes(bytes).substr(index_bytes);
  auto crc = crc32c(block.substr(16), crc32c(block.substr(0, 12), crc32c(index)));
  store_le(bytes.data() + index_bytes + 12, crc);
  decode(bytes);
  return 0;
}
