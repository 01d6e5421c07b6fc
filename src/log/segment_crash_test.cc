// The store and the manifest together on the simulated disk, through kills, power cuts and disk
// faults: what a manifest named that was written is there after every restart, bit by bit.

#include <algorithm>

#include "io/sim/sim_world.h"
#include "log/manifest.h"
#include "log/segment_fixture.h"

namespace walrus::log {
namespace {

using testing::TestStream;

const io::Path kRoot = "/store";
const io::Path kJournal = kRoot / "journal";
constexpr int kStreams = 3;

// One life of a shard's background: checkpoints and rewrites until something fails.
class Life {
 public:
  Life(io::Env& env, io::World& world) : env_(env), world_(world) {}

  // What the directory holds. Fails only as the disk does.
  Result<void> open() {
    WALRUS_TRY(env_.disk().make_directory(kJournal));
    WALRUS_TRY(env_.disk().sync_directory("/"));
    WALRUS_TRY(env_.disk().sync_directory(kRoot));
    store_ = std::make_unique<SegmentStore>(env_, options());
    WALRUS_ASSIGN(auto loaded, load_settled_manifest(env_, kJournal, 0));
    manifest.generation = 0;
    manifest.directory_uuid = options().directory_uuid;
    manifest.streams.resize(kStreams);
    for (std::size_t i = 0; i < kStreams; ++i) manifest.streams[i].id = i + 1;
    if (!loaded) return publish(manifest);  // before the first crash, as a directory is made
    manifest = std::move(*loaded);
    std::vector<FileRef> named;
    for (const auto& stream : manifest.streams) {
      if (!stream.chain) continue;
      for (const auto& extent : *stream.chain) {
        named.push_back(extent.file);
        WALRUS_TRY(store_->check_present(*extent.file));
      }
    }
    WALRUS_TRY(store_->quarantine_unnamed(named));
    return {};
  }

  // Batches of stream i are a function of their offset: the model needs no copy of them.
  static std::string batch(std::uint64_t stream, std::int64_t base) {
    return testing::make_batch(base, 2, 0, base,
                               10 + (stream * 7 + static_cast<std::uint64_t>(base)) % 90);
  }
  static std::string expected(std::uint64_t stream, std::int64_t end) {
    std::string all;
    for (std::int64_t base = 0; base < end; base += 2) all += batch(stream, base);
    return all;
  }

  Result<void> checkpoint() {
    std::vector<TestStream> streams(kStreams);
    std::vector<Incoming> incoming;
    for (std::size_t i = 0; i < kStreams; ++i) {
      auto& snapshot = manifest.streams[i];
      auto& stream = streams[i];
      stream.id = snapshot.id;
      stream.chain = snapshot.chain;
      stream.next = snapshot.next_offset;
      stream.segment_base = snapshot.segment_base;
      auto count = world_.random() % (i == 0 ? 40 : 5);
      for (std::uint64_t n = 0; n < count; ++n) {
        if (world_.random() % 25 == 0) stream.roll(false);
        stream.add(batch(stream.id, stream.next));
      }
      incoming.push_back(stream.incoming());
    }
    SegmentStore::Write write(*store_, manifest.next_file);
    WALRUS_ASSIGN(auto chains, write.add(incoming));
    WALRUS_TRY(write.sync());
    auto next = manifest;
    for (std::size_t i = 0; i < kStreams; ++i) {
      next.streams[i].chain = chains[i];
      next.streams[i].next_offset = streams[i].next;
      next.streams[i].segment_base = streams[i].segment_base;
    }
    return publish(std::move(next));
  }

  Result<void> rewrite() {
    auto& snapshot = manifest.streams[world_.random() % kStreams];
    if (!snapshot.chain || snapshot.chain->empty()) return {};
    auto size = snapshot.chain->size();
    auto first = world_.random() % size;
    auto last = first + 1 + world_.random() % (size - first);
    WALRUS_ASSIGN(auto made,
                  testing::rewrite(*store_,
                                   {.stream = snapshot.id,
                                    .extents = testing::slice(*snapshot.chain, first, last),
                                    .from_start = first == 0},
                                   manifest.next_file));
    Chain chain(snapshot.chain->begin(),
                snapshot.chain->begin() + static_cast<std::ptrdiff_t>(first));
    std::ranges::copy(made, std::back_inserter(chain));
    chain.insert(chain.end(), snapshot.chain->begin() + static_cast<std::ptrdiff_t>(last),
                 snapshot.chain->end());
    auto old = files();
    auto next = manifest;
    next.streams[static_cast<std::size_t>(&snapshot - manifest.streams.data())].chain =
        std::make_shared<const Chain>(std::move(chain));
    WALRUS_TRY(publish(std::move(next)));
    auto now = files();
    std::vector<FileRef> gone;
    for (const auto& file : old) {
      if (std::ranges::find(now, file) == now.end()) gone.push_back(file);
    }
    return store_->remove(gone);
  }

