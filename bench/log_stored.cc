// What is stored: reading it, opening it again, and what it costs when idle.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <random>
#include <semaphore>
#include <thread>

#include "harness.h"
#include "io/env.h"
#include "log/engine.h"

namespace walrus::bench {

namespace fs = std::filesystem;

namespace {

double scan_rate(const Stream& stream) {
  auto begin = Clock::now();
  auto reader = must(stream.scan({0}), "scan");
  std::int64_t bytes = 0;
  while (const auto* one = must(reader.next(), "next")) {
    bytes += static_cast<std::int64_t>(one->value->size());
  }
  return static_cast<double>(bytes) / since(begin) / 1e9;
}

// Open loop: a read is due every 1/rate.
template <class Read>
Histogram timed_reads(int reads, double rate, Read&& read) {
  Histogram latency;
  auto begin = Clock::now();
  for (int i = 0; i < reads; ++i) {
    auto due = begin + std::chrono::nanoseconds(static_cast<std::int64_t>(i * 1e9 / rate));
    while (Clock::now() < due) continue;  // no sleep, whose end would be late
    read();
    latency.record(std::chrono::nanoseconds(Clock::now() - due).count());
  }
  return latency;
}

Histogram random_reads(const Stream& stream, std::int64_t records, int reads, double rate,
                       unsigned seed) {
  std::mt19937_64 offsets(seed);
  return timed_reads(reads, rate, [&] {
    Offset at{static_cast<std::int64_t>(offsets() % static_cast<std::uint64_t>(records))};
    auto got = must(stream.read(at, {.records_max = 1}), "read");
    must(!got.empty() && got.begin()->offset == at, "read of another record");
  });
}

// The kernel alone: reads of as many bytes as the engine asks it for, out of the same files.
Histogram raw_reads(const fs::path& root, int reads, double rate, unsigned seed) {
  constexpr std::size_t kBytes = 16 << 10;
  std::vector<std::pair<int, std::uint64_t>> files;
  for (const auto& entry : fs::recursive_directory_iterator(root / "segments")) {
    if (!entry.is_regular_file() || entry.file_size() <= kBytes) continue;
    files.emplace_back(open(entry.path().c_str(), O_RDONLY | O_CLOEXEC), entry.file_size());
    must(files.back().first >= 0, "open");
  }
  must(!files.empty(), "segment files");
  std::mt19937_64 random(seed);
  std::vector<char> bytes(kBytes);
  auto latency = timed_reads(reads, rate, [&] {
    auto [file, size] = files[random() % files.size()];
    auto at = static_cast<off_t>(random() % (size - kBytes));
    must(pread(file, bytes.data(), kBytes, at) == static_cast<ssize_t>(kBytes), "pread");
  });
  for (auto [file, size] : files) close(file);
  return latency;
}

void drop_from_cache(const fs::path& root) {
  sync();
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (!entry.is_regular_file()) continue;
    int fd = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    must(fd >= 0, "open");
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
  }
}

// What the files take on the disk, as du counts, without the directory journal/: its files and its
// reserve are of a fixed size; but with its manifests.
std::int64_t disk_bytes(const fs::path& root) {
  std::int64_t bytes = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (!entry.is_regular_file()) continue;
    auto name = entry.path().filename().string();
    bool in_journal = entry.path().string().contains("/journal/");
    if (in_journal && !name.starts_with("manifest")) continue;
    struct stat status{};
    must(stat(entry.path().c_str(), &status) == 0, "stat");
    bytes += status.st_blocks * 512;
  }
  return bytes;
}

std::int64_t rss_anon() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoll(line.substr(8)) * 1024;
  }
  return 0;
}

// Without the journal's, of which there are a few a shard, however many streams there are.
std::int64_t descriptors() {
  return std::ranges::count_if(fs::directory_iterator("/proc/self/fd"), [](const auto& entry) {
    std::error_code gone;  // the one that lists them
    return fs::read_symlink(entry.path(), gone).extension() != ".wal";
  });
}

struct Footprint {
  std::int64_t memory = 0, files = 0;
};
// Of an open log, in a process with a fresh heap.
Footprint footprint(const fs::path& root) {
  int ends[2];
  must(pipe(ends) == 0, "pipe");
  auto child = fork();
  if (child == 0) {
    Footprint before{rss_anon(), descriptors()};
    auto log = open_log(root);
    Footprint own{rss_anon() - before.memory, descriptors() - before.files};
    _exit(write(ends[1], &own, sizeof own) == sizeof own ? 0 : 1);
  }
  Footprint own;
  must(child > 0 && read(ends[0], &own, sizeof own) == sizeof own, "footprint");
  waitpid(child, nullptr, 0);
  close(ends[0]);
  close(ends[1]);
  return own;
}

constexpr int kStreams = 10'000;

