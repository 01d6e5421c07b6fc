// Writes fuzz/corpus/segment_footer: corpus_segment_footer DIRECTORY.

#include "corpus.h"
#include "log/segment_format.h"

int main(int argc, char** argv) {
  using namespace walrus::log;
  if (argc != 2) return 2;
  walrus::fuzz::Corpus corpus(argv[1]);
  Footer footer{.index_position = 1 << 20, .end_offset = 100, .records = 90};
  std::vector<IndexEntry> entries;
  corpus.add("no_entries", encode_footer(footer, entries));
  for (int i = 0; i < 4; ++i) {
    entries.push_back({.offset = 10 * i,
                       .position = 64 + 16'384 * i,
                       .max_timestamp_before = i == 0 ? kNoTimestamp : 1'000 + i});
  }
  corpus.add("four_entries", encode_footer(footer, entries));
  corpus.add("header",
             encode_segment_header({.directory_uuid = std::string(16, 'u'), .stream = 7}));
  return 0;
}
