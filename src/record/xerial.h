#pragma once
// The framing that Java's snappy-java (org.xerial.snappy) puts around snappy blocks, and with it
// every Java Kafka client (SnappyOutputStream; layout as in snappy-java's SnappyCodec):
//
//   position  size  field
//          0     8  82 'S' 'N' 'A' 'P' 'P' 'Y' 00
//          8     4  version, big endian: 1
//         12     4  oldest compatible version, big endian: 1
//         16     .  blocks: 4 bytes big endian size, then one raw snappy block of that size
//
// Private to this room.

#include "walrus/log.h"

namespace walrus::record {

constexpr Bytes kXerialMagic("\x82SNAPPY\0", 8);
constexpr std::size_t kXerialHeaderBytes = 16;
constexpr std::int32_t kXerialVersion = 1;
constexpr std::size_t kXerialBlockBytes = 32 << 10;  // what snappy-java cuts its input into

}  // namespace walrus::record
