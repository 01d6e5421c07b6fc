#include "server/serve.h"

#include <CLI/CLI.hpp>

#include "cli/command_line.h"

namespace walrus::cli {

void add_serve(CommandLine& line) {
  auto serve = std::make_shared<server::ServeCommand>();  // owns its flags and prints its errors
  auto* verb = serve->add_to(line.root());
  verb->callback([&line, serve] {
    line.select([serve](const Globals&) -> Result<int> { return serve->run(); });
  });
}

}  // namespace walrus::cli
