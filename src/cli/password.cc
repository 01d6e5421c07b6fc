#include "cli/password.h"

#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "cli/output.h"
#include "io/env.h"
#include "wire/sasl/mechanism.h"

namespace walrus::cli {
namespace {

constexpr std::size_t kFileBytesMax = 64 << 10;

Result<std::string> checked(std::string line, Bytes where) {
  line.erase(std::min(line.find('\n'), line.size()));
  if (!line.empty() && line.back() == '\r') line.pop_back();
  if (line.empty()) return fail(Code::kInvalid, "{}: an empty password", where);
  if (line.size() > wire::sasl::kPasswordBytesMax)
    return fail(Code::kInvalid, "{}: a password has at most {} bytes", where,
                wire::sasl::kPasswordBytesMax);
  if (line.contains('\0')) return fail(Code::kInvalid, "{}: a password without NUL", where);
  return line;
}

Result<std::string> first_line_of(const std::string& path) {
  WALRUS_ASSIGN(auto file, io::real_env().disk().open(path, io::Open::kRead));
  std::string text(kFileBytesMax, '\0');
  WALRUS_ASSIGN(auto size, file->read(0, text));
  text.resize(size);
  return checked(std::move(text), path);
}

Result<std::string> first_line_of_stdin() {
  std::string line;
  std::getline(std::cin, line);
  return checked(std::move(line), "stdin");
}

// What is typed is not shown, whatever ends the question.
class Hidden {
 public:
  Hidden() {
    if (::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    auto hidden = before_;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    hidden.c_lflag |= ECHONL;
    changed_ = ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) == 0;
  }
  ~Hidden() {
    if (changed_) ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  Hidden(const Hidden&) = delete;
  Hidden& operator=(const Hidden&) = delete;
  bool works() const { return changed_; }

 private:
  termios before_{};
  bool changed_ = false;
};

Result<std::string> ask(Bytes question) {
  Hidden hidden;
  if (!hidden.works()) return fail(Code::kIo, "the terminal cannot hide a password");
  fmt::print(stderr, "{}", question);
  std::fflush(stderr);
  return first_line_of_stdin();
}

}  // namespace

Result<std::string> login_password(const std::string& user, const std::string& file) {
  if (!file.empty()) return first_line_of(file);
  if (!stdin_is_terminal())
    return fail(Code::kInvalid, "no terminal to ask for the password of {}: use --password-file",
                user);
  return ask(fmt::format("Password of {}: ", user));
}

Result<std::string> new_password(const std::string& user, const std::string& file) {
  if (!file.empty() && file != "-") return first_line_of(file);
  if (!file.empty() || !stdin_is_terminal()) return first_line_of_stdin();
  WALRUS_ASSIGN(auto first, ask(fmt::format("New password of {}: ", user)));
  WALRUS_ASSIGN(auto second, ask("Again: "));
  if (first != second) return fail(Code::kInvalid, "the two differ");
  return first;
}

}  // namespace walrus::cli
