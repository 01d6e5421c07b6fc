#include "log/manifest.h"

#include <unordered_map>

#include "base/check.h"
#include "base/crc32c.h"
#include "log/journal.h"

// The body, field by field: u = uvarint, z = zig-zag varint, s = uvarint length and bytes, b = one
// byte; z1 = z in the first element only, the others begin where the one before ends. The indented
// fields below a count are there so many times.
//
//   manifest body
//   u journal sequence
//   u journal lsn
//   u next file
//   u count of files
//     s name
//     u stream
//     z base offset of the file
//     u synced end
//     b flags (1 sealed)
//   u count of streams, by rising id
//     u id
//     z log start
//     z next offset
//     z epoch
//     z segment base
//     z segment records
//     z segment bytes
//     z segment started ms
//     z reclaimed bytes
//     z max timestamp ms
//     u count of extents
//       u place of the file in the table
//       u position
//       u bytes
//       z1 base offset
//       u end - base offset
//       u records
//       z segment base of the extent
//       z epoch of the extent
//       z min timestamp ms of the extent
//       z max timestamp ms of the extent
//     u count of producers, by rising id (producers.cc)
//       z producer id
//       z producer epoch
//       z last timestamp ms
//       u count of batches
//         u first sequence
//         u last sequence
//         z first offset
//   u count of state entries, by rising (table, stream, key)
//     b table
//     u stream of the entry
//     s key
//     s value

namespace walrus::log {
namespace {

constexpr Bytes kMagic = "WALRUSM1";
constexpr std::size_t kHeaderBytes = 64;
constexpr std::size_t kUuidBytes = 16;
constexpr std::size_t kCrcPosition = 12;
constexpr std::uint8_t kSealed = 1;
// The fewest bytes that one element takes: bounds a count before memory is taken for it.
constexpr std::size_t kFileBytesMin = 5, kStreamBytesMin = 12, kExtentBytesMin = 9,
                      kStateBytesMin = 4;

std::uint32_t manifest_crc(Bytes whole) {
  return crc32c(whole.substr(kCrcPosition + 4), crc32c(whole.substr(0, kCrcPosition)));
}

void append_varint(std::string& to, std::int64_t value) { append_uvarint(to, zigzag(value)); }

// Every file that some extent lies in, in the order in which the extents name them.
struct FileTable {
  std::vector<const SegmentFile*> files;
  std::unordered_map<const SegmentFile*, std::size_t> places;
};

FileTable collect_files(const Manifest& manifest) {
  FileTable table;
  for (const StreamSnapshot& stream : manifest.streams) {
    if (!stream.chain) continue;
    for (const Extent& extent : *stream.chain) {
      if (table.places.try_emplace(extent.file.get(), table.files.size()).second) {
        table.files.push_back(extent.file.get());
      }
    }
  }
  return table;
}

void encode_file(std::string& to, const SegmentFile& file) {
  append_string(to, file.name);
  append_uvarint(to, file.stream);
  append_varint(to, file.base_offset);
  append_uvarint(to, static_cast<std::uint64_t>(file.synced_end));
  to.push_back(static_cast<char>(file.sealed ? kSealed : 0));
}

void encode_chain(std::string& to, const Chain& chain, const FileTable& files) {
  append_uvarint(to, chain.size());
  std::int64_t end = 0;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const Extent& extent = chain[i];
    CHECK(i == 0 || extent.base_offset == end);  // a chain has no gap
    CHECK(extent.base_offset < extent.end_offset);
    CHECK(extent.position + extent.bytes <= extent.file->synced_end);
    append_uvarint(to, files.places.at(extent.file.get()));
    append_uvarint(to, static_cast<std::uint64_t>(extent.position));
    append_uvarint(to, static_cast<std::uint64_t>(extent.bytes));
    if (i == 0) append_varint(to, extent.base_offset);
    append_uvarint(to, static_cast<std::uint64_t>(extent.end_offset - extent.base_offset));
    append_uvarint(to, static_cast<std::uint64_t>(extent.records));
    append_varint(to, extent.segment_base);
    append_varint(to, extent.epoch);
    append_varint(to, extent.min_timestamp_ms);
    append_varint(to, extent.max_timestamp_ms);
    end = extent.end_offset;
  }
}

void encode_stream(std::string& to, const StreamSnapshot& stream, const FileTable& files) {
  append_uvarint(to, stream.id);
  append_varint(to, stream.log_start);
  append_varint(to, stream.next_offset);
  append_varint(to, stream.epoch);
  append_varint(to, stream.segment_base);
  append_varint(to, stream.segment_records);
  append_varint(to, stream.segment_bytes);
  append_varint(to, stream.segment_started_ms);
  append_varint(to, stream.reclaimed_bytes);
  append_varint(to, stream.max_timestamp_ms);
  encode_chain(to, stream.chain ? *stream.chain : Chain(), files);
  stream.producers.encode(to);
}

void encode_body(std::string& to, const Manifest& manifest) {
  append_uvarint(to, manifest.journal_sequence);
  append_uvarint(to, manifest.journal_lsn);
  append_uvarint(to, manifest.next_file);
  auto files = collect_files(manifest);
  append_uvarint(to, files.files.size());
  for (const SegmentFile* file : files.files) encode_file(to, *file);
  append_uvarint(to, manifest.streams.size());
  for (std::size_t i = 0; i < manifest.streams.size(); ++i) {
    CHECK(i == 0 || manifest.streams[i - 1].id < manifest.streams[i].id);
    encode_stream(to, manifest.streams[i], files);
  }
  append_uvarint(to, manifest.tables.size());
  for (const auto& [key, value] : manifest.tables) {
    to.push_back(static_cast<char>(key.first));
    append_uvarint(to, key.second.first);
    append_string(to, key.second.second);
    append_string(to, value);
  }
}

// A file's name goes into a path: only what SegmentStore itself makes may come out of a manifest.
bool name_is_sane(Bytes name) {
  if (name.empty() || name.size() > 255 || name.front() == '/') return false;
  for (char c : name) {
    bool fine =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '.' || c == '/';
    if (!fine) return false;
  }
  return name.find("..") == Bytes::npos;
}

class BodyDecoder {
 public:
  explicit BodyDecoder(Bytes body) : in_(body) {}

