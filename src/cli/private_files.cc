#include "cli/private_files.h"

#include "base/check.h"

namespace walrus::cli {
namespace {

io::Path parent_of(const io::Path& path) {
  return path.has_parent_path() ? path.parent_path() : io::Path(".");
}

io::Path draft_of(const PrivateFile& file) { return file.path.string() + ".new"; }

Result<void> write_draft(io::Disk& disk, const PrivateFile& file) {
  const auto draft = draft_of(file);
  WALRUS_ASSIGN(const bool left, disk.exists(draft));  // by a run that was cut off
  if (left) WALRUS_TRY(disk.remove(draft));
  WALRUS_ASSIGN(const auto made, disk.open(draft, io::Open::kCreatePrivate));
  WALRUS_TRY(made->write(0, file.text));
  return made->sync();
}

Result<void> write_all(io::Disk& disk, const std::vector<PrivateFile>& files) {
  for (const auto& file : files) WALRUS_TRY(write_draft(disk, file));
  for (const auto& file : files) WALRUS_TRY(disk.rename(draft_of(file), file.path));
  return disk.sync_directory(parent_of(files.front().path));
}

}  // namespace

Result<void> write_private_files(io::Disk& disk, const std::vector<PrivateFile>& files,
                                 bool replace) {
  CHECK(!files.empty());
  for (const auto& file : files) {
    WALRUS_ASSIGN(const bool there, disk.exists(file.path));
    if (there && !replace)
      return fail(Code::kExists, "{} is there already (--force replaces it)", file.path.string());
  }
  const auto directory = parent_of(files.front().path);
  WALRUS_ASSIGN(const bool known, disk.exists(directory));
  if (!known) {
    WALRUS_TRY(disk.make_directory(directory));
    WALRUS_TRY(disk.sync_directory(parent_of(directory)));
  }
  auto written = write_all(disk, files);
  if (written) return written;
  for (const auto& file : files) (void)disk.remove(draft_of(file));  // or it was not made
  return written;
}

}  // namespace walrus::cli
