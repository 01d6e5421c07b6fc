#pragma once
// Frames of the native protocol, both directions.
//
//   position  size  field
//          0     4  length   u32, little endian, of what follows; 1 to the receiver's limit
//          4     .  body     text, except for payloads, which are any bytes
//
// FrameSplitter cuts what a connection receives into frames. It owns the receive buffer, which
// grows only as bytes arrive, never by what a length field claims. Pure: no I/O.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "walrus/log.h"

namespace walrus::wire::native {

constexpr std::size_t kFrameHeaderBytes = 4;
constexpr std::size_t kFrameBytesMax = 1 << 20;   // default of native.frame_bytes_max
constexpr std::size_t kDrainBytesMax = 64 << 20;  // a longer body is not drained: close

// Appends header and body.
void append_frame(std::string& to, Bytes body);
// For bodies that are built in place: mark = begin_frame(to); ...; end_frame(to, mark).
std::size_t begin_frame(std::string& to);
void end_frame(std::string& to, std::size_t mark);

class FrameSplitter {
 public:
  struct Limits {
    std::size_t frame_bytes_max = kFrameBytesMax;
    std::size_t drain_bytes_max = kDrainBytesMax;
  };
  enum class Kind {
    kFrame,      // body is a whole frame's
    kBadLength,  // zero or above frame_bytes_max: the body is skipped, the next frame is valid
    kClose,      // above drain_bytes_max: answer, then close; nothing after it is looked at
  };
  struct Event {
    Kind kind = Kind::kFrame;
    Bytes body{};
  };

  FrameSplitter() : FrameSplitter(Limits{}) {}
  explicit FrameSplitter(const Limits& limits) : limits_(limits) {}

  void set_limits(const Limits& limits) { limits_ = limits; }  // of the frames to come

  // Where the next bytes are to be received; never empty. Views of earlier events end here.
  std::span<char> space();
  void received(std::size_t size);  // so many bytes were put at the start of space()
  // The next event that the received bytes hold; none: more bytes are needed.
  std::optional<Event> next();
  // Nothing of a further frame has been received: the peer may end here cleanly.
  bool at_border() const { return begin_ == end_ && drain_left_ == 0; }
  // The first bytes received and not yet consumed: to tell what protocol a stranger speaks.
  Bytes pending() const { return {buffer_.data() + begin_, end_ - begin_}; }
  std::size_t buffer_bytes() const { return buffer_.size(); }

 private:
  Limits limits_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // received and not consumed
  std::size_t drain_left_ = 0;       // of an oversize body
  bool closed_ = false;
};

}  // namespace walrus::wire::native
