#pragma once
// What verbs write: documents and records on stdout, errors and notices on stderr.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"
#include "cli/command_line.h"

namespace walrus::cli {

// `walrus: <message>`, one line; with --json an object {"error": {"code", "message"}}.
void report(const Globals&, const Error&);
// What is wrong with the words of the command line; answers kExitUsage.
int report_usage(const Globals&, Error);
// The same, for what goes well enough to go on. Nothing with --quiet or --json.
void notice(const Globals&, Bytes message);

// To stdout; the error says what the system said (a full disk, say).
Result<void> print(Bytes);
Result<void> print_line(Bytes);
Result<void> print_json(const nlohmann::ordered_json&);  // one line
Result<void> flush_output();

bool stderr_is_terminal();
bool stdout_is_terminal();
bool stdin_is_terminal();

// A string where the bytes are UTF-8, else {"base64": "..."}.
nlohmann::ordered_json json_of(Bytes);
nlohmann::ordered_json json_of(std::optional<Bytes>);  // none: null

// "<what>: <why>", the code kept.
inline Error about(Bytes what, Error why) {
  why.message = fmt::format("{}: {}", what, why.message);
  return why;
}
// WALRUS_ASSIGN(auto x, about("put t", client.put(...)))
template <class T>
Result<T> about(Bytes what, Result<T> result) {
  if (!result) return std::unexpected(about(what, std::move(result).error()));
  return result;
}

// Columns, right-aligned where all cells below the head are numbers.
class Table {
 public:
  explicit Table(std::vector<std::string> head) : rows_{std::move(head)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};
// A stranger's text for a terminal: without control characters.
std::string printable(Bytes);
// A field of an object, as a table shows it; "-": there is none, or it is null.
std::string cell(const nlohmann::ordered_json& object, const char* name);

}  // namespace walrus::cli
