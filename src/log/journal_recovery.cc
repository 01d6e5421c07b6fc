// Recovery of a journal. See the head of journal.h for what is torn and what is corrupt.

#include <algorithm>
#include <map>

#include "base/check.h"
#include "log/journal.h"
#include "log/journal_name.h"

namespace walrus::log {

struct Journal::Found {
  JournalFileRef file;
  bool taken = false;           // for what recovery copies: see make_room()
  bool valid = false;           // has a header of this directory, layout, shard and sequence
  std::int64_t bad_copy = -1;   // of that header: its position
  std::int64_t last_group = 0;  // of its activation, behind the start of the replay; 0: none
  JournalHeader header;
};

// A file from its front to its end, of which a piece is in memory.
class Journal::Window {
 public:
  void open(const JournalFile& file) {
    file_ = &file;
    from_ = 0;
    bytes_.clear();
  }
  // What lies at `position` and behind it: `least` bytes or more, fewer at the file's end. Until
  // the next call.
  Result<Bytes> at(std::int64_t position, std::int64_t least) {
    least = std::min(least, file_->size - position);
    if (least <= 0) return Bytes();
    if (position < from_ || position + least > from_ + std::ssize(bytes_)) {
      WALRUS_TRY(move_to(position, least));
    }
    return Bytes(bytes_).substr(static_cast<std::size_t>(position - from_));
  }
  // A frame, if one is there: whole, unless the file ends before it does.
  Result<Bytes> frame_at(std::int64_t position) {
    WALRUS_ASSIGN(auto head, at(position, kFrameHeaderBytes));
    if (std::ssize(head) < kFrameHeaderBytes) return head;
    return at(position, kFrameHeaderBytes + load_le<std::uint32_t>(head.data() + 4));
  }

 private:
  Result<void> move_to(std::int64_t position, std::int64_t least) {
    constexpr std::int64_t kMin = 4 * kBlockBytes, kMax = 1 << 20;
    auto piece = std::clamp(file_->size / 8, kMin, kMax);
    auto kept = std::clamp<std::int64_t>(from_ + std::ssize(bytes_) - position, 0, least);
    if (position < from_) kept = 0;
    bytes_.erase(0, bytes_.size() - static_cast<std::size_t>(kept));
    from_ = position;
    auto size = std::min(std::max(piece, least), file_->size - position);
    Result<std::size_t> read = 0;
    bytes_.resize_and_overwrite(static_cast<std::size_t>(size), [&](char* to, std::size_t all) {
      auto had = static_cast<std::size_t>(kept);
      read = file_->file->read(position + kept, {to + had, all - had});
      return had + read.value_or(0);
    });
    if (!read) return std::unexpected(std::move(read).error());
    return {};
  }

  const JournalFile* file_ = nullptr;
  std::int64_t from_ = 0;  // position of the first byte
  std::string bytes_;
};

struct Journal::Replay {
  const Apply* apply = nullptr;  // none: only `end` and `end_frame` are wanted
  const Found* first = nullptr;  // the file that holds the start, or follows it
  Window window;                 // of the file that is replayed
  Lsn start = 0;
  Lsn synced_to = 0;               // D
  Lsn end = 0;                     // exact end of the last good frame
  Lsn cut = 0;                     // exact end of the last good frame below D
  std::uint64_t cut_sequence = 0;  // the file in which that is
  // The sequence that the last frame names, if it was an end frame: also when that file is there
  // and holds no frame.
  std::uint64_t end_frame = 0;
  bool roomy = false;          // on the disk: see writes_copies_
  bool gives_up_link = false;  // a file that is linked into the log, and holds nothing of it
  std::map<std::uint64_t, Found*> by_sequence;
  std::map<std::uint64_t, Found*> successor;  // the newest valid file that names one before it
  // What can be written to when the disk is full; filled in by find_unused().
  std::optional<std::vector<Found*>> unused;

