// Ten thousand streams; what a group costs the device; a sync beside the segment writer.

#include <unistd.h>

#include <algorithm>
#include <thread>

#include "async_load.h"
#include "harness.h"
#include "record/batch.h"

namespace walrus::bench {

namespace fs = std::filesystem;

namespace {

constexpr int kInFlight = 1000;

std::vector<Stream> make_streams(Log& log, int count, const char* prefix) {
  std::vector<Stream> streams;
  for (int i = 0; i < count; ++i) {
    streams.push_back(must(
        log.create(prefix + std::to_string(i), {.retention_bytes = 2 * kGiB / count}), "create"));
  }
  return streams;
}

double p99_ms(const AsyncResult& result) {
  return static_cast<double>(result.latency.percentile(99)) / 1e6;
}

}  // namespace

void many_streams(Bench& bench) {
  constexpr double kSeconds = 60, kOpenSeconds = 15;
  constexpr std::int64_t kJournals = 5 * 2 * kGiB;
  Row rate{.name = "append.fsync.10000streams",
           .unit = "records/s",
           .peer = "one stream",
           .target = 0.7,
           .target_of_ratio = true,
           .conditions =
               "1,000 in flight from one thread, 10,000 streams round robin, 740 bytes, "
               "60 s and at least five journals of 2 GiB; one stream: 20 s"};
  Row tail{.name = "append.fsync.10000streams.p99",
           .unit = "ms",
           .higher_is_better = false,
           .peer = "one stream",
           .target = 2,
           .target_of_ratio = true,
           .conditions =
               "open loop, from the intended start, at half of one stream's rate: 15 s "
               "each after the run above"};
  std::int64_t again = INT64_MAX;
  for (int round = 0; round < bench.rounds; ++round) {
    auto root = bench.fresh("streams");
    auto log = open_log(root);
    auto one = make_streams(log, 1, "one");
    auto all = make_streams(log, 10'000, "all");
    auto alone = append_async(one, kInFlight, 20);
    auto many = append_async(all, kInFlight, kSeconds);
    auto rest = kJournals / static_cast<double>(kRecordBytes) - many.rate * kSeconds;
    if (rest > 0) many = append_async(all, kInFlight, kSeconds + rest / many.rate);
    rate.rounds.push_back(many.rate);
    rate.peer_rounds.push_back(alone.rate);
    auto alone_open = append_paced(one, alone.rate / 2, kOpenSeconds);
    auto many_open = append_paced(all, alone.rate / 2, kOpenSeconds);
    tail.rounds.push_back(p99_ms(many_open));
    tail.peer_rounds.push_back(p99_ms(alone_open));
    rate.latency.merge(many.latency);
    tail.latency.merge(many_open.latency);
    again = std::min(again, recycles(root));
    must(log.close(), "close");
    fs::remove_all(root);
  }
  rate.conditions = with_recycles(rate.conditions, again);
  bench.add(rate);
  bench.add(tail);
}

// Every group of one record, of ten and of a hundred, its segment files included: what the device
// wrote over what the group has when it is rounded up to whole blocks. The worst of the three.
void device(Bench& bench) {
  constexpr double kSeconds = 12;
  constexpr std::int64_t kGroupHeader = 40, kFrameHeader = 32, kBlock = 4096;
  Row row{.name = "device.bytes_per_group",
          .unit = "x",
          .higher_is_better = false,
          .target = 3,
          .conditions =
              "bytes that the device wrote, segment files included, over the group "
              "rounded up to 4 KiB; one append in flight, 12 s each"};
  auto payload = random_bytes(kRecordBytes);
  std::string found;
  std::int64_t again = INT64_MAX;
  for (int round = 0; round < bench.rounds; ++round) {
    double worst = 0;
    found.clear();
    auto root = bench.fresh("device");
    auto log = open_log(root);
    auto stream = must(log.create("s", {.retention_bytes = kGiB}), "create");
    for (int n : {100, 10, 1}) {
      std::vector<Record> batch(static_cast<std::size_t>(n), Record{.value = payload});
      auto bytes = static_cast<std::int64_t>(record::encoded_size(batch, Time())) + kFrameHeader +
                   kGroupHeader;
      auto rounded = (bytes + kBlock - 1) / kBlock * kBlock;
      must(log.checkpoint(), "checkpoint");
      sync();
      auto before = device_bytes_written(root);
      std::int64_t groups = 0;
      for (auto begin = Clock::now(); since(begin) < kSeconds; ++groups) {
        must(stream.append(batch), "append");
      }
      must(log.checkpoint(), "checkpoint");
      auto each =
          static_cast<double>(device_bytes_written(root) - before) / static_cast<double>(groups);
      worst = std::max(worst, each / static_cast<double>(rounded));
      found += "; " + std::to_string(n) +
               " records: " + std::to_string(static_cast<std::int64_t>(each)) + " of " +
               std::to_string(rounded);
    }
    row.rounds.push_back(worst);
    again = std::min(again, recycles(root));
    must(log.close(), "close");
    fs::remove_all(root);
  }
  row.conditions = with_recycles(row.conditions + found + " bytes a group", again);
  bench.add(row);
}

// Until retention has removed what it will: the files are the same for longer than it pauses.
void settle(const fs::path& root) {
  constexpr std::chrono::milliseconds kLonger(6000), kLook(100);
  auto count = [&] {
    std::error_code error;  // of a directory that goes meanwhile
    return std::distance(fs::recursive_directory_iterator(root / "segments", error), {});
  };
  auto last = count();
  for (auto same = Clock::now(); Clock::now() - same < kLonger;
       std::this_thread::sleep_for(kLook)) {
    auto now = count();
    if (now != std::exchange(last, now)) same = Clock::now();
  }
}

void sync_beside_writer(Bench& bench) {
  constexpr double kSeconds = 3, kRate = 2000;
  constexpr std::int64_t kBacklog = 240 << 20;
  Row row{.name = "sync.p99.writer",
          .unit = "us",
          .higher_is_better = false,
          .peer = "without",
          .target = 4,
          .target_of_ratio = true,
          .conditions =
              "p99 of one synced append, open loop at 2,000 a second for 3 s, while the "
              "segment writer moves a backlog of 240 MiB of the same shard at its "
              "default pace, against the same 3 s without one and without "
              "retention"};
  auto payload = random_bytes(kRecordBytes);
  for (int round = 0; round < bench.rounds; ++round) {
    auto root = bench.fresh("beside");
    auto log = open_log(root);
    std::vector<Stream> synced{must(log.create("synced"), "create")};
    // As many as there are shards: one of them lives with `synced`.
    auto bulk = make_streams(log, static_cast<int>(std::thread::hardware_concurrency()), "bulk");
    for (auto& stream : bulk) {
      must(stream.alter({.durability = kOs, .retention_bytes = kGiB}), "alter");
    }
    auto fill = [&](std::int64_t bytes) {
      for (std::int64_t i = 0; i < bytes / static_cast<std::int64_t>(kRecordBytes); ++i) {
        for (auto& stream : bulk) must(stream.append({.value = payload}), "append");
      }
    };
    fill(2 * kGiB);
    must(log.checkpoint(), "checkpoint");
    settle(root);
    auto without = append_paced(synced, kRate, kSeconds);
    must(log.checkpoint(), "checkpoint");
    fill(kBacklog);
    auto with = append_paced(synced, kRate, kSeconds);
    row.rounds.push_back(static_cast<double>(with.latency.percentile(99)) / 1e3);
    row.peer_rounds.push_back(static_cast<double>(without.latency.percentile(99)) / 1e3);
    row.latency.merge(with.latency);
    must(log.close(), "close");
    fs::remove_all(root);
  }
  bench.add(row);
}

}  // namespace walrus::bench
