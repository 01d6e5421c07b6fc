// What the directory keeps besides records: its identity file, the catalogue's values, the position
// of a queue. The first byte chooses the decoder. What is accepted encodes to what is accepted as
// the same.

#include "base/check.h"
#include "base/crc32c.h"
#include "broker/cursors.h"
#include "log/catalog.h"
#include "log/directory.h"
#include "log/producers.h"

namespace {

using namespace walrus;

void identity(std::string bytes) {
  (void)log::decode_identity(bytes);
  if (bytes.size() < 64) return;
  store_le(bytes.data() + 12, crc32c(Bytes(bytes).substr(16, 48)));
  auto decoded = log::decode_identity(bytes);
  if (!decoded) return;
  CHECK(decoded->shards >= 1 && decoded->uuid.size() == 16);
  auto again = log::decode_identity(log::encode_identity(*decoded));
  CHECK(again && again->uuid == decoded->uuid && again->layout == decoded->layout &&
        again->shards == decoded->shards);
}

void catalog_entry(Bytes bytes) {
  auto entry = log::decode_catalog_entry(bytes);
  if (!entry) return;
  auto encoded = log::encode_catalog_entry(*entry);
  auto again = log::decode_catalog_entry(encoded);
  CHECK(again && again->id == entry->id && log::encode_catalog_entry(*again) == encoded);
}

void queue_position(Bytes bytes) {
  auto position = broker::decode_position(bytes);
  if (!position) return;
  CHECK(position->value >= 0 && bytes.starts_with(broker::encode_position(*position)));
}

void producer_table(Bytes bytes) {
  Decoder in(bytes);
  auto table = log::ProducerTable::decode(in);
  if (!table) return;
  std::string encoded;
  table->encode(encoded);
  Decoder from(encoded);
  auto again = log::ProducerTable::decode(from);
  CHECK(again && from.at_end());
  std::string twice;
  again->encode(twice);
  CHECK(twice == encoded);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0: identity(std::move(bytes)); break;
    case 1: catalog_entry(bytes); break;
    case 2: queue_position(bytes); break;
    default: producer_table(bytes);
  }
  return 0;
}
