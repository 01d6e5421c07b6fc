#include <algorithm>

#include "log/facade.h"

namespace walrus {

using log::Call;

// Reads ahead in pieces that grow, so that a short scan costs little and a long one few fetches.
struct Reader::Impl {
  std::shared_ptr<log::Face> face;
  log::StreamRef ref;
  ReadOptions options;
  log::Walk walk;
  std::int64_t ahead_bytes;
  StoredRecord record{};
  std::vector<Header> headers{};

  Result<bool> fetch();  // false: nothing more for now
  Result<bool> fetch_waiting();
};

namespace {

constexpr std::int64_t kFirstAheadBytes = 64 << 10;
constexpr std::int64_t kAheadGrowth = 4;

}  // namespace

Result<bool> Reader::Impl::fetch() {
  WALRUS_ASSIGN(auto fetched,
                log::fetch(face->engine(), ref, walk.next(), {ahead_bytes, options.up_to}));
  if (fetched.bytes.empty() || fetched.next <= walk.next()) return false;
  walk.load(std::move(fetched.bytes));
  ahead_bytes = std::min(ahead_bytes * kAheadGrowth, std::max<std::int64_t>(options.bytes_max, 1));
  return true;
}

Result<bool> Reader::Impl::fetch_waiting() {
  Call call(face.get());
  if (!call) return log::Face::closed();
  std::optional<io::Nanos> until;
  while (true) {
    WALRUS_ASSIGN(bool fetched, fetch());
    if (fetched || options.wait <= Millis(0)) return fetched;
    if (!until) until = face->deadline(options.wait);
    WALRUS_ASSIGN(bool readable, face->wait_readable(ref, walk.next(), options.up_to, *until));
    if (!readable) return false;
  }
}

Result<const StoredRecord*> Reader::next() {
  if (!impl_) return log::Face::closed();
  auto& reader = *impl_;
  while (true) {
    if (!reader.face->usable()) return log::Face::closed();
    WALRUS_ASSIGN(const auto* view, reader.walk.peek());
    if (!view) {
      WALRUS_ASSIGN(bool fetched, reader.fetch_waiting());
      if (!fetched) return nullptr;
      continue;
    }
    log::fill(reader.record, *view, reader.walk.epoch());
    reader.headers.clear();
    if (view->header_count > 0) WALRUS_TRY(record::decode_headers(*view, reader.headers));
    reader.record.headers = reader.headers;
    reader.walk.take();
    return &reader.record;
  }
}

Reader::Reader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Reader::Reader(Reader&&) noexcept = default;
Reader& Reader::operator=(Reader&&) noexcept = default;
Reader::~Reader() = default;

Result<Reader> Stream::scan(Offset from, const ReadOptions& options) const {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  WALRUS_TRY(log::check_read_options(options));
  auto reader = std::make_unique<Reader::Impl>(
      impl_->face, impl_->ref, options, log::Walk(from),
      std::clamp<std::int64_t>(options.bytes_max, 1, kFirstAheadBytes));
  WALRUS_TRY(reader->fetch());  // an offset out of range is answered here
  return Reader(std::move(reader));
}

}  // namespace walrus
