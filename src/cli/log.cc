#include <nlohmann/json.hpp>

#include "cli/directory_files.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "io/env.h"
#include "log/directory.h"
#include "log/facade.h"

namespace walrus::cli {
namespace {

using Json = nlohmann::ordered_json;

struct FileInfo {
  std::string path;  // below the directory
  std::string kind;
  std::int64_t bytes = 0;
  std::vector<std::uint64_t> streams;
};

// By its name alone.
FileInfo classify(const DirectoryFile& found) {
  const auto& path = found.path;
  FileInfo file{.path = path, .kind = "unknown", .bytes = found.bytes};
  auto name = path.substr(path.rfind('/') + 1);
  if (path == "LOCK") file.kind = "lock";
  else if (path == "WALRUS") file.kind = "identity";
  else if (path.starts_with("quarantine/")) file.kind = "quarantine";
  else if (name.ends_with(".wal")) file.kind = "journal";
  else if (path.starts_with("journal/") && name == "reserve") file.kind = "reserve";
  else if (name.ends_with(".pack")) file.kind = "pack";
  else if (name.find("manifest") != std::string::npos || name.find("MANIFEST") != std::string::npos)
    file.kind = "manifest";
  else if (name.ends_with(".seg")) file.kind = "segment";
  return file;
}

std::string durability_text(const Durability& durability) {
  if (durability.kind == Durability::kFsync) return "fsync";
  if (durability.kind == Durability::kOs) return "os";
  return fmt::format("interval={}", durability.interval.count());
}

Json millis_or_null(const std::optional<Time>& time) {
  return time ? Json(time->time_since_epoch().count()) : Json(nullptr);
}

Json json_of_options(const StreamOptions& options) {
  Json json{{"durability", durability_text(options.durability)},
            {"segment_records_max", options.segment_records_max},
            {"segment_bytes_max", options.segment_bytes_max},
            {"segment_time_max_ms", nullptr},
            {"retention_bytes", nullptr},
            {"retention_time_ms", nullptr},
            {"compact", options.compact},
            {"tombstone_retention_ms", options.tombstone_retention.count()},
            {"compaction_lag_min_ms", options.compaction_lag_min.count()},
            {"compaction_lag_max_ms", nullptr}};
  if (options.segment_time_max) json["segment_time_max_ms"] = options.segment_time_max->count();
  if (options.retention_bytes) json["retention_bytes"] = *options.retention_bytes;
  if (options.retention_time) json["retention_time_ms"] = options.retention_time->count();
  if (options.compaction_lag_max)
    json["compaction_lag_max_ms"] = options.compaction_lag_max->count();
  return json;
}

Json json_of_stream(const StreamInfo& info) {
  return {{"name", json_of(Bytes(info.name))},
          {"id", info.id},
          {"options", json_of_options(info.options)},
          {"clean", info.clean},
          {"log_start", info.log_start.value},
          {"high_watermark", info.high_watermark.value},
          {"log_end", info.log_end.value},
          {"segments", info.segments},
          {"bytes", info.bytes},
          {"reclaimed_bytes", info.reclaimed_bytes},
          {"oldest_ms", millis_or_null(info.oldest)},
          {"newest_ms", millis_or_null(info.newest)}};
}

Result<void> print_inspection(const std::vector<StreamInfo>& streams,
                              const std::vector<FileInfo>& files) {
  Table stream_table({"stream", "id", "durability", "log_start", "log_end", "segments", "bytes"});
  for (const auto& info : streams)
    stream_table.add({info.name, std::to_string(info.id), durability_text(info.options.durability),
                      std::to_string(info.log_start.value), std::to_string(info.log_end.value),
                      std::to_string(info.segments), std::to_string(info.bytes)});
  Table file_table({"file", "kind", "bytes", "streams"});
  for (const auto& file : files)
    file_table.add({file.path, file.kind, std::to_string(file.bytes),
                    fmt::format("{}", fmt::join(file.streams, " "))});
  return print(stream_table.text() + "\n" + file_table.text());
}

Result<int> inspect(const Globals& globals, const std::string& directory) {
  auto what = "log inspect " + directory;
  auto& env = io::real_env();
  log::EngineOptions options;
  options.user.root = directory;
  options.user.read_only = true;
  WALRUS_ASSIGN(auto engine, about(what, log::Engine::open(env, options)));
  std::vector<StreamInfo> streams;
  for (const auto& stream : engine->list("")) {
    WALRUS_ASSIGN(auto info, about(what, log::stream_info(*engine, stream)));
    streams.push_back(std::move(info));
  }
  WALRUS_ASSIGN(auto found, about(what, list_files(env.disk(), directory)));
  auto streams_by_file = engine->streams_by_file();
  std::vector<FileInfo> files;
  for (const auto& file : found) {
    files.push_back(classify(file));
    files.back().streams = streams_by_file[file.path];
  }
  if (!globals.json) {
    WALRUS_TRY(print_inspection(streams, files));
    return kExitDone;
  }
  Json json{
      {"format", log::kDirectoryVersion}, {"streams", Json::array()}, {"files", Json::array()}};
  for (const auto& info : streams) json["streams"].push_back(json_of_stream(info));
  for (const auto& file : files)
    json["files"].push_back({{"path", file.path},
                             {"kind", file.kind},
                             {"bytes", file.bytes},
                             {"streams", file.streams}});
  WALRUS_TRY(print_json(json));
  return kExitDone;
}

// Records in the streams, where the directory can be opened at all.
std::optional<std::int64_t> count_records(const std::string& directory) {
  auto log = Log::open({.root = directory, .read_only = true});
  if (!log) return std::nullopt;
  auto streams = log->list();
  if (!streams) return std::nullopt;
  std::int64_t records = 0;
  for (const auto& info : *streams) records += info.log_end.value - info.log_start.value;
  return records;
}

Result<int> verify_directory(const Globals& globals, const std::string& directory) {
  auto what = "log verify " + directory;
  auto& env = io::real_env();
  Progress progress(env, globals);
  WALRUS_ASSIGN(auto files, about(what, list_files(env.disk(), directory)));
  auto bytes = total_bytes(files);
  progress.note(fmt::format("reading {:.1f} MB", static_cast<double>(bytes) / 1e6));
  WALRUS_ASSIGN(auto findings, about(what, verify(directory)));
  progress.clear();
  auto records = count_records(directory);
  auto status = findings.empty() ? kExitDone : kExitDamage;
  if (globals.json) {
    Json json{{"files", files.size()},
              {"records", records ? Json(*records) : Json(nullptr)},
              {"bytes", bytes},
              {"findings", Json::array()}};
    for (const auto& finding : findings)
      json["findings"].push_back({{"file", finding.file.string()},
                                  {"position", finding.position},
                                  {"code", code_name(finding.code)},
                                  {"what", finding.what}});
    WALRUS_TRY(print_json(json));
    return status;
  }
  for (const auto& finding : findings)
    WALRUS_TRY(print(fmt::format("{} position {}: {}: {}\n", finding.file.string(),
                                 finding.position, code_name(finding.code), finding.what)));
  WALRUS_TRY(print(fmt::format(
      "{} files, {} records, {} bytes: {}\n", files.size(),
      records ? std::to_string(*records) : "unknown", bytes,
      findings.empty() ? "every checksum holds" : fmt::format("{} findings", findings.size()))));
  return status;
}

}  // namespace

void add_log(CommandLine& line) {
  auto directory = std::make_shared<std::string>();
  auto log = line.root().family(
      "log", "Look into a data directory; reads only, also beside a running server");
  auto inspect_verb =
      line.add(log, "inspect", "Its streams and files",
               [directory](const Globals& globals) { return inspect(globals, *directory); });
  inspect_verb.option("directory", *directory, "The data directory").required();
  auto verify_verb = line.add(
      log, "verify", "Reads every byte that a checksum covers; exit status 3: damage found",
      [directory](const Globals& globals) { return verify_directory(globals, *directory); });
  verify_verb.option("directory", *directory, "The data directory").required();
}

}  // namespace walrus::cli
