#pragma once
// A journal file in few bytes, for the fuzz target `journal` and its corpus.
//
//   position  size  field
//          0     1  what is made right before it is opened: Mend
//          1     .  groups, each: u16 little endian length, then so many bytes
//
// Each group lies at the next multiple of 4096 behind the file header, zeros between. The store
// around it is always the same: a directory whose only shard was made and never used.

#include <algorithm>
#include <string>

#include "base/check.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "io/sim/sim_world.h"
#include "log/engine.h"
#include "log/journal.h"
#include "log/journal_name.h"

namespace walrus::fuzz {

enum Mend : unsigned char {
  kGroups = 1,   // magic, nonce, lsn, end of the frames before it, CRC
  kFrames = 2,   // CRC
  kBatches = 4,  // length, base offset, CRC
  kMapped = 8,   // not mended: how the engine opens it
};

inline log::EngineOptions journal_engine(bool mapped) {
  log::EngineOptions options;
  options.user.root = "/data";
  options.user.shards = 1;
  options.user.batch_bytes_max = 8 << 10;
  options.user.journal_bytes_max = 256 << 10;
  options.user.cache_bytes_max = 4 << 10;
  options.mapped = mapped;
  options.journal_file_bytes_min = options.journal_file_bytes_max = 64 << 10;
  options.checkpoint_bytes = 1 << 30;
  options.checkpoint_interval = std::chrono::hours(1);
  options.maintenance_interval = std::chrono::hours(1);
  return options;
}

using Files = std::map<io::Path, std::string>;

inline Files files_of(io::SimDisk& disk) {
  Files files;
  for (const auto& path : disk.files()) {
    if (auto bytes = disk.cached(path); bytes && path.filename() != "LOCK") files[path] = *bytes;
  }
  return files;
}

// The store, and in it the file that the input takes the place of.
struct Store {
  Files files;
  io::Path journal;
  log::JournalHeader header;
};

inline Store unused_store() {
  io::World world(1);
  {
    auto engine = log::Engine::open(world.node(0).env(), journal_engine(true));
    CHECK(engine.has_value());
    // The first thing that is written, so that a file is in use.
    auto made = (*engine)->create("orders", {});
    CHECK(made && (*engine)->wait(made->pending));
    world.node(0).crash(io::CrashKind::kKill);
  }
  Store store{.files = files_of(world.node(0).disk())};
  for (const auto& [path, bytes] : store.files) {
    if (!log::journal_sequence(path.filename().string())) continue;
    auto header = log::decode_journal_header(bytes);
    if (!header || header->base_lsn != 0) continue;
    store.journal = path;
    store.header = *header;
  }
  CHECK(!store.journal.empty());
  return store;
}

// The groups of a journal file's content, in the form above.
inline std::string form_of(unsigned char mend, Bytes file) {
  std::string form(1, static_cast<char>(mend));
  auto first = static_cast<std::size_t>(log::kFirstGroup);
  auto block = static_cast<std::size_t>(log::kBlockBytes);
  auto is_group = [&](std::size_t at) {
    return log::decode_group_header(file.substr(at)).has_value();
  };
  for (auto at = first; at < file.size() && is_group(at);) {
    auto end = at + block;
    while (end < file.size() && !is_group(end)) end += block;
    auto group = file.substr(at, end - at);
    // The last frame may end with zeros of its own.
    constexpr std::size_t kZeros = 8;
    group = group.substr(0, group.find_last_not_of('\0') + 1 + kZeros);
    append_le(form, static_cast<std::uint16_t>(group.size()));
    form.append(group);
    at = end;
  }
  return form;
}

// Makes the frames of one group right, whose first begins at `at`; where the last of them ends.
inline std::size_t mend_frames(std::string& file, std::size_t at, std::size_t end,
                               unsigned char mend, const log::JournalHeader& header) {
  auto head = static_cast<std::size_t>(log::kFrameHeaderBytes);
  auto crc = log::nonce_crc(header.nonce);
  while (end - at >= head) {
    auto length = load_le<std::uint32_t>(file.data() + at + 4);
    if (length > end - at - head) break;
    auto* payload = file.data() + at + head;
    auto type = static_cast<log::FrameType>(file[at + 28]);
    bool batch = type == log::FrameType::kBatch || type == log::FrameType::kTruncate;
    if ((mend & kBatches) && batch && length >= record::kBatchHeaderBytes) {
      store_be(payload, load_le<std::int64_t>(file.data() + at + 16));
      store_be(payload + record::kLengthPosition,
               static_cast<std::int32_t>(length - record::kLogOverheadBytes));
      store_be(payload + 17, crc32c(Bytes(payload, length).substr(record::kBatchHeadBytes)));
    }
    store_le(file.data() + at, log::frame_crc(crc, header.base_lsn + at, file.data() + at,
                                              Bytes(payload, length), type));
    at += head + length;
  }
  return at;
}

// The journal file that the form stands for, behind the header of the store's own.
inline std::string file_of(const Store& store, Bytes form) {
  auto file = store.files.at(store.journal);
  auto first = static_cast<std::size_t>(log::kFirstGroup), at = first;
  auto block = static_cast<std::size_t>(log::kBlockBytes);
  std::fill(file.begin() + log::kFirstGroup, file.end(), '\0');
  if (form.empty()) return file;
  auto mend = static_cast<unsigned char>(form[0]);
  form.remove_prefix(1);
  log::Lsn frames_end = 0;
  while (form.size() >= 2 && at < file.size()) {
    std::size_t length = load_le<std::uint16_t>(form.data());
    length = std::min({length, form.size() - 2, file.size() - at});
    std::copy_n(form.data() + 2, length, file.data() + at);
    form.remove_prefix(2 + length);
    auto head = static_cast<std::size_t>(log::kGroupHeaderBytes);
    if ((mend & kGroups) && length >= head) {
      log::GroupHeader group{.nonce = store.header.nonce,
                             .lsn = store.header.base_lsn + at,
                             .synced_to = load_le<std::uint64_t>(file.data() + at + 24),
                             .prev_end = frames_end};
      group.synced_to = std::min(group.synced_to, group.prev_end);
      log::encode_group_header(group, file.data() + at);
    }
    if ((mend & kFrames) && length >= head) {
      frames_end =
          store.header.base_lsn + mend_frames(file, at + head, at + length, mend, store.header);
    }
    at += std::max((length + block - 1) / block * block, block);
  }
  return file;
}

}  // namespace walrus::fuzz
