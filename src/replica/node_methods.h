#pragma once
// The methods of the peer protocol that replica::Node serves.
//
//   kSegmentParcel  one way: a parcel of wire/peer/segment_message.h
//   kSegmentRead    call: segment | from | bytes_max | acknowledged end, all uvarint; the reply is
//                   the batches in a row, as stored

#include "net/frame.h"

namespace walrus::replica {

constexpr net::Method kSegmentParcel{0x310};
constexpr net::Method kSegmentRead{0x311};

}  // namespace walrus::replica
