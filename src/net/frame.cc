#include "net/frame.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/coding.h"
#include "base/crc32c.h"

namespace walrus::net {
namespace {

constexpr Bytes kMagic = "WPP";
constexpr std::size_t kCrcPosition = 12, kBehindCrc = 16;
constexpr std::size_t kSpaceBytesMin = 4 << 10;
constexpr std::size_t kBusySpaceBytes = 256 << 10;  // offered to who fills what is offered

// `frame`: header and body.
std::uint32_t crc_of(Bytes frame) {
  return crc32c(frame.substr(kBehindCrc), crc32c(frame.substr(0, kCrcPosition)));
}

// The flags that a frame of this type may have.
std::uint8_t flags_of(FrameType type) {
  switch (type) {
    case FrameType::kCall:
    case FrameType::kSend: return kControl;
    case FrameType::kReply:
    case FrameType::kError: return kYours | kControl;
    case FrameType::kAccept:
    case FrameType::kCancel:
    case FrameType::kCredit: return kYours;
    case FrameType::kData: return kEnd | kYours;
    default: return 0;
  }
}

bool has_method(FrameType type) {
  return type == FrameType::kCall || type == FrameType::kSend || type == FrameType::kOpen;
}

}  // namespace

std::string to_string(const ClusterId& id) {
  return fmt::format("{:016x}{:016x}", id.high, id.low);
}

std::size_t begin_frame(std::string& to) {
  to.append(kFrameHeaderBytes, '\0');
  return to.size();
}

void end_frame(std::string& to, std::size_t mark, const FrameHeader& header,
               const ClusterId& cluster) {
  CHECK(mark >= kFrameHeaderBytes && mark <= to.size());
  char* const at = to.data() + mark - kFrameHeaderBytes;
  std::memcpy(at, kMagic.data(), kMagic.size());
  store_le(at + 3, kFrameVersion);
  store_le(at + 4, static_cast<std::uint8_t>(header.type));
  store_le(at + 5, header.flags);
  store_le(at + 6, header.method.value);
  store_le(at + 8, static_cast<std::uint32_t>(to.size() - mark));
  store_le(at + 16, cluster.high);
  store_le(at + 24, cluster.low);
  store_le(at + 32, header.incarnation.value);
  store_le(at + 40, header.id);
  store_le(at + kCrcPosition, crc_of(Bytes(to).substr(mark - kFrameHeaderBytes)));
}

void append_frame(std::string& to, const FrameHeader& header, const ClusterId& cluster,
                  Bytes body) {
  const auto mark = begin_frame(to);
  to.append(body);
  end_frame(to, mark, header, cluster);
}

std::span<char> FrameSplitter::space() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
    if (buffer_.size() > kBusySpaceBytes) std::vector<char>().swap(buffer_);
  } else if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  // Doubling by what has arrived: a length field alone takes no memory.
  if (buffer_.size() - end_ < kSpaceBytesMin)
    buffer_.resize(std::max(2 * end_, end_ + kSpaceBytesMin));
  else if (filled_ && buffer_.size() < kBusySpaceBytes) buffer_.resize(2 * buffer_.size());
  return std::span(buffer_).subspan(end_);
}

void FrameSplitter::received(std::size_t size) {
  CHECK(size <= buffer_.size() - end_);
  end_ += size;
  filled_ = end_ == buffer_.size();
}

Result<std::size_t> FrameSplitter::check_header(Bytes header) const {
  if (!header.starts_with(kMagic)) return fail(Code::kCorrupt, "not a frame of the peer protocol");
  const auto version = load_le<std::uint8_t>(header.data() + 3);
  if (version != kFrameVersion)
    return fail(Code::kVersion, "a frame of version {}, this is {}", version, kFrameVersion);
  const auto type = load_le<std::uint8_t>(header.data() + 4);
  if (type < static_cast<std::uint8_t>(FrameType::kHello) ||
      type > static_cast<std::uint8_t>(FrameType::kPong))
    return fail(Code::kCorrupt, "a frame of unknown type {}", type);
  const auto flags = load_le<std::uint8_t>(header.data() + 5);
  const auto method = load_le<std::uint16_t>(header.data() + 6);
  if ((flags & ~flags_of(FrameType(type))) != 0 || (method != 0 && !has_method(FrameType(type))))
    return fail(Code::kCorrupt, "a frame of type {} with flags {} and method {}", type, flags,
                method);
  const std::size_t length = load_le<std::uint32_t>(header.data() + 8);
  if (length > body_bytes_max_)
    return fail(Code::kTooLarge, "a frame of {} bytes, the limit is {}", length, body_bytes_max_);
  return length;
}

Result<std::optional<Frame>> FrameSplitter::next() {
  const Bytes rest(buffer_.data() + begin_, end_ - begin_);
  if (rest.size() < kFrameHeaderBytes) {
    // What cannot become a frame is told at once, not when its writer is tired of waiting.
    if (rest.substr(0, kMagic.size()) != kMagic.substr(0, rest.size()))
      return fail(Code::kCorrupt, "not a frame of the peer protocol");
    return std::nullopt;
  }
  WALRUS_ASSIGN(const auto length, check_header(rest.substr(0, kFrameHeaderBytes)));
  if (rest.size() - kFrameHeaderBytes < length) return std::nullopt;
  const Bytes whole = rest.substr(0, kFrameHeaderBytes + length);
  if (load_le<std::uint32_t>(whole.data() + kCrcPosition) != crc_of(whole))
    return fail(Code::kCorrupt, "a frame whose checksum is wrong");
  const ClusterId cluster{load_le<std::uint64_t>(whole.data() + 16),
                          load_le<std::uint64_t>(whole.data() + 24)};
  if (cluster != cluster_) {
    foreign_ = cluster;
    return fail(Code::kMismatch, "a frame of cluster {}, this is {}", to_string(cluster),
                to_string(cluster_));
  }
  begin_ += whole.size();
  const FrameHeader header{.type = FrameType(load_le<std::uint8_t>(whole.data() + 4)),
                           .flags = load_le<std::uint8_t>(whole.data() + 5),
                           .method = {load_le<std::uint16_t>(whole.data() + 6)},
                           .id = load_le<std::uint64_t>(whole.data() + 40),
                           .incarnation = {load_le<std::uint64_t>(whole.data() + 32)}};
  return Frame{.header = header, .body = whole.substr(kFrameHeaderBytes)};
}

}  // namespace walrus::net
