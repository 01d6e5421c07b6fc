#include "cli/version.h"

#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "log/directory.h"
#include "log/journal.h"
#include "log/manifest.h"
#include "log/segment_format.h"
#include "record/batch.h"
#include "walrus_commit.h"  // made by cmake/commit.cmake

namespace walrus::cli {
namespace {

constexpr int kNativeProtocol = 1;

}  // namespace

std::string version_line() { return fmt::format("walrus {} ({})", WALRUS_VERSION, WALRUS_COMMIT); }

void add_version(CommandLine& line) {
  line.add(line.root(), "version", "Version, commit, compiler, format versions",
           [](const Globals& globals) -> Result<int> {
             if (globals.json) {
               WALRUS_TRY(print_json({{"version", WALRUS_VERSION},
                                      {"commit", WALRUS_COMMIT},
                                      {"compiler", WALRUS_COMPILER},
                                      {"formats",
                                       {{"directory", log::kDirectoryVersion},
                                        {"journal", log::kJournalVersion},
                                        {"manifest", log::kManifestVersion},
                                        {"segment", log::kSegmentVersion},
                                        {"record_batch", record::kMagic},
                                        {"native_protocol", kNativeProtocol}}}}));
               return kExitDone;
             }
             WALRUS_TRY(print(fmt::format(
                 "walrus {}\ncommit {}\ncompiler {}\n"
                 "formats directory={} journal={} manifest={} segment={} record_batch={} "
                 "native_protocol={}\n",
                 WALRUS_VERSION, WALRUS_COMMIT, WALRUS_COMPILER, log::kDirectoryVersion,
                 log::kJournalVersion, log::kManifestVersion, log::kSegmentVersion,
                 int{record::kMagic}, kNativeProtocol)));
             return kExitDone;
           });
}

}  // namespace walrus::cli
