#include <nlohmann/json.hpp>

#include "cli/directory_files.h"
#include "cli/output.h"
#include "cli/progress.h"

namespace walrus::cli {
namespace {

struct Paths {
  std::string from, to;
};

Result<void> print_done(const Globals& globals, Bytes done, const Paths& paths) {
  if (globals.json) return print_json({{"from", paths.from}, {"to", paths.to}});
  if (globals.quiet) return {};
  return print_line(fmt::format("{} {} to {}", done, paths.from, paths.to));
}

// Looks at the copy while it grows; main thread and worker do not draw at the same time.
class CopyProgress {
 public:
  CopyProgress(const Globals& globals, const Paths& paths)
      : env_(io::real_env()), paths_(paths), progress_(env_, globals) {
    auto files = list_files(env_.disk(), paths.from);
    if (files) total_ = total_bytes(*files);
    worker_ = env_.start_worker("progress", [this] { return step(); });
  }
  ~CopyProgress() { worker_.reset(); }

 private:
  io::Nanos step() {
    auto files = list_files(env_.disk(), paths_.to);
    auto bytes = files ? total_bytes(*files) : 0;
    if (bytes > 0 && total_ > 0)
      progress_.update(bytes, static_cast<double>(bytes) / static_cast<double>(total_));
    return std::chrono::milliseconds(100);
  }

  io::Env& env_;
  const Paths& paths_;
  Progress progress_;
  std::int64_t total_ = 0;
  std::unique_ptr<io::Worker> worker_;
};

Result<void> back_up(const Globals& globals, const Paths& paths) {
  WALRUS_ASSIGN(auto log, Log::open({.root = paths.from, .read_only = true}));
  CopyProgress progress(globals, paths);
  return log.backup(paths.to);
}

Result<void> restore_from(const Globals& globals, const Paths& paths) {
  CopyProgress progress(globals, paths);
  return restore(paths.from, paths.to);
}

}  // namespace

void add_backup(CommandLine& line) {
  auto paths = std::make_shared<Paths>();
  auto verb = line.add(line.root(), "backup",
                       "A consistent copy of a data directory, also beside a running server",
                       [paths](const Globals& globals) -> Result<int> {
                         WALRUS_TRY(about("backup " + paths->from, back_up(globals, *paths)));
                         WALRUS_TRY(print_done(globals, "backed up", *paths));
                         return kExitDone;
                       });
  verb.option("directory", paths->from, "The data directory").required();
  verb.option("to", paths->to, "A directory that does not exist yet").required();
}

void add_restore(CommandLine& line) {
  auto paths = std::make_shared<Paths>();
  auto verb = line.add(line.root(), "restore", "A data directory from a backup",
                       [paths](const Globals& globals) -> Result<int> {
                         WALRUS_TRY(about("restore " + paths->from, restore_from(globals, *paths)));
                         WALRUS_TRY(print_done(globals, "restored", *paths));
                         return kExitDone;
                       });
  verb.option("backup", paths->from, "What walrus backup made").required();
  verb.option("to", paths->to, "A directory that does not exist yet or is empty").required();
}

}  // namespace walrus::cli
