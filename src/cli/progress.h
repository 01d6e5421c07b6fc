#pragma once
// A line of progress on stderr, redrawn a few times a second; nothing where stderr is no terminal,
// or with --quiet or --json.

#include "cli/command_line.h"
#include "io/env.h"

namespace walrus::cli {

class Progress {
 public:
  Progress(io::Env&, const Globals&);
  ~Progress() { clear(); }
  // total_bytes -1: unknown, then there is no bar.
  void update(std::int64_t records, std::int64_t bytes, std::int64_t total_bytes);
  void clear();

 private:
  io::Env& env_;
  bool shown_;
  bool drawn_ = false;
  io::Nanos started_, next_;
};

}  // namespace walrus::cli
