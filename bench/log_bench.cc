// ./dev bench log: the embedded engine with its defaults, its peers in the same run. Every case
// runs
// `--rounds` times and reports medians. Cases are named as the rows they fill.

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <random>
#include <semaphore>
#include <thread>

#include "base/histogram.h"
#include "log_peers.h"
#include "row.h"
#include "server_put.h"
#include "walrus/log.h"

namespace walrus::bench {
namespace {

using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;
constexpr std::size_t kRecordBytes = 740;
constexpr Durability kOs{Durability::kOs, Millis(0)};

double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

template <class T>
T must(Result<T> result, const char* what) {
  if (!result) {
    std::fprintf(stderr, "bench: %s: %s\n", what, result.error().message.c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

std::string random_bytes(std::size_t size) {
  std::mt19937_64 random(7);
  std::string bytes(size, '\0');
  for (auto& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

struct Bench {
  fs::path work;
  fs::path binary;  // of walrus
  int rounds = 3;
  std::string only;
  std::vector<Row> rows;

  bool wants(std::string_view name) const {
    return only.empty() || name.find(only) != std::string_view::npos;
  }
  fs::path fresh(const char* name) const {
    auto path = work / name;
    fs::remove_all(path);
    fs::create_directories(path);
    return path;
  }
  Row& add(Row row) {
    rows.push_back(std::move(row));
    std::fputs(table({rows.back()}).c_str(), stdout);
    std::fflush(stdout);
    return rows.back();
  }
};

Log open_log(const fs::path& root) { return must(Log::open({.root = root}), "open"); }

// Appends one record at a time until `records` are in; returns records a second.
double append_alone(Stream& stream, std::int64_t records, const std::string& payload) {
  auto begin = Clock::now();
  for (std::int64_t i = 0; i < records; ++i) must(stream.append({.value = payload}), "append");
  return static_cast<double>(records) / since(begin);
}

void os_one_thread(Bench& bench) {
  const std::int64_t records = (std::int64_t{2} << 30) / static_cast<std::int64_t>(kRecordBytes);
  Row row{.name = "append.os.1thread",
          .unit = "records/s",
          .peer = "rocksdb sync=false",
          .target = 20,
          .target_of_ratio = true,
          .conditions =
              "one thread, record by record, 740 bytes, burst of 2 GiB after a warm-up of "
              "2 GiB, retention 1 GiB"};
  Row copy{.name = "append.os.1thread.memcpy",
           .unit = "records/s",
           .peer = "memcpy + CRC-32C",
           .target = 0.4,
           .target_of_ratio = true,
           .conditions =
               "the same burst against memcpy + CRC-32C of 740 bytes into 256 MiB of "
               "populated memory"};
  auto payload = random_bytes(kRecordBytes);
  for (int round = 0; round < bench.rounds; ++round) {
    auto log = open_log(bench.fresh("os1"));
    auto stream = must(log.create("s", {.durability = kOs,
                                        .segment_bytes_max = 256 << 20,
                                        .retention_bytes = std::int64_t{1} << 30}),
                       "create");
    append_alone(stream, records, payload);
    must(log.checkpoint(), "checkpoint");
    row.rounds.push_back(append_alone(stream, records, payload));
    must(log.close(), "close");
    fs::remove_all(bench.work / "os1");
    row.peer_rounds.push_back(
        rocksdb_appends(bench.work / "rocksdb", {.threads = 1, .records = records / 4}, false));
    copy.peer_rounds.push_back(memcpy_and_crc(20'000'000, kRecordBytes));
  }
  copy.rounds = row.rounds;
  bench.add(row);
  bench.add(copy);
}

void os_sustained(Bench& bench) {
  Row row{.name = "append.os.sustained",
          .unit = "MB/s",
          .peer = "half a new file's write rate",
          .target = 0.8,
          .target_of_ratio = true,
          .conditions = "one thread, record by record, 740 bytes, 60 s, retention 8 GiB"};
  auto payload = random_bytes(kRecordBytes);
  auto log = open_log(bench.fresh("sustained"));
  auto stream = must(log.create("s", {.durability = kOs,
                                      .segment_bytes_max = 256 << 20,
                                      .retention_bytes = std::int64_t{8} << 30}),
                     "create");
  auto begin = Clock::now();
  std::int64_t records = 0;
  for (; records % 1024 != 0 || since(begin) < 60; ++records) {
    must(stream.append({.value = payload}), "append");
  }
  row.rounds.push_back(static_cast<double>(records) * kRecordBytes / since(begin) / 1e6);
  must(log.close(), "close");
  fs::remove_all(bench.work / "sustained");
  row.peer_rounds.push_back(new_file_write_rate(bench.work, std::int64_t{8} << 30) / 2);
  bench.add(row);
}

void os_ten_threads(Bench& bench) {
  Row row{.name = "append.os.10threads",
          .unit = "records/s",
          .peer = "rocksdb sync=false",
          .target = 10,
          .target_of_ratio = true,
          .conditions =
              "upstream's workload: 10 threads, a stream each, 500 to 1,024 bytes, record "
              "by record, 2,000,000 records after as many of warm-up"};
  auto payload = random_bytes(1024);
  constexpr std::int64_t kRecords = 200'000;  // a thread
  for (int round = 0; round < bench.rounds; ++round) {
    auto log = open_log(bench.fresh("os10"));
    auto run = [&] {
      std::vector<std::jthread> threads;
      for (int t = 0; t < 10; ++t) {
        threads.emplace_back([&, t] {
          std::minstd_rand sizes(static_cast<unsigned>(t + 1));
          auto stream = must(log.stream("s" + std::to_string(t)), "stream");
          for (std::int64_t i = 0; i < kRecords; ++i) {
            must(stream.append({.value = Bytes(payload).substr(0, 500 + sizes() % 524)}), "append");
          }
        });
      }
    };
    for (int t = 0; t < 10; ++t) {
      must(log.create("s" + std::to_string(t),
                      {.durability = kOs, .retention_bytes = std::int64_t{1} << 30}),
           "create");
    }
    run();
    must(log.checkpoint(), "checkpoint");
    auto begin = Clock::now();
    run();
    row.rounds.push_back(10 * kRecords / since(begin));
    must(log.close(), "close");
    fs::remove_all(bench.work / "os10");
    row.peer_rounds.push_back(rocksdb_appends(
        bench.work / "rocksdb",
        {.threads = 10, .records = 10 * kRecords, .bytes_min = 500, .bytes_max = 1024}, false));
  }
  bench.add(row);
}

// `in_flight` unanswered appends over `streams` round robin for `seconds`.
struct AsyncResult {
  double rate = 0;
  Histogram latency;
};
AsyncResult append_async(Log& log, int streams, int in_flight, double seconds) {
  auto payload = random_bytes(kRecordBytes);
  std::vector<Stream> all;
  for (int i = 0; i < streams; ++i) {
    auto name = "s" + std::to_string(i);
    auto there = log.stream(name);
    all.push_back(there ? std::move(*there) : must(log.create(name), "create"));
  }
  AsyncResult result;
  Lock lock;
  std::counting_semaphore<> room(in_flight);
  std::atomic<std::int64_t> answered{0};
  Record record{.value = payload};
  auto begin = Clock::now();
  std::int64_t sent = 0;
  for (; sent % 64 != 0 || since(begin) < seconds; ++sent) {
    room.acquire();
    auto started = Clock::now();
    all[static_cast<std::size_t>(sent % streams)].append_async(
        {&record, 1}, {}, [&, started](Result<Offset> done) {
          must(std::move(done), "append");
          auto nanos = std::chrono::nanoseconds(Clock::now() - started).count();
          {
            LockGuard guard(lock);
            result.latency.record(nanos);
          }
          answered.fetch_add(1);
          room.release();
        });
  }
  for (int i = 0; i < in_flight; ++i) room.acquire();
  result.rate = static_cast<double>(answered.load()) / since(begin);
  return result;
}

double blocking_threads(Log& log, int threads, std::int64_t each) {
  auto payload = random_bytes(kRecordBytes);
  auto stream = must(log.create("t" + std::to_string(threads)), "create");
  auto begin = Clock::now();
  {
    std::vector<std::jthread> all;
    for (int t = 0; t < threads; ++t) {
      all.emplace_back([&, handle = stream]() mutable {
        for (std::int64_t i = 0; i < each; ++i) {
          must(handle.append({.value = payload}), "append");
        }
      });
    }
  }
  return static_cast<double>(threads * each) / since(begin);
}

void fsync_rows(Bench& bench) {
  Row one{.name = "append.fsync.1",
          .unit = "records/s",
          .peer = "rocksdb sync=true",
          .target = 1.2,
          .target_of_ratio = true,
          .conditions = "one thread, one record in flight, 740 bytes"};
  Row raw{.name = "append.fsync.1.raw",
          .unit = "records/s",
          .peer = "pwrite + fdatasync",
          .target = 0.85,
          .target_of_ratio = true,
          .conditions = "the same against 4 KiB pwrite + fdatasync into a preallocated file"};
  Row many{.name = "append.fsync.64threads",
           .unit = "records/s",
           .peer = "rocksdb sync=true, 64 threads",
           .target = 4,
           .target_of_ratio = true,
           .conditions = "64 blocking threads on one stream, 740 bytes"};
  Row async{.name = "append.fsync.1000async",
            .unit = "records/s",
            .peer = "rocksdb sync=true, 64 threads",
            .target = 40,
            .target_of_ratio = true,
            .conditions = "1,000 appends in flight from one thread, 740 bytes, 10 s"};
  auto payload = random_bytes(kRecordBytes);
  for (int round = 0; round < bench.rounds; ++round) {
    auto log = open_log(bench.fresh("fsync"));
    auto stream = must(log.create("alone"), "create");
    append_alone(stream, 1000, payload);
    one.rounds.push_back(append_alone(stream, 10'000, payload));
    many.rounds.push_back(blocking_threads(log, 64, 4'000));
    async.rounds.push_back(append_async(log, 1, 1000, 10).rate);
    must(log.close(), "close");
    fs::remove_all(bench.work / "fsync");
    one.peer_rounds.push_back(
        rocksdb_appends(bench.work / "rocksdb", {.threads = 1, .records = 10'000}, true));
    many.peer_rounds.push_back(
        rocksdb_appends(bench.work / "rocksdb", {.threads = 64, .records = 128'000}, true));
    raw.peer_rounds.push_back(raw_synced_writes(bench.work, 10'000));
  }
  raw.rounds = one.rounds;
  async.peer_rounds = many.peer_rounds;
  bench.add(one);
  bench.add(raw);
  bench.add(many);
  bench.add(async);
}

void many_streams(Bench& bench) {
  Row rate{.name = "append.fsync.10000streams",
           .unit = "records/s",
           .peer = "one stream",
           .target = 0.7,
           .target_of_ratio = true,
           .conditions = "256 in flight, 10,000 streams round robin, 60 s and at least 5 journals"};
  Row tail{.name = "append.fsync.10000streams.p99",
           .unit = "ms",
           .higher_is_better = false,
           .peer = "one stream",
           .target = 2,
           .target_of_ratio = true,
           .conditions = "latency of the same run, from the call to its answer"};
  auto log = open_log(bench.fresh("streams"));
  auto alone = append_async(log, 1, 256, 20);
  auto many = append_async(log, 10'000, 256, 60);
  rate.rounds.push_back(many.rate);
  rate.peer_rounds.push_back(alone.rate);
  tail.rounds.push_back(static_cast<double>(many.latency.percentile(99)) / 1e6);
  tail.peer_rounds.push_back(static_cast<double>(alone.latency.percentile(99)) / 1e6);
  must(log.close(), "close");
  fs::remove_all(bench.work / "streams");
  bench.add(rate);
  bench.add(tail);
}

void reads(Bench& bench) {
  Row sequential{.name = "read.sequential",
                 .unit = "GB/s",
                 .target = 2,
                 .conditions =
                     "scan of 4 GiB in records of 740 bytes, checkpointed, cached, every "
                     "CRC checked"};
  Row random{.name = "read.random.p99",
             .unit = "us",
             .higher_is_better = false,
             .target = 50,
             .conditions = "single records at random offsets over the same 4 GiB, cached"};
  auto log = open_log(bench.fresh("read"));
  auto stream = must(log.create("s", {.durability = kOs}), "create");
  auto payload = random_bytes(kRecordBytes);
  const std::int64_t records = (std::int64_t{4} << 30) / static_cast<std::int64_t>(kRecordBytes);
  append_alone(stream, records, payload);
  must(log.checkpoint(), "checkpoint");
  for (int round = 0; round <= bench.rounds; ++round) {
    auto begin = Clock::now();
    auto reader = must(stream.scan({0}), "scan");
    std::int64_t bytes = 0;
    for (;;) {
      const auto* one = must(reader.next(), "next");
      if (!one) break;
      bytes += static_cast<std::int64_t>(one->value->size());
    }
    if (round > 0) sequential.rounds.push_back(static_cast<double>(bytes) / since(begin) / 1e9);
    std::mt19937_64 offsets(static_cast<unsigned>(round));
    Histogram latency;
    for (int i = 0; i < 50'000; ++i) {
      Offset at{static_cast<std::int64_t>(offsets() % static_cast<std::uint64_t>(records))};
      auto started = Clock::now();
      auto got = must(stream.read(at, {.records_max = 1}), "read");
      latency.record(std::chrono::nanoseconds(Clock::now() - started).count());
      if (got.empty()) std::exit(1);
    }
    if (round > 0) random.rounds.push_back(static_cast<double>(latency.percentile(99)) / 1e3);
  }
  must(log.close(), "close");
  fs::remove_all(bench.work / "read");
  bench.add(sequential);
  bench.add(random);
}

std::int64_t du(const fs::path& root, bool journal) {
  std::int64_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (!entry.is_regular_file()) continue;
    bool in_journal = entry.path().string().find("/journal/") != std::string::npos;
    if (in_journal && !journal) continue;
    bytes += static_cast<std::int64_t>((entry.file_size() + 4095) / 4096 * 4096);
  }
  return bytes;
}

void reopen(Bench& bench) {
  Row row{.name = "open.after_kill",
          .unit = "s",
          .higher_is_better = false,
          .target = 3,
          .conditions =
              "10 GiB in 10,000 streams, killed while appending; target 1 s + 1 s per GiB "
              "of journal (2 shards of up to 1 GiB)"};
  auto root = bench.fresh("reopen");
  auto child = fork();
  if (child == 0) {
    auto log = open_log(root);
    auto payload = random_bytes(10'000);
    std::vector<Stream> streams;
    for (int i = 0; i < 10'000; ++i) {
      streams.push_back(must(log.create("s" + std::to_string(i), {.durability = kOs}), "create"));
    }
    for (std::int64_t i = 0;; ++i) {
      must(streams[static_cast<std::size_t>(i % 10'000)].append({.value = payload}), "append");
      if (i == (std::int64_t{10} << 30) / 10'000) std::ofstream(root.string() + ".full") << "1";
    }
  }
  while (!fs::exists(root.string() + ".full")) usleep(1000);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  fs::remove(root.string() + ".full");
  auto begin = Clock::now();
  auto log = open_log(root);
  row.rounds.push_back(since(begin));
  if (must(log.list(), "list").size() != 10'000) std::exit(1);
  must(log.close(), "close");
  fs::remove_all(root);
  bench.add(row);
}

std::int64_t rss_anon() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoll(line.substr(8)) * 1024;
  }
  return 0;
}

void idle(Bench& bench) {
  Row memory{.name = "idle.memory",
             .unit = "bytes",
             .higher_is_better = false,
             .target = 2048,
             .conditions =
                 "RssAnon per stream: 10,000 streams of one record, checkpointed, "
                 "reopened, against an empty log"};
  Row disk{.name = "idle.disk",
           .unit = "bytes",
           .higher_is_better = false,
           .target = 4096,
           .conditions = "disk per stream of the same, without the journal"};
  auto root = bench.fresh("idle");
  {
    auto log = open_log(root);
    std::vector<std::future<Result<Offset>>> answers;
    auto payload = random_bytes(kRecordBytes);
    Record record{.value = payload};
    for (int i = 0; i < 10'000; ++i) {
      auto stream = must(log.create("s" + std::to_string(i)), "create");
      answers.push_back(stream.append_async({&record, 1}));
    }
    for (auto& answer : answers) must(answer.get(), "append");
    must(log.checkpoint(), "checkpoint");
    must(log.close(), "close");
  }
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) std::exit(1);
  auto child = fork();
  if (child == 0) {  // a fresh heap
    auto before = rss_anon();
    auto log = open_log(root);
    auto bytes = (rss_anon() - before) / 10'000;
    if (write(pipe_ends[1], &bytes, sizeof bytes) != sizeof bytes) _exit(1);
    _exit(0);
  }
  std::int64_t bytes = 0;
  if (read(pipe_ends[0], &bytes, sizeof bytes) != sizeof bytes) std::exit(1);
  waitpid(child, nullptr, 0);
  memory.rounds.push_back(static_cast<double>(bytes));
  disk.rounds.push_back(static_cast<double>(du(root, false)) / 10'000);
  fs::remove_all(root);
  bench.add(memory);
  bench.add(disk);
}

void space(Bench& bench) {
  Row row{.name = "space.overhead",
          .unit = "%",
          .higher_is_better = false,
          .target = 15,
          .conditions =
              "disk over payload without the journal: 10,000 batches of 100 x 100 bytes, "
              "checkpointed"};
  auto root = bench.fresh("space");
  auto log = open_log(root);
  auto stream = must(log.create("s", {.durability = kOs}), "create");
  auto payload = random_bytes(100);
  std::vector<Record> batch(100, Record{.value = payload});
  for (int i = 0; i < 10'000; ++i) must(stream.append(batch), "append");
  must(log.checkpoint(), "checkpoint");
  constexpr double kPayload = 10'000.0 * 100 * 100;
  row.rounds.push_back((static_cast<double>(du(root, false)) - kPayload) / kPayload * 100);
  must(log.close(), "close");
  fs::remove_all(root);
  bench.add(row);
}

void server(Bench& bench) {
  Row row{.name = "server.put",
          .unit = "requests/s",
          .peer = "nats-server JetStream",
          .target = 1,
          .target_of_ratio = true,
          .conditions =
              "16 connections x 32 deep over loopback, 740 bytes; walrus syncs before it "
              "answers, NATS with file storage does not by default"};
  for (int round = 0; round < bench.rounds; ++round) {
    row.rounds.push_back(walrus_puts(bench.binary, bench.fresh("server"), 8));
    row.peer_rounds.push_back(nats_puts(bench.fresh("nats"), 8));
  }
  bench.add(row);
}

int run(Bench& bench, const fs::path& out) {
  const std::pair<const char*, void (*)(Bench&)> cases[] = {
      {"append.os.1thread", os_one_thread},
      {"append.os.sustained", os_sustained},
      {"append.os.10threads", os_ten_threads},
      {"append.fsync.1", fsync_rows},
      {"append.fsync.10000streams", many_streams},
      {"read", reads},
      {"open.after_kill", reopen},
      {"idle", idle},
      {"space.overhead", space},
      {"server.put", server}};
  for (auto& [name, measure] : cases) {
    if (bench.wants(name)) measure(bench);
  }
  std::fputs(table(bench.rows).c_str(), stdout);
  fs::create_directories(out);
  std::ofstream(out / "log.json") << json(bench.rows);
  std::ofstream(out / "log.md") << markdown(bench.rows);
  bool missed = std::ranges::any_of(bench.rows, [](const Row& row) { return row.met() == false; });
  return missed ? 3 : 0;
}

}  // namespace
}  // namespace walrus::bench

// usage: walrus_bench_log OUT_DIRECTORY WALRUS_BINARY [--rounds N] [--only NAME]
// exit status: 0 all targets met, 3 all rows measured and some missed, 1 failed
int main(int count, char** words) {
  if (count < 3) return 2;
  walrus::bench::Bench bench;
  std::filesystem::path out = words[1];
  bench.work = out / "data";
  bench.binary = words[2];
  for (int i = 3; i + 1 < count; i += 2) {
    if (std::strcmp(words[i], "--rounds") == 0) bench.rounds = std::atoi(words[i + 1]);
    if (std::strcmp(words[i], "--only") == 0) bench.only = words[i + 1];
  }
  std::filesystem::create_directories(bench.work);
  return walrus::bench::run(bench, out);
}
