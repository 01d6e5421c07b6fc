#include "golden_directory.h"

#include <fstream>

#include "base/check.h"
#include "io/network.h"
#include "log/facade.h"

namespace walrus::golden {
namespace {

// The simulated world with a wall clock that stands and numbers that are no longer random: neither
// the simulator's own use of its seed nor the time that a call takes is seen in the bytes.
class StillEnv final : public io::Env {
 public:
  explicit StillEnv(io::Env& world) : world_(world) {}
  io::Nanos mono() override { return world_.mono(); }
  Time wall() override { return Time(Millis(kTime)); }
  std::uint64_t random() override { return 0x9e3779b97f4a7c15 * ++drawn_; }
  io::Disk& disk() override { return world_.disk(); }
  std::unique_ptr<io::Worker> start_worker(std::string name,
                                           std::move_only_function<io::Nanos()> body) override {
    return world_.start_worker(std::move(name), std::move(body));
  }
  std::unique_ptr<io::Loop> make_loop() override { return world_.make_loop(); }
  bool wait(Event& event, io::Nanos timeout) override { return world_.wait(event, timeout); }
  bool single_threaded() const override { return world_.single_threaded(); }

 private:
  io::Env& world_;
  std::uint64_t drawn_ = 0;
};

template <class T>
T sure(Result<T> result) {
  CHECK(result.has_value());
  return *std::move(result);
}
void sure(const Result<void>& result) { CHECK(result.has_value()); }

class Load {
 public:
  Load(io::World& world, Expected& expected) : world_(world), expected_(expected) {}

  void run() {
    StillEnv env(world_.node(0).env());
    log_ = sure(log::open_log(env, golden_options("/data")));
    fill();
    sure(log_->checkpoint());
    sure(sure(log_->stream("prices")).compact());
    // What only the journal holds.
    append("orders", 10, 3);
    append("quiet", 2, 1);
    append("prices", 2, 2);
    truncate("short", 13);
    append("short", 3, 2);
    trim("orders", 12);
    commit("orders", "billing", 20);
    sure(sure(log_->stream("fast")).mark_clean());
    expected_.streams["fast"].clean = true;
    sure(log_->create("gone"));
    append("gone", 1, 1);
    sure(log_->remove("gone"));
    expected_.streams.erase("gone");
    // Marks are written, the removal is carried out; too short for the next checkpoint.
    world_.run_for(std::chrono::milliseconds(500));
    world_.node(0).crash(io::CrashKind::kKill);
    log_.reset();
  }

 private:
  void fill() {
    create("orders", {.segment_records_max = 10});
    create("quiet", {});
    create("prices", {.segment_records_max = 6, .compact = true});
    create("short", {.segment_records_max = 8});
    create("fast", {.durability = {.kind = Durability::kOs}});
    append("orders", 34, 4);
    append("quiet", 3, 2);
    append("prices", 18, 3);
    append("short", 16, 5);
    append("fast", 2, 2);
    commit("orders", "audit", 30);
    commit("orders", "billing", 12);
    commit("quiet", "reader", 1);
  }

  void create(const std::string& name, const StreamOptions& options) {
    sure(log_->create(name, options));
    expected_.streams[name];
  }

  static StoredValue record_at(const std::string& name, std::int64_t offset) {
    StoredValue record{.timestamp_ms = kTime + offset * 1000};
    record.value = fmt::format("{} {}", name, offset) +
                   std::string(static_cast<std::size_t>(offset * 13 % 50), '.');
    if (name == "orders") {
      record.key = fmt::format("customer {}", offset % 5);
      record.headers = static_cast<std::size_t>(offset % 3);
    }
    if (name == "prices") {
      record.key = fmt::format("{}", "abc"[offset % 3]);
      if (offset == 8) record.value = std::nullopt;
    }
    return record;
  }

  void append(const std::string& name, std::int64_t count, std::int64_t at_once) {
    auto stream = sure(log_->stream(name));
    auto& expected = expected_.streams[name];
    static constexpr Header kHeaders[] = {{.name = "trace", .value = "17"}, {.name = "none"}};
    for (auto left = count; left > 0; left -= std::min(left, at_once)) {
      std::vector<StoredValue> stored;
      std::vector<Record> records;
      for (std::int64_t i = 0; i < std::min(left, at_once); ++i) {
        stored.push_back(record_at(name, expected.end + i));
      }
      for (const auto& one : stored) {
        records.push_back({.key = one.key,
                           .value = one.value,
                           .headers = std::span(kHeaders).first(one.headers),
                           .timestamp = Time(Millis(one.timestamp_ms))});
      }
      AppendOptions options;
      if (name == "quiet") {
        auto sequence = static_cast<std::int32_t>(expected.end);
        options.producer = {.id = 7, .epoch = 1, .sequence = sequence};
        expected.repeated_sequence = sequence;
        expected.repeated_offset = expected.end;
      }
      CHECK(sure(stream.append(records, options)).value == expected.end);
      for (auto& one : stored) expected.records[expected.end++] = std::move(one);
    }
  }

