#include "harness.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <thread>

namespace walrus::bench {

namespace fs = std::filesystem;

void must(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  std::exit(1);
}

std::string random_bytes(std::size_t size) {
  std::mt19937_64 random(7);
  std::string bytes(size, '\0');
  for (auto& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

fs::path Bench::fresh(const char* name) const {
  auto path = work / name;
  fs::remove_all(path);
  fs::create_directories(path);
  return path;
}

Log open_log(const fs::path& root) { return must(Log::open({.root = root}), "open"); }

std::int64_t recycles(const fs::path& root) {
  std::int64_t again = 0;
  for (const auto& shard : fs::directory_iterator(root / "journal")) {
    std::int64_t last = 0, files = 0;
    for (const auto& file : fs::directory_iterator(shard)) {
      if (file.path().extension() != ".wal") continue;
      last = std::max<std::int64_t>(last, std::stoll(file.path().stem().string(), nullptr, 16));
      ++files;
    }
    again += std::max<std::int64_t>(0, last - files);
  }
  return again;
}

std::string with_recycles(const std::string& conditions, std::int64_t at_least) {
  return conditions + "; journal files used again: " + std::to_string(at_least);
}

// The counter of a partition counts what goes to it; a device without one is an error, because
// nothing else says what reached the disk.
std::int64_t device_bytes_written(const fs::path& directory) {
  struct stat status{};
  must(stat(directory.c_str(), &status) == 0, "stat");
  auto name = "/sys/dev/block/" + std::to_string(major(status.st_dev)) + ":" +
              std::to_string(minor(status.st_dev)) + "/stat";
  std::ifstream file(name);
  std::int64_t field = 0;
  for (int i = 0; i < 7; ++i) file >> field;  // the seventh: sectors of 512 bytes written
  must(file.good(), name.c_str());
  return field * 512;
}

double raw_synced_writes(const fs::path& directory, double seconds, Histogram& latency) {
  constexpr std::int64_t kFile = 128 << 20, kPiece = 1 << 20, kBlock = 4096;
  auto path = directory / "raw";
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  must(fd >= 0, "open");
  std::string zeros(kPiece, '\0');
  for (std::int64_t at = 0; at < kFile; at += kPiece) {
    must(write(fd, zeros.data(), zeros.size()) == kPiece, "write");
  }
  must(fsync(fd) == 0, "fsync");
  std::string block(kBlock, 'x');
  std::int64_t writes = 0;
  auto begin = Clock::now();
  for (auto last = begin; since(begin) < seconds; ++writes) {
    must(pwrite(fd, block.data(), block.size(), writes * kBlock % kFile) == kBlock, "pwrite");
    must(fdatasync(fd) == 0, "fdatasync");
    auto now = Clock::now();
    latency.record(std::chrono::nanoseconds(now - last).count());
    last = now;
  }
  auto rate = static_cast<double>(writes) / since(begin);
  close(fd);
  fs::remove(path);
  return rate;
}

void wait_until(Clock::time_point when) {
  constexpr auto kSpin = std::chrono::microseconds(80);  // a sleep is late by about so much
  auto left = when - Clock::now();
  if (left > kSpin) std::this_thread::sleep_for(left - kSpin);
  while (Clock::now() < when) std::this_thread::yield();
}

}  // namespace walrus::bench
