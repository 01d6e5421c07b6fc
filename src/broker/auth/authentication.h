#pragma once
// Authentication: what one connection has proven. Lives on the connection's loop.
//
// A port asks its clients for nothing, or for SASL. Until it is done a session serves nothing else,
// one request at a time, each at most kStrangerBytesMax. An exchange that fails ends the
// connection; its answer waits for `failure_delay`, and says no more than that it failed. A client
// may prove itself again on the same connection, as the same user by the same mechanism, and must
// before its time is over, where the port limits it (KIP-368).

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log_limit.h"
#include "base/log_line.h"
#include "base/metrics.h"
#include "broker/auth/exchange.h"

namespace walrus::broker {

constexpr std::size_t kStrangerBytesMax = 8 << 10;

// What all ports of a node share.
struct AuthJournal {
  LogSink& log;
  Counter& failures;
  LogLimit limit{10, std::chrono::seconds(10)};
  LogLimit strangers{10, std::chrono::seconds(10)};  // who speaks another protocol
};

// What one port asks for.
struct PortSecurity {
  std::vector<wire::sasl::Mechanism> mechanisms{};  // empty: nobody is asked
  std::shared_ptr<Users> users{};
  std::shared_ptr<AuthJournal> journal{};
  io::Nanos proof_timeout = std::chrono::seconds(10);  // from accepting to having proven it
  io::Nanos session_lifetime{0};                       // 0: as long as the connection
  io::Nanos failure_delay = std::chrono::milliseconds(100);
};

// For the log: a peer that speaks something else than the port does.
void note_stranger(const PortSecurity&, io::Env&, Bytes peer, Bytes speaks);
// For the log: who changed whom.
void note_user_changed(const PortSecurity&, Bytes user, Bytes by, Bytes peer);

class Authentication {
 public:
  // `security` outlives this. `peer`: for the log.
  Authentication(const PortSecurity& security, io::Env& env, std::string peer);

  bool asked() const { return !security_.mechanisms.empty(); }
  bool done() const { return done_; }
  bool failed() const { return failed_; }
  const std::string& user() const { return user_; }  // empty: not asked, or not proven
  // Its time is over: nothing is served but a new proof.
  bool expired() const;
  // What is left of it; 0: as long as the connection.
  Millis lifetime() const;

  // Begins an exchange. kNotFound: this mechanism is not offered. kBusy: nobody is asked here, or
  // again so soon after the last time; nothing was changed.
  Result<void> begin(Bytes mechanism);
  bool under_way() const { return exchange_.has_value(); }
  // kInvalid: no exchange is under way, nothing was changed. kMismatch: it has failed.
  Result<std::string> step(Bytes token);
  void fail_for(Bytes why);  // and writes it down

 private:
  const PortSecurity& security_;
  io::Env& env_;
  const std::string peer_;
  std::optional<Exchange> exchange_;
  std::optional<wire::sasl::Mechanism> mechanism_;
  std::string user_;
  io::Nanos begun_{}, expires_ = io::Nanos::max();
  bool done_ = false, failed_ = false;
};

}  // namespace walrus::broker
