#pragma once
// CursorKeeper: the positions of the readers of many topics, in one journal: of all topics whose
// names hash to one partition of kCursorsStream, by the node that leads it. Lives on its loop.
//
// A record of the journal:
//
//   key    byte 'c', topic id 16 bytes, u32 le partition, name of the reader
//   value  byte version (1), i64 le position
//
// A topic's positions are removed once the topic is known to be gone.

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/uuid.h"
#include "broker/cursors.h"
#include "broker/journal.h"

namespace walrus::broker {

struct CursorKey {
  Uuid topic{};
  std::uint32_t partition = 0;
  std::string reader{};
  auto operator<=>(const CursorKey&) const = default;
};
std::string encode_cursor_key(const CursorKey&);
Result<CursorKey> decode_cursor_key(Bytes);  // kCorrupt
std::string encode_cursor_value(Offset);
Result<Offset> decode_cursor_value(Bytes);  // kCorrupt, kVersion

class CursorKeeper : public std::enable_shared_from_this<CursorKeeper> {
 public:
  static constexpr std::size_t kCursorsMax = 1'000'000;  // then kTooLarge for a new one

  explicit CursorKeeper(std::unique_ptr<Journal>);

  // Reads what is durable, once; may be tried again. Everything else fails with kBusy before.
  io::Task<void> open();
  bool opened() const { return opened_; }
  // The topics of which `gone` says so have no positions any more.
  void forget(const std::function<bool(const Uuid&)>& gone);
  // The positions are kept elsewhere: every call fails with kFenced.
  void stop() { stopped_ = true; }
  bool stopped() const { return stopped_; }

  // The positions of one topic's readers.
  std::shared_ptr<Cursors> cursors(const Uuid& topic);

 private:
  class View;
  Result<void> check() const;

  const std::unique_ptr<Journal> journal_;
  std::map<CursorKey, Offset> positions_;
  bool opened_ = false, stopped_ = false, opening_ = false;
};

}  // namespace walrus::broker
