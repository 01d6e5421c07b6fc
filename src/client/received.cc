#include "client/received.h"

#include "wire/native/reply.h"

namespace walrus {

Received::Received(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Received::Received(Received&&) noexcept = default;
Received& Received::operator=(Received&&) noexcept = default;
Received::~Received() = default;
const StoredRecord* Received::begin() const { return impl_->records.data(); }
const StoredRecord* Received::end() const { return begin() + impl_->records.size(); }
Offset Received::next() const { return impl_->next; }

namespace client {
namespace {

// A bound on what one compressed batch may grow to in memory.
constexpr std::size_t kDecompressedBytesMax = 256 << 20;

Result<void> add_batch(Received::Impl& to, const record::BatchView& batch, Offset from) {
  if (!batch.crc_holds())
    return fail(Code::kCorrupt, "batch at offset {}: checksum mismatch", batch.base_offset());
  if (batch.control()) return {};
  WALRUS_ASSIGN(auto iterator, record::RecordIterator::open(batch, kDecompressedBytesMax));
  auto& records = to.iterators.emplace_back(std::move(iterator));
  while (true) {
    WALRUS_ASSIGN(auto view, records.next());
    if (!view) return {};
    if (view->offset < from.value) continue;
    StoredRecord record;
    record.key = view->key;
    record.value = view->value;
    record.timestamp = Time(Millis(view->timestamp_ms));
    record.offset = Offset{view->offset};
    record.epoch = batch.epoch();
    if (view->header_count > 0) {
      WALRUS_TRY(record::decode_headers(*view, to.headers.emplace_back()));
      record.headers = to.headers.back();
    }
    to.records.push_back(record);
  }
}

}  // namespace

Result<Received> receive_batches(std::string body, Offset from) {
  auto impl = std::make_unique<Received::Impl>();
  impl->body = std::move(body);
  WALRUS_ASSIGN(auto reply, wire::native::parse_batches(impl->body));
  impl->next = std::max(reply.next, from);
  for (Bytes rest = reply.batches; !rest.empty();) {
    WALRUS_ASSIGN(auto batch, record::BatchView::parse(rest));
    WALRUS_TRY(add_batch(*impl, batch, from));
    rest.remove_prefix(batch.bytes().size());
  }
  return Received(std::move(impl));
}

Result<Received> receive_records(std::string body) {
  auto impl = std::make_unique<Received::Impl>();
  impl->body = std::move(body);
  WALRUS_ASSIGN(auto reply, wire::native::parse_records(impl->body));
  impl->next = reply.next;
  impl->records.reserve(reply.records.size());
  for (const auto& line : reply.records) {
    StoredRecord record;
    record.value = line.value;
    record.timestamp = Time(Millis(line.timestamp_ms));
    record.offset = line.offset;
    impl->records.push_back(record);
  }
  return Received(std::move(impl));
}

}  // namespace client
}  // namespace walrus