// One record each, checkpointed, closed; by a child, so that the heap here stays as it was.
void make_idle_streams(const fs::path& root) {
  auto child = fork();
  must(child >= 0, "fork");
  if (child == 0) {
    auto log = open_log(root);
    std::vector<std::future<Result<Offset>>> answers;
    auto payload = random_bytes(kRecordBytes);
    Record record{.value = payload};
    for (int i = 0; i < kStreams; ++i) {
      auto stream = must(log.create("s" + std::to_string(i)), "create");
      answers.push_back(stream.append_async({&record, 1}));
    }
    for (auto& answer : answers) must(answer.get(), "append");
    must(log.checkpoint(), "checkpoint");
    must(log.close(), "close");
    _exit(0);
  }
  int status = 0;
  must(waitpid(child, &status, 0) == child && status == 0, "idle streams");
}

// Appends until 10 GiB are in and the journals are 80 % full of what appends may fill, which leaves
// two of eight files to what must go on when it is full; then says so, and goes on.
[[noreturn]] void append_until_killed(const fs::path& root, int say) {
  constexpr std::size_t kBytes = 10'000;
  constexpr std::int64_t kRecords = 10 * kGiB / kBytes;
  log::EngineOptions options;
  options.user.root = root;
  auto engine = must(log::Engine::open(io::real_env(), options), "open");
  auto payload = random_bytes(kBytes);
  std::vector<log::StreamRef> streams;
  for (int i = 0; i < kStreams; ++i) {
    auto made = must(engine->create("s" + std::to_string(i), {.durability = kOs}), "create");
    streams.push_back(made.stream);
  }
  const auto limit = 0.8 * 2 * 6 / 8 * static_cast<double>(options.user.journal_bytes_max);
  Record record{.value = payload};
  bool said = false;
  for (std::int64_t i = 0;;) {
    const auto& stream = streams[static_cast<std::size_t>(i % kStreams)];
    auto done = engine->append(stream, {&record, 1}, {});
    if (!done) {
      must(done.error().code == Code::kBusy, "append");
      std::binary_semaphore room(0);
      engine->when_room(stream, [&](Result<void>) { room.release(); });
      room.acquire();
    } else {
      ++i;
    }
    if (said || i < kRecords) continue;
    double used = engine->metrics()["walrus_log_journal_used_bytes"];
    if (used < limit) continue;
    said = write(say, &used, sizeof used) == sizeof used;
  }
}

}  // namespace

void reads(Bench& bench) {
  constexpr int kReads = 50'000, kColdReads = 2'000;
  constexpr double kRate = 5'000, kColdRate = 500;
  const std::int64_t records = 4 * kGiB / static_cast<std::int64_t>(kRecordBytes);
  Row sequential{.name = "read.sequential",
                 .unit = "GB/s",
                 .target = 2,
                 .conditions =
                     "scan of 4 GiB in records of 740 bytes appended one by one, "
                     "checkpointed, cached, every CRC checked"};
  Row random{.name = "read.random.p99",
             .unit = "us",
             .higher_is_better = false,
             .peer = "pread of 16 KiB",
             .target = 50,
             .conditions =
                 "single records at random offsets over the same 4 GiB, cached, open "
                 "loop at 5,000 a second"};
  Row cold{.name = "read.random.cold.p99",
           .unit = "us",
           .higher_is_better = false,
           .conditions =
               "the same from the disk: page cache dropped and log reopened, 500 a "
               "second"};
  auto root = bench.fresh("read");
  {
    auto log = open_log(root);
    auto stream = must(log.create("s", {.durability = kOs}), "create");
    auto payload = random_bytes(kRecordBytes);
    for (std::int64_t i = 0; i < records; ++i) must(stream.append({.value = payload}), "append");
    must(log.close(), "close");
  }
  auto p99 = [](const Histogram& latency) {
    return static_cast<double>(latency.percentile(99)) / 1e3;
  };
  for (int round = 0; round < bench.rounds; ++round) {
    auto seed = static_cast<unsigned>(round);
    drop_from_cache(root);
    auto log = open_log(root);
    auto stream = must(log.stream("s"), "stream");
    auto from_disk = random_reads(stream, records, kColdReads, kColdRate, seed);
    cold.rounds.push_back(p99(from_disk));
    cold.latency.merge(from_disk);
    scan_rate(stream);  // into the cache
    sequential.rounds.push_back(scan_rate(stream));
    auto cached = random_reads(stream, records, kReads, kRate, seed + 100);
    random.rounds.push_back(p99(cached));
    random.latency.merge(cached);
    random.peer_rounds.push_back(p99(raw_reads(root, kReads, kRate, seed + 200)));
    must(log.close(), "close");
  }
  fs::remove_all(root);
  bench.add(sequential);
  bench.add(random);
  bench.add(cold);
}

