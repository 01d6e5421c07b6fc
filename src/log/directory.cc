#include "log/directory.h"

#include <algorithm>
#include <array>

#include "base/coding.h"
#include "base/crc32c.h"

namespace walrus::log {
namespace {

constexpr Bytes kMagic = "WALRUSD1";
constexpr std::size_t kIdentityBytes = 64;
constexpr Bytes kTemporaryName = "WALRUS.new";
constexpr std::array<Bytes, 5> kOwnNames{"LOCK", "WALRUS.new", "journal", "segments", "quarantine"};

// A namespace below the root is a directory of the same form; a long key's are nested.
Result<bool> is_namespace(io::Env& env, const io::Path& path) {
  if (path.filename().string().ends_with('+')) return true;
  return env.disk().exists(path / kIdentityName);
}

// Journal files are made after the identity file was durable.
Result<bool> has_journal(io::Env& env, const io::Path& root) {
  WALRUS_ASSIGN(bool there, env.disk().exists(root / "journal"));
  if (!there) return false;
  WALRUS_ASSIGN(auto shards, env.disk().list(root / "journal"));
  for (const auto& shard : shards) {
    if (!shard.directory) continue;
    WALRUS_ASSIGN(auto files, env.disk().list(root / "journal" / shard.name));
    for (const auto& file : files) {
      if (file.name.ends_with(".wal")) return true;
    }
  }
  return false;
}

}  // namespace

std::string encode_identity(const Identity& identity) {
  std::string rest = identity.uuid;
  rest.resize(16);
  append_le(rest, identity.layout);
  append_le(rest, identity.shards);
  rest.resize(kIdentityBytes - 16);
  std::string bytes(kMagic);
  append_le(bytes, kDirectoryVersion);
  append_le(bytes, crc32c(rest, crc32c(bytes)));
  return bytes + rest;
}

Result<Identity> decode_identity(Bytes bytes) {
  if (bytes.size() < kIdentityBytes || !bytes.starts_with(kMagic)) {
    return fail(Code::kCorrupt, "not a Walrus identity file");
  }
  bytes = bytes.substr(0, kIdentityBytes);
  if (load_le<std::uint32_t>(bytes.data() + 12) !=
      crc32c(bytes.substr(16), crc32c(bytes.substr(0, 12)))) {
    return fail(Code::kCorrupt, "its checksum does not hold");
  }
  if (auto version = load_le<std::uint32_t>(bytes.data() + 8); version > kDirectoryVersion) {
    return fail(Code::kVersion, "directory format {} is newer than {}", version, kDirectoryVersion);
  }
  Identity identity;
  identity.uuid = std::string(bytes.substr(16, 16));
  identity.layout = load_le<std::uint64_t>(bytes.data() + 32);
  identity.shards = load_le<std::int32_t>(bytes.data() + 40);
  if (identity.shards < 1) return fail(Code::kCorrupt, "shard count {}", identity.shards);
  return identity;
}

Result<std::optional<Identity>> read_identity(io::Env& env, const io::Path& root) {
  auto path = root / kIdentityName;
  WALRUS_ASSIGN(bool there, env.disk().exists(path));
  if (there) {
    WALRUS_ASSIGN(auto file, env.disk().open(path, io::Open::kRead));
    std::string bytes(kIdentityBytes, '\0');
    WALRUS_ASSIGN(auto size, file->read(0, bytes));
    bytes.resize(size);
    auto identity = decode_identity(bytes);
    if (!identity) {
      return fail(identity.error().code, "{}: {}", path.string(), identity.error().message);
    }
    return *identity;
  }
  WALRUS_ASSIGN(bool used, has_journal(env, root));
  if (used) return fail(Code::kCorrupt, "{}: missing, but there is a journal", path.string());
  WALRUS_ASSIGN(auto entries, env.disk().list(root));
  for (const auto& entry : entries) {
    if (std::ranges::find(kOwnNames, Bytes(entry.name)) != kOwnNames.end()) continue;
    bool ours = false;
    if (entry.directory) {
      WALRUS_ASSIGN(ours, is_namespace(env, root / entry.name));
    }
    if (!ours) {
      return fail(Code::kInvalid, "{}: not a Walrus directory and not empty (it holds {})",
                  root.string(), entry.name);
    }
  }
  return std::nullopt;
}

Result<std::vector<io::Path>> namespaces_below(io::Env& env, const io::Path& root) {
  std::vector<io::Path> namespaces;
  WALRUS_ASSIGN(auto entries, env.disk().list(root));
  for (const auto& entry : entries) {
    bool own = std::ranges::find(kOwnNames, Bytes(entry.name)) != kOwnNames.end();
    if (!entry.directory || own) continue;
    auto path = root / entry.name;
    WALRUS_ASSIGN(bool ours, is_namespace(env, path));
    if (ours) namespaces.push_back(std::move(path));
  }
  return namespaces;
}

Result<void> write_identity(io::Env& env, const io::Path& root, const Identity& identity) {
  auto& disk = env.disk();
  auto temporary = root / kTemporaryName;
  WALRUS_ASSIGN(bool left_over, disk.exists(temporary));
  if (left_over) WALRUS_TRY(disk.remove(temporary));
  {
    WALRUS_ASSIGN(auto file, disk.open(temporary, io::Open::kCreate));
    WALRUS_TRY(file->write(0, encode_identity(identity)));
    WALRUS_TRY(file->sync());
  }
  WALRUS_TRY(disk.rename(temporary, root / kIdentityName));
  return disk.sync_directory(root);
}

}  // namespace walrus::log
