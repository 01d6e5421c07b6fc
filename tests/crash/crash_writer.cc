// The program that the crash tests kill.
//
//   crash_writer write DIRECTORY COUNTERS [--no-sync]   appends until it is killed
//   crash_writer check DIRECTORY                        prints "stream first end" per stream
//
// Numbered and hashed records over several streams from several threads, many in flight, on a
// mapped journal that is so small that it wraps within a fraction of a second. COUNTERS is a file
// elsewhere, mapped by both sides: per stream how many records were issued and how many were
// acknowledged, and how often a journal file was used again; it survives the kill.
// --no-sync: syncs do nothing, to show that the test notices.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <thread>

#include "base/crc32c.h"
#include "io/env.h"
#include "io/network.h"
#include "log/engine.h"
#include "unsynced_env.h"

namespace walrus::crash {
namespace {

constexpr int kStreams = 8, kThreads = 4;
constexpr std::int64_t kInFlight = 8;         // per stream
constexpr std::int64_t kKeptAtStart = 2'000;  // records of a stream that a start leaves
constexpr std::size_t kValueMax = 6'000;

struct Counters {
  struct Stream {
    std::atomic<std::int64_t> issued, acknowledged;  // as ends: one more than the last offset
  } streams[kStreams];
  std::atomic<std::int64_t> recycled;
};

log::EngineOptions engine_options(const char* directory) {
  log::EngineOptions options;
  options.user.root = directory;
  options.user.shards = 2;
  options.user.journal_bytes_max = 2 << 20;
  options.user.batch_bytes_max = 64 << 10;
  options.mapped = true;
  options.journal_file_bytes_min = 128 << 10;
  options.journal_file_bytes_max = 256 << 10;
  options.checkpoint_bytes = 256 << 10;
  return options;
}

std::string stream_name(int number) { return fmt::format("stream{}", number); }

// What record `offset` of a stream holds: its place, filler by its place, and a checksum of both.
std::string value_of(int stream, std::int64_t offset) {
  auto text = fmt::format("{}/{}/", stream, offset);
  auto mixed = static_cast<std::uint64_t>(offset + 1) * 0x9e3779b97f4a7c15 +
               static_cast<std::uint64_t>(stream);
  auto size = text.size() + mixed % kValueMax;
  while (text.size() < size) {
    mixed = mixed * 6364136223846793005 + 1442695040888963407;
    text.push_back(static_cast<char>(mixed >> 56));
  }
  auto crc = crc32c(text);
  text.append(reinterpret_cast<const char*>(&crc), sizeof crc);
  return text;
}

int failed(const Error& error) {
  std::fprintf(stderr, "crash_writer: %s\n", error.message.c_str());
  return 1;
}

// Keeps up to kInFlight appends of one stream unanswered.
class Writer {
 public:
  Writer(log::Engine& engine, log::StreamRef stream, int number, Counters& counters)
      : engine_(engine),
        stream_(std::move(stream)),
        number_(number),
        counters_(counters.streams[number]) {}

  Result<void> start() {
    WALRUS_ASSIGN(auto info, engine_.info(stream_));
    next_ = info.log_end.value;
    counters_.acknowledged = next_;
    counters_.issued = next_;
    auto kept = std::max(info.log_start.value, next_ - kKeptAtStart);
    WALRUS_ASSIGN(auto pending, engine_.trim(stream_, {kept}));
    return engine_.wait(pending);
  }

  // Appends one record if few enough are in flight; true: it did.
  Result<bool> step() {
    if (next_ - counters_.acknowledged >= kInFlight) return false;
    auto value = value_of(number_, next_);
    Record record{.value = value};
    auto appended = engine_.append(stream_, {&record, 1}, {});
    if (!appended) {
      if (appended.error().code == Code::kBusy) return false;
      return std::unexpected(appended.error());
    }
    if (appended->first.value != next_) {
      return fail(Code::kMismatch, "offset {} instead of {}", appended->first.value, next_);
    }
    ++next_;
    counters_.issued = next_;
    engine_.when_done(appended->pending, [this, end = next_](Result<void> done) {
      if (done) raise(counters_.acknowledged, end);
    });
    return true;
  }

 private:
  // Answers may overtake each other between threads; the later one speaks for the earlier.
  static void raise(std::atomic<std::int64_t>& to, std::int64_t value) {
    auto seen = to.load();
    while (seen < value && !to.compare_exchange_weak(seen, value)) {
    }
  }

