#pragma once
// ServiceReader: a session from outside that only asks. walrus::Session blocks while it asks, and
// with it the simulated world; here a question is under way while nodes stop and start.
//
// The code is that of a Session but for the waiting. Goes before its World.

#include <memory>
#include <string>
#include <vector>

#include "io/runner.h"
#include "net/transport.h"
#include "service/channel.h"
#include "service/guest.h"

namespace walrus::sim {

class ServiceReader {
 public:
  ServiceReader(io::Env&, std::vector<std::string> addresses);
  ~ServiceReader();  // what waits answers kClosed

  // Once; answers the session's id.
  void open(io::Nanos deadline, io::Done<std::uint64_t>);
  // When it is open; several may be under way.
  void ask(std::string question, Read, io::Nanos deadline, io::Done<std::string>);

 private:
  static io::Task<std::uint64_t> open_on(ServiceReader&, io::Nanos deadline);
  static boost::asio::awaitable<void> finish(io::Task<std::uint64_t>,
                                             service::Answering<std::uint64_t>);

  io::Env& env_;
  net::TcpTransport tcp_{};
  io::Runner runner_;
  const std::shared_ptr<service::Guest> guest_;  // shared with its coroutines and the channel
  std::shared_ptr<service::Channel> channel_{};  // shared with its coroutines; none: not open
};

}  // namespace walrus::sim
