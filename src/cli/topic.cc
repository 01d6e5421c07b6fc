#include <nlohmann/json.hpp>

#include "cli/input.h"
#include "cli/output.h"
#include "cli/session.h"

namespace walrus::cli {
namespace {

using Json = nlohmann::ordered_json;

struct TopicFlags {
  std::string name;
  std::optional<std::int64_t> partitions, replication_factor;
  std::optional<std::string> durability;
  std::vector<std::string> set, unset;
  bool yes = false;
};

Result<std::vector<TopicSetting>> settings_of(const TopicFlags& flags) {
  std::vector<TopicSetting> settings;
  if (flags.partitions) settings.push_back({"partitions", std::to_string(*flags.partitions)});
  if (flags.replication_factor)
    settings.push_back({"replication_factor", std::to_string(*flags.replication_factor)});
  if (flags.durability) settings.push_back({"durability", *flags.durability});
  for (const auto& word : flags.set) {
    auto equals = word.find('=');
    if (equals == std::string::npos || equals == 0)
      return fail(Code::kInvalid, "--set: '{}' is not K=V", word);
    settings.push_back({word.substr(0, equals), word.substr(equals + 1)});
  }
  for (const auto& name : flags.unset) settings.push_back({name, std::nullopt});
  return settings;
}

Result<int> list_topics(const Globals& globals, const TopicFlags& flags) {
  WALRUS_ASSIGN(auto client, connect(globals));
  WALRUS_ASSIGN(auto text, explained("topic list", client.list(flags.name)));
  WALRUS_ASSIGN(auto json, parse_reply("topic list", text));
  if (globals.json) {
    WALRUS_TRY(print_json(json));
    return kExitDone;
  }
  Table table({"topic", "partitions", "records", "bytes"});
  for (const auto& topic : json) {
    if (globals.quiet) WALRUS_TRY(print_line(cell(topic, "name")));
    table.add({cell(topic, "name"), cell(topic, "partitions"), cell(topic, "records"),
               cell(topic, "bytes")});
  }
  if (!globals.quiet) WALRUS_TRY(print(table.text()));
  return kExitDone;
}

Result<int> create_topic(const Globals& globals, const TopicFlags& flags) {
  auto settings = settings_of(flags);
  if (!settings) return report_usage(globals, about("topic create", settings.error()));
  WALRUS_ASSIGN(auto client, connect(globals));
  auto what = "topic create " + flags.name;
  WALRUS_TRY(explained(what, client.create(flags.name, *settings)));
  if (globals.json) WALRUS_TRY(print_json({{"name", flags.name}}));
  else if (!globals.quiet) WALRUS_TRY(print_line("created " + flags.name));
  return kExitDone;
}

Result<int> delete_topic(const Globals& globals, const TopicFlags& flags) {
  auto what = "topic delete " + flags.name;
  WALRUS_ASSIGN(auto client, connect(globals));
  if (!flags.yes && !confirmed_delete(fmt::format("topic {} and all its records", flags.name)))
    return fail(Code::kInvalid, "{}: not confirmed, nothing was deleted", what);
  WALRUS_TRY(explained(what, client.remove(flags.name)));
  if (globals.json) WALRUS_TRY(print_json({{"name", flags.name}}));
  else if (!globals.quiet) WALRUS_TRY(print_line("deleted " + flags.name));
  return kExitDone;
}

Result<void> print_description(const Json& json) {
  WALRUS_TRY(print(fmt::format("topic {}  id {}\n", cell(json, "name"), cell(json, "id"))));
  for (const auto& [name, value] : json.value("config", Json::object()).items())
    WALRUS_TRY(print(fmt::format("  {} = {}\n", name,
                                 value.is_string() ? value.get<std::string>() : value.dump())));
  Table partitions({"partition", "leader", "epoch", "log_start", "high_watermark", "log_end",
                    "bytes", "segments"});
  Table segments(
      {"partition", "segment", "epoch", "base_offset", "end_offset", "records", "bytes", "state"});
  for (const auto& item : json.value("partitions", Json::array())) {
    auto list = item.value("segments", Json::array());
    partitions.add({cell(item, "partition"), cell(item, "leader"), cell(item, "epoch"),
                    cell(item, "log_start"), cell(item, "high_watermark"), cell(item, "log_end"),
                    cell(item, "bytes"), std::to_string(list.size())});
    for (const auto& segment : list)
      segments.add({cell(item, "partition"), cell(segment, "segment"), cell(segment, "epoch"),
                    cell(segment, "base_offset"), cell(segment, "end_offset"),
                    cell(segment, "records"), cell(segment, "bytes"), cell(segment, "state")});
  }
  return print(partitions.text() + segments.text());
}

Result<int> describe_topic(const Globals& globals, const TopicFlags& flags) {
  WALRUS_ASSIGN(auto client, connect(globals));
  auto what = "topic describe " + flags.name;
  WALRUS_ASSIGN(auto text, explained(what, client.describe(flags.name)));
  WALRUS_ASSIGN(auto json, parse_reply(what, text));
  if (!json.is_object()) return fail(Code::kCorrupt, "{}: not an object", what);
  WALRUS_TRY(globals.json ? print_json(json) : print_description(json));
  return kExitDone;
}

Result<int> configure_topic(const Globals& globals, const TopicFlags& flags) {
  auto settings = settings_of(flags);
  if (!settings) return report_usage(globals, about("topic config", settings.error()));
  WALRUS_ASSIGN(auto client, connect(globals));
  auto what = "topic config " + flags.name;
  WALRUS_ASSIGN(auto text, explained(what, client.configure(flags.name, *settings)));
  WALRUS_ASSIGN(auto json, parse_reply(what, text));
  if (globals.json) {
    WALRUS_TRY(print_json(json));
    return kExitDone;
  }
  for (const auto& [name, value] : json.items())
    WALRUS_TRY(print(fmt::format("{} = {}\n", name,
                                 value.is_string() ? value.get<std::string>() : value.dump())));
  return kExitDone;
}

Verb add_verb(CommandLine& line, Verb parent, const char* name, const char* help,
              std::shared_ptr<TopicFlags> flags,
              Result<int> (*act)(const Globals&, const TopicFlags&)) {
  return line.add(parent, name, help,
                  [flags, act](const Globals& globals) { return act(globals, *flags); });
}

Flag add_set(Verb verb, TopicFlags& flags) {
  return verb.option("--set", flags.set, "A setting of the [topic] table; may be repeated")
      .type_name("K=V")
      .repeated();
}

}  // namespace

void add_topic(CommandLine& line) {
  auto flags = std::make_shared<TopicFlags>();
  auto topic = line.root().family("topic", "List, create, delete, configure topics");

  auto list =
      add_verb(line, topic, "list", "All topics; with --quiet their names", flags, list_topics);
  list.option("prefix", flags->name, "Only names that begin so");

  auto create = add_verb(line, topic, "create", "Make a topic", flags, create_topic);
  create.option("topic", flags->name, "Name: A-Z a-z 0-9 . _ -").required();
  create.option("--partitions", flags->partitions, "Number of partitions [1]").range(1, 4096);
  create.option("--replication-factor", flags->replication_factor, "Copies, on one node 1")
      .range(1, 64);
  create.option("--durability", flags->durability, "What an append waits for")
      .type_name("{fsync,interval=MS,os}");
  add_set(create, *flags);

  auto remove =
      add_verb(line, topic, "delete", "Delete a topic and its records", flags, delete_topic);
  remove.option("topic", flags->name).required();
  remove.flag("--yes", flags->yes, "Do not ask");

  auto describe = add_verb(line, topic, "describe", "Configuration, partitions, segments", flags,
                           describe_topic);
  describe.option("topic", flags->name).required();

  auto config =
      add_verb(line, topic, "config", "Show or change the configuration", flags, configure_topic);
  config.option("topic", flags->name).required();
  add_set(config, *flags);
  config.option("--unset", flags->unset, "Back to the server's default; may be repeated")
      .type_name("K")
      .repeated();
}

}  // namespace walrus::cli
