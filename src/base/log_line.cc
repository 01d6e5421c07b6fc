#include "base/log_line.h"

#include <algorithm>
#include <iterator>

#include "base/utf8.h"

namespace walrus {
namespace {

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool stands_bare(Bytes text) {
  auto plain = [](char c) {
    return c != ' ' && c != '=' && c != '"' && c != '\\' && !is_control(c);
  };
  return !text.empty() && std::ranges::all_of(text, plain) && is_utf8(text);
}

std::string quoted(Bytes text) {
  std::string to = "\"";
  while (!text.empty()) {
    auto size = utf8_character(text);
    switch (char c = text[0]) {
      case '\\': to += "\\\\"; break;
      case '"': to += "\\\""; break;
      case '\n': to += "\\n"; break;
      case '\r': to += "\\r"; break;
      case '\t': to += "\\t"; break;
      default:
        if (size == 0 || is_control(c)) {
          fmt::format_to(std::back_inserter(to), "\\x{:02x}", static_cast<unsigned char>(c));
        } else {
          to += text.substr(0, size);
        }
    }
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return to + '"';
}

}  // namespace

const char* level_name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarning: return "warning";
    case LogLevel::kError: return "error";
  }
  return "unknown";
}

LogValue::LogValue(Bytes text) : text_(stands_bare(text) ? std::string(text) : quoted(text)) {}

LogValue::LogValue(const Error& error)
    : LogValue(Bytes(fmt::format("{}: {}", code_name(error.code), error.message))) {}

std::string format_log_line(Bytes event, std::initializer_list<LogField> fields) {
  std::string line(event);
  for (const auto& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    line += field.value.text();
  }
  return line;
}

void log_line(LogSink& sink, LogLevel level, Bytes event, std::initializer_list<LogField> fields) {
  if (sink.wants(level)) sink.write(level, format_log_line(event, fields));
}

}  // namespace walrus
