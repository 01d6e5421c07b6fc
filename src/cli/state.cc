#include "cli/output.h"
#include "cli/session.h"

namespace walrus::cli {

void add_state(CommandLine& line) {
  auto topic = std::make_shared<std::string>();
  auto verb =
      line.add(line.root(), "state", "The segments of a topic, as JSON",
               [topic](const Globals& globals) -> Result<int> {
                 WALRUS_ASSIGN(auto client, connect(globals));
                 WALRUS_ASSIGN(auto json, explained("state " + *topic, client.state(*topic)));
                 WALRUS_TRY(print_line(json));
                 return kExitDone;
               });
  verb.option("topic", *topic, "Topic, or topic/partition").required();
}

}  // namespace walrus::cli
