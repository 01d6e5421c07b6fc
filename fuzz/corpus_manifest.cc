// Writes fuzz/corpus/manifest: corpus_manifest DIRECTORY.

#include <fmt/format.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "corpus.h"
#include "log/manifest.h"

namespace {

using namespace walrus;
using namespace walrus::log;

Manifest empty() { return {.generation = 1, .directory_uuid = std::string(16, 'u')}; }

Manifest full() {
  auto manifest = empty();
  auto own = std::make_shared<SegmentFile>(
      SegmentFile{.name = "01/1-0.seg", .stream = 1, .synced_end = 4096, .sealed = true});
  auto pack =
      std::make_shared<SegmentFile>(SegmentFile{.name = "pack/0-1.pack", .synced_end = 999});
  for (std::uint64_t id = 1; id <= 3; ++id) {
    StreamSnapshot stream;
    stream.id = id;
    stream.next_offset = 30;
    Chain chain;
    if (id == 1) {
      chain.push_back(
          {.file = own, .position = 64, .bytes = 4032, .end_offset = 20, .records = 20});
    }
    chain.push_back({.file = pack,
                     .position = 64,
                     .bytes = 100,
                     .base_offset = id == 1 ? 20 : 0,
                     .end_offset = 30,
                     .records = 5,
                     .epoch = 1});
    stream.chain = std::make_shared<const Chain>(std::move(chain));
    for (int i = 0; i < 7; ++i) stream.producers.add(id, 0, i, 1, i, 1'000);
    manifest.streams.push_back(std::move(stream));
  }
  manifest.tables[{1, {1, "name"}}] = "orders";
  manifest.tables[{2, {1, "cursor"}}] = std::string(300, 'c');
  return manifest;
}

// With so many of everything.
Manifest with(int streams, int producers, int extents, int values) {
  auto manifest = empty();
  manifest.generation = static_cast<std::uint64_t>(2 + streams);
  manifest.shard = 1;
  manifest.shards = 3;
  manifest.layout = 9;
  manifest.journal_sequence = 1ULL << 63 | 17;
  manifest.journal_lsn = 123'456'789;
  manifest.next_file = 1'000;
  for (int id = 1; id <= streams; ++id) {
    StreamSnapshot stream;
    stream.id = static_cast<std::uint64_t>(id) << (id % 40);
    stream.log_start = 5;
    stream.epoch = id;
    stream.segment_records = 3;
    stream.segment_bytes = 300;
    stream.segment_started_ms = 1'700'000'000'000;
    stream.reclaimed_bytes = 4'096;
    stream.max_timestamp_ms = 1'700'000'000'123;
    Chain chain;
    for (int i = 0; i < extents; ++i) {
      auto file = std::make_shared<SegmentFile>(
          SegmentFile{.name = fmt::format("{:02}/{}-{}.seg", id % 100, stream.id, 10 * i),
                      .stream = stream.id,
                      .synced_end = 4'096,
                      .sealed = i + 1 < extents});
      chain.push_back({.file = std::move(file),
                       .position = 64,
                       .bytes = 1'000,
                       .base_offset = 10 * i,
                       .end_offset = 10 * (i + 1),
                       .records = 10,
                       .epoch = i});
    }
    stream.next_offset = 10 * extents;
    stream.segment_base = stream.next_offset;
    stream.chain = std::make_shared<const Chain>(std::move(chain));
    for (int i = 0; i < producers; ++i) stream.producers.add(i, 0, 7, 3, 4, 1'000 + i);
    manifest.streams.push_back(std::move(stream));
  }
  for (int i = 0; i < values; ++i) {
    auto table = static_cast<std::uint8_t>(1 + i % 4);
    manifest.tables[{table, {static_cast<std::uint64_t>(i), fmt::format("key{}", i)}}] =
        std::string(static_cast<std::size_t>(i * 7), 'v');
  }
  return manifest;
}

// One field of the header changed, the CRC right again.
std::string changed(std::string bytes, std::size_t position, std::uint64_t value) {
  store_le(bytes.data() + position, value);
  store_le(bytes.data() + 12, crc32c(Bytes(bytes).substr(16), crc32c(Bytes(bytes).substr(0, 12))));
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  fuzz::Corpus corpus(argv[1]);
  corpus.add("empty", encode_manifest(empty()));
  auto bytes = encode_manifest(full());
  corpus.add("full", bytes);
  corpus.add("torn", Bytes(bytes).substr(0, bytes.size() / 2));
  for (int streams : {1, 2, 5}) {
    for (int producers : {0, 3}) {
      for (int extents : {0, 1, 4}) {
        for (int values : {0, 6}) {
          corpus.add(fmt::format("s{}_p{}_e{}_v{}", streams, producers, extents, values),
                     encode_manifest(with(streams, producers, extents, values)));
        }
      }
    }
  }
  for (std::size_t position : {8, 16, 24, 48, 56}) {
    for (std::uint64_t value : {std::uint64_t{0}, std::uint64_t{2}, ~std::uint64_t{0}}) {
      corpus.add(fmt::format("header_{}_{:x}", position, value), changed(bytes, position, value));
    }
  }
  for (std::size_t size : {0, 15, 16, 63, 64, 65, 100}) {
    corpus.add(fmt::format("cut_{}", size), Bytes(bytes).substr(0, size));
  }
  corpus.add("trailing", bytes + std::string(100, 'x'));  // left from a longer one
  corpus.add("two", bytes + bytes);
  return 0;
}
