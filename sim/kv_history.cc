#include "kv_history.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

#include "base/check.h"

namespace walrus::sim {
namespace {

using Kind = KvOperation::Kind;
using Level = KvOperation::Level;
using Outcome = KvOperation::Outcome;

constexpr std::string_view kFirstLine = "walrus-history 1";
constexpr std::array<std::string_view, 4> kKinds = {"get", "put", "cas", "delete"};

bool is_plain(char one) {
  return (one >= 'a' && one <= 'z') || (one >= 'A' && one <= 'Z') || (one >= '0' && one <= '9') ||
         std::string_view("_./:-").contains(one);
}

std::string word_of(std::string_view bytes) {
  bool plain = !bytes.empty() && bytes != "-";
  for (char one : bytes) plain = plain && is_plain(one);
  if (plain) return std::string(bytes);
  std::string to = "\"";
  for (char one : bytes) {
    if (one == '"' || one == '\\') to += std::string{'\\', one};
    else if (one >= ' ' && one <= '~') to += one;
    else to += fmt::format("\\x{:02x}", static_cast<unsigned char>(one));
  }
  return to + "\"";
}

std::string shown(const KvValue& value) { return value ? word_of(*value) : "-"; }

struct Word {
  std::string text{};
  bool quoted = false;
  bool is(std::string_view other) const { return !quoted && text == other; }
};

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The words of one line.
class Line {
 public:
  explicit Line(std::string_view text) : rest_(text) {}

  bool ok() const { return ok_; }
  bool at_end() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\t')) rest_.remove_prefix(1);
    return rest_.empty() || rest_[0] == '#';
  }
  // The next word if it is this one.
  bool take(std::string_view word) {
    auto before = rest_;
    if (next().is(word) && ok_) return true;
    rest_ = before;
    ok_ = true;
    return false;
  }
  Word next() {
    if (at_end()) return broken();
    if (rest_[0] == '"') return quoted_word();
    Word word;
    while (!rest_.empty() && (is_plain(rest_[0]) || rest_[0] == '=' || rest_[0] == '@')) {
      word.text += rest_[0];
      rest_.remove_prefix(1);
    }
    return word.text.empty() ? broken() : word;
  }
  KvValue value() {
    auto word = next();
    if (word.is("-")) return std::nullopt;
    return std::move(word.text);
  }

 private:
  Word broken() {
    ok_ = false;
    return {};
  }
  Word quoted_word() {
    Word word{.quoted = true};
    rest_.remove_prefix(1);
    while (!rest_.empty() && rest_[0] != '"') {
      std::size_t taken = 1;
      char one = rest_[0];
      if (one == '\\') {
        if (rest_.size() < 2) return broken();
        one = rest_[1];
        taken = 2;
        if (one == 'x') {
          if (rest_.size() < 4) return broken();
          unsigned char byte = 0;
          auto [end, error] = std::from_chars(rest_.data() + 2, rest_.data() + 4, byte, 16);
          if (error != std::errc() || end != rest_.data() + 4) return broken();
          one = static_cast<char>(byte);
          taken = 4;
        } else if (one != '"' && one != '\\') {
          return broken();
        }
      }
      word.text += one;
      rest_.remove_prefix(taken);
    }
    if (rest_.empty()) return broken();
    rest_.remove_prefix(1);
    return word;
  }

