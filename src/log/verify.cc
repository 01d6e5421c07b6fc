// verify(): reads every byte of a directory that a checksum covers, also beside a running writer.

#include "log/directory.h"
#include "log/shard.h"

namespace walrus {
namespace {

constexpr int kAttempts = 10;

// What a manifest named may be gone when a later one came meanwhile: then it is looked at again.
Result<void> verify_shard(io::Env& env, const log::ShardOptions& options,
                          std::vector<Finding>& findings) {
  auto directory = options.root / "journal" / std::to_string(options.index);
  for (int attempt = 1;; ++attempt) {
    std::vector<Finding> found;
    auto before = log::load_manifest(env, directory, options.layout);
    if (!before || !*before) {
      auto what = before ? std::string("no manifest of this layout") : before.error().message;
      findings.push_back({directory, 0, before ? Code::kCorrupt : before.error().code, what});
      return {};
    }
    log::Shard shard(env, options);
    if (auto recovered = shard.recover(); !recovered) {
      found.push_back({directory, 0, recovered.error().code, recovered.error().message});
    } else {
      shard.verify(found);
    }
    WALRUS_TRY(log::verify_manifests(env, directory, options.layout, found));
    auto after = log::load_manifest(env, directory, options.layout);
    bool changed = after && *after && (*after)->generation != (*before)->generation;
    if (found.empty() || !changed || attempt == kAttempts) {
      findings.insert(findings.end(), found.begin(), found.end());
      return {};
    }
  }
}

}  // namespace

Result<std::vector<Finding>> verify(const std::filesystem::path& directory) {
  return log::verify_directory(io::real_env(), directory);
}

namespace log {

namespace {

Result<void> verify_shards(io::Env& env, const io::Path& root, const Identity& identity,
                           std::vector<Finding>& findings) {
  EngineOptions engine;
  engine.user.root = root;
  engine.user.read_only = true;
  for (std::int32_t i = 0; i < identity.shards; ++i) {
    ShardOptions options{engine, root, identity.uuid, identity.layout, i, identity.shards, true,
                         {},     {}};
    WALRUS_TRY(verify_shard(env, options, findings));
  }
  return {};
}

constexpr int kDepthMax = 32;  // of namespaces with long keys

// The directory and the namespaces below it. False: none of them is a Walrus directory.
Result<bool> verify_tree(io::Env& env, const io::Path& root, int depth,
                         std::vector<Finding>& findings) {
  auto identity = read_identity(env, root);
  bool any = false;
  if (!identity && identity.error().code == Code::kCorrupt) {
    findings.push_back({root / kIdentityName, 0, Code::kCorrupt, identity.error().message});
    any = true;
  } else if (!identity) {
    return std::unexpected(identity.error());
  } else if (*identity) {
    WALRUS_TRY(verify_shards(env, root, **identity, findings));
    any = true;
  }
  if (depth == kDepthMax) return any;
  WALRUS_ASSIGN(auto namespaces, namespaces_below(env, root));
  for (const auto& path : namespaces) {
    WALRUS_ASSIGN(bool found, verify_tree(env, path, depth + 1, findings));
    any = any || found;
  }
  return any;
}

}  // namespace

Result<std::vector<Finding>> verify_directory(io::Env& env, const io::Path& root) {
  std::vector<Finding> findings;
  WALRUS_ASSIGN(bool any, verify_tree(env, root, 0, findings));
  if (!any) return fail(Code::kNotFound, "{}: not a Walrus directory", root.string());
  return findings;
}

}  // namespace log
}  // namespace walrus
