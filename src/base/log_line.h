#pragma once
// Log lines for operators: an event name, then key=value pairs, on one line:
//
//   segment_sealed stream=17 bytes=1073741824 path="/var/lib/walrus data/segments"
//
// The sink is passed in and adds time and level as it likes; there is no global logger. Not for hot
// paths: nothing is logged per message. Values that are empty or hold a space, an equals sign, a
// quote, a backslash, a control character or bytes that are not UTF-8 are quoted, with C escapes,
// so that a line stays one line whatever a stranger puts into a name.

#include <concepts>
#include <initializer_list>
#include <string>

#include "base/result.h"
#include "walrus/log.h"

namespace walrus {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
const char* level_name(LogLevel);  // "debug", "info", "warning", "error"

class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual bool wants(LogLevel) const { return true; }  // lines of other levels are dropped
  virtual void write(LogLevel, Bytes line) = 0;        // without newline; from any thread
};

// A value as it stands in a line, quoted if it must be.
class LogValue {
 public:
  LogValue(Bytes text);  // NOLINT: these convert, so that a field reads {"key", value}
  LogValue(const char* text) : LogValue(Bytes(text)) {}
  LogValue(const std::string& text) : LogValue(Bytes(text)) {}
  LogValue(const Error&);  // its code's name and message: "not_found: no such stream"
  LogValue(bool value) : text_(value ? "true" : "false") {}
  template <std::integral T>
  LogValue(T value) : text_(fmt::to_string(value)) {}
  template <std::floating_point T>
  LogValue(T value) : text_(fmt::format("{:.6g}", value)) {}
  LogValue(Offset offset) : text_(fmt::to_string(offset.value)) {}

  Bytes text() const { return text_; }

 private:
  std::string text_;
};

struct LogField {
  Bytes key;  // snake_case, with its unit last: wait_ms
  LogValue value;
};

std::string format_log_line(Bytes event, std::initializer_list<LogField> fields);

// log_line(sink, LogLevel::kInfo, "segment_sealed", {{"stream", id}, {"bytes", bytes}});
void log_line(LogSink&, LogLevel, Bytes event, std::initializer_list<LogField> fields = {});

}  // namespace walrus