  std::string_view rest_;
  bool ok_ = true;
};

bool parse_times(std::string_view text, KvOperation& to) {
  auto dots = text.find("..");
  if (dots == text.npos) return false;
  auto invoked = number<std::int64_t>(text.substr(0, dots));
  auto completed = number<std::int64_t>(text.substr(dots + 2));
  bool open = dots + 2 == text.size();
  if (!invoked || (!open && (!completed || *completed < *invoked))) return false;
  to.invoked = *invoked;
  to.completed = completed.value_or(0);
  to.outcome = open ? Outcome::kUnknown : Outcome::kDone;
  return true;
}

// Behind the `=`.
bool parse_answer(Line& line, KvOperation& to) {
  if (to.kind == Kind::kPut) return false;
  if (to.kind == Kind::kGet) {
    to.value = line.value();
    return true;
  }
  to.changed = line.take("yes");
  return *to.changed || line.take("no");
}

bool parse_tail(Line& line, KvOperation& to) {
  bool answered = line.take("=");
  if (answered && !parse_answer(line, to)) return false;
  while (line.ok() && !line.at_end()) {
    auto word = line.next();
    if (word.is("failed") && to.outcome == Outcome::kDone) to.outcome = Outcome::kFailed;
    else if (word.is("session") && to.kind == Kind::kGet) to.level = Level::kSession;
    else if (word.is("stale") && to.kind == Kind::kGet) to.level = Level::kStale;
    else if (!word.quoted && word.text.starts_with('@'))
      to.index = number<std::uint64_t>(std::string_view(word.text).substr(1));
    else return false;
    if (word.text.starts_with('@') && !to.index) return false;
  }
  bool answer_due = to.kind == Kind::kGet && to.outcome == Outcome::kDone;
  bool answer_allowed = to.outcome == Outcome::kDone;
  return line.ok() && (answered ? answer_allowed : !answer_due);
}

bool parse_operation(Line& line, KvOperation& to) {
  auto session = number<std::uint64_t>(line.next().text);
  bool times = parse_times(line.next().text, to);
  auto name = line.next();
  if (!session || !times || !line.ok()) return false;
  to.session = *session;
  std::size_t kind = 0;
  while (kind < kKinds.size() && !name.is(kKinds[kind])) ++kind;
  if (kind == kKinds.size()) return false;
  to.kind = static_cast<Kind>(kind);
  to.key = line.next().text;
  if (to.kind == Kind::kCas) to.expected = line.value();
  if (to.kind == Kind::kCas || to.kind == Kind::kPut) to.value = line.value();
  if (to.kind == Kind::kPut && !to.value) return false;
  return line.ok() && parse_tail(line, to);
}

}  // namespace

std::size_t KvHistory::invoke(KvOperation operation, std::int64_t now) {
  operation.outcome = Outcome::kUnknown;
  operation.invoked = now;
  operations_.push_back(std::move(operation));
  return operations_.size() - 1;
}

KvOperation& KvHistory::done(std::size_t place, std::int64_t now,
                             std::optional<std::uint64_t> index) {
  auto& operation = operations_.at(place);
  CHECK(operation.outcome == Outcome::kUnknown && now >= operation.invoked);
  operation.outcome = Outcome::kDone;
  operation.completed = now;
  operation.index = index;
  return operation;
}

void KvHistory::failed(std::size_t place, std::int64_t now) {
  done(place, now).outcome = Outcome::kFailed;
}

std::string kv_line(const KvOperation& operation) {
  auto known = operation.outcome != Outcome::kUnknown;
  auto to = fmt::format("{} {}..{} {} {}", operation.session, operation.invoked,
                        known ? std::to_string(operation.completed) : "",
                        kKinds[static_cast<std::size_t>(operation.kind)], word_of(operation.key));
  if (operation.kind == Kind::kCas) to += " " + shown(operation.expected);
  if (operation.kind == Kind::kCas || operation.kind == Kind::kPut)
    to += " " + shown(operation.value);
  bool done = operation.outcome == Outcome::kDone;
  if (operation.kind == Kind::kGet && done) to += " = " + shown(operation.value);
  if (operation.kind != Kind::kGet && done && operation.changed)
    to += *operation.changed ? " = yes" : " = no";
  if (operation.index) to += fmt::format(" @{}", *operation.index);
  if (operation.outcome == Outcome::kFailed) to += " failed";
  if (operation.level == Level::kSession) to += " session";
  if (operation.level == Level::kStale) to += " stale";
  return to;
}

std::string KvHistory::text() const {
  std::string to(kFirstLine);
  to += '\n';
  for (const auto& operation : operations_) to += kv_line(operation) + '\n';
  return to;
}

Result<KvHistory> KvHistory::parse(std::string_view text) {
  KvHistory history;
  bool begun = false;
  for (int number = 1; !text.empty(); ++number) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    Line words(line);
    if (words.at_end()) continue;
    if (!begun) {
      begun = words.take("walrus-history");
      if (!begun) return fail(Code::kInvalid, "line {}: {} is due", number, kFirstLine);
      if (!words.take("1") || !words.at_end())
        return fail(Code::kVersion, "line {}: only version 1 is known", number);
      continue;
    }
    KvOperation operation;
    if (!parse_operation(words, operation))
      return fail(Code::kInvalid, "line {}: no operation: {}", number, line);
    history.operations_.push_back(std::move(operation));
  }
  if (!begun) return fail(Code::kInvalid, "{} is due", kFirstLine);
  return history;
}

}  // namespace walrus::sim
