// Writes fuzz/corpus/meta_message: corpus_meta_message DIRECTORY.

#include <fmt/format.h>

#include "corpus.h"
#include "meta/test_messages.h"

using namespace walrus;
using namespace walrus::meta;

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  int number = 0;
  const auto add = [&](char parser, const std::string& bytes) {
    corpus.add(fmt::format("{:02}", number), parser + bytes);
    corpus.add(fmt::format("{:02}_cut", number), parser + bytes.substr(0, bytes.size() - 1));
    corpus.add(fmt::format("{:02}_long", number), parser + bytes + '\0');
    auto bad = parser + bytes;
    bad[bad.size() / 2] ^= 0x41;
    corpus.add(fmt::format("{:02}_bad", number++), bad);
  };
  for (const auto& message : all_messages()) add('\0', encode(message));
  add('\1', encode(an_identity()));
  add('\1', encode(Identity{.cluster = an_identity().cluster,
                            .node = NodeId{1},
                            .directory = an_identity().directory}));
  return 0;
}
