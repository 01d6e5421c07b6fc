#include "wire/native/frame.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/coding.h"

namespace walrus::wire::native {

namespace {
constexpr std::size_t kSpaceBytesMin = 4 << 10;
constexpr std::size_t kIdleBytesMax = 64 << 10;  // a larger buffer is given back when it is empty
}  // namespace

void append_frame(std::string& to, Bytes body) {
  append_le(to, static_cast<std::uint32_t>(body.size()));
  to.append(body);
}

std::size_t begin_frame(std::string& to) {
  to.append(kFrameHeaderBytes, '\0');
  return to.size();
}

void end_frame(std::string& to, std::size_t mark) {
  CHECK(mark >= kFrameHeaderBytes && mark <= to.size());
  store_le(to.data() + mark - kFrameHeaderBytes, static_cast<std::uint32_t>(to.size() - mark));
}

std::span<char> FrameSplitter::space() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
    if (buffer_.size() > kIdleBytesMax) std::vector<char>().swap(buffer_);
  } else if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  // Doubling by what has arrived: a length field alone takes no memory.
  if (buffer_.size() - end_ < kSpaceBytesMin)
    buffer_.resize(std::max(2 * end_, end_ + kSpaceBytesMin));
  return std::span(buffer_).subspan(end_);
}

void FrameSplitter::received(std::size_t size) {
  CHECK(size <= buffer_.size() - end_);
  end_ += size;
}

std::optional<FrameSplitter::Event> FrameSplitter::next() {
  if (closed_) return std::nullopt;
  if (drain_left_ > 0) {
    auto skipped = std::min(drain_left_, end_ - begin_);
    begin_ += skipped;
    drain_left_ -= skipped;
    if (drain_left_ > 0) return std::nullopt;
  }
  if (end_ - begin_ < kFrameHeaderBytes) return std::nullopt;
  std::size_t length = load_le<std::uint32_t>(buffer_.data() + begin_);
  if (length > limits_.drain_bytes_max && length > limits_.frame_bytes_max) {
    closed_ = true;
    begin_ = end_ = 0;
    return Event{.kind = Kind::kClose};
  }
  if (length == 0 || length > limits_.frame_bytes_max) {
    begin_ += kFrameHeaderBytes;
    drain_left_ = length;
    return Event{.kind = Kind::kBadLength};
  }
  if (end_ - begin_ - kFrameHeaderBytes < length) return std::nullopt;
  Bytes body(buffer_.data() + begin_ + kFrameHeaderBytes, length);
  begin_ += kFrameHeaderBytes + length;
  return Event{.kind = Kind::kFrame, .body = body};
}

}  // namespace walrus::wire::native
