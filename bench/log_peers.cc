#include "log_peers.h"

#include <fcntl.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <thread>

#include "base/crc32c.h"

namespace walrus::bench {
namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}
void must(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  std::exit(1);
}

}  // namespace

double rocksdb_appends(const std::filesystem::path& directory, const Load& load, bool sync) {
  std::filesystem::remove_all(directory);
  rocksdb::Options options;
  options.create_if_missing = true;
  options.write_buffer_size = std::size_t{8} << 30;  // never flushed in a run
  options.max_write_buffer_number = 2;
  options.recycle_log_file_num = 4;
  options.allow_concurrent_memtable_write = true;
  options.enable_pipelined_write = true;
  options.disable_auto_compactions = true;
  rocksdb::DB* opened = nullptr;
  if (!rocksdb::DB::Open(options, directory, &opened).ok()) return 0;
  std::unique_ptr<rocksdb::DB> db(opened);
  std::string payload(load.bytes_max, '\0');
  std::mt19937_64 random(1);
  for (auto& byte : payload) byte = static_cast<char>(random());
  auto each = load.records / load.threads;
  auto begin = Clock::now();
  std::vector<std::jthread> threads;
  for (int t = 0; t < load.threads; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand sizes(static_cast<unsigned>(t + 1));
      rocksdb::WriteOptions write;
      write.sync = sync;
      for (std::int64_t i = 0; i < each; ++i) {
        auto size = load.bytes_min == load.bytes_max
                        ? load.bytes_max
                        : load.bytes_min + sizes() % (load.bytes_max - load.bytes_min);
        std::uint64_t key = static_cast<std::uint64_t>(t) << 48 | static_cast<std::uint64_t>(i);
        key = __builtin_bswap64(key);  // ascending keys are the memtable's best case
        must(db->Put(write, {reinterpret_cast<char*>(&key), sizeof key}, {payload.data(), size})
                 .ok(),
             "rocksdb put");
      }
    });
  }
  threads.clear();
  auto rate = static_cast<double>(each * load.threads) / since(begin);
  db.reset();
  std::filesystem::remove_all(directory);
  return rate;
}

double raw_synced_writes(const std::filesystem::path& directory, std::int64_t writes) {
  auto path = directory / "raw";
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  must(fd >= 0, "open");
  std::string zeros(1 << 20, '\0');
  for (int i = 0; i < 64; ++i) must(write(fd, zeros.data(), zeros.size()) > 0, "write");
  must(fsync(fd) == 0, "fsync");
  std::string block(4096, 'x');
  auto begin = Clock::now();
  for (std::int64_t i = 0; i < writes; ++i) {
    must(pwrite(fd, block.data(), block.size(), (i * 4096) % (64 << 20)) == 4096, "pwrite");
    must(fdatasync(fd) == 0, "fdatasync");
  }
  auto rate = static_cast<double>(writes) / since(begin);
  close(fd);
  std::filesystem::remove(path);
  return rate;
}

double memcpy_and_crc(std::int64_t records, std::size_t bytes) {
  constexpr std::size_t kRing = std::size_t{256} << 20;
  auto* ring = static_cast<char*>(mmap(nullptr, kRing, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
  must(ring != MAP_FAILED, "mmap");
  std::string payload(bytes, 'x');
  std::uint32_t sum = 0;
  std::size_t at = 0;
  auto begin = Clock::now();
  for (std::int64_t i = 0; i < records; ++i) {
    if (at + bytes > kRing) at = 0;
    std::memcpy(ring + at, payload.data(), bytes);
    sum ^= crc32c(Bytes(ring + at, bytes));
    at += bytes;
  }
  auto rate = static_cast<double>(records) / since(begin);
  ring[0] = static_cast<char>(sum);
  munmap(ring, kRing);
  return rate;
}

double new_file_write_rate(const std::filesystem::path& directory, std::int64_t bytes) {
  auto path = directory / "new";
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  must(fd >= 0, "open");
  std::string piece(1 << 20, 'x');
  auto begin = Clock::now();
  for (std::int64_t done = 0; done < bytes; done += 1 << 20) {
    must(write(fd, piece.data(), piece.size()) == 1 << 20, "write");
  }
  must(fdatasync(fd) == 0, "fdatasync");
  auto rate = static_cast<double>(bytes) / since(begin) / 1e6;
  close(fd);
  std::filesystem::remove(path);
  return rate;
}

}  // namespace walrus::bench
