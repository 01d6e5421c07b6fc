// Cases of the group state machine, text in and text out.
// src/broker/group/cases/*.txt: a line
// `> event` is what happens, the lines below it are what came of it; `# ...` is
// a comment, and a line `= name` begins a case with a new group. Events:
//
//   join TICKET member=ID [new=ID] [instance=ID] [session=MS] [rebalance=MS]
//   [required] protocols=N:M,.. sync TICKET member=ID gen=N [instance=ID]
//   [assign=ID:A,..] heartbeat|commit|leave [member=ID] [instance=ID] [gen=N]
//   persisted gen=N [failed]      time MS (since the case began)      restart
//
// WALRUS_WRITE_CASES=1 in the environment writes what came of it into the files
// instead.

#include "broker/group/group.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "broker/group/records.h"
#include "walrus_source_dir.h"

namespace walrus::broker {
namespace {

Bytes error_name(GroupError error) {
  switch (error) {
    case GroupError::kNone: return "ok";
    case GroupError::kUnknownMember: return "unknown member";
    case GroupError::kIllegalGeneration: return "illegal generation";
    case GroupError::kInconsistentProtocol: return "inconsistent protocol";
    case GroupError::kRebalanceInProgress: return "rebalance";
    case GroupError::kMemberIdRequired: return "member id required";
    case GroupError::kFencedInstance: return "fenced";
    case GroupError::kGroupFull: return "full";
    case GroupError::kInvalidSessionTimeout: return "invalid session timeout";
    case GroupError::kInvalidGroup: return "invalid group";
    case GroupError::kTooLarge: return "too large";
    case GroupError::kNotAvailable: return "not available";
    case GroupError::kUnknownGroup: return "unknown group";
    case GroupError::kNotEmpty: return "not empty";
  }
  return "";
}

class Words {
 public:
  explicit Words(const std::string& line) {
    std::istringstream words(line);
    for (std::string word; words >> word;) words_.push_back(word);
  }
  const std::string& at(std::size_t place) const { return words_.at(place); }
  bool has(const std::string& word) const {
    return std::ranges::find(words_, word) != words_.end();
  }
  std::optional<std::string> value(const std::string& name) const {
    for (const auto& word : words_)
      if (word.starts_with(name + "=")) return word.substr(name.size() + 1);
    return std::nullopt;
  }
  std::string text(const std::string& name) const { return value(name).value_or(""); }
  std::int64_t number(const std::string& name, std::int64_t fallback) const {
    auto text = value(name);
    return text ? std::stoll(*text) : fallback;
  }
  std::vector<std::pair<std::string, std::string>> pairs(const std::string& name) const {
    std::vector<std::pair<std::string, std::string>> all;
    std::istringstream list(text(name));
    for (std::string one; std::getline(list, one, ',');) {
      auto colon = one.find(':');
      all.emplace_back(one.substr(0, colon), one.substr(colon + 1));
    }
    return all;
  }

 private:
  std::vector<std::string> words_;
};

class Case {
 public:
  std::string run(const std::string& line) {
    Words words(line);
    out_.clear();
    const auto& event = words.at(0);
    if (event == "join") join(words);
    else if (event == "sync") sync(words);
    else if (event == "persisted")
      report(group_->persisted(static_cast<std::int32_t>(words.number("gen", 0)),
                               !words.has("failed"), now_));
    else if (event == "time") time(Millis(std::stoll(words.at(1))));
    else if (event == "restart") restart();
    else member_event(event, words);
    out_ += fmt::format("{} gen={}\n", group_state_name(group_->state()), group_->generation());
    return out_;
  }