  Result<void> run(Manifest& to) {
    auto sequence = in_.uvarint();
    auto lsn = in_.uvarint();
    auto next_file = in_.uvarint();
    if (!in_.ok()) return bad("the journal's start");
    to.journal_sequence = *sequence;
    to.journal_lsn = *lsn;
    to.next_file = *next_file;
    WALRUS_TRY(files());
    WALRUS_TRY(streams(to));
    WALRUS_TRY(tables(to));
    if (!in_.at_end()) return bad("bytes after the end");
    return {};
  }

 private:
  static std::unexpected<Error> bad(const char* what) {
    return fail(Code::kCorrupt, "manifest: {} is damaged", what);
  }

  // A count of elements that take `bytes_min` each; none if so many cannot follow.
  std::optional<std::size_t> count(std::size_t bytes_min) {
    auto value = in_.uvarint();
    if (!value || *value > in_.remaining() / bytes_min) return std::nullopt;
    return *value;
  }
  std::optional<std::int64_t> size() {  // what is written unsigned and may not be negative
    auto value = in_.uvarint();
    if (!value || *value > INT64_MAX) return std::nullopt;
    return static_cast<std::int64_t>(*value);
  }

  Result<void> files() {
    auto files = count(kFileBytesMin);
    if (!files) return bad("the file count");
    files_.reserve(*files);
    for (std::size_t i = 0; i < *files; ++i) {
      auto name = in_.string();
      auto stream = in_.uvarint();
      auto base = in_.varint();
      auto end = size();
      auto flags = in_.le<std::uint8_t>();
      if (!in_.ok() || !end || !name_is_sane(*name) || *base < 0 || *flags > kSealed) {
        return bad("the file table");
      }
      files_.push_back(std::make_shared<SegmentFile>(SegmentFile{.name = std::string(*name),
                                                                 .stream = *stream,
                                                                 .base_offset = *base,
                                                                 .synced_end = *end,
                                                                 .sealed = *flags == kSealed}));
    }
    return {};
  }

