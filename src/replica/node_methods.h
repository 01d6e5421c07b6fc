#pragma once
// The methods of the peer protocol that replica::Node serves.
//
//   kSegmentParcel  one way: a parcel of wire/peer/segment_message.h
//   kSegmentRead    call: segment | from | bytes_max | acknowledged end, all uvarint; the reply is
//                   the batches in a row, as stored
//   kSegmentFind    call: segment uvarint | time in ms, zigzag; the reply is the offset of the
//   first
//                   record that is not older, and 1 more, uvarint; 0: there is none
//   kSegmentSurvey  call: segment uvarint; the reply is what is known of one that is sealed there:
//                   waits u8 | epoch | start | end | known | count, uvarint, and for each copy
//                   node uvarint | flags u8 (1 answered, 2 removed) | knowledge u8 | end uvarint
//   kSegmentAccept  call: segment | epoch | end, uvarint | by whom, string; the reply is empty
//   kSegmentKnock   one way, empty: there is to be a connection again
//   kSegmentThere   call, empty both ways: who answers, also that it knows no such method, is there

#include <algorithm>

#include "net/rpc.h"
#include "replica/node.h"

namespace walrus::replica {

constexpr net::Method kSegmentParcel{0x310};
constexpr net::Method kSegmentRead{0x311};
constexpr net::Method kSegmentFind{0x312};
constexpr net::Method kHandedAppends{0x313};
constexpr net::Method kSegmentSurvey{0x314};
constexpr net::Method kSegmentAccept{0x315};
constexpr net::Method kSegmentKnock{0x316};
constexpr net::Method kSegmentThere{0x317};

std::string encode(const SealSurvey&);
Result<SealSurvey> parse_survey(Bytes);  // kCorrupt

// Connections that carry batches of up to `batch_bytes_max`: a message that holds one and the
// producer state beside it, several of them under way.
inline net::RpcOptions with_segments(net::RpcOptions options, std::size_t batch_bytes_max) {
  constexpr std::size_t kBeside = 1 << 20;
  options.message_bytes_max = std::max(options.message_bytes_max, batch_bytes_max + kBeside);
  options.bulk_window = std::max(options.bulk_window, 4 * options.message_bytes_max);
  options.queue_bytes_max = std::max(options.queue_bytes_max, 4 * options.message_bytes_max);
  options.replies_bytes_max = std::max(options.replies_bytes_max, 2 * options.message_bytes_max);
  return options;
}

}  // namespace walrus::replica
