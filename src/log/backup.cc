#include "log/backup.h"

#include <algorithm>
#include <map>

#include "log/directory.h"
#include "log/engine.h"
#include "log/journal.h"
#include "log/journal_name.h"
#include "log/manifest.h"
#include "log/shard.h"

namespace walrus::log {
namespace {

constexpr int kCopyAttempts = 100;
constexpr std::int64_t kPieceBytes = 1 << 20;

class Copy {
 public:
  Copy(io::Env& env, const io::Path& from, const io::Path& to, const Identity& identity)
      : env_(env), from_(from), to_(to), identity_(identity) {}

  Result<void> run() {
    for (const char* name : {"journal", "segments", "quarantine"}) {
      WALRUS_TRY(env_.disk().make_directory(to_ / name));
    }
    for (auto shard = identity_.shards; shard-- > 0;) WALRUS_TRY(copy_shard(shard));
    for (const auto& directory : touched_) WALRUS_TRY(env_.disk().sync_directory(directory));
    for (const char* name : {"journal", "segments", "quarantine"}) {
      WALRUS_TRY(env_.disk().sync_directory(to_ / name));
    }
    return write_identity(env_, to_, identity_);
  }

 private:
  Result<void> copy_shard(std::int32_t shard) {
    auto name = std::to_string(shard);
    auto source = from_ / "journal" / name;
    auto target = to_ / "journal" / name;
    WALRUS_TRY(env_.disk().make_directory(target));
    touch(target);
    Error last{Code::kBusy, "the directory changes faster than it can be copied"};
    for (int attempt = 0; attempt < kCopyAttempts; ++attempt) {
      WALRUS_ASSIGN(auto before, load_manifest(env_, source, identity_.layout));
      if (!before) return fail(Code::kCorrupt, "{}: no manifest", source.string());
      auto copied = copy_state(*before, source, target);
      WALRUS_ASSIGN(auto after, load_manifest(env_, source, identity_.layout));
      bool same = after && after->generation == before->generation;
      if (copied && same) return write_manifest(env_, target, *before);
      if (!copied && same) return copied;
      if (!copied) last = copied.error();
    }
    return std::unexpected(last);
  }

  Result<void> copy_state(const Manifest& manifest, const io::Path& source,
                          const io::Path& target) {
    std::map<std::string, std::pair<std::int32_t, std::int64_t>> files;
    for (const auto& stream : manifest.streams) {
      if (!stream.chain) continue;
      for (const auto& extent : *stream.chain) {
        auto epoch = extent.file->stream == 0 ? 0 : extent.epoch;
        files.try_emplace(extent.file->name, epoch, extent.file->synced_end);
      }
    }
    for (const auto& [name, file] : files) {
      WALRUS_TRY(copy_segment(name, file.first, file.second));
    }
    return copy_journal(unpack_start(manifest.journal_sequence, manifest.journal_lsn), source,
                        target);
  }

  // Segment files only grow: what was copied by an earlier attempt is not copied again. The epoch
  // of its first batch tells a file from another that has its name after a truncation.
  Result<void> copy_segment(const std::string& name, std::int32_t epoch, std::int64_t size) {
    auto& done = copied_[{name, epoch}];
    if (done >= size) return {};
    WALRUS_ASSIGN(auto source, env_.disk().open(from_ / "segments" / name, io::Open::kRead));
    auto path = to_ / "segments" / name;
    WALRUS_TRY(env_.disk().make_directory(path.parent_path()));
    touch(path.parent_path());
    WALRUS_ASSIGN(bool there, env_.disk().exists(path));
    WALRUS_ASSIGN(auto target,
                  env_.disk().open(path, there ? io::Open::kWrite : io::Open::kCreate));
    std::string piece;
    for (auto at = done; at < size; at += kPieceBytes) {
      piece.resize(static_cast<std::size_t>(std::min(kPieceBytes, size - at)));
      WALRUS_ASSIGN(auto read, source->read(at, piece));
      if (read != piece.size()) {
        return fail(Code::kCorrupt, "{}: ends at {}", (from_ / "segments" / name).string(),
                    at + static_cast<std::int64_t>(read));
      }
      WALRUS_TRY(target->write(at, piece));
    }
    WALRUS_TRY(target->sync());
    done = size;
    return {};
  }

  Result<void> copy_journal(const JournalStart& start, const io::Path& source,
                            const io::Path& target) {
    WALRUS_ASSIGN(auto old, env_.disk().list(target));
    for (const auto& entry : old) {
      if (journal_sequence(entry.name)) WALRUS_TRY(env_.disk().remove(target / entry.name));
    }
    WALRUS_ASSIGN(auto entries, env_.disk().list(source));
    std::ranges::reverse(entries);
    for (const auto& entry : entries) {
      auto sequence = journal_sequence(entry.name);
      if (!sequence || *sequence < start.sequence) continue;
      WALRUS_TRY(copy_journal_file(source / entry.name, target / entry.name));
    }
    return {};
  }

  // Blocks of zeros stay holes: a spare file costs nothing.
  Result<void> copy_journal_file(const io::Path& from, const io::Path& to) {
    WALRUS_ASSIGN(auto source, env_.disk().open(from, io::Open::kRead));
    WALRUS_ASSIGN(auto size, source->size());
    WALRUS_ASSIGN(auto target, env_.disk().open(to, io::Open::kCreate));
    WALRUS_TRY(target->truncate(size));
    std::string block(static_cast<std::size_t>(kBlockBytes), '\0');
    const std::string zeros = block;
    for (auto at = round_up(size) - kBlockBytes; at >= 0; at -= kBlockBytes) {
      WALRUS_ASSIGN(auto read, source->read(at, block));
      if (Bytes(block).substr(0, read) != Bytes(zeros).substr(0, read)) {
        WALRUS_TRY(target->write(at, Bytes(block).substr(0, read)));
      }
    }
    return target->sync();
  }

  void touch(const io::Path& directory) {
    if (std::ranges::find(touched_, directory) == touched_.end()) touched_.push_back(directory);
  }

  io::Env& env_;
  const io::Path from_, to_;
  const Identity identity_;
  std::map<std::pair<std::string, std::int32_t>, std::int64_t> copied_;
  std::vector<io::Path> touched_;
};

}  // namespace

Result<void> copy_directory(io::Env& env, const io::Path& from, const io::Path& to) {
  WALRUS_ASSIGN(auto identity, read_identity(env, from));
  if (!identity) return fail(Code::kNotFound, "{}: not a Walrus directory", from.string());
  WALRUS_TRY(env.disk().make_directory(to));
  WALRUS_ASSIGN(auto entries, env.disk().list(to));
  if (!entries.empty()) return fail(Code::kExists, "{}: is not empty", to.string());
  WALRUS_TRY(Copy(env, from, to, *identity).run());
  if (to.has_parent_path()) WALRUS_TRY(env.disk().sync_directory(to.parent_path()));
  // It must open: a copy that cannot be read is no backup.
  EngineOptions options;
  options.user.root = to;
  options.user.read_only = true;
  WALRUS_TRY(Engine::open(env, options));
  return {};
}

Result<void> Engine::backup(const io::Path& to) {
  return copy_directory(env(), options().user.root, to);
}

}  // namespace walrus::log

namespace walrus {

Result<void> restore(const std::filesystem::path& backup, const std::filesystem::path& to) {
  return log::copy_directory(io::real_env(), backup, to);
}

}  // namespace walrus
