#pragma once
// What the log is measured against in the same run.

#include <cstdint>
#include <filesystem>

#include "base/histogram.h"

namespace walrus::bench {

struct Load {
  int threads = 1;
  std::int64_t records = 0;  // in all; 0 = for `seconds`
  double seconds = 0;
  std::size_t bytes_min = 740, bytes_max = 740;
  bool sync = false;
  std::int64_t retention_bytes = 0;  // 0 = nothing is flushed or deleted in a run
};

// RocksDB's write-ahead log with the settings that favour it. Ascending keys; a memtable that never
// flushes in a run (with a retention: FIFO, and flushes); concurrent and pipelined writes for
// several threads, the vector memtable for one; and, where it syncs, logs that are recycled, which
// it is warmed up to, so that a sync changes no metadata. Records a second.
double rocksdb_appends(const std::filesystem::path& directory, const Load&);

// memcpy + CRC-32C of `bytes` each into memory that is populated. Records a second.
double memcpy_and_crc(std::int64_t records, std::size_t bytes);
// MB/s of writing new files of 1 GiB one after the other and syncing each, the newest `kept_bytes`
// of them kept.
double new_file_write_rate(const std::filesystem::path& directory, double seconds,
                           std::int64_t kept_bytes);

}  // namespace walrus::bench
