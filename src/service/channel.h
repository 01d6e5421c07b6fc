#pragma once
// Channel: a session at work. Sends what its Pipeline says, keeps the callers' deadlines, and knows
// what a read of the session has to see.
//
// Lives on its loop, where Channels owns it; Sessions reach it through a Gateway. Shared with its
// own coroutines.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "net/timers.h"
#include "service/endpoint.h"
#include "service/pipeline.h"

namespace walrus::service {

class Channel : public std::enable_shared_from_this<Channel> {
 public:
  Channel(io::Env&, io::Loop&, std::shared_ptr<Endpoint>, const wire::peer::SessionAnswer&,
          std::uint64_t next_sequence);

  // A new session, and one that was opened before. As Service::session() and resume().
  static io::Task<std::shared_ptr<Channel>> open(io::Env&, io::Loop&, std::shared_ptr<Endpoint>,
                                                 io::Nanos deadline);
  static io::Task<std::shared_ptr<Channel>> resume(io::Env&, io::Loop&, std::shared_ptr<Endpoint>,
                                                   SessionPlace, io::Nanos deadline);

  void propose(std::string command, io::Nanos deadline, Answering<std::string>);
  void query(std::string question, Read, io::Nanos deadline, Answering<std::string>);
  std::uint64_t session() const { return pipeline_.session(); }
  std::uint64_t next_sequence() const { return pipeline_.next_sequence(); }
  // Everything that waits answers kClosed, as does every later call.
  void close();

 private:
  struct Caller {
    Answering<std::string> answering{};
    net::Timers::Key timer{};
  };
  void pump();
  static boost::asio::awaitable<void> send(std::shared_ptr<Channel>, wire::peer::ProposeRequest);
  void take(Pipeline::Progress);
  void answer(Ticket, Result<std::string>);
  void timed_out(Ticket);
  void end(const Error&);
  static boost::asio::awaitable<void> ask(std::shared_ptr<Channel>, wire::peer::QueryRequest,
                                          io::Nanos deadline, Answering<std::string>);

  io::Env& env_;
  io::Loop& loop_;
  const std::shared_ptr<Endpoint> endpoint_;  // shared with other sessions
  const std::uint64_t command_bytes_max_;
  std::optional<net::Timers> timers_;  // none: closed; gone before the loop
  Pipeline pipeline_;
  std::map<Ticket, Caller> callers_{};  // those who have stopped waiting are gone
  std::uint64_t seen_index_;            // never falls
  Backoff backoff_{};
  bool pausing_ = false, closed_ = false;
  std::optional<Error> over_{};
};

// The channels of a loop, which goes after them.
class Channels {
 public:
  void add(const std::shared_ptr<Channel>& channel) { channels_.push_back(channel); }
  void remove(const std::shared_ptr<Channel>& channel) {
    channel->close();
    std::erase(channels_, channel);
  }
  void close() {
    for (auto channels = std::exchange(channels_, {}); const auto& channel : channels)
      channel->close();
  }

 private:
  std::vector<std::shared_ptr<Channel>> channels_{};
};

}  // namespace walrus::service
