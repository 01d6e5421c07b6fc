#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "cli/session.h"

namespace walrus::cli {
namespace {

struct GetFlags {
  std::string topic;
  std::int64_t wait_ms = 0;
  bool raw = false;
};

Result<int> get(const Globals& globals, const GetFlags& flags) {
  WALRUS_ASSIGN(auto client, connect(globals));
  WALRUS_ASSIGN(auto payload,
                explained("get " + flags.topic, client.get(flags.topic, Millis(flags.wait_ms))));
  if (globals.json) {
    nlohmann::ordered_json json{{"topic", flags.topic}, {"empty", !payload}};
    json["value"] = payload ? json_of(Bytes(*payload)) : nullptr;
    WALRUS_TRY(print_json(json));
  } else if (flags.raw) {
    WALRUS_TRY(print(payload.value_or("")));
  } else {
    WALRUS_TRY(print_line(payload.value_or("EMPTY")));
  }
  return kExitDone;
}

}  // namespace

void add_get(CommandLine& line) {
  auto flags = std::make_shared<GetFlags>();
  auto verb = line.add(line.root(), "get",
                       "Take the next record from the topic's shared cursor, or print EMPTY",
                       [flags](const Globals& globals) { return get(globals, *flags); });
  verb.option("topic", flags->topic, "Topic, or topic/partition").required();
  verb.option("--wait-ms", flags->wait_ms, "Wait so long for a record")
      .range(0, std::int64_t{300'000})
      .type_name("MS");
  verb.flag("--raw", flags->raw, "The payload's bytes and nothing else: no newline, no EMPTY");
}

}  // namespace walrus::cli