  void commit(const std::string& name, const std::string& cursor, std::int64_t next) {
    auto stream = sure(log_->stream(name));
    sure(sure(stream.cursor(cursor)).commit({next}));
    expected_.streams[name].cursors[cursor] = next;
  }

  void trim(const std::string& name, std::int64_t first_kept) {
    sure(sure(log_->stream(name)).trim({first_kept}));
    auto& expected = expected_.streams[name];
    expected.start = first_kept;
    std::erase_if(expected.records, [&](const auto& item) { return item.first < first_kept; });
  }

  void truncate(const std::string& name, std::int64_t first_dropped) {
    sure(sure(log_->stream(name)).truncate({first_dropped}));
    auto& expected = expected_.streams[name];
    expected.end = first_dropped;
    std::erase_if(expected.records, [&](const auto& item) { return item.first >= first_dropped; });
  }

  io::World& world_;
  Expected& expected_;
  std::optional<Log> log_;
};

// Of each key's records in sealed segments the last one is left; later ones are all there.
void compact_prices(Expected& expected) {
  auto& prices = expected.streams["prices"];
  std::map<std::string, std::int64_t> last;
  for (const auto& [offset, record] : prices.records) {
    if (offset < 18) last[*record.key] = offset;
  }
  std::erase_if(prices.records, [&](const auto& item) {
    return item.first < 18 && last.at(*item.second.key) != item.first;
  });
}

}  // namespace

log::EngineOptions golden_options(const io::Path& root) {
  log::EngineOptions options;
  options.user.root = root;
  options.user.shards = 2;
  options.user.batch_bytes_max = 4 << 10;
  options.user.journal_bytes_max = 2 << 20;
  options.mapped = true;
  options.journal_file_bytes_min = options.journal_file_bytes_max = 256 << 10;
  options.checkpoint_bytes = 1 << 30;
  options.checkpoint_interval = std::chrono::hours(1);
  options.maintenance_interval = std::chrono::hours(1);
  options.pack_bytes_max = 1 << 10;
  options.index_interval_bytes = 256;
  options.reserve_bytes = 16 << 10;
  return options;
}

Files make_directory(Expected& expected) {
  io::World world(1);
  Load(world, expected).run();
  compact_prices(expected);
  Files files;
  auto& disk = world.node(0).disk();
  for (const auto& path : disk.files()) {
    if (path.filename() == "LOCK") continue;
    files[path.lexically_relative("/data").string()] = *disk.cached(path);
  }
  return files;
}

std::string write_text(const Files& files) {
  constexpr std::size_t kLine = 32;
  std::string text;
  for (const auto& [path, bytes] : files) {
    text += fmt::format("= {} {}\n", path, bytes.size());
    std::size_t zeros = 0;
    auto flush_zeros = [&] {
      if (zeros > 0) text += fmt::format("*{}\n", zeros);
      zeros = 0;
    };
    for (std::size_t at = 0; at < bytes.size(); at += kLine) {
      auto line = Bytes(bytes).substr(at, kLine);
      if (line.find_first_not_of('\0') == Bytes::npos) {
        zeros += line.size();
        continue;
      }
      flush_zeros();
      for (unsigned char byte : line) text += fmt::format("{:02x}", byte);
      text += '\n';
    }
    flush_zeros();
  }
  return text;
}

Files read_text(const std::string& path) {
  std::ifstream file(path);
  CHECK(file.is_open());
  Files files;
  std::string* bytes = nullptr;
  std::size_t size = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.starts_with('#')) continue;
    if (line.starts_with("= ")) {
      CHECK(!bytes || bytes->size() == size);
      auto space = line.rfind(' ');
      size = std::stoul(line.substr(space + 1));
      bytes = &files[line.substr(2, space - 2)];
    } else if (line.starts_with('*')) {
      bytes->append(std::stoul(line.substr(1)), '\0');
    } else {
      for (std::size_t i = 0; i + 1 < line.size(); i += 2) {
        *bytes += static_cast<char>(std::stoi(line.substr(i, 2), nullptr, 16));
      }
    }
  }
  CHECK(bytes && bytes->size() == size);
  return files;
}

}  // namespace walrus::golden