  Result<void> extent(Chain& chain) {
    auto file = in_.uvarint();
    auto position = size();
    auto bytes = size();
    auto base = chain.empty() ? in_.varint() : std::optional(chain.back().end_offset);
    auto length = size();
    auto records = size();
    auto segment_base = in_.varint();
    auto epoch = in_.varint();
    auto min_timestamp = in_.varint();
    auto max_timestamp = in_.varint();
    if (!in_.ok() || !position || !bytes || !length || !records) return bad("an extent");
    if (*file >= files_.size()) return bad("an extent's file");
    const FileRef& ref = files_[*file];
    if (*position > ref->synced_end || *bytes > ref->synced_end - *position || *base < 0 ||
        *length == 0 || *length > INT64_MAX - *base || *records > *length) {
      return bad("an extent's range");
    }
    if (*epoch < INT32_MIN || *epoch > INT32_MAX) return bad("an extent's epoch");
    chain.push_back({.file = ref,
                     .position = *position,
                     .bytes = *bytes,
                     .base_offset = *base,
                     .end_offset = *base + *length,
                     .records = *records,
                     .segment_base = *segment_base,
                     .epoch = static_cast<std::int32_t>(*epoch),
                     .min_timestamp_ms = *min_timestamp,
                     .max_timestamp_ms = *max_timestamp});
    return {};
  }

  Result<void> chain(ChainRef& to) {
    auto extents = count(kExtentBytesMin);
    if (!extents) return bad("an extent count");
    if (*extents == 0) {  // streams without stored data share one
      to = empty_;
      return {};
    }
    Chain chain;
    chain.reserve(*extents);
    for (std::size_t i = 0; i < *extents; ++i) WALRUS_TRY(extent(chain));
    to = std::make_shared<const Chain>(std::move(chain));
    return {};
  }

  Result<void> stream(StreamSnapshot& to) {
    auto id = in_.uvarint();
    auto log_start = in_.varint();
    auto next_offset = in_.varint();
    auto epoch = in_.varint();
    std::int64_t* numbers[] = {&to.segment_base,       &to.segment_records, &to.segment_bytes,
                               &to.segment_started_ms, &to.reclaimed_bytes, &to.max_timestamp_ms};
    for (std::int64_t* number : numbers) *number = in_.varint().value_or(0);
    if (!in_.ok() || *id == kCatalogStream || *epoch < INT32_MIN || *epoch > INT32_MAX ||
        *log_start < 0 || *next_offset < *log_start) {
      return bad("a stream");
    }
    to.id = *id;
    to.log_start = *log_start;
    to.next_offset = *next_offset;
    to.epoch = static_cast<std::int32_t>(*epoch);
    WALRUS_TRY(chain(to.chain));
    WALRUS_ASSIGN(to.producers, ProducerTable::decode(in_));
    return {};
  }

  Result<void> streams(Manifest& to) {
    auto streams = count(kStreamBytesMin);
    if (!streams) return bad("the stream count");
    for (std::size_t i = 0; i < *streams; ++i) {
      StreamSnapshot next;
      WALRUS_TRY(stream(next));
      if (!to.streams.empty() && next.id <= to.streams.back().id) return bad("the streams' order");
      to.streams.push_back(std::move(next));
    }
    return {};
  }

  Result<void> tables(Manifest& to) {
    auto entries = count(kStateBytesMin);
    if (!entries) return bad("the state count");
    for (std::size_t i = 0; i < *entries; ++i) {
      auto table = in_.le<std::uint8_t>();
      auto stream = in_.uvarint();
      auto key = in_.string();
      auto value = in_.string();
      if (!in_.ok()) return bad("a state entry");
      std::pair place(*table, std::pair(*stream, std::string(*key)));
      if (!to.tables.empty() && place <= to.tables.rbegin()->first) return bad("the state's order");
      to.tables.emplace_hint(to.tables.end(), std::move(place), std::string(*value));
    }
    return {};
  }

  Decoder in_;
  std::vector<FileRef> files_;
  ChainRef empty_ = std::make_shared<const Chain>();
};

}  // namespace

std::string encode_manifest(const Manifest& manifest) {
  CHECK(manifest.directory_uuid.size() == kUuidBytes);
  std::string bytes(kMagic);
  append_le(bytes, kManifestVersion);
  append_le(bytes, std::uint32_t{0});  // the CRC, below
  append_le(bytes, std::uint64_t{0});  // the body's length, below
  append_le(bytes, manifest.generation);
  bytes += manifest.directory_uuid;
  append_le(bytes, manifest.layout);
  append_le(bytes, manifest.shard);
  append_le(bytes, manifest.shards);
  CHECK(bytes.size() == kHeaderBytes);
  encode_body(bytes, manifest);
  store_le(bytes.data() + 16, std::uint64_t{bytes.size() - kHeaderBytes});
  store_le(bytes.data() + kCrcPosition, manifest_crc(bytes));
  return bytes;
}

