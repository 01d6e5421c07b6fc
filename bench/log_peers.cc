#include "log_peers.h"

#include <fcntl.h>
#include <rocksdb/db.h>
#include <rocksdb/memtablerep.h>
#include <rocksdb/options.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <thread>

#include "base/crc32c.h"
#include "harness.h"

namespace walrus::bench {
namespace {

constexpr std::size_t kSmallTable = std::size_t{64} << 20, kLargeTable = std::size_t{8} << 30;

rocksdb::Options rocksdb_options(const Load& load) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.recycle_log_file_num = 4;
  options.write_buffer_size = load.sync || load.retention_bytes > 0 ? kSmallTable : kLargeTable;
  options.max_write_buffer_number = 4;
  if (load.threads > 1) {
    options.allow_concurrent_memtable_write = true;
    options.enable_pipelined_write = true;
  } else {
    options.allow_concurrent_memtable_write = false;
    options.memtable_factory = std::make_shared<rocksdb::VectorRepFactory>();
  }
  if (load.retention_bytes > 0) {
    options.compaction_style = rocksdb::kCompactionStyleFIFO;
    options.compaction_options_fifo.max_table_files_size =
        static_cast<std::uint64_t>(load.retention_bytes);
  } else {
    options.disable_auto_compactions = true;
    options.level0_slowdown_writes_trigger = options.level0_stop_writes_trigger = 1 << 20;
  }
  return options;
}

std::string key_of(int thread, std::int64_t number) {
  auto key = static_cast<std::uint64_t>(thread) << 48 | static_cast<std::uint64_t>(number);
  key = __builtin_bswap64(key);  // ascending
  return {reinterpret_cast<char*>(&key), sizeof key};
}

// Fills and flushes a few memtables: their logs are what later ones are written into.
void recycle_logs(rocksdb::DB& db, const std::string& payload) {
  rocksdb::WriteOptions write;
  for (int table = 0; table < 6; ++table) {
    auto records = static_cast<std::int64_t>(kSmallTable / payload.size());
    for (std::int64_t i = 0; i < records; ++i) {
      must(db.Put(write, key_of(1000 + table, i), payload).ok(), "rocksdb warm-up");
    }
    must(db.Flush({}).ok(), "rocksdb flush");
  }
}

}  // namespace

double rocksdb_appends(const std::filesystem::path& directory, const Load& load) {
  std::filesystem::remove_all(directory);
  rocksdb::DB* opened = nullptr;
  must(rocksdb::DB::Open(rocksdb_options(load), directory, &opened).ok(), "rocksdb open");
  std::unique_ptr<rocksdb::DB> db(opened);
  std::string payload(load.bytes_max, '\0');
  std::mt19937_64 random(1);
  for (auto& byte : payload) byte = static_cast<char>(random());
  if (load.sync) recycle_logs(*db, payload);
  std::atomic<std::int64_t> done{0};
  auto begin = Clock::now();
  std::vector<std::jthread> threads;
  for (int t = 0; t < load.threads; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand sizes(static_cast<unsigned>(t + 1));
      rocksdb::WriteOptions write;
      write.sync = load.sync;
      auto each = load.records / load.threads;
      std::int64_t i = 0;
      for (; load.records > 0 ? i < each : since(begin) < load.seconds; ++i) {
        auto span = load.bytes_max - load.bytes_min + 1;
        auto size = load.bytes_min + (span > 1 ? sizes() % span : 0);
        must(db->Put(write, key_of(t, i), {payload.data(), size}).ok(), "rocksdb put");
      }
      done += i;
    });
  }
  threads.clear();
  auto rate = static_cast<double>(done.load()) / since(begin);
  db.reset();
  std::filesystem::remove_all(directory);
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

double new_file_write_rate(const std::filesystem::path& directory, double seconds,
                           std::int64_t kept_bytes) {
  std::deque<std::filesystem::path> files;
  std::string piece(1 << 20, 'x');
  std::int64_t pieces = 0;
  auto begin = Clock::now();
  while (since(begin) < seconds) {
    files.push_back(directory / ("new" + std::to_string(pieces)));
    int fd = open(files.back().c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0, "open");
    for (int i = 0; i < 1024; ++i, ++pieces) {
      must(write(fd, piece.data(), piece.size()) == 1 << 20, "write");
    }
    must(fdatasync(fd) == 0, "fdatasync");
    close(fd);
    if (std::ssize(files) > kept_bytes / kGiB) {
      std::filesystem::remove(files.front());
      files.pop_front();
    }
  }
  auto rate = static_cast<double>(pieces) * (1 << 20) / since(begin) / 1e6;
  for (const auto& file : files) std::filesystem::remove(file);
  return rate;
}

}  // namespace walrus::bench
