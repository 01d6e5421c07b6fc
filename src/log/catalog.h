#pragma once
// Values of the catalogue: a stream's id, options and attributes, by its name. Versioned; a newer
// version is refused by name. The lowest version is written that holds what there is, so that older
// releases read what they know of. u = uvarint, z = zig-zag varint, s = uvarint length and bytes,
// b = one byte; o = b (1 there is one), z.
//
//   b version
//   u stream id
//   b durability, z its interval in ms
//   z segment_records_max, z segment_bytes_max, o segment_time_max in ms
//   o retention_bytes, o retention_time in ms
//   b compact, z tombstone_retention in ms
//   s attributes                                           from version 2 on; in 2 not empty
//   z compaction_lag_min in ms, o compaction_lag_max in ms  from version 3 on; not both without

#include "base/coding.h"
#include "base/result.h"

namespace walrus::log {

struct CatalogEntry {
  std::uint64_t id = 0;
  StreamOptions options;
  std::string attributes{};  // the owner's, see Engine::attributes()
};
std::string encode_catalog_entry(const CatalogEntry&);
Result<CatalogEntry> decode_catalog_entry(Bytes);  // kCorrupt, kVersion

Result<void> check_stream_name(Bytes name);               // kInvalid
Result<void> check_stream_options(const StreamOptions&);  // kInvalid
Result<void> check_attributes(Bytes);                     // kTooLarge

}  // namespace walrus::log