 private:
  static MemberEvent member_of(const Words& words) {
    return {.member_id = words.text("member"),
            .instance_id = words.value("instance"),
            .generation = static_cast<std::int32_t>(words.number("gen", -1))};
  }
  void join(const Words& words) {
    report(group_->join({.ticket = static_cast<Ticket>(std::stoll(words.at(1))),
                         .member_id = words.text("member"),
                         .new_member_id = words.text("new"),
                         .instance_id = words.value("instance"),
                         .session_timeout = Millis(words.number("session", 10'000)),
                         .rebalance_timeout = Millis(words.number("rebalance", 60'000)),
                         .protocol_type = "consumer",
                         .protocols = words.pairs("protocols"),
                         .id_required = words.has("required")},
                        now_));
  }
  void sync(const Words& words) {
    auto member = member_of(words);
    report(group_->sync({.ticket = static_cast<Ticket>(std::stoll(words.at(1))),
                         .member_id = member.member_id,
                         .instance_id = member.instance_id,
                         .generation = member.generation,
                         .assignments = words.pairs("assign")},
                        now_));
  }
  void member_event(const std::string& event, const Words& words) {
    auto error = GroupError::kNone;
    if (event == "heartbeat") error = group_->heartbeat(member_of(words), now_);
    if (event == "commit") error = group_->check_commit(member_of(words), now_);
    GroupActions actions;
    if (event == "leave") actions = group_->leave(member_of(words), now_, error);
    out_ += fmt::format("{}: {}\n", event, error_name(error));
    report(actions);
  }
  // Deadline by deadline, as the coordinator goes.
  void time(GroupTime to) {
    while (true) {
      auto next = group_->next_deadline();
      if (!next || *next > to) break;
      now_ = *next;
      report(group_->tick(now_));
    }
    now_ = to;
    report(group_->tick(now_));
  }
  void restart() {
    auto stored = stored_.empty() ? GroupSnapshot{} : *decode_group(stored_);
    group_.emplace(options_, stored, now_);
  }
  void report(const GroupActions& actions) {
    for (const auto& join : actions.joins) {
      out_ +=
          fmt::format("join {}: {} member={}", join.ticket, error_name(join.error), join.member_id);
      if (join.error == GroupError::kNone)
        out_ += fmt::format(" gen={} protocol={} leader={}", join.generation, join.protocol,
                            join.leader);
      if (!join.members.empty()) out_ += " members=";
      for (const auto& member : join.members)
        out_ += fmt::format("{}:{},", member.member_id, member.metadata);
      out_ += '\n';
    }
    for (const auto& sync : actions.syncs)
      out_ += fmt::format("sync {}: {} assignment={}\n", sync.ticket, error_name(sync.error),
                          sync.assignment);
    if (!actions.persist) return;
    out_ += "persist\n";
    stored_ = *group_record("g", group_->snapshot()).value;
  }

  const GroupOptions options_;
  std::optional<Group> group_{std::in_place, options_};
  GroupTime now_{};
  std::string out_, stored_;
};

// The file as it should be: its events, each with what came of it.
std::string replay(const std::string& text) {
  std::istringstream lines(text);
  std::optional<Case> one;
  std::string all;
  for (std::string line; std::getline(lines, line);) {
    bool kept = line.empty() || line.starts_with("#") || line.starts_with("= ");
    if (line.starts_with("= ")) one.emplace();
    if (kept || line.starts_with("> ")) all += line + '\n';
    if (line.starts_with("> ")) all += one->run(line.substr(2));
  }
  return all;
}

TEST(GroupTest, cases_come_out_as_they_are_written) {
  std::size_t files = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(WALRUS_SOURCE_DIR "/src/broker/group/cases")) {
    ++files;
    SCOPED_TRACE(file.path().filename().string());
    std::stringstream text;
    text << std::ifstream(file.path()).rdbuf();
    auto came = replay(text.str());
    if (std::getenv("WALRUS_WRITE_CASES") != nullptr) std::ofstream(file.path()) << came;
    else EXPECT_EQ(came, text.str());
  }
  EXPECT_GE(files, 4u);
}

// Whoever joins during the first wait extends it. The tick of the first end comes before the new
// one, and the question when to come again after it: the group is not forgotten.
TEST(GroupTest, an_end_that_passes_between_tick_and_question_is_told) {
  const GroupOptions options{.initial_delay = Millis(3'000)};
  Group group(options);
  const GroupTime begun = Millis(1'000'000);
  auto join = [&](const char* id, GroupTime now) {
    return group.join({.ticket = 1,
                       .new_member_id = id,
                       .session_timeout = Millis(10'000),
                       .rebalance_timeout = Millis(60'000),
                       .protocol_type = "consumer",
                       .protocols = {{"range", ""}}},
                      now);
  };
  EXPECT_TRUE(join("a", begun).joins.empty());
  EXPECT_EQ(group.next_deadline(), begun + Millis(3'000));
  EXPECT_TRUE(join("b", begun + Millis(1)).joins.empty());
  EXPECT_TRUE(group.tick(begun + Millis(3'000)).joins.empty());
  EXPECT_EQ(group.next_deadline(), begun + Millis(3'001));
  EXPECT_EQ(group.tick(begun + Millis(3'002)).joins.size(), 2u);
}

TEST(GroupTest, times_that_the_protocol_has_not_are_damage) {
  GroupSnapshot snapshot;
  snapshot.members.push_back({.id = "m", .session_timeout = Millis(INT32_MAX)});
  EXPECT_TRUE(decode_group(*group_record("g", snapshot).value));
  snapshot.members[0].session_timeout = Millis(std::int64_t{INT32_MAX} + 1);
  EXPECT_EQ(decode_group(*group_record("g", snapshot).value).error().code, Code::kCorrupt);
  auto value = *group_record("g", snapshot).value;
  value.replace(value.find(std::string("\0\0\0\x80", 4)), 8, std::string(8, '\xed'));
  EXPECT_EQ(decode_group(value).error().code, Code::kCorrupt);
}

}  // namespace
}  // namespace walrus::broker
