#pragma once
// Acceptor: one listening port that serves several loops, with limits on connections in all and per
// address. Lives on the loop that listens; hands each connection to a loop in turn.
//
// A connection above a limit is accepted, told why by `refuse`, and closed. EMFILE pauses accepting
// and ends nothing. Guests end by release(), from any loop.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/network.h"

namespace walrus::net {

struct AcceptorOptions {
  std::string listen{};
  std::size_t connections_max = 10'000;
  std::size_t connections_per_address_max = 10'000;
  io::Nanos refusal_timeout = std::chrono::seconds(1);
  std::size_t refusals_max = 64;  // being told at once; beyond it they are just closed
};

class Acceptor {
 public:
  // `serve` is called on the loop that owns the connection, which is loops[number].
  using Serve = std::function<void(std::size_t number, std::unique_ptr<io::Connection>)>;

  // Binds; `loops[0]` is the one that listens. kExists: the port is in use.
  static Result<std::unique_ptr<Acceptor>> listen(std::vector<io::Loop*> loops,
                                                  const AcceptorOptions&);
  // The same over a listener that is bound already, on loops[0].
  static std::unique_ptr<Acceptor> over(std::vector<io::Loop*> loops, const AcceptorOptions&,
                                        std::unique_ptr<io::Listener>);
  ~Acceptor();

  const std::string& address() const { return address_; }  // with the port really bound
  void start(Serve, std::string refusal);  // refusal: the bytes that a refused connection gets
  // From any loop: the connection from this peer has ended.
  void release(std::string peer);
  // On the listening loop: no further connections. Then wait until all have ended.
  void close();
  io::Task<void> drained(io::Nanos timeout);

  std::size_t connections() const { return connections_; }  // on the listening loop
  std::uint64_t refused() const { return refused_; }

 private:
  Acceptor(std::vector<io::Loop*>, const AcceptorOptions&, std::unique_ptr<io::Listener>);
  struct Alive;
  static boost::asio::awaitable<void> accept_all(std::shared_ptr<Alive>);
  static boost::asio::awaitable<void> refuse(std::shared_ptr<Alive>, io::Loop&,
                                             std::unique_ptr<io::Connection>, std::string bytes,
                                             io::Nanos timeout);
  io::Task<bool> accept_one();
  bool admit(const std::string& peer);
  void release_here(const std::string& host);

  const std::vector<io::Loop*> loops_;
  const AcceptorOptions options_;
  std::unique_ptr<io::Listener> listener_;
  std::string address_, refusal_;
  Serve serve_;
  std::shared_ptr<Alive> alive_;  // outlives this for what is still posted
  std::size_t turn_ = 0, connections_ = 0, refusing_ = 0;
  std::uint64_t refused_ = 0;
  std::map<std::string, std::size_t> per_host_;
  std::move_only_function<void(Result<void>)> when_drained_;
};

}  // namespace walrus::net
