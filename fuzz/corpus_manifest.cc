// Writes fuzz/corpus/manifest: corpus_manifest DIRECTORY.

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

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  fuzz::Corpus corpus(argv[1]);
  corpus.add("empty", encode_manifest(empty()));
  auto bytes = encode_manifest(full());
  corpus.add("full", bytes);
  corpus.add("torn", Bytes(bytes).substr(0, bytes.size() / 2));
  return 0;
}
