#pragma once
// Where in the files of a Walrus directory which field of which structure lies, by the layout
// tables in the format headers, and what damage there must lead to.

#include <map>
#include <optional>
#include <set>
#include <string>

#include "log/journal.h"
#include "log/manifest.h"
#include "tables.h"

namespace walrus::corruption {

using Files = std::map<io::Path, std::string>;

enum class Fate {
  kServed,      // nothing depends on these bytes any more, or they look torn: everything is there
  kSpare,       // something else serves instead: everything is there, verify() tells
  kNewestSlot,  // as if the file were not there: the older manifest serves, or it is refused
  kUnreadable,  // what lies here cannot be read (kCorrupt), everything else can; verify() tells
  kRefused,     // the directory is not opened, the error names the file; verify() tells
};

// Offsets [from, to) of a stream.
struct Range {
  std::uint64_t stream = 0;
  std::int64_t from = 0, to = 0;
};

struct Place {
  std::string table{}, field{};
  io::Path file{};
  std::int64_t position = 0, length = 0;
  Fate fate = Fate::kServed;
  std::vector<Range> loses{};  // kUnreadable; in a journal: what a running engine cannot read
  // In a journal: the log ends here if this is damaged, unless nothing below was known synced.
  std::optional<log::Lsn> ends_log{};
};

// What damage to a range of bytes comes to.
struct Judgement {
  Fate fate = Fate::kServed;
  std::vector<Range> loses;  // must be unreadable
  std::vector<Range> may;    // may be: what the same file holds
};

class Layout {
 public:
  explicit Layout(const Files&);
  const std::vector<Place>& places() const { return places_; }
  Judgement judge(const io::Path&, std::int64_t from, std::int64_t to) const;

 private:
  struct Group {
    io::Path file;
    std::int64_t position = 0;
    log::Lsn synced_to = 0;
  };

  void add(const std::string& table, const io::Path&, std::int64_t position, const Place& like);
  void add_batch(const io::Path&, std::int64_t position, Bytes batch, const Place& like);
  void add_manifests(const Files&);
  void add_journal(const io::Path&, Bytes content);
  std::int64_t add_frames(const io::Path&, Bytes content, const log::JournalHeader&,
                          std::int64_t position, bool live);
  void add_segments(const Files&);
  void add_extent(Bytes content, const log::StreamSnapshot&, const log::Extent&);
  log::Lsn synced_without(const io::Path&, std::int64_t from, std::int64_t to) const;

  const std::vector<Table> tables_ = read_tables();
  const std::vector<BodyField> grammar_ = read_body_grammar();
  log::Manifest manifest_;           // the newest
  std::set<std::uint64_t> dropped_;  // streams, since the manifest
  std::vector<Group> groups_;
  std::vector<Place> places_;
  std::map<io::Path, std::vector<Range>> held_;  // by segment file
};

}  // namespace walrus::corruption
