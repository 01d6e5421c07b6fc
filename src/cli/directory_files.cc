#include "cli/directory_files.h"

namespace walrus::cli {
namespace {

constexpr int kDepthMax = 32;  // namespaces nest

Result<void> add_files(io::Disk& disk, const io::Path& root, const std::string& below, int depth,
                       std::vector<DirectoryFile>& files) {
  WALRUS_ASSIGN(auto entries, disk.list(below.empty() ? root : root / below));
  for (const auto& entry : entries) {
    auto path = below.empty() ? entry.name : below + "/" + entry.name;
    if (!entry.directory) files.push_back({path, entry.size});
    else if (depth < kDepthMax) WALRUS_TRY(add_files(disk, root, path, depth + 1, files));
  }
  return {};
}

}  // namespace

Result<std::vector<DirectoryFile>> list_files(io::Disk& disk, const io::Path& directory) {
  std::vector<DirectoryFile> files;
  WALRUS_TRY(add_files(disk, directory, "", 0, files));
  return files;
}

std::int64_t total_bytes(const std::vector<DirectoryFile>& files) {
  std::int64_t bytes = 0;
  for (const auto& file : files) bytes += file.bytes;
  return bytes;
}

}  // namespace walrus::cli
