#include "log/cursor.h"

#include <algorithm>

namespace walrus::log {
namespace {

constexpr std::size_t kCursorNameBytesMax = 255;
constexpr std::int64_t kAheadBytes = 64 << 10;  // what a read leaves is laid aside for the next

std::string encode_position(Offset position) {
  std::string value;
  append_le(value, position.value);
  return value;
}

Result<Offset> decode_position(const StreamRef& stream, Bytes name, Bytes value) {
  Decoder decoder(value);
  auto position = decoder.le<std::int64_t>();
  if (!position || !decoder.at_end() || *position < 0)
    return fail(Code::kCorrupt, "{}: position of cursor {} is damaged", stream_name(stream), name);
  return Offset{*position};
}

}  // namespace

Result<CursorState::Taken> CursorState::take(const Place& place, const CursorOptions& options,
                                             const ReadOptions& read_options) {
  std::lock_guard lock(mutex_);
  WALRUS_ASSIGN(auto records, read_at_position(place, read_options));
  auto count = static_cast<std::int64_t>(records->records.size());
  if (count == 0) {  // nothing was read, but a gap may lie behind
    position_ = records->next;
    return Taken{std::move(records), std::nullopt};
  }
  std::int64_t every = std::max<std::int64_t>(options.persist_every, 1);
  if (options.delivery == Delivery::kAtMostOnce || read_since_store_ + count >= every) {
    WALRUS_TRY(store(place.face.engine(), place.ref, records->next));
    position_ = records->next;
    return Taken{std::move(records), stored_at_};
  }
  read_since_store_ += count;
  position_ = records->next;
  return Taken{std::move(records), std::nullopt};
}

Result<std::unique_ptr<Records::Impl>> CursorState::peek(const Place& place,
                                                         const ReadOptions& options) {
  std::lock_guard lock(mutex_);
  return read_at_position(place, options);
}

// Leaves position_ where it is, or moves it to where the log begins or ends by now.
Result<std::unique_ptr<Records::Impl>> CursorState::read_at_position(const Place& place,
                                                                     const ReadOptions& options) {
  WALRUS_TRY(check_present(place.ref));
  auto& engine = place.face.engine();
  std::uint64_t generation = place.shared.generation.load();
  Walk walk(position_);
  if (aside_ && aside_->walk.next() == position_ && aside_->generation == generation &&
      options.up_to == UpTo::kHighWatermark) {
    WALRUS_TRY(engine.bounds(place.ref));  // as a fetch: fails after a failure
    walk = std::move(aside_->walk);
  }
  drop_aside();
  auto records = gather(engine, place.ref, walk, options, kAheadBytes);
  if (!records && records.error().code == Code::kOutOfRange) {
    WALRUS_TRY(clamp(place));
    walk = Walk(position_);
    records = gather(engine, place.ref, walk, options, kAheadBytes);
  }
  if (records && options.up_to == UpTo::kHighWatermark)
    lay_aside(place, std::move(walk), generation);
  return records;
}

Result<std::optional<Pending>> CursorState::commit(const Place& place, Offset next) {
  std::lock_guard lock(mutex_);
  WALRUS_TRY(check_present(place.ref));
  auto& engine = place.face.engine();
  WALRUS_ASSIGN(auto range, engine.bounds(place.ref));
  if (next < range.log_start || next > range.log_end)
    return fail(Code::kOutOfRange, "{}: commit of offset {}, the log is {}..{}",
                stream_name(place.ref), next.value, range.log_start.value, range.log_end.value);
  if (stored_ != next) WALRUS_TRY(store(engine, place.ref, next));
  position_ = next;
  read_since_store_ = 0;
  return stored_at_;
}

Result<Offset> CursorState::position(const Place& place) {
  std::lock_guard lock(mutex_);
  WALRUS_TRY(clamp(place));
  return position_;
}

Result<std::int64_t> CursorState::unread(const Place& place) {
  std::lock_guard lock(mutex_);
  WALRUS_ASSIGN(auto range, clamp(place));
  return std::max<std::int64_t>(range.high_watermark.value - position_.value, 0);
}

Result<std::optional<Pending>> CursorState::lower(Engine& engine, const StreamRef& stream,
                                                  Offset end) {
  std::lock_guard lock(mutex_);
  if (removed_) return std::nullopt;
  drop_aside();
  if (stored_ > end) WALRUS_TRY(store(engine, stream, end));
  position_ = std::min(position_, end);
  return stored_at_;
}

Result<Pending> CursorState::remove(Engine& engine, const StreamRef& stream) {
  std::lock_guard lock(mutex_);
  WALRUS_TRY(check_present(stream));
  WALRUS_ASSIGN(auto pending, engine.put_state(stream, Table::kCursors, name_, std::nullopt));
  removed_ = true;
  drop_aside();
  return pending;
}

std::optional<Pending> CursorState::stored_at() {
  std::lock_guard lock(mutex_);
  return stored_at_;
}

Result<void> CursorState::store(Engine& engine, const StreamRef& stream, Offset position) {
  WALRUS_ASSIGN(auto pending,
                engine.put_state(stream, Table::kCursors, name_, encode_position(position)));
  stored_ = position;
  stored_at_ = pending;
  read_since_store_ = 0;
  return {};
}

// Trims and retention move the log start at any time; the position follows when it is looked at.
// That the log end falls below it is seen to by truncate().
Result<Bounds> CursorState::clamp(const Place& place) {
  WALRUS_TRY(check_present(place.ref));
  WALRUS_ASSIGN(auto range, place.face.engine().bounds(place.ref));
  position_ = std::clamp(position_, range.log_start, std::max(range.log_start, range.log_end));
  return range;
}

Result<void> CursorState::check_present(const StreamRef& stream) const {
  if (removed_)
    return fail(Code::kNotFound, "{}: cursor {} was removed", stream_name(stream), name_);
  return {};
}

void CursorState::lay_aside(const Place& place, Walk walk, std::uint64_t generation) {
  std::size_t bytes = walk.bytes_held();
  if (walk.used_up() || !place.face.lay_aside(bytes)) return;
  aside_.emplace(std::move(walk), generation, &place.face, bytes);
}

void CursorState::drop_aside() {
  if (!aside_) return;
  aside_->face->take_up(aside_->bytes);
  aside_.reset();
}

Result<std::shared_ptr<CursorState>> open_cursor(const CursorState::Place& place, Bytes name,
                                                 const CursorOptions& options) {
  if (name.empty() || name.size() > kCursorNameBytesMax)
    return fail(Code::kInvalid, "a cursor name has 1 to {} bytes, not {}", kCursorNameBytesMax,
                name.size());
  auto& engine = place.face.engine();
  std::lock_guard lock(place.shared.mutex);
  WALRUS_ASSIGN(auto range, engine.bounds(place.ref));
  if (auto found = place.shared.cursors.find(name); found != place.shared.cursors.end())
    return found->second;
  Offset position = std::max(options.start, range.log_start);
  std::optional<Pending> stored_at;
  if (auto stored = engine.get_state(place.ref, Table::kCursors, name)) {
    WALRUS_ASSIGN(position, decode_position(place.ref, name, *stored));
    position = std::min(position, range.log_end);
  } else {
    if (options.start.value < 0 || position > range.log_end)
      return fail(Code::kOutOfRange, "{}: cursor start {}, the log is {}..{}",
                  stream_name(place.ref), options.start.value, range.log_start.value,
                  range.log_end.value);
    WALRUS_ASSIGN(stored_at,
                  engine.put_state(place.ref, Table::kCursors, name, encode_position(position)));
  }
  auto state = std::make_shared<CursorState>(std::string(name), position, stored_at);
  place.shared.cursors.emplace(std::string(name), state);
  return state;
}

Result<Pending> remove_cursor(const CursorState::Place& place, Bytes name) {
  auto& engine = place.face.engine();
  std::lock_guard lock(place.shared.mutex);
  WALRUS_TRY(engine.bounds(place.ref));
  auto found = place.shared.cursors.find(name);
  if (found != place.shared.cursors.end()) {
    WALRUS_ASSIGN(auto pending, found->second->remove(engine, place.ref));
    place.shared.cursors.erase(found);
    return pending;
  }
  if (!engine.get_state(place.ref, Table::kCursors, name))
    return fail(Code::kNotFound, "{}: no cursor {}", stream_name(place.ref), name);
  return engine.put_state(place.ref, Table::kCursors, name, std::nullopt);
}

namespace {

// The stored position of a cursor that no handle was opened for.
Result<std::optional<Pending>> lower_stored(Engine& engine, const StreamRef& stream,
                                            const std::string& name, const std::string& value,
                                            Offset end) {
  auto position = decode_position(stream, name, value);
  // A damaged one is reported to whoever opens it.
  if (!position || *position <= end) return std::nullopt;
  WALRUS_ASSIGN(auto pending,
                engine.put_state(stream, Table::kCursors, name, encode_position(end)));
  return pending;
}

}  // namespace

Result<void> truncate(Face& face, const StreamRef& stream, StreamShared& shared,
                      Offset first_dropped) {
  auto& engine = face.engine();
  std::vector<Pending> pendings;
  {
    // Also over a wait for room: a cursor opened in between could be left beyond the end.
    std::lock_guard lock(shared.mutex);
    WALRUS_ASSIGN(auto range, engine.bounds(stream));
    bool drops = first_dropped >= range.log_start && first_dropped < range.log_end;
    // Offsets are given again: the log end may come to be where it was at the last clean mark.
    if (drops) {
      WALRUS_ASSIGN(auto dirty, with_room(face, stream,
                                          [&] { return put_clean(engine, stream, std::nullopt); }));
      pendings.push_back(dirty);
    }
    WALRUS_ASSIGN(auto truncated,
                  with_room(face, stream, [&] { return engine.truncate(stream, first_dropped); }));
    pendings.push_back(truncated);
    shared.generation.fetch_add(1);
    for (const auto& [name, value] : engine.list_state(stream, Table::kCursors)) {
      auto open = shared.cursors.find(name);
      WALRUS_ASSIGN(auto lowered, with_room(face, stream, [&] {
                      return open != shared.cursors.end()
                                 ? open->second->lower(engine, stream, first_dropped)
                                 : lower_stored(engine, stream, name, value, first_dropped);
                    }));
      if (lowered) pendings.push_back(*lowered);
    }
  }
  for (const auto& pending : pendings) WALRUS_TRY(engine.wait(pending));
  return {};
}

Result<void> clamp_cursors(Engine& engine) {
  for (const auto& stream : engine.list("")) {
    auto cursors = engine.list_state(stream, Table::kCursors);
    if (cursors.empty()) continue;
    WALRUS_ASSIGN(auto range, engine.bounds(stream));
    for (const auto& [name, value] : cursors) {
      WALRUS_ASSIGN(auto lowered, lower_stored(engine, stream, name, value, range.log_end));
      if (lowered) WALRUS_TRY(engine.wait(*lowered));
    }
  }
  return {};
}

}  // namespace walrus::log

