#include "log/journal.h"

#include <algorithm>
#include <atomic>

#include "base/check.h"
#include "base/crc32c.h"
#include "log/journal_name.h"

namespace walrus::log {

static_assert(kFirstGroup % kBlockBytes == 0 && kJournalHeaderBytes <= kBlockBytes);

namespace {

constexpr std::int64_t kPopulateBytes = 8 << 20, kPopulateStep = 512 << 10;
constexpr std::int64_t kPopulateFirst = 1 << 20;  // of a spare
constexpr std::int64_t kZerosPiece = 1 << 20;

}  // namespace

Journal::Journal(io::Env& env, const JournalOptions& options)
    : env_(env), options_(options), bytes_max_(options.bytes_max) {}

// Small ones: an open waits for them. They grow again with use.
Result<void> Journal::fill_spares() {
  if (affordable_bytes_ == 0) affordable_bytes_ = options_.file_bytes_min;
  FilePlan plan;
  while (spares_.size() < 2 && plan_file_at_open(plan)) {
    auto file = prepare(plan);
    if (!file) {
      plan_failed(plan);
      return std::unexpected(file.error());
    }
    add_spare(std::move(*file));
  }
  return {};
}

Result<char*> Journal::reserve(std::uint32_t length, bool user) {
  CHECK(!options_.read_only);
  auto need = kFrameHeaderBytes + static_cast<std::int64_t>(length) + kTailBytes;
  auto from = group_open_ ? position_ : position_ + kGroupHeaderBytes;
  if (!active_ || round_up(from + need) > active_->size) {
    auto fits = [&](const JournalFileRef& spare) { return spare->size >= file_bytes_for(length); };
    auto found = std::ranges::find_if(spares_, fits);
    if (found == spares_.end() || (user && spares_.size() < 2)) {
      want_file(length);
      return fail(Code::kBusy, "{}: no journal file has room", options_.directory.string());
    }
    // Sequences must rise along the log, so spares before the one that fits are given up.
    auto chosen = *found;
    released_.insert(released_.end(), spares_.begin(), found);
    spares_.erase(spares_.begin(), found + 1);
    WALRUS_TRY(activate(std::move(chosen)));
  }
  if (!group_open_) open_group();
  reserved_ = length;
  if (!mapped()) {
    auto used = static_cast<std::size_t>(position_ - buffer_start_);
    buffer_.resize(used + static_cast<std::size_t>(kFrameHeaderBytes) + length);
  }
  return at(position_ + kFrameHeaderBytes);
}

Lsn Journal::commit(const Frame& frame) {
  CHECK(group_open_ && frame.length == reserved_);
  auto lsn = active_->base_lsn + static_cast<Lsn>(position_);
  char* header = at(position_);
  store_le(header + 4, frame.length);
  store_le(header + 8, frame.stream);
  store_le(header + 16, frame.offset);
  store_le(header + 24, frame.epoch);
  header[28] = static_cast<char>(frame.type);
  header[29] = static_cast<char>(frame.flags);
  store_le<std::uint16_t>(header + 30, 0);
  env_.crash_point("journal.frame_half");
  auto end = position_ + kFrameHeaderBytes + static_cast<std::int64_t>(frame.length);
  clear_behind(end);
  store_le(header, frame_crc(nonce_crc_, lsn, header,
                             Bytes(header + kFrameHeaderBytes, frame.length), frame.type));
  position_ = end;
  if (!mapped()) buffer_.resize(static_cast<std::size_t>(position_ - buffer_start_));
  end_ = active_->base_lsn + static_cast<Lsn>(position_);
  if (mapped()) written_ = end_;
  return lsn + static_cast<Lsn>(kFrameHeaderBytes);
}

SyncJob Journal::begin_sync(bool mark) {
  if (mark && !has_unsynced()) {
    CHECK(active_ && !group_open_ && position_ + kTailBytes <= active_->size);
    open_group();
  }
  close_group();
  SyncJob job;
  job.mark = mark;
  job.ranges.assign(unsynced_.begin(), unsynced_.end());
  unsynced_.clear();
  writing_ = job.ranges;
  job.end = end_;
  job.synced_to = group_synced_to_;
  return job;
}

SyncJob Journal::begin_write() {
  close_group();
  SyncJob job;
  job.sync = false;
  auto unwritten = std::ranges::find_if(
      unsynced_, [](const SyncJob::Range& range) { return range.bytes != nullptr; });
  job.ranges.assign(unwritten, unsynced_.end());
  unsynced_.erase(unwritten, unsynced_.end());
  writing_ = job.ranges;
  job.end = end_;
  return job;
}

std::optional<SyncJob> Journal::begin_header_sync(std::uint64_t sequence) {
  CHECK(options_.mapped);
  auto header = std::ranges::find_if(unsynced_, [&](const SyncJob::Range& range) {
    return range.file->sequence == sequence && range.from == 0;
  });
  if (header == unsynced_.end()) return std::nullopt;
  SyncJob job;
  job.ranges.push_back(std::move(*header));
  job.end = synced_;
  unsynced_.erase(header);
  return job;
}

void Journal::finish(const SyncJob& job) {
  written_ = std::max(written_, job.end);
  writing_.clear();
  if (job.sync) {
    synced_ = std::max(synced_, job.end);
    marked_ = std::max(marked_, job.synced_to);
    return;
  }
  // In the page cache now, and still to be synced: before what was encoded meanwhile.
  auto first = std::ranges::find_if(
      unsynced_, [](const SyncJob::Range& range) { return range.bytes != nullptr; });
  for (auto range : job.ranges) {
    range.bytes = nullptr;
    auto before = first == unsynced_.begin() ? unsynced_.end() : std::prev(first);
    if (before != unsynced_.end() && before->file == range.file && before->to == range.from) {
      before->to = range.to;
      continue;
    }
    first = std::next(unsynced_.insert(first, std::move(range)));
  }
}

std::int64_t SyncJob::bytes() const {
  std::int64_t sum = 0;
  for (const auto& range : ranges) sum += range.to - range.from;
  return sum;
}

Result<void> SyncJob::run() const {
  for (const auto& range : ranges) {
    if (range.bytes) WALRUS_TRY(range.file->file->write(range.from, *range.bytes));
  }
  if (!sync) return {};
  for (const auto& range : ranges) {
    WALRUS_TRY(range.file->file->sync_range(range.from, range.to));
  }
  return {};
}

void Journal::open_group() {
  CHECK(!group_open_ && position_ % kBlockBytes == 0);
  group_open_ = true;
  group_start_ = position_;
  if (!mapped()) {
    buffer_start_ = position_;
    buffer_.assign(static_cast<std::size_t>(kGroupHeaderBytes), '\0');
  }
  group_synced_to_ = synced_;
  clear_behind(position_ + kGroupHeaderBytes);
  encode_group_header(
      {active_->nonce, active_->base_lsn + static_cast<Lsn>(position_), synced_, end_},
      at(position_));
  position_ += kGroupHeaderBytes;
}

void Journal::close_group() {
  if (!group_open_) return;
  group_open_ = false;
  auto end = round_up(position_);
  SyncJob::Range range{active_, group_start_, end, nullptr};
  if (!mapped()) {
    buffer_.resize(static_cast<std::size_t>(end - buffer_start_));
    range.bytes = std::make_shared<const std::string>(std::move(buffer_));
    buffer_ = {};
  }
  unsynced_.push_back(std::move(range));
  position_ = end;
}

// What a recycled file held there would look like a frame that was torn, also to who comes after a
// process that was killed within a group: so it goes before a frame is whole, once for each block.
void Journal::clear_behind(std::int64_t end) {
  auto block_end = round_up(end);
  if (!mapped() || block_end <= cleared_to_) return;
  std::fill_n(at(end), block_end - end, '\0');
  std::atomic_signal_fence(std::memory_order_release);
  cleared_to_ = block_end;
}

char* Journal::at(std::int64_t position) {
  if (mapped()) return active_->map.data() + position;
  return buffer_.data() + (position - buffer_start_);
}

// Leaves the active file with an end frame and goes on in `next`, whose header is part of the same
// group commit as its first frames.
Result<void> Journal::activate(JournalFileRef next) {
  if (active_) {
    if (!group_open_) open_group();
    if (!mapped()) {
      buffer_.resize(static_cast<std::size_t>(position_ - buffer_start_ + kFrameHeaderBytes));
    }
    reserved_ = 0;
    commit({.type = FrameType::kEnd, .offset = static_cast<std::int64_t>(next->sequence)});
    close_group();
    active_->end_lsn = end_;
    if (writes_copies_) WALRUS_TRY(complete_copy());
    prev_sequence_ = active_->sequence;
    prev_end_ = end_;
  }
  start_file(next);
  if (copying_ && !unlinked_) {
    unlinked_ = next;
    return {};
  }
  std::vector<SyncJob::Range> ranges;
  write_header(next, ranges);
  unsynced_.insert(unsynced_.end(), ranges.begin(), ranges.end());
  return {};
}

// Both copies, into the mapping or as bytes to be written.
void Journal::write_header(const JournalFileRef& file, std::vector<SyncJob::Range>& to) {
  auto header = encode_journal_header({.directory_uuid = options_.directory_uuid,
                                       .sequence = file->sequence,
                                       .nonce = file->nonce,
                                       .prev_sequence = file->prev_sequence,
                                       .layout = options_.layout,
                                       .base_lsn = file->base_lsn,
                                       .prev_end = file->prev_end,
                                       .size = file->size,
                                       .shard = options_.shard});
  header.resize(static_cast<std::size_t>(kBlockBytes));
  header += header;
  if (mapped()) {
    std::ranges::copy(header, file->map.data());
    to.push_back({file, 0, kFirstGroup, nullptr});
  } else {
    to.push_back({file, 0, kFirstGroup, std::make_shared<const std::string>(header)});
  }
}

void Journal::start_file(const JournalFileRef& next) {
  next->nonce = env_.random();
  next->base_lsn = static_cast<Lsn>(round_up(static_cast<std::int64_t>(prev_end_)));
  next->end_lsn = 0;
  next->prev_sequence = prev_sequence_;
  next->prev_end = prev_end_;
  nonce_crc_ = nonce_crc(next->nonce);
  active_ = next;
  active_files_.push_back(next);
  position_ = cleared_to_ = kFirstGroup;
  populated_ = std::min(kPopulateFirst, next->size);
  populate_at_ = options_.mapped ? kPopulateFirst - kPopulateStep : INT64_MAX;
}

JournalStart Journal::next_start() const {
  if (active_) return {active_->sequence, end_, false};
  return {prev_sequence_, end_, true};
}

// Never far ahead: populating makes pages dirty, and dirty pages are written.
bool Journal::plan_populate(PopulatePlan& plan) {
  if (!wants_populate()) return false;
  auto from = std::max(populated_, position_ / kBlockBytes * kBlockBytes);
  auto to = std::min(position_ + kPopulateBytes, active_->size);
  populate_at_ = to == active_->size ? INT64_MAX : to - kPopulateBytes + kPopulateStep;
  if (from >= to) return false;
  populated_ = to;
  plan = {active_, from, to};
  return true;
}

void Journal::release_below(Lsn start) {
  auto kept = std::ranges::find_if(active_files_, [&](const JournalFileRef& file) {
    return file == active_ || file->end_lsn > start;
  });
  released_.insert(released_.end(), active_files_.begin(), kept);
  active_files_.erase(active_files_.begin(), kept);
  for (auto& range : unsynced_) {
    if (range.file->base_lsn >= start) continue;
    auto below =
        static_cast<std::int64_t>(start - range.file->base_lsn) / kBlockBytes * kBlockBytes;
    range.from = std::min(std::max(range.from, below), range.to);
  }
  std::erase_if(unsynced_, [&](const SyncJob::Range& range) {
    bool released = range.file != active_ && range.file->end_lsn <= start;
    return released || range.from == range.to;
  });
}

std::int64_t Journal::used_bytes() const {
  std::int64_t bytes = 0;
  for (const auto& file : active_files_) bytes += file == active_ ? position_ : file->size;
  return bytes;
}

std::int64_t Journal::total_bytes() const {
  std::int64_t bytes = planned_bytes_;
  for (const auto* files : {&active_files_, &spares_, &released_}) {
    for (const auto& file : *files) bytes += file->size;
  }
  return bytes;
}

void Journal::want_file(std::int64_t payload_bytes) {
  wanted_bytes_ = std::max(wanted_bytes_, file_bytes_for(payload_bytes));
}

void Journal::limit(std::int64_t bytes) {
  bytes_max_ = std::min(std::max(bytes, 4 * least_bytes()), options_.bytes_max);
}

bool Journal::plan_file_at_open(FilePlan& plan) {
  auto limit = std::exchange(bytes_max_, std::int64_t{1} << 62);
  bool planned = plan_file(plan);
  bytes_max_ = limit;
  return planned;
}

bool Journal::has_enough() const {
  auto fits = [&](const JournalFileRef& file) { return file->size >= wanted_bytes_; };
  return spares_.size() >= 2 && (wanted_bytes_ == 0 || std::ranges::any_of(spares_, fits));
}

bool Journal::plan_file(FilePlan& plan) {
  bool enough = has_enough();
  plan = {};
  if (enough && released_.empty()) return false;
  auto last = active_ ? active_->size : 0;
  for (const auto& spare : spares_) last = std::max(last, spare->size);
  auto size = std::clamp(last ? last * 2 : 0, options_.file_bytes_min, options_.file_bytes_max);
  // Two spares and the active file must fit into the limit, whatever the doubling says.
  while (size > options_.file_bytes_min && size > bytes_max_ / 8) size /= 2;
  if (affordable_bytes_ > 0) size = std::min(size, affordable_bytes_);
  size = round_up(std::max({size, wanted_bytes_, file_bytes_for(0)}));
  if (!enough && total_bytes() + size > bytes_max_ && size > last && last >= wanted_bytes_) {
    size = std::max(last, round_up(file_bytes_for(0)));
  }

  for (auto file = released_.begin(); file != released_.end();) {
    if (file->use_count() > 1) {  // pinned by a reader
      ++file;
      continue;
    }
    // Nor so large that two spares and the active file take all there is: the limit may be another
    // one than when it was made.
    bool large = (*file)->size > std::max(size, options_.bytes_max / 4);
    bool fitting = (*file)->size >= wanted_bytes_ && (*file)->size >= size / 2 && !large &&
                   total_bytes() <= bytes_max_;
    if (fitting && plan.recycles) {  // kept for the next plan
      ++file;
      continue;
    }
    if (fitting) {
      plan.file = *file;
      plan.recycles = true;
    } else {
      plan.remove.push_back((*file)->path);
    }
    file = released_.erase(file);
  }
  bool over = total_bytes() + size > bytes_max_;
  if (over && active_files_.size() <= 1) {  // nothing that is written out would make room
    size = std::min(size, round_up(std::max(least_bytes(), file_bytes_for(0))));
    over = total_bytes() + size > options_.bytes_max;
  }
  if (!plan.recycles && (enough || over)) return !plan.remove.empty();
  plan.size = plan.recycles ? plan.file->size : size;
  plan.room = room();
  plan.sequence = next_sequence_++;
  plan.path = options_.directory / journal_name(plan.sequence);
  planned_bytes_ += plan.size;
  return true;
}

Result<JournalFileRef> Journal::prepare(FilePlan plan) const {
  for (;;) {
    WALRUS_ASSIGN(bool ready, prepare_some(plan));
    if (ready) return std::move(plan.file);
  }
}

Result<bool> Journal::prepare_some(FilePlan& plan) const {
  auto& disk = env_.disk();
  for (const auto& path : std::exchange(plan.remove, {})) WALRUS_TRY(disk.remove(path));
  if (plan.recycles) {
    WALRUS_TRY(disk.rename(plan.file->path, plan.path));
  } else if (plan.sequence != 0) {
    auto grown = grow(plan);
    if (!grown) {
      discard(plan);
      return std::unexpected(std::move(grown).error());
    }
    if (plan.zeros < plan.size) return false;
  }
  WALRUS_TRY(disk.sync_directory(options_.directory));
  if (!plan.file) return true;
  plan.file->path = plan.path;
  plan.file->sequence = plan.sequence;
  plan.file->size = plan.size;
  if (options_.mapped) plan.file->file->populate(0, std::min(kPopulateFirst, plan.size));
  return true;
}

Result<void> Journal::grow(FilePlan& plan) const {
  if (!plan.file) {
    plan.file = std::make_shared<JournalFile>();
    WALRUS_ASSIGN(plan.file->file, env_.disk().open(plan.path, io::Open::kCreate));
    WALRUS_TRY(plan.file->file->allocate(plan.size));
  }
  auto& file = *plan.file->file;
  auto to = std::min(plan.size, plan.zeros + kZerosPiece);
  WALRUS_TRY(file.write_zeros(plan.zeros, to));
  plan.zeros = to;
  if (to < plan.size) return {};
  WALRUS_TRY(file.sync());
  if (options_.mapped) {
    WALRUS_ASSIGN(plan.file->map, file.map());
  }
  return {};
}

void Journal::discard(FilePlan& plan) const {
  if (plan.recycles || !plan.file) return;
  plan.file = nullptr;
  (void)env_.disk().remove(plan.path);
}

bool Journal::keeps_up(const FilePlan& plan) const {
  auto filled = plan.room - room();
  bool next_is_active = filled < 0;  // a spare came into use meanwhile
  return !next_is_active && plan.zeros * plan.room * 4 > filled * plan.size * 5;
}

void Journal::add_spare(JournalFileRef file) {
  if (!file) return;
  planned_bytes_ -= file->size;
  if (file->size >= wanted_bytes_) wanted_bytes_ = 0;
  affordable_bytes_ = affordable_bytes_ < options_.file_bytes_max ? affordable_bytes_ * 2 : 0;
  spares_.push_back(std::move(file));
  std::ranges::sort(spares_, {}, &JournalFile::sequence);
}

// A disk that has no room for a large file may have some for a small one.
void Journal::plan_failed(const FilePlan& plan) {
  if (plan.sequence != 0) planned_bytes_ -= plan.size;
  if (!plan.recycles) affordable_bytes_ = std::max(options_.file_bytes_min, plan.size / 2);
  if (plan.recycles) released_.push_back(plan.file);
}

PayloadRef Journal::locate(Lsn payload) const {
  auto after = std::ranges::upper_bound(active_files_, payload, {}, &JournalFile::base_lsn);
  CHECK(after != active_files_.begin());
  const auto& file = *std::prev(after);
  return {file, static_cast<std::int64_t>(payload - file->base_lsn)};
}

Bytes Journal::memory_bytes(Lsn payload, std::size_t length) const {
  auto place = locate(payload);
  auto inside = [&](Bytes bytes, std::int64_t start) {
    return bytes.substr(static_cast<std::size_t>(place.position - start), length);
  };
  if (group_open_ && place.file == active_ && place.position >= buffer_start_) {
    return inside(buffer_, buffer_start_);
  }
  for (const auto* ranges : {&writing_}) {
    for (const auto& range : *ranges) {
      if (range.bytes && range.file == place.file && place.position >= range.from &&
          place.position < range.to) {
        return inside(*range.bytes, range.from);
      }
    }
  }
  for (const auto& range : unsynced_) {
    if (range.bytes && range.file == place.file && place.position >= range.from &&
        place.position < range.to) {
      return inside(*range.bytes, range.from);
    }
  }
  return {};
}

std::optional<Bytes> Journal::mapped(const PayloadRef& from, std::size_t length) {
  const auto& map = from.file->map;
  if (map.empty()) return std::nullopt;
  return Bytes(map.data() + from.position, length);
}

// A large one is read: what is copied out of the mapping stays in it, a journal's worth in the end.
Result<void> Journal::copy(const PayloadRef& from, std::size_t length, char* to) {
  constexpr std::size_t kReadBytes = 32 << 10;
  if (auto bytes = mapped(from, length); bytes && length < kReadBytes) {
    copy_bytes(to, *bytes);
    return {};
  }
  WALRUS_ASSIGN(auto size, from.file->file->read(from.position, std::span(to, length)));
  if (size != length) {
    return fail(Code::kCorrupt, "{}: ends at {}, inside a frame", from.file->path.string(),
                from.position + static_cast<std::int64_t>(size));
  }
  return {};
}

}  // namespace walrus::log
