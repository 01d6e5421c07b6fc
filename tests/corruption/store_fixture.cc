#include "store_fixture.h"

#include "base/check.h"

namespace walrus::corruption {
namespace {

constexpr const char* kRoot = "/data";

std::string value_of(const std::string& stream, std::int64_t number) {
  auto value = fmt::format("{}/{}/", stream, number);
  return value + std::string(static_cast<std::size_t>(20 + number * 37 % 300),
                             static_cast<char>('a' + number % 26));
}

// The load, on one world.
class Load {
 public:
  Load(io::World& world, const StoreKind& kind, Content& content)
      : world_(world), kind_(kind), content_(content) {}

  void run() {
    open();
    for (const char* name : {"orders", "quiet", "rare", "short", "gone"}) create(name);
    append("orders", 40);
    append("quiet", 3);
    append("rare", 2);
    append("gone", 1);
    put_cursor("7");
    CHECK(engine_->checkpoint().has_value());
    append("orders", 30);
    CHECK(engine_->checkpoint().has_value());
    append("orders", 9);
    append("quiet", 4);
    put_cursor("11");
    append("rare", 3);
    trim_and_truncate("short");
    wait(engine_->remove("gone"));
    content_.streams.erase("gone");
    settle();
    world_.node(0).crash(io::CrashKind::kKill);
    if (!kind_.closed) return;
    reopen_and_close();
    open();
    append("orders", 2);
    settle();  // so that no recovery has to copy them
    world_.node(0).crash(io::CrashKind::kKill);
    // One manifest after those records, and none before it that knows of them: closing would write
    // a second one.
    open();
    checkpoint_and_settle();
    world_.node(0).crash(io::CrashKind::kKill);
  }

 private:
  void open() {
    auto& env = world_.node(0).crashed() ? world_.node(0).restart() : world_.node(0).env();
    auto engine = log::Engine::open(env, small_engine(kind_.mapped));
    CHECK(engine.has_value());
    engine_ = std::move(*engine);
  }

  // Long enough for what was released to be made ready for use again.
  void checkpoint_and_settle() {
    CHECK(engine_->checkpoint().has_value());
    settle();
  }

  void reopen_and_close() {
    open();
    checkpoint_and_settle();
    CHECK(engine_->close().has_value());
    engine_ = nullptr;
  }

  void settle() { world_.run_for(std::chrono::seconds(1)); }  // a mark is written

  void wait(const Result<log::Pending>& pending) {
    CHECK(pending.has_value() && engine_->wait(*pending).has_value());
  }

  void create(const std::string& name) {
    StreamOptions options;
    options.segment_records_max = 12;
    auto made = engine_->create(name, options);
    CHECK(made && engine_->wait(made->pending));
    content_.streams[name].id = log::stream_id(made->stream);
  }

  // Batches of one to four records, each waited for.
  void append(const std::string& name, std::int64_t count) {
    auto stream = engine_->find(name);
    CHECK(stream.has_value());
    auto& content = content_.streams[name];
    auto next = content.values.empty() ? 0 : content.values.rbegin()->first + 1;
    for (auto left = count; left > 0;) {
      auto size = std::min(left, 1 + next % 4);
      std::vector<std::string> texts;
      for (std::int64_t i = 0; i < size; ++i) texts.push_back(value_of(name, next + i));
      std::vector<Record> records;
      for (const auto& text : texts) records.push_back({.key = "key", .value = text});
      AppendOptions options;
      if (name == "quiet") {
        options.producer = {.id = 7, .epoch = 0, .sequence = static_cast<std::int32_t>(next)};
      }
      auto appended = engine_->append(*stream, records, options);
      while (!appended && appended.error().code == Code::kBusy) {
        world_.run_for(std::chrono::milliseconds(1));
        appended = engine_->append(*stream, records, options);
      }
      CHECK(appended && engine_->wait(appended->pending));
      for (auto& text : texts) content.values[next++] = std::move(text);
      left -= size;
    }
  }

  // Both in the middle of a batch.
  void trim_and_truncate(const std::string& name) {
    append(name, 9);
    auto stream = engine_->find(name);
    auto& content = content_.streams[name];
    wait(engine_->trim(*stream, {2}));
    content.start = 2;
    std::erase_if(content.values, [](const auto& item) { return item.first < 2; });
    wait(engine_->truncate(*stream, {6}));
    std::erase_if(content.values, [](const auto& item) { return item.first >= 6; });
    append(name, 3);
  }

  void put_cursor(const std::string& value) {
    auto stream = engine_->find("orders");
    wait(engine_->put_state(*stream, log::Table::kCursors, "billing", value));
    content_.cursors["billing"] = value;
  }

