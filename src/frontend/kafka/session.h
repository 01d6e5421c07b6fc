#pragma once
// Session: one connection of the Kafka protocol. Lives on its connection's loop, kept alive by its
// two coroutines.
//
//   reader  reads requests; a Produce whose turn it is is encoded into the journal at once, so that
//           a pipelined burst joins one group commit; anything else waits for its turn.
//   writer  takes the requests in order: waits until a Produce is stored, executes the others,
//           and hands the responses over in large writes, and before it has to wait.
//
// One connection is one pipeline: responses leave in the order of the requests, and a request that
// waits (a long-polling Fetch) holds up those behind it. A malformed request, an unknown API and a
// version that is not served end the connection, as Kafka does, except ApiVersions.
// On a port that asks for it nothing is served before the client has proven who it is, but what it
// proves it with: a request at a time, each small, all of it within a short time.
// Memory: a request is read only once its size fits into what all sessions may hold, in the order
// in which they came to its loop; but for small ones, and one at a time that goes beyond the limit.
// A Fetch reads no more than what is left of it, but for the one batch that always goes. A response
// that its peer does not read within write_timeout ends the connection.

#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "base/metrics.h"
#include "frontend/kafka/handlers.h"
#include "io/network.h"

namespace walrus::frontend::kafka {

// Shared by all sessions.
struct SessionCounters {
  Counter& requests;
  Counter& errors;  // requests that ended their connection, and refused Produce
  Counter& received_bytes;
  Counter& sent_bytes;
};

struct SessionOptions {
  std::size_t request_bytes_max = 100 << 20;
  io::Nanos idle_timeout = std::chrono::minutes(10);
  io::Nanos body_timeout = std::chrono::minutes(1);  // between two pieces of one request
  io::Nanos write_timeout = std::chrono::minutes(1);
  NodeOptions node{};
  std::shared_ptr<broker::Coordinators> groups{};
  broker::PortSecurity security{};
  SessionCounters* counters = nullptr;
  SessionMemory* memory = nullptr;
};

// The sessions of a loop that wait for memory, the first one first: what wakes each.
using MemoryQueue = std::list<io::Gate*>;

// What the sessions of a loop share, on that loop.
struct SessionLoop {
  FetchSessions fetch_sessions;
  MemoryQueue memory_queue{};
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(broker::Local&, SessionLoop&, std::unique_ptr<io::Connection>, const SessionOptions&);
  ~Session();
  // Serves until the peer ends or breaks; then calls `ended`, on the loop. `admitted`: once, when
  // the peer has proven who it is, if it is asked and ever does.
  void start(std::function<void()> ended, std::function<void()> admitted = {});
  void cut() { connection_->close(); }
  // Takes no further request, answers those that were taken, closes.
  void stop();

 private:
  struct Slot {
    std::string frame{};  // what the views below look into
    wire::kafka::RequestFrame request{};
    const Handler* handler = nullptr;  // none: ApiVersions in a version that is not served
    std::optional<Produced> produced{};
    bool encoding = false;   // by the reader, which may wait for room in the journal
    bool token = false;      // of an authentication that began with a handshake of version 0
    bool overdraws = false;  // it is the one that goes beyond the limit of memory
    bool is_produce() const { return handler != nullptr && handler->handle == nullptr; }
  };

  static boost::asio::awaitable<void> run_reader(std::shared_ptr<Session>);
  static boost::asio::awaitable<void> run_writer(std::shared_ptr<Session>);
  io::Task<void> read_requests();
  io::Task<bool> fill(std::size_t size, io::Nanos timeout);
  io::Task<std::string> read_body(std::size_t size);
  io::Task<void> wait_for_room(std::size_t size);
  io::Task<bool> wait_for_memory(io::Gate&, std::function<bool()> admit);
  bool admit(std::int64_t size, bool& overdraws);
  void settle(bool& overdraws);
  io::Task<void> wait_for_answers();
  io::Nanos time_left(io::Nanos usual) const;
  bool valid_size(std::int32_t size) const;
  bool is_served(const wire::kafka::RequestHeader&) const;
  io::Task<void> take_request(std::string frame);
  void drop_last();
  void set_produced(Slot&, Produced);
  bool foreign_protocol(Bytes start);
  void end_coroutine();

  io::Task<void> write_responses();
  io::Task<void> produce_run();
  bool is_settled(const Produced&) const;
  io::Task<void> answer_produced();
  io::Task<void> answer_request();
  io::Task<void> answer_token();
  io::Task<void> flush();
  io::Task<void> write(const Output&);
  Call call_of(const Slot&);
  std::size_t begin_response(const Slot&);
  void pop();
  void hold(std::int64_t change);

  broker::Local& local_;
  SessionLoop& loop_;
  std::unique_ptr<io::Connection> connection_;
  const SessionOptions options_;
  std::function<void()> ended_, admitted_;
  broker::Interrupt interrupt_;
  broker::Authentication authentication_;
  replica::Arrears arrears_{};  // of producers, before a log
  Moved moved_{};
  const io::Nanos proof_deadline_;  // on the monotonic clock
  bool raw_tokens_ = false;         // what comes next is no request

  std::string buffer_;  // bytes received, not yet cut into requests
  std::size_t buffer_start_ = 0, buffer_end_ = 0;
  std::deque<Slot> slots_;
  std::size_t unproduced_ = 0;  // slots not encoded yet: a Produce behind them waits
  std::int64_t held_ = 0;       // of this session in SessionMemory
  bool overdraws_ = false;      // as Slot::overdraws, of the request that is being read
  Output out_;
  std::unique_ptr<io::Gate> room_;  // for the reader: less waits than before
  std::unique_ptr<io::Gate> work_;  // for the writer: a slot, or an end
  bool reading_ = true, broken_ = false, stopping_ = false, first_ = true, writer_idle_ = false;
  int coroutines_ = 0;
};

}  // namespace walrus::frontend::kafka
