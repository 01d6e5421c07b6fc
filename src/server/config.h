#pragma once
// Config: the values of the option table from, in rising precedence, defaults, the TOML file, the
// environment and the command line. Pure: takes text, gives values or the first error with its
// place ("walrus.toml:3: native.frame_bytes_max = 5: ...").

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "server/option.h"

namespace walrus::server {

struct ConfigInput {
  std::string file_name{};  // for messages
  std::string file_text{};  // TOML; empty = no file
  std::map<std::string, std::string> environment{};
  struct Flag {
    std::string flag{};  // "--listen", "--set"
    std::string key{}, value{};
  };
  std::vector<Flag> flags{};  // later ones win
};

// What a port asks of its clients.
struct PortProtocol {
  bool tls = false, sasl = false;
};

class Config {
 public:
  static Result<Config> load(const ConfigInput&);

  const std::string& string(Bytes key) const;
  std::int64_t integer(Bytes key) const;
  bool boolean(Bytes key) const;
  std::vector<std::string> list(Bytes key) const;
  PortProtocol protocol(Bytes table) const;  // of "native", "kafka" or "peer"
  bool quiet() const { return quiet_; }      // WALRUS_QUIET is set: only errors are logged

  // All values as TOML, each with where it came from.
  std::string print() const;
  // Relations between values; load() has called it.
  Result<void> check() const;

 private:
  struct Value {
    std::string text;    // in the form of Option::fallback
    std::string origin;  // "default", "walrus.toml:3", "WALRUS_NODE_ID", "--listen"
  };
  Config();
  Result<void> set(const Option&, std::string text, std::string origin);
  Result<void> check_security() const;
  Result<void> check_port(Bytes table) const;
  Result<void> check_peer_port() const;
  Result<void> load_file(const ConfigInput&);
  Result<void> load_environment(const std::map<std::string, std::string>&);

  std::map<std::string, Value, std::less<>> values_;
  bool quiet_ = false;
};

std::string environment_name(const Option&);  // WALRUS_NATIVE_LISTEN
std::string configuration_markdown();         // docs/configuration.md

}  // namespace walrus::server
