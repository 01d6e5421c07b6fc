#pragma once
// What the cases of a benchmark share: clocks, directories, counters of the device, rows.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "row.h"
#include "walrus/log.h"

namespace walrus::bench {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kRecordBytes = 740;
constexpr std::int64_t kGiB = std::int64_t{1} << 30;
constexpr Durability kOs{Durability::kOs, Millis(0)};

inline double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// A run that fails measures nothing: it ends with the reason.
void must(bool ok, const char* what);
template <class T>
T must(Result<T> result, const char* what) {
  if (!result) {
    std::fprintf(stderr, "bench: %s: %s\n", what, result.error().message.c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

std::string random_bytes(std::size_t size);

struct Bench {
  std::filesystem::path work;
  std::filesystem::path binary;  // of walrus
  int rounds = 3;
  bool brief = false;  // runs of a moment, to see that they work
  std::vector<Row> rows;

  std::filesystem::path fresh(const char* name) const;  // an empty directory
  void add(const Row& row) { rows.push_back(row); }
};

Log open_log(const std::filesystem::path& root);  // with the defaults

// Journal files that were taken into use again since their making, at least: sequences that were
// given beyond the files that are there.
std::int64_t recycles(const std::filesystem::path& root);
std::string with_recycles(const std::string& conditions, std::int64_t at_least);

// Bytes written to the device that holds the directory, by anybody, since it was attached.
std::int64_t device_bytes_written(const std::filesystem::path& directory);

// pwrite + fdatasync of 4 KiB into a preallocated zero-filled file, one at a time. Writes a second.
double raw_synced_writes(const std::filesystem::path& directory, double seconds, Histogram&);

// Sleeps, then spins, until then. Late is late: it returns at once.
void wait_until(Clock::time_point);

// The cases, each of which fills its rows.
void os_one_thread(Bench&);
void os_sustained(Bench&);
void os_ten_threads(Bench&);
void fsync_alone(Bench&);
void fsync_many(Bench&);
void many_streams(Bench&);
void device(Bench&);
void sync_beside_writer(Bench&);
void reads(Bench&);
void reopen(Bench&);
void idle(Bench&);
void space(Bench&);
void server(Bench&);

}  // namespace walrus::bench
