#pragma once
// CRC-32C (Castagnoli, RFC 3720 appendix B.4): reflected, initial value and final xor 0xffffffff.
// This is the checksum of the Kafka record batch and of all our own formats.

#include <cstdint>

#include "walrus/log.h"

namespace walrus {

// The CRC of `bytes`, or of all bytes so far when `before` is the CRC of what came before them.
std::uint32_t crc32c(Bytes bytes, std::uint32_t before = 0);

}  // namespace walrus
