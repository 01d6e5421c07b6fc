#pragma once
// What opens a stream on which one node hands on the requests of a client to another: who the
// client is, as the node that hands on has proven it. What follows on the stream are the frames of
// the client's own protocol, both ways.
//
//   open  version u8 = 1 | user string | client string
//
// Strings have their size before them, a uvarint. Pure.

#include <string>

#include "base/result.h"

namespace walrus::wire::peer {

constexpr std::size_t kForwardTextBytesMax = 255;  // of each string

struct ForwardOpen {
  std::string user{};    // empty: nobody was asked
  std::string client{};  // its address: "10.0.0.7:4711"
  bool operator==(const ForwardOpen&) const = default;
};

void append_forward_open(std::string& to, const ForwardOpen&);
Result<ForwardOpen> parse_forward_open(Bytes);  // kCorrupt, kVersion

}  // namespace walrus::wire::peer
