#include "io/real/reclaimer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

namespace walrus::io {
namespace {

constexpr off_t kBytes = 100 << 20;  // a hole, nearly

class ReclaimerTest : public ::testing::Test {
 protected:
  ReclaimerTest() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    path_ = Path(::testing::TempDir()) / ("walrus-reclaimer-" + std::string(test->name()));
    std::filesystem::remove(path_);
    make();
  }
  ~ReclaimerTest() override { std::filesystem::remove(path_); }

  void make() const {
    const Descriptor file(::open(path_.c_str(), O_CLOEXEC | O_CREAT | O_EXCL | O_RDWR, 0600));
    EXPECT_EQ(::pwrite(file.get(), "x", 1, kBytes - 1), 1);
  }
  static off_t size(int file) {
    struct stat status{};
    EXPECT_EQ(::fstat(file, &status), 0);
    return status.st_size;
  }
  // The file, still open: the same opening, which the kernel does not count twice.
  Descriptor remove() {
    auto file = Reclaimer::open_large(path_);
    EXPECT_GE(file.get(), 0);
    Descriptor same(::dup(file.get()));
    std::filesystem::remove(path_);
    reclaimer_.take(std::move(file));
    return same;
  }
  // One behind the other: once another one is gone, nothing more happens to the first.
  void remove_another() {
    make();
    const auto file = remove();
    while (size(file.get()) > 0) std::this_thread::yield();
  }

  Path path_;
  Reclaimer reclaimer_;
};

TEST_F(ReclaimerTest, shrinks_what_nobody_can_read) {
  const auto file = remove();
  while (size(file.get()) > 0) std::this_thread::yield();
}

TEST_F(ReclaimerTest, leaves_alone_what_somebody_has_open) {
  const Descriptor reader(::open(path_.c_str(), O_CLOEXEC | O_RDONLY));
  (void)remove();
  remove_another();
  EXPECT_EQ(size(reader.get()), kBytes);
}

TEST_F(ReclaimerTest, leaves_alone_what_has_another_name) {
  const auto other = path_.string() + "-2";
  std::filesystem::remove(other);
  std::filesystem::create_hard_link(path_, other);
  (void)remove();
  remove_another();
  EXPECT_EQ(std::filesystem::file_size(other), std::uintmax_t{kBytes});
  std::filesystem::remove(other);
}

TEST_F(ReclaimerTest, does_not_open_what_is_small_or_no_file) {
  std::filesystem::resize_file(path_, 1 << 20);
  EXPECT_LT(Reclaimer::open_large(path_).get(), 0);
  EXPECT_LT(Reclaimer::open_large(path_.parent_path()).get(), 0);
  EXPECT_LT(Reclaimer::open_large(path_.string() + "-none").get(), 0);
}

}  // namespace
}  // namespace walrus::io
