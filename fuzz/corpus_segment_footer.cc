// Writes fuzz/corpus/segment_footer: corpus_segment_footer DIRECTORY.

#include <fmt/format.h>

#include "corpus.h"
#include "log/segment_format.h"

namespace {

using namespace walrus;
using namespace walrus::log;

constexpr std::int64_t kBatchesEnd = 1 << 20;

std::vector<IndexEntry> rising(int count) {
  std::vector<IndexEntry> entries;
  for (int i = 0; i < count; ++i) {
    entries.push_back({.offset = 10 * i,
                       .position = 64 + 16'384 * i,
                       .max_timestamp_before = i == 0 ? kNoTimestamp : 1'000 + i});
  }
  return entries;
}

// Footers as they should be, with one field off, and with an entry off.
void footers(fuzz::Corpus& corpus) {
  const Footer whole{.index_position = kBatchesEnd, .end_offset = 1'000, .records = 90};
  for (int entries : {0, 1, 4, 60}) {
    corpus.add(fmt::format("entries_{}", entries), encode_footer(whole, rising(entries)));
  }
  const std::pair<const char*, std::int64_t Footer::*> fields[] = {
      {"index_position", &Footer::index_position},
      {"end_offset", &Footer::end_offset},
      {"records", &Footer::records},
      {"min_timestamp", &Footer::min_timestamp_ms},
      {"max_timestamp", &Footer::max_timestamp_ms}};
  for (auto [name, field] : fields) {
    for (std::int64_t value : {std::int64_t{-2}, std::int64_t{0}, std::int64_t{5}, INT64_MAX}) {
      auto footer = whole;
      footer.*field = value;
      corpus.add(fmt::format("{}_{}", name, value), encode_footer(footer, rising(3)));
    }
  }
  const std::pair<const char*, std::int64_t IndexEntry::*> parts[] = {
      {"offset", &IndexEntry::offset}, {"position", &IndexEntry::position}};
  for (auto [name, part] : parts) {
    for (std::int64_t value : {std::int64_t{-1}, std::int64_t{0}, kBatchesEnd, INT64_MAX}) {
      auto entries = rising(3);
      entries[1].*part = value;
      corpus.add(fmt::format("entry_{}_{}", name, value), encode_footer(whole, entries));
    }
  }
  auto bytes = encode_footer(whole, rising(4));
  for (std::size_t left : {0, 1, 24, 63, 64, 100}) {
    corpus.add(fmt::format("last_{}", left), Bytes(bytes).substr(bytes.size() - left));
  }
}

void headers(fuzz::Corpus& corpus) {
  const std::string uuid(16, 'u');
  auto segment = encode_segment_header({.directory_uuid = uuid, .stream = 7});
  corpus.add("header", segment);
  corpus.add("header_cut", Bytes(segment).substr(0, 60));
  corpus.add("header_and_batches", segment + std::string(100, 'b'));
  corpus.add("header_rewritten", encode_segment_header({.directory_uuid = uuid,
                                                        .stream = 1ULL << 63,
                                                        .base_offset = INT64_MAX,
                                                        .number = 5,
                                                        .shard = 3}));
  corpus.add("header_pack",
             encode_segment_header({.pack = true, .directory_uuid = uuid, .number = 12}));
  for (std::size_t position : {0, 8, 12, 16, 32, 60}) {
    auto damaged = segment;
    damaged[position] = static_cast<char>(damaged[position] ^ 0x10);
    corpus.add(fmt::format("header_damaged_{}", position), damaged);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  fuzz::Corpus corpus(argv[1]);
  footers(corpus);
  headers(corpus);
  return 0;
}
