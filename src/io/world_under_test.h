#pragma once
// Both worlds for one test suite: the real one in a directory of its own, and a simulated node.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "io/env.h"
#include "io/sim/sim_world.h"

namespace walrus::io {

enum class WorldKind { kReal, kSimulated };

inline std::string name_of(const testing::TestParamInfo<WorldKind>& info) {
  return info.param == WorldKind::kReal ? "real" : "simulated";
}

class BothWorlds : public testing::TestWithParam<WorldKind> {
 protected:
  void SetUp() override {
    if (GetParam() == WorldKind::kReal) {
      std::string pattern = (std::filesystem::temp_directory_path() / "walrus-io-XXXXXX").string();
      ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
      root_ = pattern;
    } else {
      world_ = std::make_unique<World>(4711);
      root_ = "/data";
      ASSERT_TRUE(disk().make_directory(root_));
    }
  }
  void TearDown() override {
    if (GetParam() == WorldKind::kReal) std::filesystem::remove_all(root_);
  }

  bool simulated() const { return GetParam() == WorldKind::kSimulated; }
  Env& env() { return simulated() ? world_->node(0).env() : real_env(); }
  Disk& disk() { return env().disk(); }
  Path path(const char* name) const { return root_ / name; }

  std::unique_ptr<File> make(const char* name, Bytes content = {}) {
    auto file = disk().open(path(name), Open::kCreate);
    EXPECT_TRUE(file && (*file)->write(0, content));
    return file ? *std::move(file) : nullptr;
  }
  static std::string content_of(File& file) {
    std::string text(static_cast<std::size_t>(file.size().value_or(0)), '\0');
    EXPECT_EQ(file.read(0, text), text.size());
    return text;
  }

  std::unique_ptr<World> world_;  // null: the real one
  Path root_;
};

}  // namespace walrus::io
