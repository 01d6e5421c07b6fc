// Manifests: decode_manifest() bears any bytes, and what it accepts it encodes to bytes that it
// accepts again. The input is a manifest whose CRC is made right, so that the body is reached.

#include "log/manifest.h"
#include "base/check.h"
#include "base/crc32c.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace walrus;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  (void)log::decode_manifest(bytes);
  if (bytes.size() < 64) return 0;
  auto whole = Bytes(bytes);
  store_le(bytes.data() + 16, std::uint64_t{bytes.size() - 64});
  store_le(bytes.data() + 12, crc32c(whole.substr(16), crc32c(whole.substr(0, 12))));
  auto manifest = log::decode_manifest(bytes);
  if (!manifest) return 0;
  auto encoded = log::encode_manifest(*manifest);
  auto again = log::decode_manifest(encoded);
  CHECK(again.has_value());
  CHECK(log::encode_manifest(*again) == encoded);
  return 0;
}