Result<Manifest> decode_manifest(Bytes bytes) {
  if (bytes.size() < kHeaderBytes || !bytes.starts_with(kMagic)) {
    return fail(Code::kCorrupt, "manifest: no header");
  }
  auto body_bytes = load_le<std::uint64_t>(bytes.data() + 16);
  if (body_bytes > bytes.size() - kHeaderBytes) {
    return fail(Code::kCorrupt, "manifest: ends before its body does");
  }
  bytes = bytes.substr(0, kHeaderBytes + body_bytes);
  if (load_le<std::uint32_t>(bytes.data() + kCrcPosition) != manifest_crc(bytes)) {
    return fail(Code::kCorrupt, "manifest: its CRC does not hold");
  }
  auto version = load_le<std::uint32_t>(bytes.data() + 8);
  if (version > kManifestVersion) {
    return fail(Code::kVersion, "manifest: format version {} is newer than {}", version,
                kManifestVersion);
  }
  if (version == 0) return fail(Code::kCorrupt, "manifest: no format version");
  Manifest manifest;
  manifest.generation = load_le<std::uint64_t>(bytes.data() + 24);
  manifest.directory_uuid = bytes.substr(32, kUuidBytes);
  manifest.layout = load_le<std::uint64_t>(bytes.data() + 48);
  manifest.shard = load_le<std::int32_t>(bytes.data() + 56);
  manifest.shards = load_le<std::int32_t>(bytes.data() + 60);
  WALRUS_TRY(BodyDecoder(bytes.substr(kHeaderBytes)).run(manifest));
  return manifest;
}

namespace {

io::Path slot_path(const io::Path& directory, std::uint64_t layout, std::uint64_t slot) {
  return directory / fmt::format("manifest-{}.{}", layout, slot);
}

std::unexpected<Error> name_file(const io::Path& path, Error error) {
  return fail(error.code, "{}: {}", path.string(), error.message);
}

Result<std::string> read_whole(io::File& file) {
  WALRUS_ASSIGN(auto size, file.size());
  std::string bytes(static_cast<std::size_t>(size), '\0');
  WALRUS_ASSIGN(auto read, file.read(0, bytes));
  bytes.resize(read);
  return bytes;
}

Result<Manifest> read_slot(io::Disk& disk, const io::Path& path) {
  WALRUS_ASSIGN(auto file, disk.open(path, io::Open::kRead));
  WALRUS_ASSIGN(auto bytes, read_whole(*file));
  auto manifest = decode_manifest(bytes);
  if (!manifest) return name_file(path, std::move(manifest).error());
  return manifest;
}

// What was written before an error may not come to life by itself. The blocks stay if they can, so
// that a full disk has room for the next try.
bool take_back(io::File& slot) {
  bool gone = slot.write(0, std::string(kHeaderBytes, '\0')) || slot.truncate(0);
  return gone && slot.sync();
}

}  // namespace

Result<void> write_manifest(io::Env& env, const io::Path& shard_directory, const Manifest& manifest,
                            bool* unsure) {
  auto bytes = encode_manifest(manifest);
  auto path = slot_path(shard_directory, manifest.layout, manifest.generation % 2);
  io::Disk& disk = env.disk();
  auto file = disk.open(path, io::Open::kWrite);
  if (!file && file.error().code == Code::kNotFound) file = disk.open(path, io::Open::kCreate);
  if (!file) return std::unexpected(std::move(file).error());
  env.crash_point("manifest-before-write");
  auto written = (*file)->write(0, bytes);
  if (written) written = (*file)->truncate(static_cast<std::int64_t>(bytes.size()));
  if (!written) {
    if (unsure) *unsure = !take_back(**file);
    return written;
  }
  env.crash_point("manifest-before-sync");
  written = (*file)->sync();
  // Every time: a slot that is there may have been made by a process that died before this line.
  if (written) written = disk.sync_directory(shard_directory);
  if (unsure) *unsure = !written;
  WALRUS_TRY(std::move(written));
  env.crash_point("manifest-after-sync");
  return {};
}

