#include <algorithm>
#include <utility>

#include "base/check.h"
#include "log/segment_impl.h"

namespace walrus::log {

using record::BatchView;

Result<SegmentWriter> NewNames::create(const std::string& name, const SegmentHeader& header) {
  auto directory = name.substr(0, name.find('/'));
  if (touched_.insert(directory).second) {
    WALRUS_TRY(store_.env.disk().make_directory(store_.segments / directory));
  }
  return SegmentWriter::create(store_.env.disk(), store_.segments, name, header);
}

Result<SegmentWriter> NewNames::create_segment(std::uint64_t stream, std::int64_t base_offset,
                                               bool numbered, std::uint64_t& next_file) {
  SegmentHeader header{.directory_uuid = store_.options.directory_uuid,
                       .stream = stream,
                       .base_offset = base_offset,
                       .shard = static_cast<std::uint32_t>(store_.options.shard)};
  auto start = fmt::format("{:02x}/{}-{}", stream & 0xff, stream, base_offset);
  if (!numbered) {
    auto writer = create(start + ".seg", header);
    // Taken: the stream was truncated to this offset before, or a write failed.
    if (writer || writer.error().code != Code::kExists) return writer;
  }
  header.number = next_file++;
  return create(fmt::format("{}.{}.seg", start, header.number), header);
}

Result<void> NewNames::sync() {
  if (touched_.empty()) return {};
  store_.env.crash_point("segment-before-directory-sync");
  auto synced = sync_all();
  if (!synced) store_.sync_failed = true;
  store_.env.crash_point("segment-after-directory-sync");
  return synced;
}

Result<void> NewNames::sync_all() {
  io::Disk& disk = store_.env.disk();
  for (const auto& directory : touched_) {
    WALRUS_TRY(disk.sync_directory(store_.segments / directory));
  }
  {
    LockGuard guard(store_.lock);
    if (std::ranges::includes(store_.directories, touched_)) return {};
  }
  // A directory that was there may have been made by a process that died before it synced the
  // name: each is synced once by every process.
  WALRUS_TRY(disk.sync_directory(store_.segments));
  WALRUS_TRY(disk.sync_directory(store_.options.root));
  LockGuard guard(store_.lock);
  store_.directories.insert(touched_.begin(), touched_.end());
  return {};
}

namespace {

// Descriptors that a sync may wait for; a file beyond is synced at once.
constexpr std::size_t kOpenMax = 64;
// A pack file is not continued beyond it.
constexpr std::int64_t kPackFileBytes = 8 << 20;

std::int64_t run_bytes(const Incoming::Run& run) {
  std::int64_t bytes = 0;
  for (Bytes batch : run.batches) bytes += static_cast<std::int64_t>(batch.size());
  return bytes;
}

}  // namespace

struct SegmentStore::Write::Work {
 public:
  Work(SegmentStore::Impl& store, std::uint64_t& next_file)
      : store_(store), names_(store), next_file_(next_file) {}
  ~Work() { give_up(); }

  Result<std::vector<ChainRef>> add(std::span<const Incoming> all) {
    auto chains = add_all(all);
    if (!chains) give_up();
    return chains;
  }

  std::int64_t unsynced_bytes() const { return unsynced_bytes_; }

  Result<void> sync() {
    auto synced = sync_all();
    if (!synced) give_up();
    return synced;
  }

 private:
  Result<std::vector<ChainRef>> add_all(std::span<const Incoming> all) {
    std::vector<ChainRef> chains;
    chains.reserve(all.size());
    for (const Incoming& incoming : all) {
      WALRUS_ASSIGN(auto chain, stream(incoming));
      chains.push_back(std::move(chain));
    }
    if (pack_ && pack_->end() >= kPackFileBytes) WALRUS_TRY(set_aside(pack_));
    return chains;
  }

  Result<void> sync_all() {
    WALRUS_TRY(set_aside(own_));
    WALRUS_TRY(set_aside(pack_));
    for (SegmentWriter& writer : written_) {
      if (writer.open()) WALRUS_TRY(writer.finish(store_.env));
    }
    WALRUS_TRY(names_.sync());
    LockGuard guard(store_.lock);
    for (SegmentWriter& writer : written_) writer.commit(store_.indexes);
    written_.clear();
    open_ = 0;
    unsynced_bytes_ = 0;
    return {};
  }

  void give_up() {
    if (own_) written_.push_back(*std::exchange(own_, std::nullopt));
    if (pack_) written_.push_back(*std::exchange(pack_, std::nullopt));
    for (SegmentWriter& writer : written_) {
      if (writer.sync_failed()) store_.sync_failed = true;
      writer.abandon();
    }
    written_.clear();
  }

  Result<ChainRef> stream(const Incoming& incoming) {
    if (incoming.runs.empty() && incoming.chain) return incoming.chain;
    CHECK(incoming.stream != 0);
    if (own_ && own_->file()->stream != incoming.stream) WALRUS_TRY(set_aside(own_));
    Chain chain;
    if (incoming.chain) chain = *incoming.chain;
    std::int64_t pending = 0;
    for (const auto& run : incoming.runs) pending += run_bytes(run);
    unsynced_bytes_ += pending;
    for (const auto& run : incoming.runs) {
      bool last = &run == &incoming.runs.back();
      auto weight = last ? pending : run_bytes(run);
      WALRUS_TRY(place(incoming.stream, run, weight, chain));
    }
    return std::make_shared<const Chain>(std::move(chain));
  }

