#pragma once
// Pipeline: the commands of one session that have no answer yet, in order, and which of them to
// send next. Commands are sent in batches, a few under way at once; what comes back unanswered is
// sent again from the first one on, because the session table takes no command before its
// predecessor. A command that was ever sent stays until its outcome is known: what follows it could
// not be applied without it.
//
// Pure: no I/O, no clock. Owner: a Channel, on its loop.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "wire/peer/service_message.h"

namespace walrus::service {

using Ticket = std::uint64_t;  // names a command to whoever proposed it; its sequence may change

struct PipelineLimits {
  std::size_t commands_max = 1'024, bytes_max = 16 << 20;             // without an answer
  std::size_t batch_bytes_max = 256 << 10, batch_commands_max = 512;  // one command always fits
  std::size_t batches_max = 4;                                        // under way at once
};

class Pipeline {
 public:
  Pipeline(std::uint64_t session, std::uint64_t next_sequence, PipelineLimits limits = {})
      : session_(session), first_(next_sequence), limits_(limits) {}

  std::uint64_t session() const { return session_; }
  std::uint64_t next_sequence() const { return first_ + commands_.size(); }
  std::size_t size() const { return commands_.size(); }

  // kBusy: above the limits.
  Result<Ticket> add(std::string command);
  // Takes back a command that was never sent. False: it was, or has its answer.
  bool withdraw(Ticket);

  // What is to be sent now; none: nothing, or enough is under way.
  std::optional<wire::peer::ProposeRequest> next();

  struct Answered {
    Ticket ticket = 0;
    wire::peer::CommandOutcome outcome{};
  };
  struct Progress {
    std::vector<Answered> answered{};
    bool again = false;           // something is to be sent again: wait a little before next()
    std::optional<Error> over{};  // the session is; so are all its commands
  };
  // Which commands a request held.
  struct Sent {
    std::uint64_t answered = 0, first = 0;
    std::size_t count = 0;
    explicit Sent(const wire::peer::ProposeRequest& request)
        : answered(request.answered), first(request.first), count(request.commands.size()) {}
  };
  // What came of a request that next() gave: each of them is told once.
  Progress take(const Sent&, Result<wire::peer::ServiceAnswer>);

 private:
  enum class State : std::uint8_t { kWaiting, kSent, kAnswered };
  struct Command {
    Ticket ticket = 0;
    std::string bytes{};
    State state = State::kWaiting;
    bool ever_sent = false;
  };
  Command* at(std::uint64_t sequence);
  void take_outcome(const Sent&, std::size_t place, wire::peer::CommandOutcome&&, Progress&);
  void send_again(std::uint64_t sequence, Progress&);

  const std::uint64_t session_;
  std::uint64_t first_;  // sequence of the first command; all below have their answers
  const PipelineLimits limits_;
  std::deque<Command> commands_{};  // those that were ever sent come first
  std::size_t bytes_ = 0, under_way_ = 0;
  Ticket last_ticket_ = 0;
};

}  // namespace walrus::service
