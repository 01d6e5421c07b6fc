#pragma once
// For tests: sinks of log lines.

#include <string>

#include "base/event.h"
#include "base/log_line.h"

namespace walrus {

// Keeps every line. Thread-safe.
class LinesLog final : public LogSink {
 public:
  void write(LogLevel, Bytes line) override {
    const LockGuard guard(lock_);
    lines_.append(line).append("\n");
  }
  std::string lines() const {
    const LockGuard guard(lock_);
    return lines_;
  }
  void clear() {
    const LockGuard guard(lock_);
    lines_.clear();
  }

 private:
  mutable Lock lock_;
  std::string lines_;
};

// Drops every line, once it is formatted.
class NoLog final : public LogSink {
  void write(LogLevel, Bytes) override {}
};

}  // namespace walrus
