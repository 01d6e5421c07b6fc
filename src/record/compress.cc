#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <limits>
#include <memory>

#include "base/crc32c.h"
#include "record/batch.h"
#include "record/xerial.h"

namespace walrus::record {
namespace {

constexpr int kZstdLevel = 3;  // the default of zstd and of Java's clients
constexpr int kLz4Level = 0;   // the fast one
constexpr std::size_t kPlainBytesMax = std::numeric_limits<std::int32_t>::max();

// All of these append the compressed `input` to `to`.
Result<void> gzip(Bytes input, int level, std::string& to) {
  z_stream stream{};
  constexpr int kGzipOnly = 16, kMemoryLevel = 8;
  if (deflateInit2(&stream, level, Z_DEFLATED, MAX_WBITS + kGzipOnly, kMemoryLevel,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    return fail(Code::kIo, "no memory for gzip");
  }
  std::unique_ptr<z_stream, decltype(&deflateEnd)> ends(&stream, deflateEnd);
  auto before = to.size();
  auto bound = deflateBound(&stream, input.size());
  int status = Z_OK;
  to.resize_and_overwrite(before + bound, [&](char* bytes, std::size_t) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
    stream.avail_in = static_cast<uInt>(input.size());
    stream.next_out = reinterpret_cast<Bytef*>(bytes + before);
    stream.avail_out = static_cast<uInt>(bound);
    status = deflate(&stream, Z_FINISH);
    return before + stream.total_out;
  });
  if (status != Z_STREAM_END) return fail(Code::kIo, "gzip failed: {}", status);
  return {};
}

Result<void> snappy_xerial(Bytes input, std::string& to) {
  to.append(kXerialMagic);
  append_be(to, kXerialVersion);
  append_be(to, kXerialVersion);
  while (!input.empty()) {
    auto block = input.substr(0, kXerialBlockBytes);
    input.remove_prefix(block.size());
    auto size_at = to.size();
    auto block_at = size_at + sizeof(std::int32_t);
    std::size_t size = 0;
    to.resize_and_overwrite(
        block_at + snappy::MaxCompressedLength(block.size()), [&](char* bytes, std::size_t) {
          snappy::RawCompress(block.data(), block.size(), bytes + block_at, &size);
          return block_at + size;
        });
    store_be(to.data() + size_at, static_cast<std::int32_t>(size));
  }
  return {};
}

Result<void> lz4(Bytes input, int level, std::string& to) {
  LZ4F_preferences_t preferences{};  // as Java's clients need it: independent blocks, no size
  preferences.frameInfo.blockMode = LZ4F_blockIndependent;
  preferences.frameInfo.blockSizeID = LZ4F_max64KB;
  preferences.compressionLevel = level;
  auto before = to.size();
  auto bound = LZ4F_compressFrameBound(input.size(), &preferences);
  std::size_t size = 0;
  to.resize_and_overwrite(before + bound, [&](char* bytes, std::size_t) {
    size = LZ4F_compressFrame(bytes + before, bound, input.data(), input.size(), &preferences);
    return LZ4F_isError(size) ? before : before + size;
  });
  if (LZ4F_isError(size)) return fail(Code::kIo, "lz4 failed: {}", LZ4F_getErrorName(size));
  return {};
}

Result<void> zstd(Bytes input, int level, std::string& to) {
  auto before = to.size();
  auto bound = ZSTD_compressBound(input.size());
  std::size_t size = 0;
  to.resize_and_overwrite(before + bound, [&](char* bytes, std::size_t) {
    size = ZSTD_compress(bytes + before, bound, input.data(), input.size(), level);
    return ZSTD_isError(size) ? before : before + size;
  });
  if (ZSTD_isError(size)) return fail(Code::kIo, "zstd failed: {}", ZSTD_getErrorName(size));
  return {};
}

Result<void> append_compressed(Codec codec, std::optional<int> level, Bytes input,
                               std::string& to) {
  switch (codec) {
    case Codec::kNone: to.append(input); return {};
    case Codec::kGzip: return gzip(input, level.value_or(Z_DEFAULT_COMPRESSION), to);
    case Codec::kSnappy: return snappy_xerial(input, to);
    case Codec::kLz4: return lz4(input, level.value_or(kLz4Level), to);
    case Codec::kZstd: return zstd(input, level.value_or(kZstdLevel), to);
  }
  return fail(Code::kInvalid, "record batch: unknown codec {}", static_cast<int>(codec));
}

}  // namespace

Result<std::string> compress(const BatchView& batch, Codec codec, std::optional<int> level) {
  std::string plain;
  auto body = batch.body();
  if (batch.count() == 0) codec = Codec::kNone;  // nothing to compress, and no reader would look
  if (batch.codec() != Codec::kNone && batch.count() > 0) {
    WALRUS_ASSIGN(plain, decompress(batch.codec(), body, kPlainBytesMax));
    body = plain;
  }
  std::string made(batch.bytes().substr(0, kBatchHeaderBytes));
  WALRUS_TRY(append_compressed(codec, level, body, made));
  if (made.size() - kLogOverheadBytes > kPlainBytesMax) {
    return fail(Code::kTooLarge, "record batch: compressed, it has {} bytes", made.size());
  }
  auto attributes =
      static_cast<std::int16_t>((batch.attributes() & ~kCodecBits) | static_cast<int>(codec));
  store_be(made.data() + kLengthPosition,
           static_cast<std::int32_t>(made.size() - kLogOverheadBytes));
  store_be(made.data() + kBatchHeadBytes, attributes);
  store_be(made.data() + 17, crc32c(Bytes(made).substr(kBatchHeadBytes)));
  return made;
}

}  // namespace walrus::record
