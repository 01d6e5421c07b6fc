#pragma once
// The same main for both example services:
//
//   PROGRAM serve ID DIRECTORY ID=HOST:PORT ID=HOST:PORT ...   a founder
//   PROGRAM join ID DIRECTORY HOST:PORT MEMBER ...             a node that comes later
//   PROGRAM client MEMBER ...      commands from stdin, a reply a line; "?question" changes nothing
//
// A node runs until its standard input ends. MEMBER is the HOST:PORT of any node of the group.
// Off loopback `--tls PREFIX` comes first: PREFIX.pem and PREFIX.key are this node's or client's,
// and a ca.pem of the group's lies beside them, as `walrus cert` makes them.

#include <walrus/testing.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace example {

inline int complain(const walrus::Error& error) {
  std::cerr << error.message << "\n";
  return 1;
}

inline walrus::NodeId id_of(const std::string& text) {
  return walrus::NodeId{std::strtoull(text.c_str(), nullptr, 10)};
}

inline int run_node(const walrus::ServiceOptions& options,
                    std::unique_ptr<walrus::StateMachine> machine) {
  auto service = walrus::Service::start(options, std::move(machine));
  if (!service) return complain(service.error());
  std::cout << "ready " << service->address() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
  }
  auto stopped = service->stop(walrus::within(std::chrono::seconds(5)));
  return stopped ? 0 : complain(stopped.error());
}

using Tls = std::optional<walrus::TlsFiles>;

inline int run_client(std::span<const std::string> members, const Tls& tls) {
  using std::chrono::seconds;
  auto session = walrus::Service::connect(members, tls, walrus::within(seconds(30)));
  if (!session) return complain(session.error());
  std::cout << "session " << session->id() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    auto reply = line.starts_with('?')
                     ? session->query(walrus::Bytes(line).substr(1), walrus::Read::kLinearizable,
                                      walrus::within(seconds(30)))
                     : session->propose(line, walrus::within(seconds(30)));
    std::cout << (reply ? *reply : "error: " + reply.error().message) << std::endl;
  }
  return 0;
}

inline int run(const std::string& name, std::span<const std::string> words,
               std::unique_ptr<walrus::StateMachine> machine) {
  Tls tls;
  if (words.size() > 1 && words[0] == "--tls") {
    const std::filesystem::path ca = std::filesystem::path(words[1]).replace_filename("ca.pem");
    tls = walrus::TlsFiles{ca, words[1] + ".pem", words[1] + ".key"};
    words = words.subspan(2);
  }
  const std::string verb = words.empty() ? "" : words[0];
  if (verb == "client" && words.size() > 1) return run_client(words.subspan(1), tls);
  if ((verb != "serve" && verb != "join") || words.size() < 4) {
    std::cerr << "usage: [--tls PREFIX] serve ID DIRECTORY ID=HOST:PORT... |"
                 " join ID DIRECTORY HOST:PORT MEMBER... | client MEMBER...\n";
    return 2;
  }
  const auto id = id_of(words[1]);
  if (verb == "join") {
    walrus::ServiceOptions options{.name = name, .id = id, .data_dir = words[2]};
    options.listen = words[3];
    options.join.assign(words.begin() + 4, words.end());
    options.tls = tls;
    return run_node(options, std::move(machine));
  }
  std::vector<walrus::Peer> founders;
  for (const auto& word : words.subspan(3)) {
    const auto equals = word.find('=');
    if (equals == std::string::npos) return complain({walrus::Code::kInvalid, word + ": no ID="});
    founders.push_back({id_of(word.substr(0, equals)), word.substr(equals + 1)});
  }
  for (auto& options : walrus::founders_of(name, founders, words[2])) {
    if (options.id != id) continue;
    options.tls = tls;
    return run_node(options, std::move(machine));
  }
  return complain({walrus::Code::kInvalid, "this node is not among the founders"});
}

}  // namespace example