  std::vector<FileRef> files() const {
    std::vector<FileRef> all;
    for (const auto& stream : manifest.streams) {
      if (!stream.chain) continue;
      for (const auto& extent : *stream.chain) {
        if (std::ranges::find(all, extent.file) == all.end()) all.push_back(extent.file);
      }
    }
    return all;
  }

  // Everything that the manifest names can be read and is what was written.
  void check() {
    std::vector<ChainRef> chains;
    for (const auto& stream : manifest.streams) {
      if (!stream.chain || stream.chain->empty()) continue;
      std::string bytes;
      auto read = store_->read(*stream.chain, 0, std::int64_t{1} << 30, bytes);
      ASSERT_TRUE(read.has_value()) << read.error().message;
      auto wanted = expected(stream.id, stream.next_offset);
      ASSERT_TRUE(bytes == wanted) << "stream " << stream.id << ": " << bytes.size()
                                   << " bytes instead of " << wanted.size();
      chains.push_back(stream.chain);
    }
    std::vector<Finding> findings;
    store_->verify(chains, findings);
    ASSERT_TRUE(findings.empty()) << findings[0].what;
  }

  bool sync_failed() const { return store_->sync_failed() || manifest_failed_; }

  Manifest manifest;

 private:
  static SegmentStore::Options options() {
    return {.root = kRoot,
            .directory_uuid = "0123456789abcdef",
            .pack_bytes_max = 1'000,
            .index_interval_bytes = 256,
            .open_files_max = 3};
  }

  Result<void> publish(Manifest next) {
    ++next.generation;
    auto written = write_manifest(env_, kJournal, next);
    manifest_failed_ = !written;
    WALRUS_TRY(std::move(written));
    manifest = std::move(next);
    return {};
  }

  io::Env& env_;
  io::World& world_;
  std::unique_ptr<SegmentStore> store_;
  bool manifest_failed_ = false;
};

class Crashes : public ::testing::TestWithParam<io::CrashKind> {
 protected:
  void run(std::uint64_t seed, const io::DiskFaults& faults) {
    io::World world(seed);
    auto& node = world.node(0);
    std::uint64_t acknowledged = 1;
    int checkpoints = 0;
    for (int life = 0; life < 6; ++life) {
      Life shard(node.env(), world);
      node.disk().options().faults = {};
      auto opened = shard.open();
      ASSERT_TRUE(opened.has_value()) << "seed " << seed << ": " << opened.error().message;
      // The manifest written last may have landed although its writer did not live to see it.
      ASSERT_GE(shard.manifest.generation, acknowledged) << "seed " << seed;
      ASSERT_LE(shard.manifest.generation, acknowledged + 1) << "seed " << seed;
      ASSERT_NO_FATAL_FAILURE(shard.check()) << "seed " << seed;
      node.disk().options().faults = faults;
      node.crash_after_ops(1 + world.random() % 150, GetParam());
      while (!node.crashed()) {
        auto done = world.random() % 4 == 0 ? shard.rewrite() : shard.checkpoint();
        if (done) ++checkpoints;
        if (!done && shard.sync_failed()) break;  // as the engine does: this life is over
      }
      acknowledged = shard.manifest.generation;
      if (!node.crashed()) node.crash(GetParam());
      node.restart();
    }
    EXPECT_GT(checkpoints, 0) << "seed " << seed;
  }
};

TEST_P(Crashes, lose_nothing_that_a_manifest_named) {
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    ASSERT_NO_FATAL_FAILURE(run(seed, {}));
  }
}

TEST_P(Crashes, lose_nothing_on_a_disk_that_fails_calls) {
  for (std::uint64_t seed = 1'000; seed < 1'150; ++seed) {
    ASSERT_NO_FATAL_FAILURE(run(seed, {.open_error = 0.01,
                                       .write_error = 0.01,
                                       .no_space = 0.03,
                                       .short_io = 0.05,
                                       .sync_error = 0.01,
                                       .garbage_sector = 0.2}));
  }
}

INSTANTIATE_TEST_SUITE_P(, Crashes,
                         ::testing::Values(io::CrashKind::kKill, io::CrashKind::kPowerCut),
                         [](const auto& kind) {
                           return kind.param == io::CrashKind::kKill ? "kill" : "power_cut";
                         });

}  // namespace
}  // namespace walrus::log
