#include "golden_directory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "log/directory.h"
#include "log/facade.h"
#include "log/journal.h"
#include "log/manifest.h"
#include "walrus_source_dir.h"

namespace walrus::golden {
namespace {

Files golden_files(const std::string& name) {
  return read_text(std::string(WALRUS_SOURCE_DIR "/tests/golden/directory/") + name);
}

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(WALRUS_SOURCE_DIR "/tests/golden/directory")) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

std::string sanitized(std::string name) {
  std::erase_if(name, [](char c) { return c == '.'; });
  return name;
}

// Every golden directory, on a real disk.
class GoldenDirectory : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    root_ = std::filesystem::temp_directory_path() /
            fmt::format("walrus-golden-{}-{}", sanitized(GetParam()), ::getpid());
    std::filesystem::remove_all(root_);
    make_directory(expected_);
    for (const auto& [path, bytes] : golden_files(GetParam())) {
      std::filesystem::create_directories((root_ / path).parent_path());
      std::ofstream file(root_ / path, std::ios::binary);
      file << bytes;
    }
    for (const char* made : {"quarantine", "segments"}) {
      std::filesystem::create_directories(root_ / made);
    }
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  Result<Log> open(bool read_only) {
    auto options = golden_options(root_);
    options.user.read_only = read_only;
    return log::open_log(io::real_env(), options);
  }

  static void expect_stream(Log& log, const std::string& name, const Expected::Stream& expected) {
    auto stream = log.stream(name);
    ASSERT_TRUE(stream) << stream.error().message;
    auto info = stream->info();
    ASSERT_TRUE(info) << info.error().message;
    EXPECT_EQ(info->log_start.value, expected.start) << name;
    EXPECT_EQ(info->high_watermark.value, expected.end) << name;
    EXPECT_EQ(info->log_end.value, expected.end) << name;
    EXPECT_EQ(info->clean, expected.clean) << name;
    std::map<std::int64_t, StoredValue> records;
    for (Offset at{expected.start}; at.value < expected.end;) {
      auto read = stream->read(at);
      ASSERT_TRUE(read) << name << ": " << read.error().message;
      for (const auto& record : *read) {
        StoredValue one{.timestamp_ms = record.timestamp->time_since_epoch().count(),
                        .headers = record.headers.size()};
        if (record.key) one.key = *record.key;
        if (record.value) one.value = *record.value;
        records[record.offset.value] = std::move(one);
      }
      ASSERT_GT(read->next(), at);
      at = read->next();
    }
    EXPECT_TRUE(records == expected.records) << name << ": " << records.size() << " records of "
                                             << expected.records.size() << " or other ones";
    std::map<std::string, std::int64_t> cursors;
    for (const auto& cursor : *stream->cursors()) {
      cursors[cursor] = stream->cursor(cursor)->position()->value;
    }
    EXPECT_EQ(cursors, expected.cursors) << name;
  }

  void expect_everything(Log& log) {
    std::set<std::string> names, expected_names;
    for (const auto& info : *log.list()) names.insert(info.name);
    for (const auto& [name, stream] : expected_.streams) expected_names.insert(name);
    EXPECT_EQ(names, expected_names);
    for (const auto& [name, stream] : expected_.streams) expect_stream(log, name, stream);
  }

  std::filesystem::path root_;
  Expected expected_;
};

TEST_P(GoldenDirectory, verifies) {
  auto findings = verify(root_);
  ASSERT_TRUE(findings) << findings.error().message;
  for (const auto& finding : *findings) ADD_FAILURE() << finding.file << ": " << finding.what;
}

TEST_P(GoldenDirectory, is_read_without_being_written) {
  auto log = open(true);
  ASSERT_TRUE(log) << log.error().message;
  expect_everything(*log);
  log->close();
  for (const auto& [path, bytes] : golden_files(GetParam())) {
    std::ifstream file(root_ / path, std::ios::binary);
    std::string now((std::istreambuf_iterator<char>(file)), {});
    EXPECT_TRUE(now == bytes) << path;
  }
}

