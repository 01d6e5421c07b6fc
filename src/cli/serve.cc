#include "server/serve.h"

#include <CLI/CLI.hpp>

#include "cli/command_line.h"
#include "cli/output.h"

namespace walrus::cli {

void add_serve(CommandLine& line) {
  auto serve = std::make_shared<server::ServeCommand>();  // owns its flags
  auto* verb = serve->add_to(line.root().parser());
  verb->callback([&line, serve] {
    line.select([serve](const Globals& globals) -> Result<int> {
      return serve->run([&globals](const Error& error) { report(globals, error); });
    });
  });
}

}  // namespace walrus::cli
