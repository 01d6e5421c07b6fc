#include <csignal>
#include <cstdlib>

#include "cli/command_line.h"

namespace {

// What a client has printed stands; what it has not committed comes again. So nothing is to be done
// but to go. `serve` replaces this handler.
extern "C" void interrupted(int) { std::_Exit(walrus::cli::kExitInterrupted); }

}  // namespace

int main(int count, char** words) {
  std::signal(SIGINT, interrupted);
  return walrus::cli::run_command_line(count, words);
}
