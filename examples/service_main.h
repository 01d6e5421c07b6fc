#pragma once
// The same main for both example services:
//
//   PROGRAM serve ID DIRECTORY ID=HOST:PORT ID=HOST:PORT ...   a founder
//   PROGRAM join ID DIRECTORY HOST:PORT MEMBER ...             a node that comes later
//   PROGRAM client MEMBER ...      commands from stdin, a reply a line; "?question" changes nothing
//
// A node runs until its standard input ends, and says on standard error what an operator should
// know. MEMBER is the HOST:PORT of any node of the group. Options come first:
//
//   --tls PREFIX             off loopback: PREFIX.pem and PREFIX.key are this node's or client's,
//   and
//                            a ca.pem of the group's lies beside them, as `walrus cert` makes them
//   --snapshot-after BYTES   of commands; 67108864 if it is not said

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

using Tls = std::optional<walrus::TlsFiles>;

struct Flags {
  Tls tls{};
  std::int64_t snapshot_after_bytes = walrus::ServiceOptions().snapshot_after_bytes;
};

// Takes them from the front of the words.
inline Flags take_flags(std::span<const std::string>& words) {
  Flags flags;
  for (; words.size() > 1; words = words.subspan(2)) {
    if (words[0] == "--tls") {
      const auto ca = std::filesystem::path(words[1]).replace_filename("ca.pem");
      flags.tls = walrus::TlsFiles{ca, words[1] + ".pem", words[1] + ".key"};
    } else if (words[0] == "--snapshot-after") {
      flags.snapshot_after_bytes = std::strtoll(words[1].c_str(), nullptr, 10);
    } else {
      break;
    }
  }
  return flags;
}

inline int run_node(walrus::ServiceOptions options, const Flags& flags,
                    std::unique_ptr<walrus::StateMachine> machine) {
  options.tls = flags.tls;
  options.snapshot_after_bytes = flags.snapshot_after_bytes;
  options.log = [](walrus::Bytes line) { std::cerr << std::string(line) + "\n"; };
  auto service = walrus::Service::start(options, std::move(machine));
  if (!service) return complain(service.error());
  std::cout << "ready " << service->address() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
  }
  auto stopped = service->stop(walrus::within(std::chrono::seconds(5)));
  return stopped ? 0 : complain(stopped.error());
}

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
  const Flags flags = take_flags(words);
  const std::string verb = words.empty() ? "" : words[0];
  if (verb == "client" && words.size() > 1) return run_client(words.subspan(1), flags.tls);
  if ((verb != "serve" && verb != "join") || words.size() < 4) {
    std::cerr
        << "usage: [--tls PREFIX] [--snapshot-after BYTES] serve ID DIRECTORY ID=HOST:PORT... |"
           " join ID DIRECTORY HOST:PORT MEMBER... | client MEMBER...\n";
    return 2;
  }
  const auto id = id_of(words[1]);
  if (verb == "join") {
    walrus::ServiceOptions options{.name = name, .id = id, .data_dir = words[2]};
    options.listen = words[3];
    options.join.assign(words.begin() + 4, words.end());
    return run_node(options, flags, std::move(machine));
  }
  std::vector<walrus::Peer> founders;
  for (const auto& word : words.subspan(3)) {
    const auto equals = word.find('=');
    if (equals == std::string::npos) return complain({walrus::Code::kInvalid, word + ": no ID="});
    founders.push_back({id_of(word.substr(0, equals)), word.substr(equals + 1)});
  }
  for (auto& options : walrus::founders_of(name, founders, words[2])) {
    if (options.id == id) return run_node(options, flags, std::move(machine));
  }
  return complain({walrus::Code::kInvalid, "this node is not among the founders"});
}

}  // namespace example