namespace walrus {

using log::Call;

struct Cursor::Impl {
  std::shared_ptr<log::Face> face;
  log::StreamRef ref;
  std::shared_ptr<log::StreamShared> shared;
  std::shared_ptr<log::CursorState> state;
  CursorOptions options;

  log::CursorState::Place place() { return {*face, ref, *shared}; }
};

Cursor::Cursor(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<Records> Cursor::read(const ReadOptions& options) {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  WALRUS_TRY(log::check_read_options(options));
  auto& face = *impl_->face;
  using Taken = Result<std::unique_ptr<Records::Impl>>;
  return log::waiting(face, impl_->ref, options, [&]() -> Taken {
    WALRUS_ASSIGN(auto taken, log::with_room(face, impl_->ref, [&] {
                    return impl_->state->take(impl_->place(), impl_->options, options);
                  }));
    if (taken.pending) WALRUS_TRY(face.engine().wait(*taken.pending));
    return std::move(taken.records);
  });
}

Result<Records> Cursor::peek(const ReadOptions& options) const {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  WALRUS_TRY(log::check_read_options(options));
  return log::waiting(*impl_->face, impl_->ref, options,
                      [&] { return impl_->state->peek(impl_->place(), options); });
}

Result<void> Cursor::commit(Offset next) {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  WALRUS_ASSIGN(auto pending, log::with_room(*impl_->face, impl_->ref, [&] {
                  return impl_->state->commit(impl_->place(), next);
                }));
  if (!pending) return {};
  return impl_->face->engine().wait(*pending);
}

Result<Offset> Cursor::position() const {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  return impl_->state->position(impl_->place());
}

Result<std::int64_t> Cursor::unread() const {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  return impl_->state->unread(impl_->place());
}

Result<Cursor> Stream::cursor(Bytes name, const CursorOptions& options) {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  auto& face = *impl_->face;
  log::CursorState::Place place{face, impl_->ref, *impl_->shared};
  WALRUS_ASSIGN(auto state, log::with_room(face, impl_->ref,
                                           [&] { return log::open_cursor(place, name, options); }));
  // Made a moment ago, maybe by another thread: it exists once it is on the disk.
  if (auto pending = state->stored_at()) WALRUS_TRY(face.engine().wait(*pending));
  return Cursor(std::make_shared<Cursor::Impl>(impl_->face, impl_->ref, impl_->shared,
                                               std::move(state), options));
}

Result<std::vector<std::string>> Stream::cursors() const {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  auto& engine = impl_->face->engine();
  WALRUS_TRY(engine.bounds(impl_->ref));
  std::vector<std::string> names;
  for (auto& [name, value] : engine.list_state(impl_->ref, log::Table::kCursors))
    names.push_back(name);
  return names;
}

Result<void> Stream::remove_cursor(Bytes name) {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  auto& face = *impl_->face;
  log::CursorState::Place place{face, impl_->ref, *impl_->shared};
  WALRUS_ASSIGN(auto pending,
                log::with_room(face, impl_->ref, [&] { return log::remove_cursor(place, name); }));
  return face.engine().wait(pending);
}

}  // namespace walrus
