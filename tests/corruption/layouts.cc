#include "layouts.h"

#include <algorithm>

#include "base/check.h"
#include "log/segment_format.h"
#include "log/segment_scan.h"
#include "record/batch.h"

namespace walrus::corruption {
namespace {

constexpr const char* kSegments = "/data/segments";
constexpr std::uint64_t kLogLeft = std::uint64_t{1} << 63;

bool is_manifest(const io::Path& path) { return path.filename().string().starts_with("manifest-"); }

Bytes from(Bytes content, std::int64_t position) {
  return content.substr(std::min(content.size(), static_cast<std::size_t>(position)));
}

std::int64_t size_of(Bytes bytes) { return static_cast<std::int64_t>(bytes.size()); }

bool overlap(std::int64_t a, std::int64_t a_end, std::int64_t b, std::int64_t b_end) {
  return a < b_end && b < a_end;
}

}  // namespace

Layout::Layout(const Files& files) {
  add_manifests(files);
  for (const auto& [path, content] : files) {
    if (path.filename() == "WALRUS") {
      add("identity file WALRUS", path, 0, {.fate = Fate::kRefused});
    } else if (path.extension() == ".wal") {
      add_journal(path, content);
    }
  }
  add_segments(files);
}

// Every field of one structure with a table. Fields of open length are the caller's.
void Layout::add(const std::string& table, const io::Path& file, std::int64_t position,
                 const Place& like) {
  for (const auto& field : table_of(tables_, table).fields) {
    if (field.length < 0) continue;
    Place place = like;
    place.table = table;
    place.field = field.name;
    place.file = file;
    place.position = position + field.position;
    place.length = field.length;
    places_.push_back(std::move(place));
  }
}

void Layout::add_batch(const io::Path& file, std::int64_t position, Bytes batch,
                       const Place& like) {
  add("record batch", file, position, like);
  const auto& rest = table_of(tables_, "record batch").fields.back();
  CHECK(rest.length == -1);
  Place records = like;
  records.table = "record batch";
  records.field = rest.name;
  records.file = file;
  records.position = position + rest.position;
  records.length = size_of(batch) - rest.position;
  places_.push_back(std::move(records));
}

void Layout::add_manifests(const Files& files) {
  for (const auto& [path, content] : files) {
    auto manifest = log::decode_manifest(content);
    if (is_manifest(path) && manifest && manifest->generation > manifest_.generation) {
      manifest_ = std::move(*manifest);
    }
  }
  for (const auto& [path, content] : files) {
    if (!is_manifest(path)) continue;
    auto manifest = log::decode_manifest(content);
    CHECK(manifest.has_value());
    bool newest = manifest->generation == manifest_.generation;
    Place like{.fate = newest ? Fate::kNewestSlot : Fate::kSpare};
    add("manifest header", path, 0, like);
    const auto& body = table_of(tables_, "manifest header").fields.back();
    CHECK(body.length == -1);
    auto fields = body_fields(grammar_, from(content, body.position));
    CHECK(!fields.empty());  // else the grammar is not that of the body
    for (const auto& field : fields) {
      like.table = "manifest body";
      like.field = field.name;
      like.file = path;
      like.position = body.position + field.position;
      like.length = field.length;
      places_.push_back(like);
    }
  }
}

void Layout::add_journal(const io::Path& path, Bytes content) {
  auto header = log::decode_journal_header(content.substr(0, log::kBlockBytes));
  if (!header || fmt::format("{:016x}.wal", header->sequence) != path.filename().string()) return;
  auto sequence = manifest_.journal_sequence & ~kLogLeft;
  bool left = (manifest_.journal_sequence & kLogLeft) != 0;
  bool live = left ? header->sequence > sequence : header->sequence >= sequence;
  std::vector<Place> headers;
  for (auto position = log::kFirstGroup; position < size_of(content);) {
    auto group = log::decode_group_header(from(content, position));
    auto lsn = header->base_lsn + static_cast<log::Lsn>(position);
    if (!group || group->nonce != header->nonce || group->lsn != lsn) {
      position += log::kBlockBytes;
      continue;
    }
    if (live) groups_.push_back({path, position, group->synced_to});
    Place like;
    if (live && lsn >= manifest_.journal_lsn) like.ends_log = group->prev_end;
    add("group header", path, position, like);
    auto end = add_frames(path, content, *header, position + log::kGroupHeaderBytes, live);
    position = log::round_up(end);
  }
  auto first = static_cast<log::Lsn>(log::kFirstGroup);
  bool synced = live && header->base_lsn + first < synced_without({}, 0, 0);
  for (auto copy : {std::int64_t{0}, log::kBlockBytes}) {
    add("journal file header", path, copy, {.fate = synced ? Fate::kSpare : Fate::kServed});
  }
}

// The frames of one group; where they end.
std::int64_t Layout::add_frames(const io::Path& path, Bytes content,
                                const log::JournalHeader& header, std::int64_t position,
                                bool live) {
  auto crc = log::nonce_crc(header.nonce);
  for (;;) {
    auto lsn = header.base_lsn + static_cast<log::Lsn>(position);
    auto frame = log::decode_frame(from(content, position), crc, lsn);
    if (!frame) return position;
    Place like;
    if (live && lsn >= manifest_.journal_lsn) like.ends_log = lsn;
    add("frame", path, position, like);
    auto payload = position + log::kFrameHeaderBytes;
    auto bytes = from(content, payload).substr(0, frame->length);
    if (frame->type == log::FrameType::kTruncate) {
      for (auto& place : places_) {  // its payload stands for what is left of a batch before it
        std::erase_if(place.loses, [&](const Range& range) {
          return range.stream == frame->stream && range.to > frame->offset;
        });
      }
    }
    if (like.ends_log && frame->type == log::FrameType::kDrop) dropped_.insert(frame->stream);
    bool batch = frame->length > 0 && (frame->type == log::FrameType::kBatch ||
                                       frame->type == log::FrameType::kTruncate);
    if (batch) {
      auto view = record::BatchView::parse(bytes);
      if (like.ends_log) like.loses = {{frame->stream, view->base_offset(), view->next_offset()}};
      add_batch(path, payload, bytes, like);
    }
    if (frame->length > 0) {
      like.table = "frame";
      like.field = table_of(tables_, "frame").fields.back().name;
      like.file = path;
      like.position = payload;
      like.length = size_of(bytes);
      places_.push_back(like);
    }
    position = payload + size_of(bytes);
  }
}

void Layout::add_segments(const Files& files) {
  std::map<std::string, log::FileRef> named;
  for (const auto& stream : manifest_.streams) {
    if (!stream.chain || dropped_.contains(stream.id)) continue;
    for (const auto& extent : *stream.chain) {
      auto path = io::Path(kSegments) / extent.file->name;
      held_[path].push_back({stream.id, extent.base_offset, extent.end_offset});
      named[extent.file->name] = extent.file;
      add_extent(files.at(path), stream, extent);
    }
  }
  for (const auto& [name, file] : named) {
    auto path = io::Path(kSegments) / name;
    add("segment header", path, 0, {.fate = Fate::kUnreadable, .loses = held_[path]});
    if (!file->sealed) continue;
    Bytes content = files.at(path);
    auto footer_position = file->synced_end - log::kFooterBytes;
    auto footer = log::decode_footer(from(content, footer_position), file->synced_end);
    CHECK(footer.has_value());
    add("footer", path, footer_position, {.fate = Fate::kSpare});
    for (auto at = footer->index_position; at < footer_position; at += log::kIndexEntryBytes) {
      add("index entry", path, at, {.fate = Fate::kSpare});
    }
  }
}

void Layout::add_extent(Bytes content, const log::StreamSnapshot& stream,
                        const log::Extent& extent) {
  auto path = io::Path(kSegments) / extent.file->name;
  auto end = extent.position + extent.bytes;
  auto offset = extent.base_offset;
  auto add_padding = [&](std::int64_t position, std::int64_t length) {
    if (length <= 0) return;
    places_.push_back({.table = "padding",
                       .field = "zeros",
                       .file = path,
                       .position = position,
                       .length = length,
                       .fate = Fate::kSpare});
  };
  for (auto position = extent.position; position < end;) {
    auto batch = record::BatchView::parse(from(content, position));
    if (!batch || batch->base_offset() != offset) {
      auto next = log::next_piece(position);
      CHECK(next > position);
      add_padding(position, next - position);
      position = next;
      continue;
    }
    add_batch(path, position, batch->bytes(),
              {.fate = Fate::kUnreadable,
               .loses = {{stream.id, batch->base_offset(), batch->next_offset()}}});
    offset = batch->next_offset();
    position += size_of(batch->bytes());
  }
  if (extent.file->stream != 0 && !extent.file->sealed && &extent == &stream.chain->back()) {
    add_padding(end, extent.file->synced_end - end);
  }
}

// D, as a recovery finds it without the group headers in this range.
log::Lsn Layout::synced_without(const io::Path& file, std::int64_t begin, std::int64_t end) const {
  auto synced = manifest_.journal_lsn;
  for (const auto& group : groups_) {
    bool lost = group.file == file &&
                overlap(group.position, group.position + log::kGroupHeaderBytes, begin, end);
    if (!lost) synced = std::max(synced, group.synced_to);
  }
  return synced;
}

Judgement Layout::judge(const io::Path& file, std::int64_t begin, std::int64_t end) const {
  Judgement judgement;
  auto synced = synced_without(file, begin, end);
  for (const auto& place : places_) {
    if (place.file != file || !overlap(place.position, place.position + place.length, begin, end)) {
      continue;
    }
    auto fate = place.fate;
    if (place.ends_log && *place.ends_log < synced) fate = Fate::kRefused;
    judgement.fate = std::max(judgement.fate, fate);
    judgement.loses.insert(judgement.loses.end(), place.loses.begin(), place.loses.end());
    bool leads_on = place.table == "padding";  // a walk from batch to batch crosses it
    if (fate == Fate::kUnreadable || leads_on) {
      auto held = held_.find(file);
      if (held != held_.end()) judgement.may = held->second;
    }
  }
  return judgement;
}

}  // namespace walrus::corruption