TEST_P(GoldenDirectory, opens_and_goes_on) {
  for (int round = 0; round < 2; ++round) {
    auto log = open(false);
    ASSERT_TRUE(log) << log.error().message;
    expect_everything(*log);
    auto& quiet = expected_.streams["quiet"];
    auto stream = log->stream("quiet");
    ASSERT_TRUE(stream);
    if (round == 0) {
      // What the producer sent before the crash, sent again.
      auto repeated = quiet.records.at(quiet.repeated_offset);
      Record record{.value = *repeated.value, .timestamp = Time(Millis(repeated.timestamp_ms))};
      auto sequence = static_cast<std::int32_t>(*quiet.repeated_sequence);
      auto again = stream->append(record, {.producer = {{7, 1, sequence}}});
      ASSERT_TRUE(again) << again.error().message;
      EXPECT_EQ(again->value, quiet.repeated_offset);
    }
    auto next = stream->append({.value = "new", .timestamp = Time(Millis(kTime))});
    ASSERT_TRUE(next) << next.error().message;
    EXPECT_EQ(next->value, quiet.end);
    quiet.records[quiet.end++] = {.value = "new", .timestamp_ms = kTime};
    quiet.clean = false;
    ASSERT_TRUE(log->checkpoint());
    expect_everything(*log);
    EXPECT_TRUE(log->close());
    auto findings = verify(root_);
    ASSERT_TRUE(findings && findings->empty());
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, GoldenDirectory, testing::ValuesIn(golden_names()),
                         [](const auto& info) { return sanitized(info.param); });

// Neither where in the journal it stood, nor when the open segments began: of a first one it was
// never, once.
std::string manifest_without_places(const std::string& bytes) {
  auto manifest = log::decode_manifest(bytes);
  if (!manifest) return "(no manifest)";
  manifest->journal_sequence &= std::uint64_t{1} << 63;
  manifest->journal_lsn = 0;
  for (auto& stream : manifest->streams) stream.segment_started_ms = 0;
  return log::encode_manifest(*manifest);
}

// Headers and frames in order; how they are grouped hangs on the flusher's hour.
std::string frames_of(const std::string& bytes) {
  auto header = log::decode_journal_header(Bytes(bytes).substr(0, log::kBlockBytes));
  if (!header) return "(never used)";
  std::string out = fmt::format("{} {} {}\n", header->sequence, header->size, header->shard);
  auto crc = log::nonce_crc(header->nonce);
  for (auto at = log::kFirstGroup; at < std::ssize(bytes);) {
    auto rest = [&] { return Bytes(bytes).substr(static_cast<std::size_t>(at)); };
    auto group = log::decode_group_header(rest());
    if (!group || group->nonce != header->nonce) break;
    at += log::kGroupHeaderBytes;
    for (;;) {
      auto frame = log::decode_frame(rest(), crc, header->base_lsn + static_cast<log::Lsn>(at));
      if (!frame) break;
      out += fmt::format("{} {} {} {} {} ", static_cast<int>(frame->type), frame->flags,
                         frame->stream, frame->offset, frame->epoch);
      out += rest().substr(log::kFrameHeaderBytes, frame->length);
      at += log::kFrameHeaderBytes + static_cast<std::int64_t>(frame->length);
    }
    at = log::round_up(at);
  }
  return out;
}

TEST(GoldenDirectoryWriter, writes_what_it_always_wrote) {
  Expected expected;
  auto now = make_directory(expected);
  auto then = golden_files(golden_names().back());
  for (auto* files : {&now, &then}) {  // how much is kept ready is no format
    std::erase_if(*files, [](const auto& file) {
      return file.second.find_first_not_of('\0') == std::string::npos;
    });
  }
  std::set<std::string> names_now, names_then, kinds;
  for (const auto& [path, bytes] : now) names_now.insert(path);
  for (const auto& [path, bytes] : then) names_then.insert(path);
  EXPECT_EQ(names_now, names_then);
  for (const auto& [path, bytes] : then) {
    const auto& other = now[path];
    io::Path as_path(path);
    kinds.insert(as_path.extension().string());
    if (as_path.extension() == ".wal") {
      EXPECT_TRUE(frames_of(other) == frames_of(bytes)) << path;
    } else if (as_path.filename().string().starts_with("manifest-")) {
      EXPECT_TRUE(manifest_without_places(other) == manifest_without_places(bytes)) << path;
    } else {
      EXPECT_TRUE(other == bytes) << path;
    }
  }
  EXPECT_TRUE(kinds.contains(".seg") && kinds.contains(".pack") && kinds.contains(".wal"));
}

}  // namespace
}  // namespace walrus::golden
