#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/output.h"

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

}  // namespace

void add_backup(CommandLine& line) {
  auto paths = std::make_shared<Paths>();
  auto* verb = line.add(
      line.root(), "backup", "A consistent copy of a data directory, also beside a running server",
      [paths](const Globals& globals) -> Result<int> {
        auto what = fmt::format("backup {}", paths->from);
        WALRUS_ASSIGN(auto log, about(what, Log::open({.root = paths->from, .read_only = true})));
        WALRUS_TRY(about(what, log.backup(paths->to)));
        WALRUS_TRY(print_done(globals, "backed up", *paths));
        return kExitDone;
      });
  verb->add_option("directory", paths->from, "The data directory")->required();
  verb->add_option("to", paths->to, "A directory that does not exist yet")->required();
}

void add_restore(CommandLine& line) {
  auto paths = std::make_shared<Paths>();
  auto* verb = line.add(
      line.root(), "restore", "A data directory from a backup",
      [paths](const Globals& globals) -> Result<int> {
        WALRUS_TRY(about(fmt::format("restore {}", paths->from), restore(paths->from, paths->to)));
        WALRUS_TRY(print_done(globals, "restored", *paths));
        return kExitDone;
      });
  verb->add_option("backup", paths->from, "What walrus backup made")->required();
  verb->add_option("to", paths->to, "A directory that does not exist yet or is empty")->required();
}

}  // namespace walrus::cli
