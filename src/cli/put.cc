#include <nlohmann/json.hpp>

#include "cli/input.h"
#include "cli/output.h"
#include "cli/session.h"

namespace walrus::cli {
namespace {

struct PutFlags {
  std::string topic, data;
};

Result<int> put(const Globals& globals, const PutFlags& flags) {
  auto what = "put " + flags.topic;
  auto payload = flags.data;
  if (payload == "-") {
    WALRUS_ASSIGN(payload, about(what, read_all_of_stdin()));
  }
  WALRUS_ASSIGN(auto client, connect(globals));
  WALRUS_TRY(explained(what, client.put(flags.topic, payload)));
  if (globals.json) WALRUS_TRY(print_json({{"topic", flags.topic}, {"bytes", payload.size()}}));
  return kExitDone;
}

}  // namespace

void add_put(CommandLine& line) {
  auto flags = std::make_shared<PutFlags>();
  auto verb = line.add(line.root(), "put", "Store one record",
                       [flags](const Globals& globals) { return put(globals, *flags); });
  verb.option("topic", flags->topic, "Topic, or topic/partition").required();
  verb.option("data", flags->data, "The payload; - takes all of stdin").required();
}

}  // namespace walrus::cli
