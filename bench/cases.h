#pragma once
// The cases of a benchmark, each a measurement of some rows, and the program around them.
//
// usage: PROGRAM CASE OUT_FILE WORK_DIRECTORY BINARY [ROUNDS [brief]]
// Writes the case's rows as JSON; brief: runs of a moment, to see that they work. Without words:
// prints each case and its rows, one case a line.

#include <span>

#include "harness.h"

namespace walrus::bench {

struct Case {
  const char* name;
  const char* rows;  // in the order of the report
  void (*measure)(Bench&);
};

// The exit status of the program.
int run_cases(std::span<const Case>, int count, char** words);

}  // namespace walrus::bench
