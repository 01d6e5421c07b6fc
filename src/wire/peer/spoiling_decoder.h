#pragma once
// SpoilingDecoder: a Decoder that is spoilt by what is out of range as it is by what is not there,
// so that a parser asks once, at the end. A codec's own pieces are in a class derived from it.

#include <cstddef>
#include <cstdint>

#include "base/coding.h"
#include "walrus/node_id.h"

namespace walrus::wire::peer {

class SpoilingDecoder {
 public:
  explicit SpoilingDecoder(Bytes bytes) : from_(bytes) {}

  bool ok() const { return ok_ && from_.ok(); }
  bool whole() const { return ok() && from_.at_end(); }
  void spoil() { ok_ = false; }

  std::uint64_t number() { return from_.uvarint().value_or(0); }
  unsigned byte(unsigned max = UINT8_MAX, unsigned min = 0) {
    const unsigned value = from_.le<std::uint8_t>().value_or(0);
    if (value > max || value < min) spoil();
    return value;
  }
  NodeId node() {
    NodeId id{number()};
    if (id == NodeId{}) spoil();
    return id;
  }
  // How many of at least so many bytes follow: no memory is taken for what the bytes cannot hold.
  std::size_t count(std::size_t bytes_min, std::size_t max) {
    const auto count = number();
    if (ok() && count <= from_.remaining() / bytes_min && count <= max)
      return static_cast<std::size_t>(count);
    spoil();
    return 0;
  }

 protected:
  Decoder from_;

 private:
  bool ok_ = true;
};

}  // namespace walrus::wire::peer
