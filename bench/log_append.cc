// Appends with durability `os`, and with `fsync` from few and many callers.

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "async_load.h"
#include "harness.h"
#include "log_peers.h"

namespace walrus::bench {
namespace {

constexpr double kSyncSeconds = 12;  // a row's round: enough for three journal files of 128 MiB

// One record at a time until `records` are in; records a second.
double append_alone(Stream& stream, std::int64_t records, const std::string& payload) {
  auto begin = Clock::now();
  for (std::int64_t i = 0; i < records; ++i) must(stream.append({.value = payload}), "append");
  return static_cast<double>(records) / since(begin);
}

// The stream's own warm-up, as an `os` stream: afterwards the journal files of its shard have their
// full size and are taken into use again, and segments have been written and trimmed.
Stream warmed_up(Log& log) {
  StreamOptions options{.durability = kOs, .retention_bytes = kGiB};
  auto stream = must(log.create("s", options), "create");
  append_alone(stream, 2 * kGiB / static_cast<std::int64_t>(kRecordBytes),
               random_bytes(kRecordBytes));
  must(log.checkpoint(), "checkpoint");
  options.durability = {};
  must(stream.alter(options), "alter");
  return stream;
}

double appends_for(Stream& stream, double seconds, const std::string& payload, Histogram& latency) {
  std::int64_t records = 0;
  auto begin = Clock::now();
  for (auto last = begin; since(begin) < seconds; ++records) {
    must(stream.append({.value = payload}), "append");
    auto now = Clock::now();
    latency.record(std::chrono::nanoseconds(now - last).count());
    last = now;
  }
  return static_cast<double>(records) / since(begin);
}

double blocking_threads(Stream& stream, int threads, double seconds, Histogram& latency) {
  auto payload = random_bytes(kRecordBytes);
  std::vector<Histogram> latencies(static_cast<std::size_t>(threads));
  std::atomic<std::int64_t> records{0};
  auto begin = Clock::now();
  {
    std::vector<std::jthread> all;
    for (auto& own : latencies) {
      all.emplace_back([&, handle = stream]() mutable {
        std::int64_t done = 0;
        for (; since(begin) < seconds; ++done) {
          auto started = Clock::now();
          must(handle.append({.value = payload}), "append");
          own.record(std::chrono::nanoseconds(Clock::now() - started).count());
        }
        records += done;
      });
    }
  }
  auto rate = static_cast<double>(records.load()) / since(begin);
  for (const auto& own : latencies) latency.merge(own);
  return rate;
}

}  // namespace

void os_one_thread(Bench& bench) {
  const std::int64_t records = 2 * kGiB / static_cast<std::int64_t>(kRecordBytes);
  Row row{.name = "append.os.1thread",
          .unit = "records/s",
          .peer = "rocksdb sync=false",
          .target = 20,
          .target_of_ratio = true,
          .conditions =
              "one thread, record by record, 740 bytes, a burst of 2 GiB after a "
              "warm-up of 3 GiB, retention 1 GiB"};
  Row copy{.name = "append.os.1thread.memcpy",
           .unit = "records/s",
           .peer = "memcpy + CRC-32C",
           .target = 0.4,
           .target_of_ratio = true,
           .conditions =
               "the same burst against memcpy + CRC-32C of 740 bytes into 256 MiB of "
               "populated memory"};
  Row half{.name = "append.os.1thread.journal",
           .unit = "records/s",
           .peer = "memcpy + CRC-32C",
           .conditions = "as above, a burst of 512 MiB: one that the journal has room for"};
  auto payload = random_bytes(kRecordBytes);
  std::int64_t again = INT64_MAX;
  for (int round = 0; round < bench.rounds; ++round) {
    auto root = bench.fresh("os1");
    auto log = open_log(root);
    auto stream = must(log.create("s", {.durability = kOs, .retention_bytes = kGiB}), "create");
    append_alone(stream, records * 3 / 2, payload);
    must(log.checkpoint(), "checkpoint");
    half.rounds.push_back(append_alone(stream, records / 4, payload));
    must(log.checkpoint(), "checkpoint");
    row.rounds.push_back(append_alone(stream, records, payload));
    again = std::min(again, recycles(root));
    must(log.close(), "close");
    std::filesystem::remove_all(root);
    row.peer_rounds.push_back(rocksdb_appends(bench.work / "rocksdb", {.records = records}));
    copy.peer_rounds.push_back(memcpy_and_crc(20'000'000, kRecordBytes));
  }
  row.conditions = with_recycles(row.conditions, again);
  copy.rounds = row.rounds;
  half.peer_rounds = copy.peer_rounds;
  bench.add(row);
  bench.add(copy);
  bench.add(half);
}

void os_sustained(Bench& bench) {
  constexpr double kSeconds = 60;
  Row row{.name = "append.os.sustained",
          .unit = "MB/s",
          .peer = "half the rate of writing new files",
          .target = 0.8,
          .target_of_ratio = true,
          .conditions =
              "one thread, record by record, 740 bytes, 60 s, retention 8 GiB; new files of "
              "1 GiB for the same 60 s, the last 8 kept"};
  Row rocksdb{.name = "append.os.sustained.rocksdb",
              .unit = "MB/s",
              .peer = "rocksdb sync=false",
              .conditions = "the same 60 s; RocksDB with FIFO compaction to 8 GiB"};
  auto payload = random_bytes(kRecordBytes);
  std::int64_t again = INT64_MAX;
  for (int round = 0; round < bench.rounds; ++round) {
    auto root = bench.fresh("sustained");
    auto log = open_log(root);
    auto stream = must(log.create("s", {.durability = kOs, .retention_bytes = 8 * kGiB}), "create");
    auto begin = Clock::now();
    std::int64_t records = 0;
    for (; records % 1024 != 0 || since(begin) < kSeconds; ++records) {
      must(stream.append({.value = payload}), "append");
    }
    row.rounds.push_back(static_cast<double>(records) * kRecordBytes / since(begin) / 1e6);
    again = std::min(again, recycles(root));
    must(log.close(), "close");
    std::filesystem::remove_all(root);
    row.peer_rounds.push_back(new_file_write_rate(bench.work, kSeconds, 8 * kGiB) / 2);
    rocksdb.peer_rounds.push_back(
        rocksdb_appends(bench.work / "rocksdb",
                        {.seconds = kSeconds, .retention_bytes = 8 * kGiB}) *
        kRecordBytes / 1e6);
  }
  row.conditions = with_recycles(row.conditions, again);
  rocksdb.rounds = row.rounds;
  bench.add(row);
  bench.add(rocksdb);
}

void os_ten_threads(Bench& bench) {
  constexpr int kThreads = 10;
  constexpr std::size_t kMin = 500, kMax = 1024;
  constexpr std::int64_t kRecords = 2 * kGiB / kThreads / ((kMin + kMax) / 2);  // a thread
  Row row{.name = "append.os.10threads",
          .unit = "records/s",
          .peer = "rocksdb sync=false",
          .target = 10,
          .target_of_ratio = true,
          .conditions =
              "10 threads, a stream each, 500 to 1,024 bytes, record by record, 2 GiB "
              "after as much of warm-up, retention 256 MiB a stream"};
  auto payload = random_bytes(kMax);
  std::int64_t again = INT64_MAX;
  for (int round = 0; round < bench.rounds; ++round) {
    auto root = bench.fresh("os10");
    auto log = open_log(root);
    std::vector<Stream> streams;
    for (int t = 0; t < kThreads; ++t) {
      streams.push_back(must(
          log.create("s" + std::to_string(t), {.durability = kOs, .retention_bytes = kGiB / 4}),
          "create"));
    }
    auto run = [&] {
      std::vector<std::jthread> threads;
      for (auto& stream : streams) {
        threads.emplace_back([&, seed = threads.size() + 1] {
          std::minstd_rand sizes(static_cast<unsigned>(seed));
          for (std::int64_t i = 0; i < kRecords; ++i) {
            auto size = kMin + sizes() % (kMax - kMin + 1);
            must(stream.append({.value = Bytes(payload).substr(0, size)}), "append");
          }
        });
      }
    };
    run();
    must(log.checkpoint(), "checkpoint");
    auto begin = Clock::now();
    run();
    row.rounds.push_back(static_cast<double>(kThreads * kRecords) / since(begin));
    again = std::min(again, recycles(root));
    must(log.close(), "close");
    std::filesystem::remove_all(root);
    row.peer_rounds.push_back(
        rocksdb_appends(bench.work / "rocksdb", {.threads = kThreads,
                                                 .records = kThreads * kRecords,
                                                 .bytes_min = kMin,
                                                 .bytes_max = kMax}));
  }
  row.conditions = with_recycles(row.conditions, again);
  bench.add(row);
}

void fsync_alone(Bench& bench) {
  Row one{.name = "append.fsync.1",
          .unit = "records/s",
          .peer = "rocksdb sync=true",
          .target = 1.2,
          .target_of_ratio = true,
          .conditions = "one thread, one record in flight, 740 bytes, 12 s"};
  Row raw{.name = "append.fsync.1.raw",
          .unit = "records/s",
          .peer = "pwrite + fdatasync",
          .target = 0.85,
          .target_of_ratio = true,
          .conditions =
              "the same against 4 KiB pwrite + fdatasync into a preallocated, "
              "zero-filled file"};
  auto payload = random_bytes(kRecordBytes);
  std::int64_t again = INT64_MAX;
  Histogram unused;
  for (int round = 0; round < bench.rounds; ++round) {
    auto root = bench.fresh("fsync");
    auto log = open_log(root);
    auto stream = warmed_up(log);
    auto before = recycles(root);
    one.rounds.push_back(appends_for(stream, kSyncSeconds, payload, one.latency));
    again = std::min(again, recycles(root) - before);
    must(log.close(), "close");
    std::filesystem::remove_all(root);
    one.peer_rounds.push_back(
        rocksdb_appends(bench.work / "rocksdb", {.seconds = kSyncSeconds, .sync = true}));
    raw.peer_rounds.push_back(raw_synced_writes(bench.work, kSyncSeconds, unused));
  }
  one.conditions = with_recycles(one.conditions, again);
  raw.rounds = one.rounds;
  bench.add(one);
  bench.add(raw);
}

void fsync_many(Bench& bench) {
  Row many{.name = "append.fsync.64threads",
           .unit = "records/s",
           .peer = "rocksdb sync=true, 64 threads",
           .target = 4,
           .target_of_ratio = true,
           .conditions = "64 blocking threads on one stream, 740 bytes, 12 s"};
  Row async{.name = "append.fsync.1000async",
            .unit = "records/s",
            .peer = "rocksdb sync=true, 64 threads",
            .target = 40,
            .target_of_ratio = true,
            .conditions = "1,000 appends in flight from one thread on one stream, 740 bytes, 12 s"};
  std::int64_t again = INT64_MAX;
  for (int round = 0; round < bench.rounds; ++round) {
    auto root = bench.fresh("fsync");
    auto log = open_log(root);
    auto stream = warmed_up(log);
    auto before = recycles(root);
    many.rounds.push_back(blocking_threads(stream, 64, kSyncSeconds, many.latency));
    std::vector<Stream> streams{stream};
    auto result = append_async(streams, 1000, kSyncSeconds);
    async.rounds.push_back(result.rate);
    async.latency.merge(result.latency);
    again = std::min(again, recycles(root) - before);
    must(log.close(), "close");
    std::filesystem::remove_all(root);
    many.peer_rounds.push_back(rocksdb_appends(
        bench.work / "rocksdb", {.threads = 64, .seconds = kSyncSeconds, .sync = true}));
  }
  async.peer_rounds = many.peer_rounds;
  many.conditions = with_recycles(many.conditions, again);
  async.conditions = with_recycles(async.conditions, again);
  bench.add(many);
  bench.add(async);
}

}  // namespace walrus::bench
