#include "broker/cursor_keeper.h"

#include <utility>

#include "base/coding.h"

namespace walrus::broker {
namespace {

constexpr char kCursor = 'c';
constexpr std::uint8_t kVersion = 1;

std::unexpected<Error> corrupt() { return fail(Code::kCorrupt, "a damaged record of a cursor"); }

}  // namespace

std::string encode_cursor_key(const CursorKey& key) {
  std::string bytes{kCursor};
  bytes.append(reinterpret_cast<const char*>(key.topic.bytes.data()), key.topic.bytes.size());
  append_le(bytes, key.partition);
  return bytes + key.reader;
}

Result<CursorKey> decode_cursor_key(Bytes bytes) {
  CursorKey key;
  constexpr std::size_t kIdBytes = sizeof key.topic.bytes;
  Decoder from(bytes);
  auto kind = from.le<char>();
  auto id = from.take(kIdBytes);
  auto partition = from.le<std::uint32_t>();
  if (!from.ok() || kind != kCursor) return corrupt();
  std::memcpy(key.topic.bytes.data(), id->data(), kIdBytes);
  key.partition = *partition;
  key.reader = from.rest();
  return key;
}

std::string encode_cursor_value(Offset position) {
  std::string bytes;
  append_le(bytes, kVersion);
  append_le(bytes, position.value);
  return bytes;
}

Result<Offset> decode_cursor_value(Bytes bytes) {
  Decoder from(bytes);
  auto version = from.le<std::uint8_t>();
  if (!version) return corrupt();
  if (*version != kVersion)
    return fail(Code::kVersion, "a cursor of version {}, known is {}", *version, kVersion);
  auto position = from.le<std::int64_t>();
  if (!position || *position < 0 || !from.at_end()) return corrupt();
  return Offset{*position};
}

// One topic's part of a keeper.
class CursorKeeper::View final : public Cursors {
 public:
  View(std::shared_ptr<CursorKeeper> keeper, const Uuid& topic)
      : keeper_(std::move(keeper)), topic_(topic) {}

  Result<std::optional<Offset>> get(std::size_t partition, Bytes reader) const override {
    WALRUS_TRY(keeper_->check());
    auto found = keeper_->positions_.find(key(partition, reader));
    if (found == keeper_->positions_.end()) return std::nullopt;
    return found->second;
  }
  Result<void> put(std::size_t partition, Bytes reader, Offset position,
                   log::Done<void> done) override {
    WALRUS_TRY(keeper_->check());
    auto& positions = keeper_->positions_;
    auto at = key(partition, reader);
    if (positions.size() >= kCursorsMax && !positions.contains(at))
      return fail(Code::kTooLarge, "there are too many consumers");
    JournalRecord record{.key = encode_cursor_key(at), .value = encode_cursor_value(position)};
    WALRUS_TRY(keeper_->journal_->append({&record, 1}, std::move(done)));
    positions[at] = position;
    return {};
  }
  void when_room(std::size_t, log::Done<void> done) override {
    keeper_->journal_->when_room(std::move(done));
  }
  io::Task<void> confirm() override {
    WALRUS_CO_TRY(keeper_->check());
    co_return co_await keeper_->journal_->confirm();
  }

 private:
  CursorKey key(std::size_t partition, Bytes reader) const {
    return {topic_, static_cast<std::uint32_t>(partition), std::string(reader)};
  }

  const std::shared_ptr<CursorKeeper> keeper_;  // shared with the other topics
  const Uuid topic_;
};

CursorKeeper::CursorKeeper(std::unique_ptr<Journal> journal) : journal_(std::move(journal)) {}

Result<void> CursorKeeper::check() const {
  if (stopped_) return fail(Code::kFenced, "the cursors are kept elsewhere");
  if (!opened_) return fail(Code::kBusy, "the cursors are being read");
  return {};
}

io::Task<void> CursorKeeper::open() {
  auto self = shared_from_this();
  if (opened_) co_return Result<void>();
  if (std::exchange(opening_, true)) co_return fail(Code::kBusy, "the cursors are being read");
  positions_.clear();
  auto loaded =
      co_await journal_->load([this](Bytes key_bytes, std::optional<Bytes> value) -> Result<void> {
        WALRUS_ASSIGN(auto key, decode_cursor_key(key_bytes));
        if (!value) {
          positions_.erase(key);
          return {};
        }
        WALRUS_ASSIGN(positions_[key], decode_cursor_value(*value));
        return {};
      });
  opening_ = false;
  opened_ = loaded.has_value();
  co_return loaded;
}

// What does not get to the disk now is found again by the next owner.
void CursorKeeper::forget(const std::function<bool(const Uuid&)>& gone) {
  if (!check()) return;
  constexpr std::size_t kAtOnce = 1'000;
  std::vector<JournalRecord> removed;
  auto remove = [&] {
    bool done = removed.empty() || journal_->append(removed, [](const Result<void>&) {});
    removed.clear();
    return done;
  };
  for (auto at = positions_.begin(); at != positions_.end();) {
    if (!gone(at->first.topic)) {
      ++at;
      continue;
    }
    removed.push_back({.key = encode_cursor_key(at->first)});
    at = positions_.erase(at);
    if (removed.size() >= kAtOnce && !remove()) return;
  }
  (void)remove();
}

std::shared_ptr<Cursors> CursorKeeper::cursors(const Uuid& topic) {
  return std::make_shared<View>(shared_from_this(), topic);
}

}  // namespace walrus::broker
