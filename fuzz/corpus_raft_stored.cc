// Writes fuzz/corpus/raft_stored: corpus_raft_stored DIRECTORY.

#include <fmt/format.h>

#include "corpus.h"
#include "raft/stored_format.h"
#include "wire/peer/raft_bundle.h"

using namespace walrus;
using namespace walrus::raft;

namespace {

Membership members(std::uint64_t count) {
  Membership all;
  for (std::uint64_t i = 1; i <= count; ++i)
    all.members.push_back({.id = NodeId{i * 50}, .address = "10.0.0.1:9093", .voter = i % 3 != 0});
  return all;
}

SnapshotMeta meta_of(std::uint64_t count) {
  return {.last = {3, 4'000}, .membership = members(count), .id = ~0u, .size = 1u << 20};
}

void add(fuzz::Corpus& corpus, const std::string& name, char kind, const std::string& bytes) {
  corpus.add(name, kind + bytes);
  corpus.add(name + "_cut", kind + bytes.substr(0, bytes.size() - 1));
  corpus.add(name + "_more", kind + bytes + "x");
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  for (std::uint64_t voters : {0, 1, 3, 64}) {
    auto suffix = fmt::format("_{}", voters);
    add(corpus, "group" + suffix, 0, encode_group({GroupId{voters}, members(voters)}));
    add(corpus, "install" + suffix, 1, encode_install({voters, meta_of(voters)}));
    add(corpus, "origin" + suffix, 3, encode_origin(meta_of(voters)));
  }
  add(corpus, "origin_own", 3, encode_origin({}));
  add(corpus, "base", 2, encode_base({{3, 300}, 70'000}));
  std::string entry, piece, bundle;
  append_entry_key(entry, {EntryKind::kMembership, {2, 1u << 30}});
  append_piece_key(piece, {1u << 30, 0xdeadbeef});
  add(corpus, "entry", 4, entry);
  add(corpus, "piece", 5, piece);
  add(corpus, "log_name", 6, log_stream_name(GroupId{~std::uint64_t{0}}));
  add(corpus, "snapshot_name", 6, snapshot_stream_name(GroupId{1}, ~std::uint64_t{0}));
  add(corpus, "read_index", 7, wire::peer::encode_read_index_request({true, 5}));
  wire::peer::begin_bundle(bundle);
  for (std::size_t size : {0, 100, 200, 20'000}) {
    Append append{.previous = {1, 1}};
    append.entries.push_back({EntryKind::kCommand, 1, Payload::copy_of(std::string(size, 'x'))});
    wire::peer::append_bundled(bundle, size,
                               {.from = NodeId{1}, .to = NodeId{2}, .term = 1, .body = append});
  }
  add(corpus, "bundle", 8, bundle.substr(0, 400));
  add(corpus, "bundle_long", 8, bundle.substr(0, 4'000));
  return 0;
}
