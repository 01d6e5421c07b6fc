#pragma once
// What the log is measured against in the same run.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace walrus::bench {

struct Load {
  int threads = 1;
  std::int64_t records = 0;  // in all
  std::size_t bytes_min = 740, bytes_max = 740;
};

// RocksDB's write-ahead log with the settings that favour it: no memtable flush, no compaction, WAL
// recycled and preallocated, one database. Records a second.
double rocksdb_appends(const std::filesystem::path& directory, const Load&, bool sync);

// pwrite + fdatasync of 4 KiB into a preallocated zero-filled file, one at a time.
double raw_synced_writes(const std::filesystem::path& directory, std::int64_t writes);
// memcpy + CRC-32C of `bytes` each into memory that is populated. Records a second.
double memcpy_and_crc(std::int64_t records, std::size_t bytes);
// MB/s of writing a new file of `bytes` and syncing it.
double new_file_write_rate(const std::filesystem::path& directory, std::int64_t bytes);

}  // namespace walrus::bench
