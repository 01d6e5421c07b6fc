#include "store_fixture.h"

#include "base/check.h"

namespace walrus::corruption {
namespace {

constexpr const char* kRoot = "/data";

StreamOptions stream_options() {
  StreamOptions options;
  options.segment_records_max = 12;
  return options;
}

std::string value_of(const std::string& stream, std::size_t number) {
  auto value = fmt::format("{}/{}/", stream, number);
  return value + std::string(20 + number * 37 % 300, static_cast<char>('a' + number % 26));
}

// Appends `count` records in batches of one to four and waits for each.
void append(log::Engine& engine, const std::string& name, std::size_t count, Content& content) {
  auto stream = engine.find(name);
  CHECK(stream.has_value());
  auto& values = content.values[name];
  for (std::size_t left = count; left > 0;) {
    auto size = std::min<std::size_t>(left, 1 + values.size() % 4);
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < size; ++i) texts.push_back(value_of(name, values.size() + i));
    std::vector<Record> records;
    for (const auto& text : texts) records.push_back({.key = "key", .value = text});
    auto appended = engine.append(*stream, records, {});
    CHECK(appended.has_value());
    CHECK(engine.wait(appended->pending).has_value());
    values.insert(values.end(), texts.begin(), texts.end());
    left -= size;
  }
}

void put_cursor(log::Engine& engine, const std::string& value, Content& content) {
  auto stream = engine.find("orders");
  auto pending = engine.put_state(*stream, log::Table::kCursors, "billing", value);
  CHECK(pending && engine.wait(*pending));
  content.cursors["billing"] = value;
}

void compare_stream(log::Engine& engine, const log::StreamRef& stream,
                    const std::vector<std::string>& values, Outcome& outcome) {
  auto info = engine.info(stream);
  if (!info) {
    outcome.wrong = info.error().message;
    return;
  }
  auto end = static_cast<std::int64_t>(values.size());
  if (info->log_start.value != 0 || info->log_end.value != end ||
      info->high_watermark.value != end) {
    outcome.wrong = fmt::format("{}: {}..{} instead of 0..{}", info->name, info->log_start.value,
                                info->log_end.value, end);
    return;
  }
  for (std::int64_t from = 0; from < end;) {
    auto fetched = engine.fetch(stream, {from}, {.bytes_max = 1});
    if (!fetched) {
      if (fetched.error().code != Code::kCorrupt) outcome.wrong = fetched.error().message;
      outcome.unreadable = true;
      ++from;
      continue;
    }
    for (Bytes rest = fetched->bytes; !rest.empty();) {
      auto batch = record::BatchView::parse(rest);
      if (!batch || !batch->crc_holds()) {
        outcome.wrong = fmt::format("{}: a bad batch was served at {}", info->name, from);
        return;
      }
      rest.remove_prefix(batch->bytes().size());
      auto records = record::RecordIterator::open(*batch);
      while (records) {
        auto one = records->next();
        if (!one || !*one) break;
        if ((*one)->offset < from) continue;
        if ((*one)->offset != from || (*one)->value != values[static_cast<std::size_t>(from)]) {
          outcome.wrong = fmt::format("{}: offset {} is served wrongly", info->name, from);
          return;
        }
        ++from;
      }
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
  return options;
}

Files make_store(bool mapped, Content& content) {
  io::World world(1);
  auto& node = world.node(0);
  {
    auto engine = log::Engine::open(node.env(), small_engine(mapped));
    CHECK(engine.has_value());
    for (const char* name : {"orders", "quiet", "rare"}) {
      auto made = (*engine)->create(name, stream_options());
      CHECK(made && (*engine)->wait(made->pending));
    }
    append(**engine, "orders", 40, content);
    append(**engine, "quiet", 3, content);
    append(**engine, "rare", 2, content);
    put_cursor(**engine, "7", content);
    CHECK((*engine)->checkpoint().has_value());
    append(**engine, "orders", 30, content);
    CHECK((*engine)->checkpoint().has_value());
    append(**engine, "orders", 9, content);
    append(**engine, "quiet", 4, content);
    put_cursor(**engine, "11", content);
    append(**engine, "rare", 3, content);
    world.run_for(std::chrono::seconds(1));  // a mark is written
    node.crash(io::CrashKind::kKill);
  }
  Files files;
  for (const auto& path : node.disk().files()) {
    if (auto bytes = node.disk().cached(path); bytes && path.filename() != "LOCK") {
      files[path] = std::move(*bytes);
    }
  }
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
  for (const auto& [name, values] : content.values) {
    auto stream = engine.find(name);
    if (!stream) {
      outcome.wrong = stream.error().message;
      return;
    }
    compare_stream(engine, *stream, values, outcome);
    if (name == "orders" && engine.list_state(*stream, log::Table::kCursors) != content.cursors) {
      outcome.wrong = "the cursor is not the last one that was acknowledged";
    }
  }
}

}  // namespace walrus::corruption
