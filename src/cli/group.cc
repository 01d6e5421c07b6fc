#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/input.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/start_position.h"
#include "cli/topic_info.h"
#include "wire/native/reply.h"

namespace walrus::cli {
namespace {

namespace native = wire::native;
using Json = nlohmann::ordered_json;

struct GroupFlags {
  std::string name, topic, to;
  bool dry_run = false, yes = false;
};

Result<int> list_groups(const Globals& globals, const GroupFlags&) {
  WALRUS_ASSIGN(auto client, connect(globals));
  WALRUS_ASSIGN(auto text, ask(client, "group list", native::ListGroups{}));
  WALRUS_ASSIGN(auto groups, parse_reply("group list", text));
  if (globals.json) {
    WALRUS_TRY(print_json(groups));
    return kExitDone;
  }
  Table table({"group", "state", "protocol type"});
  for (const auto& group : groups) {
    if (globals.quiet) WALRUS_TRY(print_line(cell(group, "name")));
    table.add({cell(group, "name"), cell(group, "state"), cell(group, "protocol_type")});
  }
  if (!globals.quiet) WALRUS_TRY(print(table.text()));
  return kExitDone;
}

Result<Json> describe(Client& client, Bytes what, const std::string& group) {
  WALRUS_ASSIGN(auto text, ask(client, what, native::DescribeGroup{group}));
  WALRUS_ASSIGN(auto json, parse_reply(what, text));
  if (!json.is_object()) return fail(Code::kCorrupt, "{}: not the reply of a Walrus server", what);
  return json;
}

using CommitPlace = std::pair<std::string, std::int64_t>;  // topic, partition

CommitPlace place_of(const Json& item) {
  return {item.value("topic", std::string()), item.value("partition", std::int64_t{-1})};
}

// A row for each partition that was committed or is assigned.
Table offsets_table(const Json& group) {
  std::map<CommitPlace, Json> rows;
  for (const auto& offset : group.value("offsets", Json::array())) rows[place_of(offset)] = offset;
  for (const auto& member : group.value("members", Json::array()))
    for (const auto& part : member.value("partitions", Json::array())) {
      auto& row = rows[place_of(part)];
      row["topic"] = part.value("topic", std::string());
      row["partition"] = part.value("partition", std::int64_t{-1});
      row["member"] = member.value("id", std::string());
    }
  Table table({"topic", "partition", "offset", "log_start", "high_watermark", "lag", "member"});
  for (const auto& [place, row] : rows)
    table.add({cell(row, "topic"), cell(row, "partition"), cell(row, "offset"),
               cell(row, "log_start"), cell(row, "high_watermark"), cell(row, "lag"),
               cell(row, "member")});
  return table;
}

Result<int> describe_group(const Globals& globals, const GroupFlags& flags) {
  WALRUS_ASSIGN(auto client, connect(globals));
  WALRUS_ASSIGN(auto group, describe(client, "group describe " + flags.name, flags.name));
  if (globals.json) {
    WALRUS_TRY(print_json(group));
    return kExitDone;
  }
  WALRUS_TRY(print(fmt::format("group {}  state {}  protocol {}\n", cell(group, "name"),
                               cell(group, "state"), cell(group, "protocol"))));
  WALRUS_TRY(print(offsets_table(group).text()));
  Table members({"member", "instance", "client", "host", "partitions"});
  for (const auto& member : group.value("members", Json::array()))
    members.add({cell(member, "id"), cell(member, "instance_id"), cell(member, "client_id"),
                 cell(member, "client_host"),
                 std::to_string(member.value("partitions", Json::array()).size())});
  WALRUS_TRY(print(members.text()));
  return kExitDone;
}

// Where --to leads: no places counted from the end, which other tools mean differently.
Result<void> check_to(const std::string& to) {
  if (to.starts_with('-') || !check_start(to))
    return fail(Code::kInvalid,
                "--to: '{}' is not earliest, latest, an offset or a time as 2026-05-13T08:00:00Z",
                to);
  return {};
}

struct Change {
  std::int64_t partition = 0;
  std::optional<std::int64_t> before{};
  Offset after{};
};

// Of all partitions of `topic`, or of the one that it names.
Result<std::vector<Change>> plan_of(Client& client, const GroupFlags& flags, const Json& group) {
  auto slash = flags.topic.find('/');
  auto topic = flags.topic.substr(0, slash);
  WALRUS_ASSIGN(auto partitions, describe_partitions(client, topic));
  std::vector<Change> changes;
  for (const auto& info : partitions) {
    auto target = fmt::format("{}/{}", topic, info.partition);
    if (slash != std::string::npos && target != flags.topic) continue;
    WALRUS_ASSIGN(auto after, about(target, start_position(client, target, info, flags.to)));
    changes.push_back({.partition = info.partition, .after = after});
  }
  if (changes.empty()) return fail(Code::kNotFound, "unknown topic {}", flags.topic);
  for (const auto& offset : group.value("offsets", Json::array()))
    for (auto& change : changes)
      if (place_of(offset) == CommitPlace(topic, change.partition))
        change.before = offset.value("offset", std::int64_t{0});
  return changes;
}

native::SetGroup request_of(const GroupFlags& flags, const std::vector<Change>& changes) {
  native::SetGroup request{.topic = Bytes(flags.topic).substr(0, flags.topic.find('/')),
                           .group = flags.name};
  for (const auto& change : changes)
    request.offsets.push_back({static_cast<std::int32_t>(change.partition), change.after.value});
  return request;
}

Result<void> print_changes(const Globals& globals, const GroupFlags& flags,
                           const std::vector<Change>& changes) {
  auto list = Json::array();
  Table table({"partition", "before", "after"});
  for (const auto& [partition, before, after] : changes) {
    list.push_back({{"partition", partition},
                    {"before", before ? Json(*before) : Json()},
                    {"after", after.value}});
    table.add({std::to_string(partition), before ? std::to_string(*before) : "-",
               std::to_string(after.value)});
  }
  if (globals.json)
    return print_json({{"group", json_of(Bytes(flags.name))},
                       {"topic", flags.topic},
                       {"dry_run", flags.dry_run},
                       {"partitions", list}});
  if (globals.quiet) return {};
  WALRUS_TRY(print(table.text()));
  if (flags.dry_run) WALRUS_TRY(print_line("nothing was changed"));
  return {};
}

Result<int> reset_group(const Globals& globals, const GroupFlags& flags) {
  if (auto checked = check_to(flags.to); !checked) return report_usage(globals, checked.error());
  auto what = fmt::format("group reset {} {}", flags.name, flags.topic);
  WALRUS_ASSIGN(auto client, connect(globals));
  auto group = describe(client, what, flags.name);
  // A group that is not there yet may be told where to begin.
  if (!group && group.error().code == Code::kNotFound) group = Json{{"state", "Empty"}};
  if (!group) return std::unexpected(std::move(group).error());
  if (group->value("state", std::string()) != "Empty")
    return std::unexpected(explained(what, native::error_of("group has members " + flags.name)));
  WALRUS_ASSIGN(auto changes, explained(what, plan_of(client, flags, *group)));
  if (!flags.dry_run) {
    WALRUS_ASSIGN(auto reply, ask(client, what, request_of(flags, changes)));
    WALRUS_TRY(about(what, native::parse_ok(reply)));
  }
  WALRUS_TRY(print_changes(globals, flags, changes));
  return kExitDone;
}

Result<int> delete_group(const Globals& globals, const GroupFlags& flags) {
  auto what = "group delete " + flags.name;
  WALRUS_ASSIGN(auto client, connect(globals));
  if (!flags.yes &&
      !confirmed_delete(fmt::format("group {} and its offsets", printable(flags.name))))
    return fail(Code::kInvalid, "{}: not confirmed, nothing was deleted", what);
  WALRUS_ASSIGN(auto reply, ask(client, what, native::DeleteGroup{flags.name}));
  WALRUS_TRY(about(what, native::parse_ok(reply)));
  if (globals.json) WALRUS_TRY(print_json({{"name", json_of(Bytes(flags.name))}}));
  else if (!globals.quiet) WALRUS_TRY(print_line("deleted " + printable(flags.name)));
  return kExitDone;
}

}  // namespace

void add_group(CommandLine& line) {
  auto flags = std::make_shared<GroupFlags>();
  auto group = line.root().family(
      "group", "Consumer groups of Kafka clients: list, describe, reset, delete");
  auto verb = [&line, group, flags](const char* name, const char* help,
                                    Result<int> (*act)(const Globals&, const GroupFlags&)) {
    return line.add(group, name, help,
                    [flags, act](const Globals& globals) { return act(globals, *flags); });
  };
  verb("list", "All groups; with --quiet their names", list_groups);
  auto described = verb("describe", "Members, offsets and how far they lag", describe_group);
  auto reset = verb("reset", "Where a group without members reads on", reset_group);
  auto removed = verb("delete", "Delete a group without members, and its offsets", delete_group);
  for (auto one : {described, reset, removed})
    one.option("group", flags->name, "Name of the group").required();
  reset.option("topic", flags->topic, "A topic, or one partition of it: t/2").required();
  reset.option("--to", flags->to, "earliest, latest, an offset, or a time (RFC 3339)")
      .type_name("WHERE")
      .required();
  reset.flag("--dry-run", flags->dry_run, "Only tell what would be changed");
  removed.flag("--yes", flags->yes, "Do not ask");
}

}  // namespace walrus::cli
