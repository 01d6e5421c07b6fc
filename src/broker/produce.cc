// Local::produce(): a batch from a client that builds its own.

#include "broker/broker.h"
#include "record/batch.h"

namespace walrus::broker {

Result<log::Appended> Local::produce(const log::StreamRef& stream, Bytes bytes,
                                     const ProduceRules& rules) {
  if (broker_.storage_low()) return fail(Code::kNoSpace, "storage full");
  constexpr std::size_t kMagicPosition = 16;  // in every format
  if (bytes.size() > kMagicPosition && bytes[kMagicPosition] != record::kMagic)
    return fail(Code::kInvalid, "record batch: magic {}, only 2 is taken",
                static_cast<int>(bytes[kMagicPosition]));
  WALRUS_ASSIGN(auto batch, record::BatchView::parse(bytes));
  if (batch.bytes().size() != bytes.size())
    return fail(Code::kInvalid, "{} bytes after the record batch: one batch is taken at a time",
                bytes.size() - batch.bytes().size());
  auto batch_bytes_max = static_cast<std::size_t>(broker_.options_.batch_bytes_max);
  if (bytes.size() > batch_bytes_max)
    return fail(Code::kTooLarge, "a record batch of {} bytes, the limit is {}", bytes.size(),
                batch_bytes_max);
  auto codec = batch.codec();
  bool allowed = codec < record::Codec::kZstd || (codec == record::Codec::kZstd && rules.zstd);
  // One pass sums what is good; what is not is told from what was damaged on its way.
  Result<record::BatchView> valid =
      fail(Code::kVersion, "record batch: codec {} is not allowed", static_cast<int>(codec));
  if (allowed)
    valid = record::validate(bytes, {.batch_bytes_max = broker_.options_.decompressed_bytes_max});
  if (!valid && !batch.crc_holds())
    return fail(Code::kCorrupt, "record batch: the CRC does not hold");
  if (!valid && valid.error().code == Code::kCorrupt)
    return fail(Code::kInvalid, "{}", valid.error().message);
  if (!valid) return std::unexpected(std::move(valid).error());
  return engine().append_batch(stream, *valid);
}

}  // namespace walrus::broker
