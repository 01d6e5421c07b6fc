#include <histedit.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <variant>

#include "cli/input.h"
#include "cli/output.h"
#include "cli/session.h"
#include "wire/native/request.h"

namespace walrus::cli {
namespace {

constexpr const char* kPrompt = "walrus> ";
constexpr int kHistoryEntries = 1000;
constexpr const char* kCommands[] = {
    "REGISTER", "PUT",         "GET",      "STATE",  "METRICS",  "APPEND", "APPENDAT",
    "READ",     "READBATCH",   "POLL",     "COMMIT", "PRODUCER", "LIST",   "DELETE",
    "CREATE",   "CONFIG",      "DESCRIBE", "FIND",   "USERS",    "GROUPS", "GROUP",
    "GROUPSET", "GROUPDELETE", "HELP",     "help",   "exit",     "quit"};
constexpr Bytes kHelp =
    "Requests of the native protocol, as they are, in upper case:\n"
    "  REGISTER t | PUT t payload | GET t [wait_ms] | STATE t | METRICS | LIST | ...\n"
    "HELP asks the server for all of them, HELP PUT for one.\n"
    "Tab completes requests and topics; exit, quit, q or Ctrl-D ends.\n";

// The prompt's reply to one line: what the server said, or our own help.
class Shell {
 public:
  Shell(const Globals& globals, Client client, bool yes)
      : globals_(globals), client_(std::move(client)), yes_(yes) {}

  enum class Next { kGoOn, kEnd };
  Result<Next> line(std::string text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
    auto word = text.substr(0, text.find(' '));
    if (word == "exit" || word == "quit" || word == "q") return Next::kEnd;
    if (word.empty()) return Next::kGoOn;
    if (word == "help") {
      WALRUS_TRY(print(kHelp));
    } else if (word == "DELETE" && word != text && !yes_ &&
               !confirmed_delete(fmt::format("topic {} and all its records",
                                             Bytes(text).substr(word.size() + 1)))) {
      WALRUS_TRY(print("not confirmed, nothing was deleted\n"));
    } else {
      WALRUS_ASSIGN(auto reply, ask(text));
      if (Bytes(reply).starts_with("ERR ")) refused_ = true;
      WALRUS_TRY(print_line(reply));
    }
    WALRUS_TRY(flush_output());
    return Next::kGoOn;
  }
  bool refused() const { return refused_; }

  std::vector<std::string> topics() {
    std::vector<std::string> names;
    auto text = client_.list();
    if (!text) return names;
    auto json = nlohmann::json::parse(*text, nullptr, false);
    if (!json.is_array()) return names;
    for (const auto& topic : json)
      if (topic.is_object() && topic.contains("name") && topic["name"].is_string())
        names.push_back(topic["name"]);
    return names;
  }

 private:
  // A connection that was lost since the last line is made again, once.
  Result<std::string> ask(const std::string& text) {
    auto reply = client_.request(text, wait_of(text));
    if (reply || !connection_lost(reply.error())) return reply;
    if (reply.error().code == Code::kTimeout) return explained("shell", std::move(reply));
    WALRUS_ASSIGN(client_, connect(globals_));
    return explained("shell", client_.request(text, wait_of(text)));
  }

  // How long the request asks the server to wait.
  static Millis wait_of(Bytes text) {
    auto request = wire::native::parse_request(text);
    if (!request) return Millis(0);
    return std::visit(
        [](const auto& r) {
          if constexpr (requires { r.wait_ms; }) return Millis(r.wait_ms);
          else return Millis(0);
        },
        *request);
  }