  // Decides where a run goes: on in the segment's own open file, into a new one if it weighs
  // enough, else into the pack that this write's small runs share.
  Result<void> place(std::uint64_t stream, const Incoming::Run& run, std::int64_t weight,
                     Chain& chain) {
    bool rolls =
        run.seals_before || (!chain.empty() && chain.back().segment_base != run.segment_base);
    if (rolls) WALRUS_TRY(seal_open_file(chain));
    if (run.batches.empty()) return {};
    if (!rolls && !own_) WALRUS_TRY(reopen(chain));
    if (!own_ && weight < store_.options.pack_bytes_max) return add_to_pack(run, chain);
    if (!own_) {
      auto base =
          chain.empty() ? BatchView(run.batches.front()).base_offset() : chain.back().end_offset;
      WALRUS_ASSIGN(own_, names_.create_segment(stream, base, false, next_file_));
      own_->use_memory(std::exchange(memory_, {}));
    }
    return add(*own_, run, chain);
  }

  Result<void> add_to_pack(const Incoming::Run& run, Chain& chain) {
    if (!pack_) {
      auto number = next_file_++;
      WALRUS_ASSIGN(pack_,
                    names_.create(fmt::format("pack/{}-{}.pack", store_.options.shard, number),
                                  {.pack = true,
                                   .directory_uuid = store_.options.directory_uuid,
                                   .number = number,
                                   .shard = static_cast<std::uint32_t>(store_.options.shard)}));
      pack_->use_memory(std::exchange(memory_, {}));
    }
    return add(*pack_, run, chain);
  }

  // What comes out of the journal is checked once more: behind this the journal is recycled.
  Result<void> add(SegmentWriter& writer, const Incoming::Run& run, Chain& chain) {
    for (Bytes bytes : run.batches) {
      WALRUS_ASSIGN(auto batch, BatchView::parse(bytes));
      auto expected = chain.empty() ? batch.base_offset() : chain.back().end_offset;
      const char* fault = batch_header_fault(
          bytes, {.offset = expected, .epoch = run.epoch, .bytes_left = batch_bytes(bytes)});
      if (!fault && batch.bytes().size() != bytes.size()) fault = "bytes behind the batch";
      if (!fault && !batch.crc_holds()) fault = "the batch's CRC does not hold";
      if (fault) {
        return fail(Code::kCorrupt, "{}: offset {} from the journal: {}", writer.file()->name,
                    expected, fault);
      }
      WALRUS_TRY(writer.add(batch, run.segment_base, store_.options.index_interval_bytes, chain));
    }
    return {};
  }

  // The own file that the chain ends in, if it may be written: not sealed, and nothing but padding
  // behind the chain's end; a truncation leaves more there.
  FileRef open_file(const Chain& chain) {
    if (chain.empty() || chain.back().file->stream == 0) return nullptr;
    const Extent& last = chain.back();
    LockGuard guard(store_.lock);
    bool open =
        !last.file->sealed && next_piece(last.position + last.bytes) == last.file->synced_end;
    return open ? last.file : nullptr;
  }

  Result<void> reopen(const Chain& chain) {
    auto file = open_file(chain);
    if (!file) return {};
    std::optional<IndexState> state;
    {
      LockGuard guard(store_.lock);
      if (auto* index = store_.indexes.find(file, kFileHeaderBytes)) state = index->state;
    }
    auto data_end = chain.back().position + chain.back().bytes;
    auto writer = SegmentWriter::reopen(store_.env.disk(), store_.files, file, data_end, state);
    if (writer) {
      own_ = std::move(*writer);
      own_->use_memory(std::exchange(memory_, {}));
      return {};
    }
    // A file that is damaged or gone is for its readers to report; what follows goes elsewhere.
    auto code = writer.error().code;
    if (code == Code::kCorrupt || code == Code::kNotFound || code == Code::kVersion) return {};
    return std::unexpected(std::move(writer).error());
  }

  Result<void> seal_open_file(const Chain& chain) {
    if (!own_) WALRUS_TRY(reopen(chain));
    if (!own_) return {};
    std::vector<IndexEntry> before;
    if (own_->knows_index()) {
      LockGuard guard(store_.lock);
      auto* index = store_.indexes.find(own_->file(), kFileHeaderBytes);
      if (index && index->state.end_position == own_->index_start()) before = index->entries;
    }
    auto sealed = own_->seal(std::move(before), store_.options.index_interval_bytes);
    // Damage in the file is for its readers to report: it stays without an index.
    if (!sealed && sealed.error().code != Code::kCorrupt) return sealed;
    return set_aside(own_);
  }

  // A file that this stream, or this piece, is done with waits for the sync.
  Result<void> set_aside(std::optional<SegmentWriter>& writer) {
    if (!writer) return {};
    written_.push_back(*std::exchange(writer, std::nullopt));
    auto& last = written_.back();
    WALRUS_TRY(open_++ < kOpenMax ? last.complete() : last.finish(store_.env));
    memory_ = last.give_memory();
    return {};
  }

  SegmentStore::Impl& store_;
  NewNames names_;
  std::uint64_t& next_file_;
  std::optional<SegmentWriter> own_;  // of the last stream, which may go on
  std::optional<SegmentWriter> pack_;
  std::vector<SegmentWriter> written_;  // set aside
  SegmentWriter::Memory memory_;        // of one of these, for the next
  std::size_t open_ = 0;                // of written_
  std::int64_t unsynced_bytes_ = 0;
};

SegmentStore::Write::Write(SegmentStore& store, std::uint64_t& next_file)
    : work_(std::make_unique<Work>(*store.impl_, next_file)) {}
SegmentStore::Write::~Write() = default;

Result<std::vector<ChainRef>> SegmentStore::Write::add(std::span<const Incoming> all) {
  return work_->add(all);
}
std::int64_t SegmentStore::Write::unsynced_bytes() const { return work_->unsynced_bytes(); }
Result<void> SegmentStore::Write::sync() { return work_->sync(); }

}  // namespace walrus::log
