#pragma once
// Frames in few bytes, for the fuzz target peer_link and its corpus: the input is a sequence of
//
//   position  size  field
//          0     1  type
//          1     1  flags
//          2     1  method
//          3     1  id
//          4     2  length of the body, little endian
//          6     .  body
//
// which become whole frames of the node that has said hello.

#include <algorithm>
#include <string>

#include "base/coding.h"
#include "net/frame.h"

namespace walrus::fuzz {

constexpr net::ClusterId kCluster{1, 2};

inline std::string frames_of(Bytes input) {
  std::string bytes;
  Decoder from(input);
  while (from.remaining() >= 6) {
    net::FrameHeader header;
    header.type = net::FrameType(*from.le<std::uint8_t>());
    header.flags = *from.le<std::uint8_t>();
    header.method = {*from.le<std::uint8_t>()};
    header.id = *from.le<std::uint8_t>();
    header.incarnation = {1};
    const auto length = std::min<std::size_t>(*from.le<std::uint16_t>(), from.remaining());
    net::append_frame(bytes, header, kCluster, *from.take(length));
  }
  return bytes;
}

inline std::string small_frame(net::FrameType type, std::uint8_t flags, std::uint8_t method,
                               std::uint8_t id, Bytes body) {
  std::string bytes;
  append_le(bytes, static_cast<std::uint8_t>(type));
  append_le(bytes, flags);
  append_le(bytes, method);
  append_le(bytes, id);
  append_le(bytes, static_cast<std::uint16_t>(body.size()));
  return bytes.append(body);
}

}  // namespace walrus::fuzz
