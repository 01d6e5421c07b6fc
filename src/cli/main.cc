#include <unistd.h>

#include <csignal>

#include "cli/command_line.h"

namespace {

// What a client has printed stands; what it has not committed comes again. So nothing is to be done
// but to leave the terminal's line and go. `serve` replaces this handler.
extern "C" void interrupted(int) {
  if (isatty(STDERR_FILENO) == 1) {
    [[maybe_unused]] auto written = write(STDERR_FILENO, "\n", 1);
  }
  _exit(walrus::cli::kExitInterrupted);
}

}  // namespace

int main(int count, char** words) {
  std::signal(SIGINT, interrupted);
  return walrus::cli::run_command_line(count, words);
}
