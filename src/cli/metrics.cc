#include "cli/output.h"
#include "cli/session.h"

namespace walrus::cli {

void add_metrics(CommandLine& line) {
  line.add(line.root(), "metrics", "The server's cluster metrics, as JSON",
           [](const Globals& globals) -> Result<int> {
             WALRUS_ASSIGN(auto client, connect(globals));
             WALRUS_ASSIGN(auto json, explained("metrics", client.metrics()));
             WALRUS_TRY(print_line(json));
             return kExitDone;
           });
}

}  // namespace walrus::cli
