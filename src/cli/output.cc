#include "cli/output.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/utf8.h"

namespace walrus::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void write_error_line(std::string line) {
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
}

std::unexpected<Error> output_failed() {
  return fail(Code::kIo, "standard output: {}", std::strerror(errno));
}

bool is_number(const std::string& cell) {
  return !cell.empty() && cell.find_first_not_of("0123456789.-") == std::string::npos;
}

}  // namespace

void report(const Globals& globals, const Error& error) {
  std::fflush(stdout);
  if (!globals.json) {
    auto line = "walrus: " + error.message;  // a name in it may hold anything
    std::ranges::replace_if(line, [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
    return write_error_line(std::move(line));
  }
  write_error_line(
      dump({{"error", {{"code", code_name(error.code)}, {"message", error.message}}}}));
}

int report_usage(const Globals& globals, Error error) {
  error.message += "; see walrus --help";
  report(globals, error);
  return kExitUsage;
}

void notice(const Globals& globals, Bytes message) {
  if (globals.quiet || globals.json) return;
  write_error_line(std::string(stderr_is_terminal() ? "\r\033[K" : "") +
                   "walrus: " + std::string(message));
}

Result<void> print(Bytes bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size()) return output_failed();
  return {};
}

Result<void> print_line(Bytes line) {
  WALRUS_TRY(print(line));
  return print("\n");
}

Result<void> print_json(const Json& json) { return print_line(dump(json)); }

Result<void> flush_output() {
  if (std::fflush(stdout) != 0) return output_failed();
  return {};
}

bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }
bool stdout_is_terminal() { return ::isatty(STDOUT_FILENO) == 1; }
bool stdin_is_terminal() { return ::isatty(STDIN_FILENO) == 1; }

Json json_of(Bytes bytes) {
  if (is_utf8(bytes)) return Json(std::string(bytes));
  return Json{{"base64", base64(bytes)}};
}

Json json_of(std::optional<Bytes> bytes) { return bytes ? json_of(*bytes) : Json(nullptr); }

std::string Table::text() const {
  std::string text;
  auto columns = rows_.front().size();
  std::vector<std::size_t> widths(columns);
  std::vector<bool> numbers(columns, rows_.size() > 1);
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      widths[c] = std::max(widths[c], rows_[r][c].size());
      if (r > 0 && !is_number(rows_[r][c])) numbers[c] = false;
    }
  }
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t c = 0; c < columns; ++c) {
      if (c > 0) line += "  ";
      line += numbers[c] ? fmt::format("{:>{}}", row[c], widths[c])
                         : fmt::format("{:<{}}", row[c], widths[c]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string cell(const Json& object, const char* name) {
  auto found = object.find(name);
  if (found == object.end() || found->is_null()) return "-";
  return found->is_string() ? printable(found->get_ref<const std::string&>()) : found->dump();
}

std::string printable(Bytes text) {
  std::string shown(text);
  for (std::size_t i = 0; i < shown.size(); ++i) {
    auto at = [&](std::size_t place) { return static_cast<unsigned char>(shown[place]); };
    // Those of ISO 6429's second set are two bytes: 0xc2 and one below 0xa0.
    bool second_set = i > 0 && at(i - 1) == 0xc2 && at(i) < 0xa0;
    if (at(i) < ' ' || at(i) == 0x7f) shown[i] = '?';
    if (second_set) shown.replace(--i, 2, "?");
  }
  return shown;
}

}  // namespace walrus::cli
