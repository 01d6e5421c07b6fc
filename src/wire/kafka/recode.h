#pragma once
// Decodes a message of any API and encodes it again: what the golden bytes and the fuzz targets
// check. Bytes that a client or broker wrote come back as they were.

#include <string>

#include "wire/kafka/codec.h"

namespace walrus::wire::kafka {

enum class Direction : std::uint8_t { kRequest, kResponse };

// kNotFound: no such API; kVersion; kCorrupt.
Result<std::string> recode(std::int16_t key, Direction, std::int16_t version, Bytes body);
// The field table of a message; empty for an API that is not known.
std::span<const Field> table_of(std::int16_t key, Direction);

}  // namespace walrus::wire::kafka
