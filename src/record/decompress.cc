#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>

#include "record/batch.h"
#include "record/xerial.h"

namespace walrus::record {
namespace {

constexpr std::size_t kFirstOutputBytes = 4 << 10;
// No snappy element makes more than 64 bytes of 3, so a block that claims more lies.
constexpr std::size_t kSnappyRatioMax = 22;

std::unexpected<Error> damaged(Bytes codec) {
  return fail(Code::kCorrupt, "record batch: damaged {} data", codec);
}

std::unexpected<Error> too_large(std::size_t limit) {
  return fail(Code::kTooLarge, "record batch: decompressed, it is larger than the {} bytes allowed",
              limit);
}

// Grows by doubling while a stream decompresses into it, so that memory follows what the input
// really holds and not what it claims, and never exceeds the limit. Room for one byte beyond the
// limit tells an output that fits exactly from one that does not.
class Output {
 public:
  Output(std::size_t input_bytes, std::size_t limit)
      : limit_(std::min(limit, std::string::npos / 2)) {
    grow_to(std::max(kFirstOutputBytes, input_bytes * 4));
  }

  // Room to write to; none when the limit is exceeded.
  std::span<char> room() {
    if (used_ > limit_) return {};
    if (used_ == bytes_.size()) grow_to(bytes_.size() * 2);
    return std::span(bytes_).subspan(used_);
  }
  void wrote(std::size_t size) { used_ += size; }
  Result<std::string> take() {
    if (used_ > limit_) return too_large(limit_);
    bytes_.resize(used_);
    return std::move(bytes_);
  }

 private:
  void grow_to(std::size_t size) {
    size = std::min(size, limit_ + 1);
    // libstdc++ 12 passes the capacity as the second argument, which may be more than `size`.
    bytes_.resize_and_overwrite(size, [size](char*, std::size_t) { return size; });
  }
  std::string bytes_;
  std::size_t used_ = 0, limit_;
};

Result<std::string> gunzip(Bytes input, std::size_t limit) {
  z_stream stream{};
  constexpr int kGzipOnly = 16;
  if (inflateInit2(&stream, MAX_WBITS + kGzipOnly) != Z_OK) {
    return fail(Code::kIo, "no memory for gzip");
  }
  std::unique_ptr<z_stream, decltype(&inflateEnd)> ends(&stream, inflateEnd);
  Output output(input.size(), limit);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
  stream.avail_in = static_cast<uInt>(input.size());
  while (true) {
    auto room = output.room();
    if (room.empty()) return too_large(limit);
    auto offered = std::min<std::size_t>(room.size(), 1u << 30);
    stream.next_out = reinterpret_cast<Bytef*>(room.data());
    stream.avail_out = static_cast<uInt>(offered);
    int status = inflate(&stream, Z_NO_FLUSH);
    output.wrote(offered - stream.avail_out);
    if (status == Z_STREAM_END) {
      if (stream.avail_in == 0) return output.take();
      inflateReset(&stream);  // a further member follows
    } else if (status != Z_OK && !(status == Z_BUF_ERROR && stream.avail_out == 0)) {
      return damaged("gzip");  // also cut short: Z_BUF_ERROR with room left
    } else if (stream.avail_in == 0 && stream.avail_out > 0) {
      return damaged("gzip");
    }
  }
}

// One raw block, appended to `to`.
Result<void> unsnappy_block(Bytes block, std::size_t limit, std::string& to) {
  std::size_t size = 0;
  if (!snappy::GetUncompressedLength(block.data(), block.size(), &size)) return damaged("snappy");
  if (size > limit - to.size()) return too_large(limit);
  if (size / kSnappyRatioMax > block.size()) return damaged("snappy");
  auto before = to.size();
  bool whole = false;
  to.resize_and_overwrite(before + size, [&](char* bytes, std::size_t) {
    whole = snappy::RawUncompress(block.data(), block.size(), bytes + before);
    return before + (whole ? size : 0);
  });
  if (!whole) return damaged("snappy");
  return {};
}

Result<std::string> unsnappy(Bytes input, std::size_t limit) {
  std::string output;
  if (!input.starts_with(kXerialMagic)) {
    WALRUS_TRY(unsnappy_block(input, limit, output));
    return output;
  }
  Decoder decoder(input);
  while (!decoder.at_end()) {
    if (decoder.rest().starts_with(kXerialMagic)) {  // streams may follow each other
      decoder.take(kXerialMagic.size() + 4);
      if (decoder.be<std::int32_t>().value_or(-1) != kXerialVersion) return damaged("snappy");
      continue;
    }
    auto size = decoder.be<std::int32_t>();
    if (!size || *size < 0) return damaged("snappy");
    auto block = decoder.take(static_cast<std::size_t>(*size));
    if (!block) return damaged("snappy");
    WALRUS_TRY(unsnappy_block(*block, limit, output));
  }
  return output;
}

Result<std::string> unlz4(Bytes input, std::size_t limit) {
  LZ4F_dctx* made = nullptr;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&made, LZ4F_VERSION))) {
    return fail(Code::kIo, "no memory for lz4");
  }
  std::unique_ptr<LZ4F_dctx, decltype(&LZ4F_freeDecompressionContext)> context(
      made, LZ4F_freeDecompressionContext);
  Output output(input.size(), limit);
  while (true) {
    auto room = output.room();
    if (room.empty()) return too_large(limit);
    auto written = room.size(), read = input.size();
    auto hint = LZ4F_decompress(context.get(), room.data(), &written, input.data(), &read, nullptr);
    if (LZ4F_isError(hint)) return damaged("lz4");
    input.remove_prefix(read);
    output.wrote(written);
    if (input.empty() && hint == 0) return output.take();
    // Nothing more to read or to write, yet the frame goes on: it is cut short.
    if (read == 0 && written == 0) return damaged("lz4");
  }
}

Result<std::string> unzstd(Bytes input, std::size_t limit) {
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  if (!context) return fail(Code::kIo, "no memory for zstd");
  Output output(input.size(), limit);
  ZSTD_inBuffer in{input.data(), input.size(), 0};
  while (true) {
    auto room = output.room();
    if (room.empty()) return too_large(limit);
    ZSTD_outBuffer out{room.data(), room.size(), 0};
    auto before = in.pos;
    auto hint = ZSTD_decompressStream(context.get(), &out, &in);
    if (ZSTD_isError(hint)) return damaged("zstd");
    output.wrote(out.pos);
    if (in.pos == in.size && hint == 0) return output.take();
    if (in.pos == before && out.pos == 0) return damaged("zstd");  // cut short
  }
}

}  // namespace

Result<std::string> decompress(Codec codec, Bytes input, std::size_t limit) {
  if (input.size() > (1u << 31) - 1) return too_large(limit);  // no batch holds more
  switch (codec) {
    case Codec::kNone:
      if (input.size() > limit) return too_large(limit);
      return std::string(input);
    case Codec::kGzip: return gunzip(input, limit);
    case Codec::kSnappy: return unsnappy(input, limit);
    case Codec::kLz4: return unlz4(input, limit);
    case Codec::kZstd: return unzstd(input, limit);
  }
  return fail(Code::kCorrupt, "record batch: unknown codec {}", static_cast<int>(codec));
}

}  // namespace walrus::record
