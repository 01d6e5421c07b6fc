#include "layouts.h"

#include "log/journal.h"
#include "log/segment_format.h"
#include "record/batch.h"

namespace walrus::corruption {
namespace {

class Collector {
 public:
  Collector(const io::Path& file, Bytes content) : file_(file), content_(content) {}

  void add(const char* kind, std::int64_t position, std::int64_t length, bool spare = false) {
    if (length > 0) found_.push_back({kind, file_, position, length, spare});
  }
  Bytes from(std::int64_t position) const {
    auto at = static_cast<std::size_t>(position);
    return at < content_.size() ? content_.substr(at) : Bytes();
  }
  std::int64_t size() const { return static_cast<std::int64_t>(content_.size()); }
  std::vector<Structure> take() { return std::move(found_); }

 private:
  io::Path file_;
  Bytes content_;
  std::vector<Structure> found_;
};

constexpr auto kBatchHead = static_cast<std::int64_t>(record::kBatchHeadBytes);
constexpr auto kBatchHeader = static_cast<std::int64_t>(record::kBatchHeaderBytes);

void add_batch(Collector& to, std::int64_t position, std::int64_t length, bool spare) {
  to.add("batch head", position, kBatchHead, spare);
  to.add("batch header behind the CRC", position + kBatchHead, kBatchHeader - kBatchHead, spare);
  to.add("batch body", position + kBatchHeader, length - kBatchHeader, spare);
}

// Frames of one group from `position` on; where they end.
std::int64_t add_frames(Collector& to, const log::JournalHeader& header, std::int64_t position,
                        std::uint64_t replay_start) {
  auto crc = log::nonce_crc(header.nonce);
  for (;;) {
    auto frame = log::decode_frame(to.from(position), crc,
                                   header.base_lsn + static_cast<log::Lsn>(position));
    if (!frame) return position;
    bool spare = header.base_lsn + static_cast<log::Lsn>(position) < replay_start;
    to.add("frame header", position, log::kFrameHeaderBytes, spare);
    auto payload = position + log::kFrameHeaderBytes;
    if (frame->type == log::FrameType::kBatch) {
      add_batch(to, payload, frame->length, spare);
    } else {
      to.add("frame payload", payload, frame->length, spare);
    }
    position = payload + static_cast<std::int64_t>(frame->length);
  }
}

void add_journal(Collector& to, std::uint64_t replay_start) {
  auto header = log::decode_journal_header(to.from(0).substr(0, log::kBlockBytes));
  if (!header) return;  // a prepared file that was never used
  to.add("journal header", 0, log::kJournalHeaderBytes, true);
  to.add("journal header copy", log::kBlockBytes, log::kJournalHeaderBytes, true);
  for (auto position = log::kFirstGroup; position < to.size();) {
    auto group = log::decode_group_header(to.from(position));
    if (!group || group->nonce != header->nonce ||
        group->lsn != header->base_lsn + static_cast<log::Lsn>(position)) {
      position += log::kBlockBytes;
      continue;
    }
    auto frames = position + log::kGroupHeaderBytes;
    auto end = add_frames(to, *header, frames, replay_start);
    // A group without frames is a mark: what it says of others does not hang on it alone.
    bool below = header->base_lsn + static_cast<log::Lsn>(position) < replay_start;
    to.add(end == frames ? "mark block" : "group header", position, log::kGroupHeaderBytes,
           end == frames || below);
    position = log::round_up(end);
  }
}

void add_segment(Collector& to, bool pack) {
  to.add(pack ? "pack header" : "segment header", 0, log::kFileHeaderBytes, true);
  auto end = to.size();
  if (!pack && to.size() >= log::kFileHeaderBytes + log::kFooterBytes) {
    auto footer_position = to.size() - log::kFooterBytes;
    if (auto footer = log::decode_footer(to.from(footer_position), to.size())) {
      to.add("footer", footer_position, log::kFooterBytes, true);  // rebuilt from the batches
      to.add("index", footer->index_position, footer_position - footer->index_position, true);
      end = footer->index_position;
    }
  }
  for (auto position = log::kFileHeaderBytes; position < end;) {
    auto batch = record::BatchView::parse(to.from(position));
    if (!batch) return;
    auto length = static_cast<std::int64_t>(batch->bytes().size());
    add_batch(to, position, length, false);
    position += length;
  }
}

}  // namespace

std::vector<Structure> structures_of(const io::Path& path, const std::string& content,
                                     std::uint64_t replay_start) {
  constexpr std::int64_t kManifestHeader = 64;
  Collector found(path, content);
  auto name = path.filename().string();
  if (name == "WALRUS") {
    found.add("identity", 0, found.size());
  } else if (name.starts_with("manifest-")) {
    found.add("manifest header", 0, std::min(kManifestHeader, found.size()), true);
    found.add("manifest body", kManifestHeader, found.size() - kManifestHeader, true);
  } else if (path.extension() == ".wal") {
    add_journal(found, replay_start);
  } else if (path.extension() == ".seg" || path.extension() == ".pack") {
    add_segment(found, path.extension() == ".pack");
  }
  return found.take();
}

}  // namespace walrus::corruption
