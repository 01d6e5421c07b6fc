#pragma once
// Guest: a process that is no member of a service, and asks those that are. It stays with one
// member as long as that answers, and goes on to the next address else.
//
// Lives on its loop; the transport and the loop go after it. Shared with its own coroutines.

#include <memory>
#include <string>
#include <vector>

#include "net/rpc.h"
#include "net/who_is.h"
#include "service/endpoint.h"

namespace walrus::service {

class Guest final : public Endpoint, public std::enable_shared_from_this<Guest> {
 public:
  Guest(io::Env& env, io::Loop& loop, net::Transport& transport,
        std::vector<std::string> addresses);

  // Until one of the addresses has answered. kTimeout: none did; kInvalid: no address is given, or
  // one is none.
  static io::Task<void> start(std::shared_ptr<Guest>, io::Nanos deadline);
  void stop();  // what waits answers kClosed

  // kMismatch: the addresses are of different groups.
  io::Task<wire::peer::ServiceAnswer> ask(wire::peer::ServiceRequest, io::Nanos deadline) override;

 private:
  struct Target {
    std::string address{};
    NodeId node{};  // 0: not known yet
  };
  static io::Task<void> find(std::shared_ptr<Guest>, std::size_t place, io::Nanos timeout);
  static io::Task<wire::peer::ServiceAnswer> ask_one(std::shared_ptr<Guest>,
                                                     wire::peer::ServiceRequest, std::size_t place,
                                                     io::Nanos deadline);
  void leave(std::size_t place);

  io::Env& env_;
  io::Loop& loop_;
  net::Transport& transport_;
  net::Identity self_{};
  std::vector<Target> targets_{};
  std::size_t place_ = 0;
  io::Nanos patience_;
  std::unique_ptr<net::Rpc> rpc_{};
  bool stopped_ = false;
};

}  // namespace walrus::service
