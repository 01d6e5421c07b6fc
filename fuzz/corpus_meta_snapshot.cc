// Writes fuzz/corpus/meta_snapshot: corpus_meta_snapshot DIRECTORY.

#include <fmt/format.h>

#include "corpus.h"
#include "meta/snapshot.h"
#include "meta_form.h"

using namespace walrus;
using namespace walrus::meta;

int main(int count, char** arguments) {
  if (count != 2) return 2;
  constexpr std::size_t kEndBytes = 6;  // the record that the target makes
  fuzz::Corpus corpus(arguments[1]);
  auto add = [&](const std::string& name, const State& state) {
    std::string bytes(1, '\x20');
    SnapshotStream stream(state);
    while (stream.next(bytes, 1000)) {
    }
    bytes.resize(bytes.size() - kEndBytes);
    corpus.add(name, bytes);
    for (std::size_t at = 8; at < bytes.size(); at += 9) {
      auto bad = bytes;
      bad[at] ^= 0x05;
      corpus.add(fmt::format("{}_bad_{:03}", name, at), bad);
    }
    corpus.add(name + "_cut", bytes.substr(0, bytes.size() / 2));
  };
  add("empty", State{});
  add("full", fuzz::meta_state());
  return 0;
}
