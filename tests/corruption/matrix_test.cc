// The corruption matrix: every structure of every file, one bit and one 4 KiB block, at restart and
// while running. Allowed: everything is served right, or an error says that bytes are damaged.
// Never: other bytes, a missing record, a shorter log. And what only one copy holds is detected.

#include <gtest/gtest.h>

#include "layouts.h"
#include "log/manifest.h"
#include "store_fixture.h"

namespace walrus::corruption {
namespace {

constexpr std::int64_t kBlock = 4096;

std::uint64_t replay_start(const Files& files) {
  std::uint64_t generation = 0, start = 0;
  for (const auto& [path, bytes] : files) {
    if (!path.filename().string().starts_with("manifest-")) continue;
    auto manifest = log::decode_manifest(bytes);
    if (manifest && manifest->generation > generation) {
      generation = manifest->generation;
      start = manifest->journal_lsn;
    }
  }
  return start;
}

std::string place(const Structure& one) {
  return fmt::format("{} in {} at {}+{}", one.kind, one.file.string(), one.position, one.length);
}

class Matrix : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    files_ = make_store(GetParam(), content_);
    auto start = replay_start(files_);
    for (const auto& [path, bytes] : files_) {
      auto found = structures_of(path, bytes, start);
      structures_.insert(structures_.end(), found.begin(), found.end());
    }
  }

  // Never a lie; and where nothing else holds the bytes, the damage is named.
  void judge(const Structure& one, const Outcome& outcome, const char* how) {
    EXPECT_EQ(outcome.wrong, "") << how << ": " << place(one);
    if (outcome.refused) {
      EXPECT_TRUE(outcome.refused->code == Code::kCorrupt ||
                  outcome.refused->code == Code::kVersion)
          << how << ": " << place(one) << ": " << outcome.refused->message;
    }
    EXPECT_TRUE(one.spare || outcome.detected()) << how << ": " << place(one);
  }

  Content content_;
  Files files_;
  std::vector<Structure> structures_;
};

void flip_bit(std::string& bytes, std::int64_t position, int bit) {
  bytes[static_cast<std::size_t>(position)] ^= static_cast<char>(1 << bit);
}

void zero_block(std::string& bytes, std::int64_t position) {
  auto from = static_cast<std::size_t>(position / kBlock * kBlock);
  auto length = std::min<std::size_t>(kBlock, bytes.size() - from);
  bytes.replace(from, length, length, '\0');
}

TEST_P(Matrix, has_every_structure_of_the_format) {
  std::set<std::string> kinds;
  for (const auto& one : structures_) kinds.insert(one.kind);
  const std::set<std::string> expected{"identity",
                                       "manifest header",
                                       "manifest body",
                                       "journal header",
                                       "journal header copy",
                                       "group header",
                                       "mark block",
                                       "frame header",
                                       "frame payload",
                                       "batch head",
                                       "batch body",
                                       "batch header behind the CRC",
                                       "segment header",
                                       "index",
                                       "footer",
                                       "pack header"};
  EXPECT_EQ(kinds, expected);
}

TEST_P(Matrix, without_damage_shows_everything) {
  Machine machine(files_);
  auto outcome = machine.inspect(GetParam(), content_);
  EXPECT_FALSE(outcome.refused) << outcome.refused->message;
  EXPECT_FALSE(outcome.unreadable);
  EXPECT_EQ(outcome.wrong, "");
}

// First, middle and last byte of each structure, another bit in each.
TEST_P(Matrix, one_bit_at_restart) {
  for (const auto& one : structures_) {
    for (auto at : {std::int64_t{0}, one.length / 2, one.length - 1}) {
      auto files = files_;
      flip_bit(files[one.file], one.position + at, static_cast<int>((one.position + at) % 8));
      judge(one, Machine(files).inspect(GetParam(), content_), "one bit");
    }
  }
}

TEST_P(Matrix, one_block_at_restart) {
  for (const auto& one : structures_) {
    auto files = files_;
    zero_block(files[one.file], one.position);
    judge(one, Machine(files).inspect(GetParam(), content_), "one block");
  }
}

// Refusing to open changes nothing: with the damage undone everything is there.
TEST_P(Matrix, what_was_refused_opens_once_it_is_mended) {
  for (const auto& one : structures_) {
    if (one.spare) continue;
    auto files = files_;
    zero_block(files[one.file], one.position);
    Machine machine(files);
    if (!machine.inspect(GetParam(), content_).refused) continue;
    ASSERT_TRUE(machine.disk().plant(one.file, files_[one.file]));
    machine.restart();
    auto outcome = machine.inspect(GetParam(), content_);
    EXPECT_FALSE(outcome.refused) << place(one) << ": " << outcome.refused->message;
    EXPECT_EQ(outcome.wrong, "") << place(one);
    EXPECT_FALSE(outcome.unreadable) << place(one);
  }
}

// The engine is open when the bit or the bytes of the block go; it serves what is right or says
// that it is damaged, now and after a kill.
TEST_P(Matrix, while_running) {
  for (const auto& one : structures_) {
    for (int bits : {1, 500}) {
      Machine machine(files_);
      {
        auto engine = machine.open(GetParam());
        ASSERT_TRUE(engine) << engine.error().message;
        auto from = bits == 1 ? one.position : one.position / kBlock * kBlock;
        auto size = static_cast<std::int64_t>(files_[one.file].size());
        auto length = bits == 1 ? one.length : std::min(kBlock, size - from);
        // Opening may have removed the file, or put another one in its place.
        if (!machine.disk().rot(one.file, from, bits, length)) continue;
        Outcome running;
        Machine::read(**engine, content_, running);
        EXPECT_EQ(running.wrong, "") << bits << " bits: " << place(one);
        machine.world().node(0).crash(io::CrashKind::kKill);
      }
      machine.restart();
      auto outcome = machine.inspect(GetParam(), content_);
      EXPECT_EQ(outcome.wrong, "") << bits << " bits, reopened: " << place(one);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Journals, Matrix, testing::Bool(), [](const auto& info) {
  return std::string(info.param ? "mapped" : "written");
});

}  // namespace
}  // namespace walrus::corruption