  const Globals& globals_;
  Client client_;
  bool yes_;  // deletes do not ask
  bool refused_ = false;
};

// libedit with history and completion. The library calls back with its EditLine, whose client data
// is this object. The history is saved with each line: a signal ends the program where it is.
class LineEditor {
 public:
  explicit LineEditor(Shell& shell)
      : shell_(shell), edit_(el_init("walrus", stdin, stdout, stderr)), history_(history_init()) {
    HistEvent event;
    history(history_, &event, H_SETSIZE, kHistoryEntries);
    history(history_, &event, H_SETUNIQUE, 1);
    if (const char* home = std::getenv("HOME")) file_ = std::string(home) + "/.walrus_history";
    if (!file_.empty()) history(history_, &event, H_LOAD, file_.c_str());
    el_set(edit_, EL_PROMPT, +[](EditLine*) { return const_cast<char*>(kPrompt); });
    el_set(edit_, EL_EDITOR, "emacs");
    el_set(edit_, EL_SIGNAL, 1);  // the terminal is as it was when a signal ends or stops us
    el_set(edit_, EL_HIST, history, history_);
    el_set(edit_, EL_CLIENTDATA, this);
    el_set(edit_, EL_ADDFN, "walrus-complete", "Complete requests and topics", complete);
    el_set(edit_, EL_BIND, "^I", "walrus-complete", nullptr);
    el_set(edit_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  }
  ~LineEditor() {
    history_end(history_);
    el_end(edit_);
  }
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // None: Ctrl-D.
  std::optional<std::string> read() {
    // Before the prompt, not after it as el_gets would: a Ctrl-D between the two would be the
    // terminal's, and the editor would never see it.
    el_set(edit_, EL_PREP_TERM, 1);
    int size = 0;
    const char* text = el_gets(edit_, &size);
    if (!text || size <= 0) return std::nullopt;
    std::string line(text, static_cast<std::size_t>(size));
    HistEvent event;
    if (line.find_first_not_of(" \n") != std::string::npos) {
      history(history_, &event, H_ENTER, line.c_str());
      if (!file_.empty()) history(history_, &event, H_SAVE, file_.c_str());
    }
    return line;
  }

 private:
  static unsigned char complete(EditLine* edit, int) {
    void* self = nullptr;
    el_get(edit, EL_CLIENTDATA, &self);
    const auto* line = el_line(edit);
    Bytes before(line->buffer, static_cast<std::size_t>(line->cursor - line->buffer));
    return static_cast<LineEditor*>(self)->complete_word(before);
  }

  unsigned char complete_word(Bytes before) {
    auto space = before.rfind(' ');
    auto word = before.substr(space == Bytes::npos ? 0 : space + 1);
    std::vector<std::string> candidates;
    if (space == Bytes::npos) candidates.assign(std::begin(kCommands), std::end(kCommands));
    else if (before.find(' ') == space) candidates = shell_.topics();
    std::erase_if(candidates, [word](const auto& c) { return !c.starts_with(word); });
    if (candidates.empty()) return CC_REFRESH_BEEP;
    auto common = candidates.front();
    for (const auto& candidate : candidates) {
      auto differ = std::ranges::mismatch(common, candidate).in1;
      common.erase(differ, common.end());
    }
    auto rest = common.substr(word.size());
    if (candidates.size() == 1) rest += ' ';
    if (!rest.empty()) {
      el_insertstr(edit_, rest.c_str());
      return CC_REFRESH;
    }
    fmt::print("\n{}\n", fmt::join(candidates, "  "));
    std::fflush(stdout);
    return CC_REDISPLAY;
  }

  Shell& shell_;
  EditLine* edit_;
  History* history_;
  std::string file_;
};

Result<int> run_shell(const Globals& globals, bool yes) {
  WALRUS_ASSIGN(auto client, connect(globals));
  Shell shell(globals, std::move(client), yes);
  if (!stdin_is_terminal()) {
    for (std::string text; std::getline(std::cin, text);) {
      WALRUS_ASSIGN(auto next, shell.line(text));
      if (next == Shell::Next::kEnd) break;
    }
    return shell.refused() ? kExitFailed : kExitDone;
  }
  if (!globals.quiet)
    WALRUS_TRY(
        print(fmt::format("connected to {}; help explains, Ctrl-D ends\n", globals.address)));
  WALRUS_TRY(flush_output());
  LineEditor editor(shell);
  while (auto text = editor.read()) {
    auto next = shell.line(*text);
    if (!next) report(globals, next.error());
    else if (*next == Shell::Next::kEnd) return kExitDone;
  }
  WALRUS_TRY(print_line(""));
  return kExitDone;
}

}  // namespace

void add_shell(CommandLine& line) {
  auto yes = std::make_shared<bool>(false);
  auto verb = line.add(
      line.root(), "shell",
      "Requests of the native protocol by hand; from a pipe, exit status 1 if one was refused",
      [yes](const Globals& globals) { return run_shell(globals, *yes); });
  verb.flag("--yes", *yes, "DELETE does not ask");
}

}  // namespace walrus::cli