namespace {

struct Slots {
  std::optional<Manifest> newest, older;  // the whole ones
  std::optional<Error> damage;            // of a slot that is there and not whole
};

Result<Slots> load_slots(io::Env& env, const io::Path& shard_directory, std::uint64_t layout) {
  Slots slots;
  for (std::uint64_t slot = 0; slot < 2; ++slot) {
    auto path = slot_path(shard_directory, layout, slot);
    auto manifest = read_slot(env.disk(), path);
    if (!manifest && manifest.error().code == Code::kNotFound) continue;
    if (!manifest && manifest.error().code != Code::kCorrupt) {
      return std::unexpected(std::move(manifest).error());
    }
    if (manifest && (manifest->layout != layout || manifest->generation % 2 != slot)) {
      manifest = fail(Code::kCorrupt, "{}: a manifest of layout {}, generation {}", path.string(),
                      manifest->layout, manifest->generation);
    }
    if (!manifest) {
      slots.damage = std::move(manifest).error();
    } else if (!slots.newest || slots.newest->generation < manifest->generation) {
      slots.older = std::move(slots.newest);
      slots.newest = std::move(*manifest);
    } else {
      slots.older = std::move(*manifest);
    }
  }
  return slots;
}

}  // namespace

Result<std::optional<Manifest>> load_manifest(io::Env& env, const io::Path& shard_directory,
                                              std::uint64_t layout) {
  WALRUS_ASSIGN(auto slots, load_slots(env, shard_directory, layout));
  if (!slots.newest && slots.damage) return std::unexpected(*std::move(slots.damage));
  return std::move(slots.newest);
}

Result<std::optional<Manifest>> load_older_manifest(io::Env& env, const io::Path& shard_directory,
                                                    std::uint64_t layout) {
  WALRUS_ASSIGN(auto slots, load_slots(env, shard_directory, layout));
  return std::move(slots.older);
}

Result<void> remove_older_manifest(io::Env& env, const io::Path& shard_directory,
                                   const Manifest& newest) {
  auto removed =
      env.disk().remove(slot_path(shard_directory, newest.layout, (newest.generation + 1) % 2));
  if (!removed && removed.error().code != Code::kNotFound) return removed;
  return env.disk().sync_directory(shard_directory);
}

// A slot that is being written beside this call is not whole for a moment: it is read until it
// does not change any more.
Result<void> verify_manifests(io::Env& env, const io::Path& shard_directory, std::uint64_t layout,
                              std::vector<Finding>& findings) {
  constexpr int kLooks = 10;
  constexpr auto kPause = std::chrono::milliseconds(20);
  for (std::uint64_t slot = 0; slot < 2; ++slot) {
    auto path = slot_path(shard_directory, layout, slot);
    for (int look = 1;; ++look) {
      auto file = env.disk().open(path, io::Open::kRead);
      if (!file && file.error().code == Code::kNotFound) break;
      if (!file) return std::unexpected(std::move(file).error());
      WALRUS_ASSIGN(auto bytes, read_whole(**file));
      if (bytes.empty()) break;  // emptied when its writing failed
      auto manifest = decode_manifest(bytes);
      if (manifest) break;
      if (look == kLooks) {
        findings.push_back({path, 0, manifest.error().code,
                            manifest.error().message + " (damaged, or torn by a power cut)"});
        break;
      }
      Event never;
      (void)env.wait(never, kPause);
    }
  }
  return {};
}

namespace {

// False: the slot is not what it was when it was loaded; a page may have fallen out of the cache.
Result<bool> settle(io::Env& env, const io::Path& shard_directory, const Manifest& manifest) {
  auto path = slot_path(shard_directory, manifest.layout, manifest.generation % 2);
  WALRUS_ASSIGN(auto file, env.disk().open(path, io::Open::kWrite));
  WALRUS_ASSIGN(auto bytes, read_whole(*file));
  auto there = decode_manifest(bytes);
  if (!there || there->generation != manifest.generation) return false;
  // The same bytes: however much of them a crash leaves, the slot is what it was.
  WALRUS_TRY(file->write(0, bytes));
  WALRUS_TRY(file->sync());
  WALRUS_TRY(env.disk().sync_directory(shard_directory));
  return true;
}

}  // namespace

Result<std::optional<Manifest>> load_settled_manifest(io::Env& env, const io::Path& shard_directory,
                                                      std::uint64_t layout) {
  constexpr int kAttempts = 4;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    WALRUS_ASSIGN(auto manifest, load_manifest(env, shard_directory, layout));
    if (!manifest) return manifest;
    WALRUS_ASSIGN(bool settled, settle(env, shard_directory, *manifest));
    if (settled) return manifest;
  }
  return fail(Code::kIo, "{}: the manifest does not stay what it is", shard_directory.string());
}

}  // namespace walrus::log
