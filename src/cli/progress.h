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
  // A bar over the share that is done; without one where it is not known (below 0).
  void update(std::int64_t records, std::int64_t bytes, double share);
  void update(std::int64_t bytes, double share);  // of files: nothing is said of records
  void note(const std::string& what);             // at once, for what cannot be told in parts
  void clear();

 private:
  void draw(const std::string& text);
  bool due();

  io::Env& env_;
  bool shown_;
  bool drawn_ = false;
  io::Nanos started_, next_;
};

}  // namespace walrus::cli
