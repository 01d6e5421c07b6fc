#pragma once
// `walrus serve`: flags, configuration and the life of the process.
//
// The command line registers the verb, parses, and calls run():
//   server::ServeCommand serve;
//   auto* verb = serve.add_to(app);          // CLI::App: adds the subcommand with its flags
//   CLI11_PARSE(...); if (verb->parsed()) return serve.run();
// serve_main() does all of it for a program of its own (tests, packaging).
//
// Exit status: 0 after SIGTERM or SIGINT, or after --check-config, --print-config; 1 with one line
// `walrus: <what>: <why>` on stderr; 2 usage; 70 after a failed fsync or a SIGBUS in the journal.

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace walrus::server {

class ServeCommand {
 public:
  ServeCommand();
  ~ServeCommand();
  CLI::App* add_to(CLI::App& parent);  // the flags write into this object: it must outlive parsing
  int run();  // reads file and environment, starts, prints the ready line, serves until a signal

 private:
  struct Flags;
  std::unique_ptr<Flags> flags_;
};

// argv without the program's name and without the word "serve".
int serve_main(const std::vector<std::string>& arguments);

}  // namespace walrus::server
