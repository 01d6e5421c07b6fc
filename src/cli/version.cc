#include "cli/version.h"

#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "record/batch.h"
#include "walrus_commit.h"  // made by cmake/commit.cmake

namespace walrus::cli {
namespace {

// The formats that this build writes; it reads these and all before them.
constexpr int kJournalFormat = 1, kManifestFormat = 1, kSegmentFormat = 1, kNativeProtocol = 1;

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
                                       {{"journal", kJournalFormat},
                                        {"manifest", kManifestFormat},
                                        {"segment", kSegmentFormat},
                                        {"record_batch", record::kMagic},
                                        {"native_protocol", kNativeProtocol}}}}));
               return kExitDone;
             }
             WALRUS_TRY(print(fmt::format(
                 "walrus {}\ncommit {}\ncompiler {}\n"
                 "formats journal={} manifest={} segment={} record_batch={} native_protocol={}\n",
                 WALRUS_VERSION, WALRUS_COMMIT, WALRUS_COMPILER, kJournalFormat, kManifestFormat,
                 kSegmentFormat, int{record::kMagic}, kNativeProtocol)));
             return kExitDone;
           });
}

}  // namespace walrus::cli
