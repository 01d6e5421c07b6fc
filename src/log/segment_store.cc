#include "log/segment_store.h"

#include <algorithm>

#include "log/segment_impl.h"

namespace walrus::log {
namespace {

using record::BatchView;
using Impl = SegmentStore::Impl;
constexpr auto kBatchHeader = static_cast<std::int64_t>(record::kBatchHeaderBytes);

std::int64_t size_of(Bytes bytes) { return static_cast<std::int64_t>(bytes.size()); }
std::int64_t end_of(const Extent& extent) { return extent.position + extent.bytes; }

// What stands at the front of a piece of a run.
struct Front {
  const char* fault = nullptr;  // damage
  std::int64_t padding = 0;     // before the batch
  std::int64_t needed = 0;      // bytes, padding included, that the batch takes
};

// `bytes` begin at `position` of the extent's file and may end anywhere.
Front look_at(Bytes bytes, const Extent& extent, std::int64_t position, std::int64_t offset) {
  Expected expected{
      .offset = offset, .epoch = extent.epoch, .bytes_left = end_of(extent) - position};
  if (expected.bytes_left < kBatchHeader) return {.fault = "the run ends inside a batch"};
  if (size_of(bytes) < kBatchHeader) return {.needed = kBatchHeader};
  const char* fault = batch_header_fault(bytes, expected);
  if (!fault) return {.needed = batch_bytes(bytes)};
  bool pieces = extent.file->stream != 0 && position > extent.position;
  auto gap = pieces ? padding_bytes(bytes, position) : 0;
  if (gap == 0 || gap >= expected.bytes_left) return {.fault = fault};
  if (gap >= size_of(bytes)) return {.padding = gap, .needed = gap + kBatchHeader};
  auto behind =
      look_at(bytes.substr(static_cast<std::size_t>(gap)), extent, position + gap, offset);
  if (behind.fault) return {.fault = fault};
  return {.padding = gap, .needed = gap + behind.needed};
}

// Counts the batches at the front of `data`, which begin at `place`, that are whole, good and
// wanted, and moves them together where padding separates them. Damage fails only where it is the
// first thing met: what comes before it is good.
Result<Impl::Taken> check_batches(std::span<char> data, const Extent& extent,
                                  const Impl::Place& place, const Impl::Appetite& appetite) {
  Impl::Taken taken{.next_offset = place.offset};
  auto left = end_of(extent) - place.position;
  while (taken.consumed < left) {
    auto rest = Bytes(data.data(), data.size()).substr(static_cast<std::size_t>(taken.consumed));
    auto front = look_at(rest, extent, place.position + taken.consumed, taken.next_offset);
    auto bytes = front.needed - front.padding;
    bool wanted = taken.bytes + bytes <= appetite.budget || (appetite.first && taken.bytes == 0);
    if (!front.fault && (front.needed > size_of(rest) || !wanted)) {
      taken.needed = front.needed;
      return taken;
    }
    BatchView batch(rest.substr(static_cast<std::size_t>(front.padding),
                                static_cast<std::size_t>(std::max<std::int64_t>(bytes, 0))));
    if (!front.fault && !batch.crc_holds()) front.fault = "the batch's CRC does not hold";
    if (!front.fault && batch.next_offset() > extent.end_offset) {
      front.fault = "batch reaches beyond its run";
    }
    if (front.fault && taken.bytes > 0) return taken;
    if (front.fault) return corrupt_at(extent.file->name, place.position, front.fault);
    taken.next_offset = batch.next_offset();
    if (taken.bytes < taken.consumed + front.padding) {
      std::memmove(data.data() + taken.bytes, batch.bytes().data(), batch.bytes().size());
    }
    taken.bytes += bytes;
    taken.consumed += front.needed;
  }
  return taken;
}

}  // namespace

SegmentStore::SegmentStore(io::Env& env, const Options& options)
    : impl_(std::make_unique<Impl>(env, options)) {}
SegmentStore::~SegmentStore() = default;

Result<void> SegmentStore::read(const Chain& chain, std::int64_t from, std::int64_t bytes_max,
                                std::string& out) {
  auto extent = std::ranges::upper_bound(chain, from, {}, &Extent::end_offset);
  if (extent == chain.end() || from < extent->base_offset) {
    return fail(Code::kOutOfRange, "offset {} is not in the stored segments", from);
  }
  auto begin = out.size();
  std::int64_t stored = 0;
  for (auto at = extent; at != chain.end() && stored < bytes_max; ++at) stored += at->bytes;
  out.reserve(begin +
              static_cast<std::size_t>(std::max(std::min(bytes_max, stored), kBatchHeader)));
  for (bool first = true; extent != chain.end(); ++extent, first = false) {
    auto budget = bytes_max - static_cast<std::int64_t>(out.size() - begin);
    if (!first && budget < kBatchHeader) break;
    auto to_end = impl_->read_extent(*extent, std::max(from, extent->base_offset),
                                     {.budget = budget, .first = first}, out);
    if (!to_end && first) return std::unexpected(std::move(to_end).error());
    if (!to_end || !*to_end) break;
  }
  return {};
}

Result<bool> Impl::read_extent(const Extent& extent, std::int64_t from, const Appetite& appetite,
                               std::string& out) {
  WALRUS_ASSIGN(auto file, files.open(extent.file));
  Start start{.place = {.position = extent.position, .offset = extent.base_offset}};
  if (from > extent.base_offset) {
    WALRUS_ASSIGN(auto place, place_of_offset(*file, extent, from));
    WALRUS_ASSIGN(start, find_batch(*file, extent, from, place));
  }
  WALRUS_ASSIGN(auto taken, take(*file, extent, start, appetite, out));
  if (taken.bytes == 0 && appetite.first) {
    // The first batch is larger than the budget: now its size is known.
    Appetite whole{.budget = taken.needed, .first = true};
    WALRUS_ASSIGN(taken, take(*file, extent, start, whole, out));
  }
  return start.place.position + taken.consumed == end_of(extent) &&
         taken.next_offset == extent.end_offset;
}

// Reads straight into the tail of `out`, or copies from the window where that holds enough.
Result<Impl::Taken> Impl::take(io::File& file, const Extent& extent, Start& start,
                               const Appetite& appetite, std::string& out) {
  auto run_left = end_of(extent) - start.place.position;
  if (!start.window.empty()) {
    auto skipped = static_cast<std::size_t>(start.place.position - start.window_position);
    auto there = std::span(start.window).subspan(skipped);
    if (std::ssize(there) >= std::min(appetite.budget, run_left)) {
      WALRUS_ASSIGN(auto taken, check_batches(there, extent, start.place, appetite));
      out.append(there.data(), static_cast<std::size_t>(taken.bytes));
      return taken;
    }
  }
  auto bytes =
      std::min(std::max({appetite.budget, options.index_interval_bytes, kBatchHeader}), run_left);
  auto before = out.size();
  Result<Taken> taken;
  out.resize_and_overwrite(before + static_cast<std::size_t>(bytes), [&](char* all, std::size_t) {
    std::span tail(all + before, static_cast<std::size_t>(bytes));
    auto read = file.read(start.place.position, tail);
    taken = read ? check_batches(tail.first(*read), extent, start.place, appetite)
                 : std::unexpected(std::move(read).error());
    if (taken && taken->bytes == 0 && *read < tail.size()) {
      taken =
          corrupt_at(extent.file->name, start.place.position, "the file ends inside this batch");
    }
    return before + static_cast<std::size_t>(taken ? taken->bytes : 0);
  });
  return taken;
}

// Walks over batch headers from `at`, which is at or before the batch that holds `from`.
Result<Impl::Start> Impl::find_batch(io::File& file, const Extent& extent, std::int64_t from,
                                     Place at) {
  const auto& name = extent.file->name;
  while (at.position < end_of(extent)) {
    auto left = end_of(extent) - at.position;
    WALRUS_ASSIGN(auto window,
                  read_piece(file, name, at.position,
                             std::min(options.index_interval_bytes + kBatchHeader, left)));
    auto window_position = at.position;
    for (auto rest = Bytes(window); size_of(rest) >= kBatchHeader;) {
      auto front = look_at(rest, extent, at.position, at.offset);
      if (front.fault) return corrupt_at(name, at.position, front.fault);
      at.position += front.padding;
      rest.remove_prefix(std::min(static_cast<std::size_t>(front.padding), rest.size()));
      if (size_of(rest) < kBatchHeader) break;
      BatchView batch(rest);
      if (from < batch.next_offset()) {
        return Start{.place = at, .window = std::move(window), .window_position = window_position};
      }
      auto size = batch_bytes(rest);
      at = {.position = at.position + size, .offset = batch.next_offset()};
      rest.remove_prefix(std::min(static_cast<std::size_t>(size), rest.size()));
    }
    if (left < kBatchHeader) break;
  }
  return corrupt_at(name, at.position, "the run ends before its end offset");
}

Result<Impl::Place> Impl::place_of_offset(io::File& file, const Extent& extent,
                                          std::int64_t offset) {
  Place begin{.position = extent.position, .offset = extent.base_offset};
  if (extent.bytes <= options.index_interval_bytes) return begin;
  Result<void> covered;
  for (bool again = false;; again = true) {
    {
      LockGuard guard(lock);
      const SparseIndex* index = indexes.find(extent.file, run_position(extent));
      if (index && index->state.next_offset > offset) {
        const IndexEntry* entry = index->before_offset(offset);
        if (!entry || entry->position <= extent.position) return begin;
        return Place{.position = entry->position, .offset = entry->offset};
      }
    }
    if (again) break;
    covered = cover(file, extent);
  }
  WALRUS_TRY(std::move(covered));
  return begin;  // evicted at once by other threads: walk
}

Result<Impl::Place> Impl::place_of_time(io::File& file, const Extent& extent,
                                        std::int64_t time_ms) {
  Place begin{.position = extent.position, .offset = extent.base_offset};
  if (extent.bytes <= options.index_interval_bytes) return begin;
  // An index that is damaged or cut short only costs a longer walk, which meets the damage itself.
  (void)cover(file, extent);
  LockGuard guard(lock);
  const SparseIndex* index = indexes.find(extent.file, run_position(extent));
  const IndexEntry* entry = index ? index->before_time(time_ms) : nullptr;
  if (!entry || entry->position <= extent.position || entry->position >= end_of(extent)) {
    return begin;
  }
  return Place{.position = entry->position, .offset = entry->offset};
}

Result<void> Impl::cover(io::File& file, const Extent& extent) {
  auto run = run_position(extent);
  SparseIndex index;
  bool known = false, sealed = false;
  std::int64_t file_end = 0;
  {
    LockGuard guard(lock);
    sealed = extent.file->sealed;
    file_end = extent.file->synced_end;
    if (const SparseIndex* there = indexes.find(extent.file, run)) {
      if (there->state.end_position >= end_of(extent)) return {};
      index.state = there->state;
      known = true;
    }
  }
  if (sealed) {
    if (auto loaded = load_index(file, *extent.file, file_end)) {
      LockGuard guard(lock);
      indexes.put(extent.file, run, std::move(*loaded));
      return {};
    }
    // A damaged index is for verify to report; the batches carry all that it says.
  }
  if (!known) {
    bool pack = extent.file->stream == 0;
    index.state.end_position = run;
    index.state.next_offset = pack ? extent.base_offset : extent.file->base_offset;
  }
  auto from = index.state.end_position;
  BatchScanner scanner(file, extent.file->name,
                       {.from = from,
                        .to = end_of(extent),
                        .offset = index.state.next_offset,
                        .check_crc = false,
                        .pieces = extent.file->stream != 0});
  Result<std::optional<BatchView>> batch = scanner.next();
  for (; batch && *batch; batch = scanner.next()) {
    index.add(**batch, scanner.position(), options.index_interval_bytes);
  }
  LockGuard guard(lock);
  if (known) {
    indexes.extend(extent.file, run, from, index.entries, index.state);
  } else {
    indexes.put(extent.file, run, std::move(index));
  }
  if (!batch) return std::unexpected(std::move(batch).error());
  return {};
}

// The index of a sealed file from its end.
Result<SparseIndex> Impl::load_index(io::File& handle, const SegmentFile& file,
                                     std::int64_t file_end) {
  if (file_end < kFileHeaderBytes + kFooterBytes) {
    return corrupt_at(file.name, file_end, "no room for a footer");
  }
  auto position = file_end - kFooterBytes;
  WALRUS_ASSIGN(auto block, read_piece(handle, file.name, position, kFooterBytes));
  auto footer = decode_footer(block, file_end);
  if (!footer) return corrupt_at(file.name, position, footer.error().message);
  WALRUS_ASSIGN(auto bytes, read_piece(handle, file.name, footer->index_position,
                                       position - footer->index_position));
  auto entries = decode_index(*footer, bytes, block);
  if (!entries && entries.error().code == Code::kCorrupt) {
    return corrupt_at(file.name, footer->index_position, entries.error().message);
  }
  if (!entries)
    return fail(entries.error().code, "segments/{}: {}", file.name, entries.error().message);
  SparseIndex index;
  index.entries = std::move(*entries);
  index.state = {.end_position = footer->index_position,
                 .next_offset = footer->end_offset,
                 .records = footer->records,
                 .min_timestamp = footer->records > 0 ? footer->min_timestamp_ms : INT64_MAX,
                 .max_timestamp = footer->records > 0 ? footer->max_timestamp_ms : kNoTimestamp,
                 .entry_position = index.entries.empty() ? -1 : index.entries.back().position};
  return index;
}

Result<std::optional<std::int64_t>> SegmentStore::find_time(const Chain& chain,
                                                            std::int64_t time_ms,
                                                            std::int64_t from) {
  auto extent = std::ranges::upper_bound(chain, from, {}, &Extent::end_offset);
  for (; extent != chain.end(); ++extent) {
    if (extent->records == 0 || extent->max_timestamp_ms < time_ms) continue;
    WALRUS_ASSIGN(auto found, impl_->find_time_in(*extent, time_ms, from));
    if (found) return found;
  }
  return std::nullopt;
}

Result<std::optional<std::int64_t>> Impl::find_time_in(const Extent& extent, std::int64_t time_ms,
                                                       std::int64_t from) {
  WALRUS_ASSIGN(auto file, files.open(extent.file));
  WALRUS_ASSIGN(auto place, place_of_time(*file, extent, time_ms));
  if (from > place.offset) {
    WALRUS_ASSIGN(auto at_offset, place_of_offset(*file, extent, from));
    if (at_offset.position > place.position) place = at_offset;
  }
  BatchScanner scanner(*file, extent.file->name,
                       {.from = place.position,
                        .to = end_of(extent),
                        .offset = place.offset,
                        .epoch = extent.epoch,
                        .pieces = extent.file->stream != 0});
  for (;;) {
    WALRUS_ASSIGN(auto batch, scanner.next());
    if (!batch) return std::nullopt;
    if (batch->count() == 0 || batch->max_timestamp() < time_ms || batch->next_offset() <= from) {
      continue;
    }
    auto records = record::RecordIterator::open(*batch);
    if (!records) return corrupt_at(extent.file->name, scanner.position(), records.error().message);
    for (;;) {
      auto record = records->next();
      if (!record) return corrupt_at(extent.file->name, scanner.position(), record.error().message);
      if (!*record) break;
      if ((*record)->offset >= from && (*record)->timestamp_ms >= time_ms) return (*record)->offset;
    }
  }
}

}  // namespace walrus::log
