// Making a shard and bringing it back: the manifest, then the journal on top of it.

#include <algorithm>

#include "base/check.h"
#include "log/shard.h"

namespace walrus::log {
namespace {

// In Manifest::journal_sequence: the log has left that file; the next one names it as predecessor.
constexpr std::uint64_t kLogLeft = std::uint64_t{1} << 63;

// By stream. Bulk moves them without a word in the journal.
std::vector<std::pair<std::uint64_t, std::int64_t>> ends_of(const Manifest& manifest) {
  std::vector<std::pair<std::uint64_t, std::int64_t>> ends;
  for (const auto& stream : manifest.streams) ends.emplace_back(stream.id, stream.next_offset);
  return ends;
}

}  // namespace

std::uint64_t pack_start(const JournalStart& start) {
  return start.sequence | (start.left ? kLogLeft : 0);
}

JournalStart unpack_start(std::uint64_t sequence, Lsn lsn) {
  return {sequence & ~kLogLeft, lsn, (sequence & kLogLeft) != 0};
}

Result<void> Shard::create() {
  WALRUS_TRY(env_.disk().make_directory(directory_));
  generation_ = 1;
  Manifest manifest;
  manifest.generation = generation_;
  manifest.directory_uuid = options_.directory_uuid;
  manifest.layout = options_.layout;
  manifest.shard = options_.index;
  manifest.shards = options_.count;
  manifest.journal_sequence = pack_start({});
  return write_manifest(env_, directory_, manifest);
}

Result<void> Shard::recover() {
  WALRUS_ASSIGN(auto manifest, options_.read_only
                                   ? load_manifest(env_, directory_, options_.layout)
                                   : load_settled_manifest(env_, directory_, options_.layout));
  if (!manifest) {
    return fail(Code::kCorrupt, "{}: no manifest of layout {}", directory_.string(),
                options_.layout);
  }
  if (manifest->directory_uuid != options_.directory_uuid || manifest->shard != options_.index) {
    return fail(Code::kCorrupt, "{}: the manifest belongs to another directory or shard",
                directory_.string());
  }
  generation_ = manifest->generation;
  next_file_ = manifest->next_file;
  tables_ = std::move(manifest->tables);
  trusted_at_ = env_.mono();
  trusted_now_ms();
  for (auto& snapshot : manifest->streams) {
    auto& stream = replayed_stream(snapshot.id);
    stream.log_start = snapshot.log_start;
    stream.log_end = stream.high_watermark = stream.syncing_end = snapshot.next_offset;
    stream.epoch = snapshot.epoch;
    stream.segment_base = snapshot.segment_base;
    stream.segment_records = snapshot.segment_records;
    stream.segment_bytes = snapshot.segment_bytes;
    stream.segment_started_ms = snapshot.segment_started_ms;
    stream.reclaimed_bytes = snapshot.reclaimed_bytes;
    stream.max_timestamp_ms = snapshot.max_timestamp_ms;
    stream.chain = std::move(snapshot.chain);
    stream.producers = std::move(snapshot.producers);
    if (stream.chain) {
      for (const auto& extent : *stream.chain) named_.push_back(extent.file);
    }
  }
  sort_by_name(named_);
  for (const auto& file : named_) WALRUS_TRY(store_.check_present(*file));
  start_ = unpack_start(manifest->journal_sequence, manifest->journal_lsn);
  manifest_start_ = start_;
  checkpointed_ = start_.lsn;
  if (!options_.read_only) {
    // See checkpoint_manifest(): the crash may have come before it was removed. And what it needs
    // of the journal is used again from now on.
    WALRUS_ASSIGN(auto older, load_older_manifest(env_, directory_, options_.layout));
    auto ends = ends_of(*manifest);
    bool outlived =
        older && (older->journal_lsn != manifest->journal_lsn || ends != ends_of(*older));
    if (outlived) WALRUS_TRY(remove_older_manifest(env_, directory_, *manifest));
  }
  WALRUS_TRY(journal_.recover(start_, [this](const Frame& frame, Lsn payload, Bytes bytes) {
    return replay(frame, payload, bytes);
  }));
  for (auto& [id, stream] : streams_) {
    stream->high_watermark = stream->syncing_end = stream->log_end;
    stream->touched = false;
  }
  touched_.clear();
  for (auto& [id, stream] : streams_) drop_extents(*stream);
  if (options_.read_only) return {};
  uncached_ = journal_.take_uncached();
  keep_reserve();
  auto filled = journal_.fill_spares();
  if (filled || filled.error().code != Code::kNoSpace) return filled;
  background_error_ = filled.error();  // a full disk: reads go on, files are tried for again
  return {};
}

void Shard::add_files(std::vector<FileRef>& to) {
  LockGuard guard(lock_);
  to.insert(to.end(), named_.begin(), named_.end());
  for (const auto& [id, stream] : streams_) {
    if (!stream->chain) continue;
    for (const auto& extent : *stream->chain) to.push_back(extent.file);
  }
}

void Shard::verify(std::vector<Finding>& findings) {
  std::vector<ChainRef> chains;
  for (auto id : stream_ids()) {
    LockGuard guard(lock_);
    if (const auto& chain = streams_.at(id)->chain) chains.push_back(chain);
  }
  std::vector<Finding> stored;  // named from the root on
  store_.verify(chains, stored);
  for (auto& finding : stored) {
    finding.file = options_.root / finding.file;
    findings.push_back(std::move(finding));
  }
  journal_.verify(findings);
}

Result<void> Shard::write_first_manifest(io::Env& env, const io::Path& root, Manifest& manifest) {
  auto directory = root / "journal" / std::to_string(manifest.shard);
  WALRUS_TRY(env.disk().make_directory(directory));
  WALRUS_TRY(env.disk().sync_directory(root / "journal"));
  manifest.journal_sequence = pack_start({});
  return write_manifest(env, directory, manifest);
}

// Everything that append, trim, truncate, drop and put_state did, done again.
Result<void> Shard::replay(const Frame& frame, Lsn payload, Bytes bytes) {
  auto bad = [&](const char* what) { return bad_frame(frame, what); };
  // A stream that no catalogue names is dropped with its state, and this one's is the catalogue.
  if (frame.stream == kCatalogStream && frame.type != FrameType::kState &&
      frame.type != FrameType::kEnd) {
    return bad("a frame that is not state, in the catalogue's stream");
  }
  switch (frame.type) {
    case FrameType::kBatch: {
      auto& stream = replayed_stream(frame.stream);
      WALRUS_ASSIGN(auto batch, record::BatchView::parse(bytes));
      if (frame.offset != stream.log_end || batch.base_offset() != frame.offset) {
        return bad("a batch that does not follow the one before it");
      }
      if ((frame.flags & kOpensSegment) != 0)
        open_segment(stream, frame.epoch, batch.max_timestamp());
      if (frame.epoch != stream.epoch) return bad("a batch of another epoch");
      if (stream.segment_records == 0) stream.segment_started_ms = batch.max_timestamp();
      add_pending(stream,
                  {frame.offset, batch.next_offset(), payload, frame.length,
                   static_cast<std::uint32_t>(batch.count()), batch.max_timestamp()},
                  batch.base_timestamp());
      if (batch.producer_id() >= 0) {
        stream.producers.add(batch.producer_id(), batch.producer_epoch(), batch.base_sequence(),
                             batch.last_offset_delta() + 1, frame.offset, trusted_ms_);
      }
      return {};
    }
    case FrameType::kState: {
      Decoder in(bytes);
      auto key = in.string();
      auto present = in.le<std::uint8_t>();
      if (!key || !present) return bad("a state frame that ends early");
      StateKey at{frame.flags, {frame.stream, std::string(*key)}};
      if (*present != 0) {
        tables_[at] = std::string(in.rest());
      } else {
        tables_.erase(at);
      }
      return {};
    }
    case FrameType::kTrim: {
      auto& stream = replayed_stream(frame.stream);
      if (frame.offset > stream.log_end) {
        if (stream.log_start != stream.log_end) return bad("a trim beyond the end");
        begin_at(stream, frame.offset);
      }
      stream.log_start = std::max(stream.log_start, frame.offset);
      return {};
    }
    case FrameType::kTruncate: return replay_truncate(frame, payload, bytes);
    case FrameType::kDrop: {
      if (auto found = streams_.find(frame.stream); found != streams_.end()) {
        found->second->removed = true;
        streams_.erase(found);
      }
      std::erase_if(tables_,
                    [&](const auto& item) { return item.first.second.first == frame.stream; });
      return {};
    }
    case FrameType::kEnd: return {};
  }
  return bad("a frame of an unknown type");
}

Result<void> Shard::replay_truncate(const Frame& frame, Lsn payload, Bytes bytes) {
  auto& stream = replayed_stream(frame.stream);
  if (frame.offset > stream.log_end) return bad_frame(frame, "a truncation beyond the end");
  ChainRef chain = stream.chain;
  if (frame.offset > stream.log_start && stream.chain_end() > frame.offset) {
    WALRUS_ASSIGN(chain, store_.cut(*chain, frame.offset));
  }
  apply_truncate(stream, frame.offset, frame.epoch, chain);
  if (bytes.empty()) return {};
  WALRUS_ASSIGN(auto batch, record::BatchView::parse(bytes));
  add_pending(stream,
              {frame.offset, batch.next_offset(), payload, frame.length,
               static_cast<std::uint32_t>(batch.count()), batch.max_timestamp()},
              batch.base_timestamp());
  return {};
}

std::unexpected<Error> Shard::bad_frame(const Frame& frame, const char* what) const {
  return fail(Code::kCorrupt, "{}: stream {} offset {}: {}", directory_.string(), frame.stream,
              frame.offset, what);
}

StreamState& Shard::replayed_stream(std::uint64_t id) {
  auto& stream = streams_[id];
  if (!stream) {
    stream = std::make_shared<StreamState>();
    stream->id = id;
    stream->shard = this;
  }
  return *stream;
}

StreamRef Shard::attach(std::string name, const CatalogEntry& entry) {
  LockGuard guard(lock_);
  auto& stream = replayed_stream(entry.id);
  if (stream.name.empty()) stream.name = std::move(name);
  stream.options = entry.options;
  stream.attributes = entry.attributes;
  // What was written under a weaker durability becomes readable with the next sync.
  bool fsync = entry.options.durability.kind == Durability::kFsync;
  if (fsync && stream.log_end > stream.high_watermark) request({this, journal_.end(), true});
  return streams_.at(entry.id);
}

std::string Shard::attributes(const StreamState& stream) {
  LockGuard guard(lock_);
  return stream.attributes;
}

std::vector<std::uint64_t> Shard::stream_ids() {
  LockGuard guard(lock_);
  std::vector<std::uint64_t> ids;
  for (const auto& [id, stream] : streams_) ids.push_back(id);
  std::ranges::sort(ids);
  return ids;
}

void Shard::add_streams_by_file(std::map<std::string, std::vector<std::uint64_t>>& to) {
  for (auto id : stream_ids()) {
    LockGuard guard(lock_);
    const auto& chain = streams_.at(id)->chain;
    if (!chain) continue;
    for (const Extent& extent : *chain) {
      auto& streams = to["segments/" + extent.file->name];
      if (streams.empty() || streams.back() != id) streams.push_back(id);
    }
  }
}

StreamSnapshot Shard::snapshot_of(const StreamState& stream) const {
  StreamSnapshot snapshot;
  snapshot.id = stream.id;
  snapshot.log_start = stream.log_start;
  snapshot.next_offset = stream.log_end;
  snapshot.epoch = stream.epoch;
  snapshot.segment_base = stream.segment_base;
  snapshot.segment_records = stream.segment_records;
  snapshot.segment_bytes = stream.segment_bytes;
  snapshot.segment_started_ms = stream.segment_started_ms;
  snapshot.reclaimed_bytes = stream.reclaimed_bytes;
  snapshot.max_timestamp_ms = stream.max_timestamp_ms;
  snapshot.chain = stream.chain;
  snapshot.producers = stream.producers;
  return snapshot;
}

Manifest Shard::snapshot_for_layout() {
  LockGuard guard(lock_);
  Manifest manifest;
  manifest.next_file = next_file_;
  manifest.journal_lsn = journal_.end();
  for (auto id : [&] {
         std::vector<std::uint64_t> ids;
         for (const auto& [id, stream] : streams_) ids.push_back(id);
         std::ranges::sort(ids);
         return ids;
       }()) {
    manifest.streams.push_back(snapshot_of(*streams_.at(id)));
  }
  manifest.tables = tables_;
  return manifest;
}

}  // namespace walrus::log