  io::World& world_;
  const StoreKind kind_;
  Content& content_;
  std::unique_ptr<log::Engine> engine_;
};

// What the store serves, which is compared byte for byte from now on; its values are those that
// were acknowledged.
void take_baseline(const Files& files, bool mapped, Content& content) {
  Machine machine(files);
  auto engine = machine.open(mapped);
  CHECK(engine.has_value());
  for (auto& [name, stream] : content.streams) {
    auto found = (*engine)->find(name);
    CHECK(found.has_value());
    auto end = stream.values.rbegin()->first + 1;
    for (auto from = stream.start; from < end;) {
      auto fetched = (*engine)->fetch(*found, {from}, {.bytes_max = 1});
      CHECK(fetched.has_value());
      auto batch = record::BatchView::parse(fetched->bytes);
      CHECK(batch && batch->crc_holds());
      stream.batches[batch->base_offset()] = batch->bytes();
      auto records = record::RecordIterator::open(*batch);
      for (auto one = records->next(); one && *one; one = records->next()) {
        if ((*one)->offset >= stream.start) {
          CHECK((*one)->value == stream.values.at((*one)->offset));
        }
      }
      from = batch->next_offset();
    }
  }
}

void compare_stream(log::Engine& engine, const log::StreamRef& stream, const StreamContent& content,
                    Outcome& outcome) {
  auto info = engine.info(stream);
  if (!info) {
    outcome.wrong = info.error().message;
    return;
  }
  auto end = content.values.rbegin()->first + 1;
  if (info->log_start.value != content.start || info->log_end.value != end ||
      info->high_watermark.value != end) {
    outcome.wrong = fmt::format("{}: {}..{} instead of {}..{}", info->name, info->log_start.value,
                                info->log_end.value, content.start, end);
    return;
  }
  for (auto from = content.start; from < end;) {
    auto fetched = engine.fetch(stream, {from}, {.bytes_max = 1});
    if (!fetched) {
      if (fetched.error().code != Code::kCorrupt) outcome.wrong = fetched.error().message;
      outcome.unreadable[{content.id, from}] = fetched.error().message;
      ++from;
      continue;
    }
    for (Bytes rest = fetched->bytes; !rest.empty();) {
      auto expected = std::prev(content.batches.upper_bound(from));
      if (!rest.starts_with(expected->second)) {
        outcome.wrong = fmt::format("{}: other bytes are served at {}", info->name, from);
        return;
      }
      rest.remove_prefix(expected->second.size());
      from = record::BatchView(expected->second).next_offset();
    }
  }
}

}  // namespace

log::EngineOptions small_engine(bool mapped) {
  log::EngineOptions options;
  options.user.root = kRoot;
  options.user.shards = 1;
  options.user.batch_bytes_max = 8 << 10;
  options.user.journal_bytes_max = 512 << 10;
  options.user.cache_bytes_max = 4 << 10;
  options.mapped = mapped;
  options.journal_file_bytes_min = options.journal_file_bytes_max = 64 << 10;
  options.checkpoint_bytes = 1 << 30;
  options.checkpoint_interval = std::chrono::hours(1);
  options.maintenance_interval = std::chrono::hours(1);
  options.pack_bytes_max = 2 << 10;
  options.index_interval_bytes = 512;
  options.reserve_bytes = 16 << 10;
  return options;
}

Files make_store(const StoreKind& kind, Content& content) {
  io::World world(1);
  Load(world, kind, content).run();
  Files files;
  auto& disk = world.node(0).disk();
  for (const auto& path : disk.files()) {
    if (auto bytes = disk.cached(path); bytes && path.filename() != "LOCK") {
      files[path] = std::move(*bytes);
    }
  }
  take_baseline(files, kind.mapped, content);
  return files;
}

Machine::Machine(const Files& files) : world_(2) {
  for (const auto& [path, bytes] : files) {
    CHECK(env().disk().make_directory(path.parent_path()).has_value());
    CHECK(disk().plant(path, bytes).has_value());
  }
}

Result<std::unique_ptr<log::Engine>> Machine::open(bool mapped) {
  return log::Engine::open(env(), small_engine(mapped));
}

Outcome Machine::inspect(bool mapped, const Content& content) {
  Outcome outcome;
  auto engine = open(mapped);
  if (!engine) {
    outcome.refused = engine.error();
    return outcome;
  }
  read(**engine, content, outcome);
  return outcome;
}

void Machine::read(log::Engine& engine, const Content& content, Outcome& outcome) {
  for (const auto& [name, expected] : content.streams) {
    auto stream = engine.find(name);
    if (!stream) {
      outcome.wrong = stream.error().message;
      return;
    }
    compare_stream(engine, *stream, expected, outcome);
    if (name == "orders" && engine.list_state(*stream, log::Table::kCursors) != content.cursors) {
      outcome.wrong = "the cursor is not the last one that was acknowledged";
    }
  }
}

}  // namespace walrus::corruption
