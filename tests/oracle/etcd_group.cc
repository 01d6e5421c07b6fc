#include <fmt/format.h>
#include <spawn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <utility>

#include "group.h"

extern char** environ;

namespace walrus::oracle {
namespace {

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "etcd_group: %s\n", why.c_str());
  std::exit(3);
}

// The program, one for all groups: it ends when its standard input does.
class Program {
 public:
  explicit Program(const std::string& path) {
    int in[2], out[2];
    if (pipe(in) != 0 || pipe(out) != 0) give_up("no pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    for (int file : {in[0], in[1], out[0], out[1]})
      posix_spawn_file_actions_addclose(&actions, file);
    std::string name = path;
    char* words[] = {name.data(), nullptr};
    pid_t pid = 0;
    if (posix_spawn(&pid, path.c_str(), &actions, nullptr, words, environ) != 0)
      give_up(path + " cannot be started");
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    to_ = fdopen(in[1], "w");
    from_ = fdopen(out[0], "r");
  }

  // The lines of the answer.
  std::vector<std::string> ask(const std::string& line) {
    std::fprintf(to_, "%s\n", line.c_str());
    std::fflush(to_);
    std::vector<std::string> answer;
    while (getline(&buffer_, &room_, from_) > 0) {
      std::string one(buffer_);
      one.pop_back();
      if (one == ".") return answer;
      answer.push_back(std::move(one));
    }
    give_up("no answer to: " + line);
  }

 private:
  std::FILE *to_ = nullptr, *from_ = nullptr;
  char* buffer_ = nullptr;
  std::size_t room_ = 0;
};

Kind kind_of(const std::string& name) {
  if (name == "vote") return Kind::kVote;
  if (name == "vote_reply") return Kind::kVoteReply;
  if (name == "append") return Kind::kAppend;
  if (name == "append_reply") return Kind::kAppendReply;
  if (name == "timeout_now") return Kind::kTimeoutNow;
  give_up("no kind of message: " + name);
}

class EtcdGroup final : public Group {
 public:
  EtcdGroup(Program& program, int nodes) : program_(program) {
    ask(fmt::format("group {}", nodes));
  }

  void command(Command command, int node) override {
    static constexpr const char* kNames[] = {"stop", "start",  "campaign", "forget",
                                             "beat", "quorum", "compact"};
    ask(fmt::format("{} {}", kNames[static_cast<std::size_t>(command)], node));
  }
  bool propose(int node, const std::string& text) override {
    return ask(fmt::format("propose {} {}", node, text)) == "accepted";
  }
  void transfer(int node, int to) override { ask(fmt::format("transfer {} {}", node, to)); }
  void deliver(const std::vector<Message>& messages) override { name("deliver", messages); }
  void lose(const std::vector<Message>& messages) override { name("lost", messages); }
  void strip(std::uint64_t term, const Message& message) override {
    ask(fmt::format("strip {} {}", term, message.handle));
  }
  State state(int node) override {
    std::istringstream from(ask(fmt::format("state {}", node)));
    std::string word;
    State state;
    from >> word >> state.term >> state.vote >> state.leader >> state.role >> state.commit >>
        state.applied >> state.applied_crc >> state.base;
    if (!from) give_up("no state of node " + std::to_string(node));
    while (from >> word) state.entries.push_back(word);
    return state;
  }

 private:
  // The line of the answer that is no message.
  std::string ask(const std::string& line) {
    std::string other;
    for (const auto& one : program_.ask(line)) {
      if (!one.starts_with("message ")) {
        other = one;
        continue;
      }
      std::istringstream from(one);
      std::string word, kind;
      Message message;
      from >> word >> message.handle >> message.from >> message.to >> message.term >> kind;
      message.kind = kind_of(kind);
      messages_.push_back(message);
    }
    return other;
  }
  void name(const char* verb, const std::vector<Message>& messages) {
    if (messages.empty()) return;
    std::string line = verb;
    for (const auto& message : messages) line += " " + std::to_string(message.handle);
    ask(line);
  }

  Program& program_;
};

}  // namespace

std::unique_ptr<Group> etcd_group(const std::string& path, int nodes) {
  static Program program(path);
  return std::make_unique<EtcdGroup>(program, nodes);
}

}  // namespace walrus::oracle
