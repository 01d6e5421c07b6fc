// Writes fuzz/corpus/texts: corpus_texts DIRECTORY.

#include <fmt/format.h>

#include <vector>

#include "corpus.h"

using namespace walrus;

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  // By parser, in the order of texts.cc.
  const std::vector<std::vector<Bytes>> kTexts = {
      {"127.0.0.1:9091", "localhost:0", "[::1]:65535", "[::1]", ":1", "h:65536", "h:-1", "::1:80"},
      {"orders", "orders/0", "orders/2147483647", "orders/-1", "a/b", ".", "..", "/1", "x/1/2"},
      {"fsync", "os", "interval=200", "interval=0", "interval=-1", "interval=3600001", "interval="},
      {"durability=os", "retention_ms=-1", "retention_bytes=1", "compact=true",
       "cleanup.policy=compact", "segment_ms=9223372036854775807", "segment_bytes_max=1",
       "walrus.segment.records=5", "nothing=1", "delete.retention.ms=0", "compaction_lag_min_ms=5",
       "max.compaction.lag.ms=9223372036854775807"},
      {"2026-05-13T08:00:00Z", "2026-05-13 08:00:00.123456+02:00", "0000-01-01T00:00:00Z",
       "9999-12-31T23:59:60-23:59", "2026-02-30T00:00:00Z", "2026-05-13", "-001-01-01T00:00:00Z"},
      {"%s\\n", "%t %p %o %T %k %h %s %%", "%", "%x", "\\x41\\0", "\\x4", "\\"},
      {"\\n\\r\\t\\0\\\\\\xff", "\\q", "\\x", "plain", ""},
      {Bytes("\1\na\nb\n\nc", 8), Bytes("\2\n\n", 3), Bytes("\3\1aba", 5), Bytes("\1\3\0\0\0", 5),
       Bytes("\7\nno end", 8)},
      {Bytes("\1\1\3\0\0\0abc", 9), Bytes("\3\1\0\0\0\0\1\0\0\0x", 11), Bytes("\5\1\4\0\0\0ab", 8),
       Bytes("\1\1\xff\xff\xff\xff", 6), Bytes("\1\1\3\0", 4)}};
  char parser = 0;
  for (const auto& texts : kTexts) {
    int number = 0;
    for (auto text : texts) {
      corpus.add(fmt::format("text_{}_{:02}", +parser, number++), parser + std::string(text));
    }
    ++parser;
  }
  return 0;
}