void reopen(Bench& bench) {
  Row row{.name = "open.after_kill",
          .unit = "s",
          .higher_is_better = false,
          .conditions =
              "10 GiB in 10,000 streams, killed with SIGKILL while appending; target 1 s "
              "+ 1 s per GiB of journal; journal at the kill: "};
  std::vector<double> journals;
  for (int round = 0; round < bench.rounds; ++round) {
    auto root = bench.fresh("reopen");
    int ends[2];
    must(pipe(ends) == 0, "pipe");
    auto child = fork();
    if (child == 0) append_until_killed(root, ends[1]);
    double used = 0;
    close(ends[1]);
    must(read(ends[0], &used, sizeof used) == sizeof used, "loader");
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    close(ends[0]);
    journals.push_back(used / static_cast<double>(kGiB));
    auto begin = Clock::now();
    auto log = open_log(root);
    row.rounds.push_back(since(begin));
    std::int64_t records = 0;
    auto streams = must(log.list(), "list");
    for (const auto& one : streams) records += one.high_watermark.value;
    must(streams.size() == kStreams && records >= 10 * kGiB / 10'000, "records after the kill");
    must(log.close(), "close");
    fs::remove_all(root);
  }
  row.target = 1 + median(journals);
  char text[64];
  std::snprintf(text, sizeof text, "%.2f GiB of the 1.5 that appends may fill", median(journals));
  row.conditions += text;
  bench.add(row);
}

void idle(Bench& bench) {
  Row memory{.name = "idle.memory",
             .unit = "bytes",
             .higher_is_better = false,
             .target = 2048,
             .conditions =
                 "RssAnon a stream: 10,000 streams of one record of 740 bytes, "
                 "checkpointed, closed, opened again, less that of an empty log"};
  Row disk{.name = "idle.disk",
           .unit = "bytes",
           .higher_is_better = false,
           .target = 4096,
           .conditions = "disk a stream of the same, without the journal"};
  Row files{
      .name = "idle.files",
      .unit = "descriptors",
      .higher_is_better = false,
      .target = 0,
      .conditions = "open files of the same but those of the journal, less those of an empty log"};
  for (int round = 0; round < bench.rounds; ++round) {
    auto empty_root = bench.fresh("empty");
    footprint(empty_root);  // makes it
    auto empty = footprint(empty_root);
    auto root = bench.fresh("idle");
    make_idle_streams(root);
    auto own = footprint(root);
    memory.rounds.push_back(static_cast<double>(own.memory - empty.memory) / kStreams);
    files.rounds.push_back(static_cast<double>(own.files - empty.files));
    disk.rounds.push_back(static_cast<double>(disk_bytes(root)) / kStreams);
    fs::remove_all(root);
    fs::remove_all(empty_root);
  }
  bench.add(memory);
  bench.add(disk);
  bench.add(files);
}

namespace {

// 100 bytes each, 64 in flight from one thread: what the journal takes for each beyond its payload.
double journal_overhead(const fs::path& root, std::int64_t records) {
  constexpr std::size_t kBytes = 100;
  log::EngineOptions options;
  options.user.root = root;
  auto engine = must(log::Engine::open(io::real_env(), options), "open");
  auto created = must(engine->create("s", {}), "create");
  must(engine->wait(created.pending), "create");
  auto before = engine->metrics()["walrus_log_sync_bytes_total"];
  auto payload = random_bytes(kBytes);
  Record record{.value = payload};
  std::counting_semaphore<> room(64);
  for (std::int64_t i = 0; i < records; ++i) {
    room.acquire();
    auto appended = must(engine->append(created.stream, {&record, 1}, {}), "append");
    engine->when_done(appended.pending, [&](Result<void> done) {
      must(std::move(done), "append");
      room.release();
    });
  }
  for (int i = 0; i < 64; ++i) room.acquire();
  auto bytes = engine->metrics()["walrus_log_sync_bytes_total"] - before;
  must(engine->close(), "close");
  return bytes / static_cast<double>(records) - kBytes;
}

}  // namespace

void space(Bench& bench) {
  Row row{.name = "space.overhead",
          .unit = "%",
          .higher_is_better = false,
          .target = 15,
          .conditions =
              "disk over payload without the journal: 10,000 batches of 100 x 100 bytes, "
              "checkpointed"};
  Row journal{.name = "space.journal",
              .unit = "bytes",
              .higher_is_better = false,
              .target = 150,
              .conditions =
                  "added to each record of 100 bytes in the journal, blocks rounded up: "
                  "1,000,000 single appends with 64 in flight"};
  constexpr double kPayload = 10'000.0 * 100 * 100;
  auto payload = random_bytes(100);
  std::vector<Record> batch(100, Record{.value = payload});
  for (int round = 0; round < bench.rounds; ++round) {
    auto root = bench.fresh("space");
    auto log = open_log(root);
    auto stream = must(log.create("s", {.durability = kOs}), "create");
    for (int i = 0; i < 10'000; ++i) must(stream.append(batch), "append");
    must(log.checkpoint(), "checkpoint");
    row.rounds.push_back((static_cast<double>(disk_bytes(root)) / kPayload - 1) * 100);
    must(log.close(), "close");
    journal.rounds.push_back(journal_overhead(bench.fresh("space"), 1'000'000));
    fs::remove_all(root);
  }
  bench.add(row);
  bench.add(journal);
}

}  // namespace walrus::bench
