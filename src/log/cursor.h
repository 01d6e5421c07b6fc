#pragma once
// The shared position behind all handles of one cursor. Reading moves it under its lock, so that no
// two reads return one record; what is stored is never beyond what was read or committed.
//
// Stored as the last value of (Table::kCursors, name): the position, 8 bytes little endian. The put
// happens under the lock, so that the journal has positions in the order in which they were taken;
// waiting for the disk happens outside.
//
// Threads: any.

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "log/facade.h"

namespace walrus::log {

class CursorState {
 public:
  CursorState(std::string name, Offset stored, std::optional<Pending> stored_at)
      : name_(std::move(name)), position_(stored), stored_(stored), stored_at_(stored_at) {}
  ~CursorState() { drop_aside(); }

  // Where it is used: the stream that it belongs to.
  struct Place {
    Face& face;
    const StreamRef& ref;
    StreamShared& shared;
  };
  struct Taken {
    std::unique_ptr<Records::Impl> records;
    std::optional<Pending> pending;  // to wait for before the records are handed out
  };
  // kBusy: nothing was taken; wait for room and try again.
  Result<Taken> take(const Place&, const CursorOptions&, const ReadOptions&);
  Result<std::unique_ptr<Records::Impl>> peek(const Place&, const ReadOptions&);
  // What to wait for until the position is durable; none: it is.
  Result<std::optional<Pending>> commit(const Place&, Offset next);
  Result<Offset> position(const Place&);
  Result<std::int64_t> unread(const Place&);

  // After a truncation: not beyond `end` any more.
  Result<std::optional<Pending>> lower(Engine&, const StreamRef&, Offset end);
  Result<Pending> remove(Engine&, const StreamRef&);  // every later call answers kNotFound
  std::optional<Pending> stored_at();

 private:
  // A walk in the middle of what was fetched, for the read that goes on there.
  struct Aside {
    Walk walk;
    std::uint64_t generation;
    Face* face;
    std::size_t bytes;
  };
  Result<std::unique_ptr<Records::Impl>> read_at_position(const Place&, const ReadOptions&);
  Result<void> store(Engine&, const StreamRef&, Offset);
  Result<Bounds> clamp(const Place&);
  Result<void> check_present(const StreamRef&) const;
  void lay_aside(const Place&, Walk, std::uint64_t generation);
  void drop_aside();

  const std::string name_;
  std::mutex mutex_;  // guards what follows; held over a fetch, never over a wait
  Offset position_;   // of the next record to read
  Offset stored_;     // what the journal has, durable when stored_at_ is
  std::optional<Pending> stored_at_;
  std::int64_t read_since_store_ = 0;  // records
  bool removed_ = false;
  std::optional<Aside> aside_;
};

Result<std::shared_ptr<CursorState>> open_cursor(const CursorState::Place&, Bytes name,
                                                 const CursorOptions&);
Result<Pending> remove_cursor(const CursorState::Place&, Bytes name);

// Truncates the stream and moves the cursors that are beyond its new end down to it.
Result<void> truncate(Face&, const StreamRef&, StreamShared&, Offset first_dropped);
// At open, before anything is appended: a crash may have come between a truncation and its cursors.
Result<void> clamp_cursors(Engine&);

}  // namespace walrus::log
