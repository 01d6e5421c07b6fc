#pragma once
// Frames between nodes; docs/peer-protocol.md has worked bytes. All numbers little endian.
//
//   position  size  field
//          0     3  magic        "WPP"
//          3     1  version      1
//          4     1  type         FrameType
//          5     1  flags        kEnd, kYours, kControl
//          6     2  method       of kCall, kSend, kOpen; else 0
//          8     4  length       of the body, 0 to the receiver's limit
//         12     4  crc          CRC-32C of the 44 header bytes besides it, then the body
//         16    16  cluster      the sender's, u64 high, u64 low
//         32     8  incarnation  the sender's
//         40     8  id           of a call, a stream or a ping; else 0
//         48     .  body         as net/message.h says
//
// FrameSplitter cuts what a connection receives into frames. It owns the receive buffer, which
// grows only as bytes arrive. Pure: no I/O.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "net/identity.h"

namespace walrus::net {

constexpr std::size_t kFrameHeaderBytes = 48;
constexpr std::uint8_t kFrameVersion = 1;

enum class FrameType : std::uint8_t {
  kHello = 1,  // the first frame of who connected
  kWelcome,    // the answer to it
  kRefuse,     // or this, and then the end of the connection; later too
  kCall,       // a request that wants one reply
  kReply,      // to a call: its result
  kError,      // to a call or an open: why there is none
  kCancel,     // the sender gives up a call, or a stream in both directions
  kSend,       // a message that wants no reply
  kOpen,       // a request that wants a stream
  kAccept,     // to an open: the stream is there
  kData,       // the next bytes of a stream
  kCredit,     // the receiver has room for more
  kPing,       // wants a kPong of the same id
  kPong,
};

enum FrameFlags : std::uint8_t {
  kEnd = 1,      // of kData: nothing follows in this direction
  kYours = 2,    // the id was issued by the receiver of this frame
  kControl = 4,  // of kCall, kSend, kReply, kError: small and urgent, has a window of its own
};

struct Method {
  std::uint16_t value = 0;
  auto operator<=>(const Method&) const = default;
};

struct FrameHeader {
  FrameType type{};
  std::uint8_t flags = 0;
  Method method{};
  std::uint64_t id = 0;
  Incarnation incarnation{};
  bool operator==(const FrameHeader&) const = default;
};

struct Frame {
  FrameHeader header{};
  Bytes body{};  // lives until the splitter's next space()
};

// For bodies that are built in place: mark = begin_frame(to); append the body; end_frame(...).
std::size_t begin_frame(std::string& to);
void end_frame(std::string& to, std::size_t mark, const FrameHeader&, const ClusterId&);
void append_frame(std::string& to, const FrameHeader&, const ClusterId&, Bytes body);

class FrameSplitter {
 public:
  FrameSplitter(const ClusterId& cluster, std::size_t body_bytes_max)
      : cluster_(cluster), body_bytes_max_(body_bytes_max) {}
  void set_body_bytes_max(std::size_t bytes) { body_bytes_max_ = bytes; }

  // Where the next bytes are to be received; never empty. Bodies of earlier frames end here.
  std::span<char> space();
  void received(std::size_t size);  // so many bytes were put at the start of space()
  // The next whole frame; none: more bytes are needed. A header is judged as soon as it is there,
  // before its body, but for its cluster, which a damaged one may not accuse. After an error
  // nothing that follows can be told apart: close. kCorrupt: no frame of this protocol, or damaged;
  // kVersion; kTooLarge; kMismatch: of another cluster.
  Result<std::optional<Frame>> next();
  // After kMismatch: the cluster whose frame it was.
  const ClusterId& foreign() const { return foreign_; }
  std::size_t buffer_bytes() const { return buffer_.size(); }

 private:
  Result<std::size_t> check_header(Bytes header) const;  // the body's length

  ClusterId cluster_, foreign_{};
  std::size_t body_bytes_max_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // received and not consumed
  bool filled_ = false;              // the last read used all the space that it was given
};

}  // namespace walrus::net