  Found* next_of(std::uint64_t sequence) const {
    auto next = successor.find(sequence);
    return next == successor.end() ? nullptr : next->second;
  }
};

namespace {

constexpr std::size_t kCopyBytes = 1 << 20;  // written at a time
static_assert(kCopyBytes % io::kDirectBytes == 0 && kBlockBytes % io::kDirectBytes == 0);

constexpr std::int64_t kPieceBytes = 1 << 20;

// Calls back for each group header with its position, a piece of the file at a time, from a
// multiple of a block on; until a piece ends beyond `bytes_max`.
Result<void> for_each_group(const JournalFile& file, std::int64_t from,
                            const std::function<void(std::int64_t, const GroupHeader&)>& visit,
                            std::int64_t bytes_max = INT64_MAX) {
  std::string piece(static_cast<std::size_t>(std::min(kPieceBytes, file.size)), '\0');
  while (from < std::min(file.size, bytes_max)) {
    auto wanted = std::min<std::int64_t>(std::ssize(piece), file.size - from);
    WALRUS_ASSIGN(auto size,
                  file.file->read(from, {piece.data(), static_cast<std::size_t>(wanted)}));
    auto bytes = Bytes(piece).substr(0, size);
    for (std::size_t at = 0; at < bytes.size(); at += static_cast<std::size_t>(kBlockBytes)) {
      auto group = decode_group_header(bytes.substr(at));
      if (group) visit(from + static_cast<std::int64_t>(at), *group);
    }
    if (std::ssize(bytes) < wanted) break;
    from += round_up(wanted);
  }
  return {};
}

struct Groups {           // of a file's activation, which the nonce tells
  Lsn synced_to = 0;      // the largest; also where a misdirected write has put it: it stays true
  std::int64_t last = 0;  // where the last one lies that is in its place; 0: none
};

Result<Groups> survey_groups(const JournalFile& file, std::int64_t from) {
  Groups groups;
  WALRUS_TRY(for_each_group(file, from, [&](std::int64_t at, const GroupHeader& group) {
    if (group.nonce != file.nonce) return;
    groups.synced_to = std::max(groups.synced_to, group.synced_to);
    if (group.lsn == file.base_lsn + static_cast<Lsn>(at)) groups.last = at;
  }));
  return groups;
}

// A file whose header does not hold, but whose groups say that it was once synced as part of the
// log after `end`: its header rotted. A header torn at activation leaves no such group.
Result<bool> was_synced(const JournalFile& file, Lsn end, std::int64_t bytes_max = INT64_MAX) {
  bool synced = false;
  auto base = static_cast<Lsn>(round_up(static_cast<std::int64_t>(end)));
  auto look = [&](std::int64_t at, const GroupHeader& group) {
    bool in_place = group.lsn == base + static_cast<Lsn>(at);
    synced = synced || (in_place && group.synced_to > end);
  };
  WALRUS_TRY(for_each_group(file, kFirstGroup, look, bytes_max));
  return synced;
}

// Whether it has a header by now with which the log goes on in it behind `end`.
Result<bool> follows(const JournalFile& file, Lsn end) {
  std::string blocks(static_cast<std::size_t>(kFirstGroup), '\0');
  WALRUS_TRY(file.file->read(0, blocks));
  auto is_next = [&](std::int64_t at) {
    auto header = decode_journal_header(Bytes(blocks).substr(static_cast<std::size_t>(at)));
    return header && header->prev_end == end;
  };
  return is_next(0) || is_next(kBlockBytes);
}

}  // namespace

Result<std::vector<Journal::Found>> Journal::find_files() {
  WALRUS_ASSIGN(auto entries, env_.disk().list(options_.directory));
  std::vector<Found> found;
  for (const auto& entry : entries) {
    auto sequence = journal_sequence(entry.name);
    if (!sequence || entry.directory) continue;
    next_sequence_ = std::max(next_sequence_, *sequence + 1);
    Found one;
    one.file = std::make_shared<JournalFile>();
    one.file->path = options_.directory / entry.name;
    one.file->sequence = *sequence;
    auto mode = options_.read_only ? io::Open::kRead : io::Open::kWrite;
    WALRUS_ASSIGN(one.file->file, env_.disk().open(one.file->path, mode));
    WALRUS_ASSIGN(one.file->size, one.file->file->size());
    if (one.file->size < kFirstGroup) {
      found.push_back(std::move(one));
      continue;
    }
    if (options_.mapped && !options_.read_only) {
      WALRUS_ASSIGN(one.file->map, one.file->file->map());
    }
    std::string blocks(static_cast<std::size_t>(kFirstGroup), '\0');
    WALRUS_TRY(one.file->file->read(0, blocks));
    for (auto at : {std::int64_t{0}, kBlockBytes}) {
      auto header = decode_journal_header(Bytes(blocks).substr(static_cast<std::size_t>(at)));
      if (!header && header.error().code == Code::kVersion) {
        return fail(Code::kVersion, "{}: {}", one.file->path.string(), header.error().message);
      }
      if (!header || header->sequence != *sequence || header->layout != options_.layout ||
          header->shard != options_.shard || header->directory_uuid != options_.directory_uuid) {
        one.bad_copy = at;
        continue;
      }
      if (one.valid) break;
      one.valid = true;
      one.header = *header;
      one.file->nonce = header->nonce;
      one.file->base_lsn = header->base_lsn;
    }
    found.push_back(std::move(one));
  }
  return found;
}

Result<void> Journal::recover(const JournalStart& start, const Apply& apply) {
  WALRUS_ASSIGN(auto found, find_files());
  Replay replay;
  replay.apply = &apply;
  replay.start = replay.synced_to = replay.end = replay.cut = start.lsn;
  replay.cut_sequence = start.sequence;
  WALRUS_TRY(survey(replay, found, start));
  replay.roomy = has_room_for_copies(found);
  WALRUS_ASSIGN(Found * now, first_file(replay, start));
  replay.first = now;
  if (!now) WALRUS_TRY(check_nothing_follows(replay, start.sequence));
  std::vector<JournalFileRef> chain;
  while (now) {
    auto* next = replay.next_of(now->file->sequence);
    auto limit = next ? next->header.prev_end : ~Lsn{0};
    chain.push_back(now->file);
    bool synced = now->file->base_lsn + static_cast<Lsn>(kFirstGroup) < replay.synced_to;
    if (now->bad_copy >= 0 && synced) {
      damaged_copies_.push_back({.file = now->file->path,
                                 .position = now->bad_copy,
                                 .what = "this copy of the file header is damaged"});
    }
    WALRUS_TRY(replay_file(replay, *now, limit));
    now->file->end_lsn = replay.cut;
    if (!next || replay.end != limit) {
      WALRUS_TRY(check_end(replay, *now, next != nullptr));
      WALRUS_ASSIGN(opened_torn_, is_torn(replay, *now, next != nullptr));
      break;
    }
    now = next;
  }
  if (replay.end < replay.synced_to) {
    return fail(Code::kCorrupt, "{}: the log ends at {} but was synced to {}",
                options_.directory.string(), replay.end, replay.synced_to);
  }
  // Files in which nothing lies below the cut hold no frame that anybody refers to any more; the
  // manifest may refer to the first one all the same.
  auto kept = std::ranges::find_if(chain, [&](const JournalFileRef& file) {
    return file->base_lsn >= replay.cut && (start.left || file->sequence != start.sequence);
  });
  active_files_.insert(active_files_.begin(), chain.begin(), kept);
  replay.gives_up_link = kept != chain.end();
  if (options_.read_only) {
    end_ = written_ = synced_ = replay.end;
    return {};
  }
  std::vector<io::Path> useless;
  for (auto& one : found) {
    if (one.taken || std::ranges::find(active_files_, one.file) != active_files_.end()) continue;
    if (one.file->size > kFirstGroup + kTailBytes) {
      // Whoever made it may have died before its size was durable, which no sync of a range makes.
      WALRUS_TRY(one.file->file->sync());
      released_.push_back(one.file);
    } else {
      useless.push_back(one.file->path);
    }
  }
  WALRUS_TRY(end_replay(replay));
  for (const auto& path : useless) WALRUS_TRY(env_.disk().remove(path));
  return {};
}

// Finds D, and which file follows which. A group that is in its place below the start says no more
// than the start does.
Result<void> Journal::survey(Replay& replay, std::vector<Found>& found, const JournalStart& start) {
  for (auto& one : found) {
    replay.by_sequence[one.file->sequence] = &one;
    bool before =
        start.left ? one.file->sequence <= start.sequence : one.file->sequence < start.sequence;
    if (!one.valid || before) continue;
    replay.successor[one.header.prev_sequence] = &one;  // ascending: the newest wins
    auto from = kFirstGroup;
    if (one.file->sequence == start.sequence && start.lsn > one.file->base_lsn) {
      auto at = static_cast<std::int64_t>(start.lsn - one.file->base_lsn);
      from = std::max(from, at / kBlockBytes * kBlockBytes);
    }
    WALRUS_ASSIGN(auto groups, survey_groups(*one.file, from));
    one.last_group = groups.last;
    replay.synced_to = std::max(replay.synced_to, groups.synced_to);
  }
  return {};
}

// For all there is twice over. The others of the log's shards copy at the same time.
bool Journal::has_room_for_copies(const std::vector<Found>& found) const {
  auto bytes = options_.file_bytes_max;
  for (const auto& one : found) bytes += 2 * one.file->size;
  auto free = env_.disk().free_bytes(options_.directory);
  return free && *free > bytes;
}

// None: nothing follows the start.
Result<Journal::Found*> Journal::first_file(const Replay& replay, const JournalStart& start) const {
  if (start.left) {
    auto* first = replay.next_of(start.sequence);
    return first && first->header.prev_end == start.lsn ? first : nullptr;
  }
  auto first = replay.by_sequence.find(start.sequence);
  if (first == replay.by_sequence.end() || !first->second->valid) {
    return fail(Code::kCorrupt, "{}: missing or its header is damaged",
                (options_.directory / journal_name(start.sequence)).string());
  }
  return first->second;
}

// The replay came to an end in `last`: torn, or damaged?
Result<void> Journal::check_end(const Replay& replay, const Found& last, bool followed) const {
  if (replay.end < replay.synced_to) {
    return fail(Code::kCorrupt, "{}: bad frame at {}, in a part that was known to be synced",
                last.file->path.string(),
                static_cast<std::int64_t>(replay.end - last.file->base_lsn));
  }
  if (followed) return {};
  if (replay.end_frame == 0) return check_nothing_follows(replay, last.file->sequence);
  auto named = replay.by_sequence.find(replay.end_frame);
  if (named == replay.by_sequence.end()) {
    return fail(Code::kCorrupt, "{}: missing, and {} says that the log goes on in it",
                (options_.directory / journal_name(replay.end_frame)).string(),
                last.file->path.filename().string());
  }
  if (named->second->valid || named->second->file->size < kFirstGroup) return {};
  WALRUS_ASSIGN(bool synced, was_synced(*named->second->file, replay.end));
  if (!synced) return {};
  return fail(Code::kCorrupt, "{}: both copies of its header are damaged",
              named->second->file->path.string());
}

// What a recovery found has no end frame that names the file in which the log went on: that file is
// known by its header alone. If both copies of it are damaged, groups may tell, as far as one piece
// reaches. (The writer may have begun with it only now, where this is a view.)
Result<void> Journal::check_nothing_follows(const Replay& replay, std::uint64_t sequence) const {
  for (auto one = replay.by_sequence.upper_bound(sequence); one != replay.by_sequence.end();
       ++one) {
    const auto& file = *one->second->file;
    if (one->second->valid || file.size < kFirstGroup) continue;
    WALRUS_ASSIGN(bool synced, was_synced(file, replay.end, kPieceBytes));
    if (!synced) continue;
    WALRUS_ASSIGN(bool begun, follows(file, replay.end));
    if (begun) continue;
    return fail(Code::kCorrupt, "{}: both copies of its header are damaged", file.path.string());
  }
  return {};
}

// A log that ends cleanly has nothing behind its last frame but marks: the rest of a group's last
// block is zeros.
Result<bool> Journal::is_torn(Replay& replay, const Found& last, bool followed) {
  if (followed || replay.end_frame != 0) return true;
  const auto& file = *last.file;
  auto first = file.base_lsn + static_cast<Lsn>(kFirstGroup);
  auto end =
      replay.end > first ? static_cast<std::int64_t>(replay.end - file.base_lsn) : kFirstGroup;
  auto position = end;
  for (;;) {
    auto block_end = round_up(position);
    WALRUS_ASSIGN(auto rest, replay.window.at(position, block_end - position));
    rest = rest.substr(0, static_cast<std::size_t>(block_end - position));
    if (rest.find_first_not_of('\0') != Bytes::npos) return true;
    position = block_end;
    WALRUS_ASSIGN(auto mark, group_at(replay.window, file, position));
    if (!mark || mark->prev_end != replay.end) break;
    position += kGroupHeaderBytes;
  }
  return last.last_group >= position;
}

// The header of a group of this activation; none: something else lies there, or the file ends.
Result<std::optional<GroupHeader>> Journal::group_at(Window& window, const JournalFile& file,
                                                     std::int64_t position) {
  if (position >= file.size) return std::nullopt;
  WALRUS_ASSIGN(auto bytes, window.at(position, kGroupHeaderBytes));
  auto group = decode_group_header(bytes);
  bool ours = group && group->nonce == file.nonce &&
              group->lsn == file.base_lsn + static_cast<Lsn>(position);
  return ours ? group : std::nullopt;
}

void Journal::verify(std::vector<Finding>& findings) const {
  findings.insert(findings.end(), damaged_copies_.begin(), damaged_copies_.end());
}

Result<void> Journal::replay_file(Replay& replay, const Found& found, Lsn limit) {
  const auto& file = *found.file;
  const auto crc = nonce_crc(file.nonce);
  replay.window.open(file);
  auto position = kFirstGroup;
  bool in_group = false;
  if (replay.end > file.base_lsn + static_cast<Lsn>(kFirstGroup)) {  // the start of the replay
    position = static_cast<std::int64_t>(replay.end - file.base_lsn);
    in_group = true;
  }
  while (replay.end != limit && position < file.size) {
    if (in_group) {
      WALRUS_ASSIGN(auto rest, replay.window.frame_at(position));
      auto lsn = file.base_lsn + static_cast<Lsn>(position);
      if (auto frame = decode_frame(rest, crc, lsn)) {
        auto length = kFrameHeaderBytes + static_cast<std::int64_t>(frame->length);
        WALRUS_TRY(replay_frame(replay, found, *frame,
                                rest.substr(0, static_cast<std::size_t>(length)), lsn));
        position += length;
        continue;
      }
    }
    // The end of a group: the next one says where exactly the frames before it end.
    position = round_up(position);
    WALRUS_ASSIGN(auto group, group_at(replay.window, file, position));
    if (!group || group->prev_end != replay.end) break;
    position += kGroupHeaderBytes;
    in_group = true;
  }
  return {};
}

Result<void> Journal::replay_frame(Replay& replay, const Found& found, const Frame& frame,
                                   Bytes whole, Lsn lsn) {
  auto payload = whole.substr(static_cast<std::size_t>(kFrameHeaderBytes));
  auto end = lsn + whole.size();
  bool below = lsn < replay.synced_to;
  replay.end = end;
  replay.end_frame = frame.type == FrameType::kEnd ? static_cast<std::uint64_t>(frame.offset) : 0;
  if (replay.apply == nullptr) return {};
  if (below || options_.read_only) {
    replay.cut = end;
    replay.cut_sequence = found.file->sequence;
    if (frame.type == FrameType::kEnd) return {};
    return (*replay.apply)(frame, lsn + static_cast<Lsn>(kFrameHeaderBytes), payload);
  }
  if (frame.type == FrameType::kEnd) return {};
  if (!copying_) {
    copying_ = true;
    prev_end_ = replay.cut;
    end_ = written_ = synced_ = replay.cut;
    prev_sequence_ = replay.cut_sequence;
    writes_copies_ = replay.roomy;
    if (writes_copies_) copies_.resize(kCopyBytes);
  }
  WALRUS_ASSIGN(char* to, reserve_for_copy(replay, frame.length));
  copy_bytes(to, payload);
  auto copied = commit(frame);
  if (writes_copies_ && std::ssize(buffer_) >= options_.file_bytes_min / 2) {
    WALRUS_TRY(write_copies());
  }
  return (*replay.apply)(frame, copied, payload);
}

// Past the page cache, as segment files are (docs/adr/0007): an open would wait for the copy into
// it. What reads them next is the segment writer, later: see take_uncached().
Result<void> Journal::write_copies() {
  auto job = begin_write();
  for (const auto& range : job.ranges) {
    for (auto at = range.from; at < range.to;) {
      auto piece =
          Bytes(*range.bytes).substr(static_cast<std::size_t>(at - range.from), copies_.size());
      copy_bytes(copies_.data(), piece);
      WALRUS_TRY(range.file->file->write_direct(at, {copies_.data(), piece.size()}));
      at += std::ssize(piece);
    }
  }
  finish(job);
  return {};
}

// The log leaves the active file, or recovery ends in it: the rest of it is zeros, as in any other,
// and all of it is synced.
Result<void> Journal::complete_copy() {
  WALRUS_TRY(write_copies());
  WALRUS_ASSIGN(auto at, active_->file->size());
  uncached_.push_back({active_, at});
  WALRUS_TRY(active_->file->write_zeros(at, active_->size));
  WALRUS_TRY(active_->file->sync());
  std::erase_if(unsynced_, [&](const SyncJob::Range& range) { return range.file == active_; });
  if (options_.mapped && active_->map.empty()) {
    WALRUS_ASSIGN(active_->map, active_->file->map());
  }
  return {};
}

Result<JournalFileRef> Journal::prepare_copy(const FilePlan& plan) const {
  if (plan.recycles) return prepare(plan);
  auto& disk = env_.disk();
  for (const auto& path : plan.remove) WALRUS_TRY(disk.remove(path));
  auto file = std::make_shared<JournalFile>();
  WALRUS_ASSIGN(file->file, disk.open(plan.path, io::Open::kCreate));
  const std::string header(static_cast<std::size_t>(kFirstGroup), '\0');
  if (auto written = file->file->write(0, header); !written) {
    (void)disk.remove(plan.path);
    return std::unexpected(written.error());
  }
  WALRUS_TRY(disk.sync_directory(options_.directory));
  file->path = plan.path;
  file->sequence = plan.sequence;
  file->size = plan.size;
  return file;
}

// As reserve(), but makes files as it goes: at recovery nobody else does.
Result<char*> Journal::reserve_for_copy(Replay& replay, std::uint32_t length) {
  for (;;) {
    auto to = reserve(length, false);
    if (to || to.error().code != Code::kBusy) return to;
    FilePlan plan;
    CHECK(plan_file_at_open(plan));
    if (auto file = writes_copies_ ? prepare_copy(plan) : prepare(plan)) {
      add_spare(*std::move(file));
    } else {
      plan_failed(plan);
      bool again = file.error().code == Code::kNoSpace && make_room(replay, plan, length);
      if (!again) return std::unexpected(std::move(file).error());
    }
  }
}

// On a full disk a prepared file that the log never reached has to do; then one that is just large
// enough, even below the minimum; then the reserve gives way.
bool Journal::make_room(Replay& replay, const FilePlan& failed, std::uint32_t length) {
  auto least = round_up(file_bytes_for(length));
  affordable_bytes_ = std::max(least, failed.size / 2);
  if (!replay.unused) replay.unused = find_unused(replay);
  auto fits = [&](const Found* one) { return !one->taken && one->file->size >= least; };
  auto found = std::ranges::find_if(*replay.unused, fits);
  // Whoever made it may have died before its size was durable, which no sync of a range makes.
  if (found != replay.unused->end() && (*found)->file->file->sync()) {
    affordable_bytes_ = least;  // no larger one is asked for
    (*found)->taken = true;
    released_.push_back((*found)->file);
    return true;
  }
  return failed.size > least || env_.disk().remove(options_.reserve).has_value();
}

// Not in the log, and not the one that its last frame may name: see end_replay().
std::vector<Journal::Found*> Journal::find_unused(const Replay& replay) {
  std::vector<Found*> unused;
  const auto* last = replay.first;
  if (!last) return unused;
  while (const auto* next = replay.next_of(last->file->sequence)) last = next;
  Replay ahead;
  ahead.end = last == replay.first ? replay.start : last->header.prev_end;
  if (!replay_file(ahead, *last, ~Lsn{0})) return unused;
  for (auto [sequence, one] : replay.by_sequence) {
    if (!one->valid && sequence != ahead.end_frame) unused.push_back(one);
  }
  return unused;
}

// What was copied is synced first; the header that links the first new file into the log comes
// then, so that a crash in between finds the log as it was; and last the mark: what an open has
// served never passes for a torn tail again, however soon the next crash and the damage come.
Result<void> Journal::end_replay(Replay& replay) {
  if (!copying_) {
    // Not replay.end: an end frame at or above D is in the page cache, maybe, and nowhere else. A
    // file that named it as its predecessor's end would lose that end at a power cut.
    end_ = written_ = synced_ = marked_ = prev_end_ = replay.cut;
    prev_sequence_ = replay.cut_sequence;
    if (replay.end_frame == 0 && !replay.gives_up_link) return {};
    // The last frame names a file that never became part of the log, or one that became part of it
    // hides such a frame. Another one takes its place before that one is used again, or the next
    // recovery would miss it.
    auto free = std::ranges::partition(released_, [&](const JournalFileRef& file) {
      auto* found = replay.by_sequence.at(file->sequence);
      return found->valid || file->sequence == replay.end_frame;
    });
    std::vector<JournalFileRef> aside(released_.begin(), free.begin());
    released_.erase(released_.begin(), free.begin());
    replay.unused.emplace();  // they are in released_
    WALRUS_TRY(reserve_for_copy(replay, 0));
    released_.insert(released_.end(), aside.begin(), aside.end());
  }
  if (writes_copies_) {
    close_group();
    WALRUS_TRY(complete_copy());
  }
  auto job = begin_sync(false);
  WALRUS_TRY(job.run());
  finish(job);
  if (!copying_) return {};
  copying_ = false;
  SyncJob link;
  write_header(unlinked_, link.ranges);
  unlinked_ = nullptr;
  writes_copies_ = false;
  copies_ = {};
  WALRUS_TRY(link.run());
  auto mark = begin_sync(true);
  WALRUS_TRY(mark.run());
  finish(mark);
  return {};
}

}  // namespace walrus::log