  log::Engine& engine_;
  log::StreamRef stream_;
  int number_;
  Counters::Stream& counters_;
  std::int64_t next_ = 0;
};

Counters* map_counters(const char* path) {
  int file = ::open(path, O_RDWR | O_CREAT, 0600);
  if (file < 0 || ::ftruncate(file, sizeof(Counters)) != 0) return nullptr;
  void* at = ::mmap(nullptr, sizeof(Counters), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  return at == MAP_FAILED ? nullptr : static_cast<Counters*>(at);
}

Result<log::StreamRef> open_stream(log::Engine& engine, int number) {
  auto name = stream_name(number);
  if (auto found = engine.find(name)) return found;
  WALRUS_ASSIGN(auto made, engine.create(name, {}));
  WALRUS_TRY(engine.wait(made.pending));
  return made.stream;
}

void write_forever(log::Engine& engine, std::vector<std::unique_ptr<Writer>>& writers, int thread,
                   Counters& counters) {
  auto& env = engine.env();
  for (std::uint64_t turn = 0;; ++turn) {
    bool any = false;
    for (auto at = static_cast<std::size_t>(thread); at < writers.size(); at += kThreads) {
      auto stepped = writers[at]->step();
      if (!stepped) std::_Exit(failed(stepped.error()));
      any = any || *stepped;
    }
    if (thread == 0 && turn % 64 == 0) {
      counters.recycled =
          static_cast<std::int64_t>(engine.metrics()["walrus_log_journal_recycles_total"]);
    }
    if (any) continue;
    Event never;
    env.wait(never, std::chrono::microseconds(50));
  }
}

int write(const char* directory, const char* counters_path, bool synced) {
  auto* counters = map_counters(counters_path);
  if (!counters) return failed({Code::kIo, "cannot map the counters"});
  UnsyncedEnv unsynced(io::real_env());
  auto& env = synced ? io::real_env() : static_cast<io::Env&>(unsynced);
  auto engine = log::Engine::open(env, engine_options(directory));
  if (!engine) return failed(engine.error());
  std::vector<std::unique_ptr<Writer>> writers;
  for (int i = 0; i < kStreams; ++i) {
    auto stream = open_stream(**engine, i);
    if (!stream) return failed(stream.error());
    writers.push_back(std::make_unique<Writer>(**engine, *stream, i, *counters));
    if (auto started = writers.back()->start(); !started) return failed(started.error());
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] { write_forever(**engine, writers, i, *counters); });
  }
  for (auto& thread : threads) thread.join();
  return 0;
}

Result<void> check_stream(log::Engine& engine, const log::StreamRef& stream, int number) {
  WALRUS_ASSIGN(auto info, engine.info(stream));
  auto from = info.log_start.value;
  if (info.high_watermark != info.log_end) {
    return fail(Code::kCorrupt, "{}: recovered up to {}, readable up to {}", info.name,
                info.log_end.value, info.high_watermark.value);
  }
  while (from < info.log_end.value) {
    WALRUS_ASSIGN(auto fetched, engine.fetch(stream, {from}, {}));
    for (Bytes rest = fetched.bytes; !rest.empty();) {
      WALRUS_ASSIGN(auto batch, record::BatchView::parse(rest));
      rest.remove_prefix(batch.bytes().size());
      WALRUS_ASSIGN(auto records, record::RecordIterator::open(batch));
      for (;;) {
        WALRUS_ASSIGN(auto one, records.next());
        if (!one) break;
        if (one->offset < from) continue;
        if (one->offset != from || one->value != value_of(number, from)) {
          return fail(Code::kCorrupt, "{}: offset {} instead of {}, or other bytes", info.name,
                      one->offset, from);
        }
        ++from;
      }
    }
  }
  std::printf("%d %lld %lld\n", number, static_cast<long long>(info.log_start.value),
              static_cast<long long>(info.log_end.value));
  return {};
}

int check(const char* directory) {
  auto engine = log::Engine::open(io::real_env(), engine_options(directory));
  if (!engine) return failed(engine.error());
  for (int i = 0; i < kStreams; ++i) {
    auto stream = (*engine)->find(stream_name(i));
    if (!stream) {
      std::printf("%d 0 0\n", i);
      continue;
    }
    if (auto checked = check_stream(**engine, *stream, i); !checked) return failed(checked.error());
  }
  if (auto closed = (*engine)->close(); !closed) return failed(closed.error());
  return 0;
}

}  // namespace
}  // namespace walrus::crash

int main(int argc, char** argv) {
  std::vector<std::string_view> words(argv + 1, argv + argc);
  if (words.size() >= 3 && words[0] == "write") {
    bool synced = words.size() < 4 || words[3] != "--no-sync";
    return walrus::crash::write(argv[2], argv[3], synced);
  }
  if (words.size() == 2 && words[0] == "check") return walrus::crash::check(argv[2]);
  std::fprintf(stderr,
               "usage: crash_writer write DIRECTORY COUNTERS [--no-sync] | check DIRECTORY\n");
  return 2;
}
