#pragma once
// The bodies of frames (net/frame.h). All numbers little endian; texts are what is left of the
// body.
//
//   kHello     u64 from, u64 to (0: whoever it is), u64 link, u64 last_link, limits
//   kWelcome   u64 from, u64 link, limits
//              limits: u32 message_bytes_max, bulk_window, control_window, stream_window,
//              streams_max
//   kRefuse    u8 reason, text
//   kCall, kSend, kOpen   u32 timeout_ms, payload
//   kReply, kData         payload
//   kError, kCancel       u8 code (walrus::Code), text
//   kCredit    u8 window, u32 bytes; of the window kStream the frame's id is the stream
//   kAccept, kPing, kPong nothing
//
// Parsers are pure and take bytes from strangers: kCorrupt.

#include <cstdint>
#include <string>

#include "net/frame.h"

namespace walrus::net {

// What the sender of it is ready to receive.
struct PeerLimits {
  std::uint32_t message_bytes_max = 0;                                   // payload of one message
  std::uint32_t bulk_window = 0, control_window = 0, stream_window = 0;  // bytes, see net/rpc.h
  std::uint32_t streams_max = 0;
  bool operator==(const PeerLimits&) const = default;
};

struct Hello {
  NodeId from{}, to{};
  std::uint64_t link = 0;       // names the connection; drawn by who connects
  std::uint64_t last_link = 0;  // the last one of this pair that the sender knows; 0: none
  PeerLimits limits{};
  bool operator==(const Hello&) const = default;
};

struct Welcome {
  NodeId from{};
  std::uint64_t link = 0;
  PeerLimits limits{};
  bool operator==(const Welcome&) const = default;
};

enum class RefusalReason : std::uint8_t {
  kProtocol = 1,    // what came is against the protocol
  kVersion,         // of the frames
  kWrongCluster,    // of a frame
  kWrongNode,       // the connection was meant for another node
  kOldIncarnation,  // a later life of the sender is known
  kSimultaneous,    // both connected at once, and the other connection is kept
  kTooMany,         // connections
  kStopping,
  kTaken,  // an earlier life of the sender still answers
};

struct Refusal {
  RefusalReason reason{};
  std::string text{};
  bool operator==(const Refusal&) const = default;
};

struct CallBody {
  std::uint32_t timeout_ms = 0;  // left when it was sent
  Bytes payload{};
};

enum class WindowKind : std::uint8_t { kBulk = 0, kControl = 1, kStream = 2 };

struct Credit {
  WindowKind window{};
  std::uint32_t bytes = 0;
};

constexpr std::size_t kCallPreludeBytes = 4;
constexpr std::size_t kTextBytesMax = 1024;  // of a refusal or an error; longer ones are cut

void append_hello(std::string& to, const Hello&);
void append_welcome(std::string& to, const Welcome&);
void append_refusal(std::string& to, const Refusal&);
void append_error(std::string& to, const Error&);
void append_credit(std::string& to, const Credit&);

Result<Hello> parse_hello(Bytes body);
Result<Welcome> parse_welcome(Bytes body);
Result<Refusal> parse_refusal(Bytes body);
Result<CallBody> parse_call(Bytes body);
Result<Error> parse_error(Bytes body);
Result<Credit> parse_credit(Bytes body);

}  // namespace walrus::net
