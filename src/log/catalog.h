#pragma once
// Values of the catalogue: a stream's id, options and attributes, by its name. Versioned; a newer
// version is refused by name.

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
