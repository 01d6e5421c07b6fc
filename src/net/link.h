#pragma once
// Link: one established connection to one life of a peer. Two coroutines: the reader takes frames
// and never waits for anything but bytes; the writer gathers what is to be sent, urgent first.
//
// Lives on its loop, kept alive by its coroutines and by the handlers that run for it. close() may
// come at any time, also from within a callback that it makes.

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "net/message.h"
#include "net/rpc.h"
#include "net/stream_state.h"

namespace walrus::net {

constexpr std::size_t kPriorities = 2;

struct LinkTerms {
  NodeId peer{};
  Incarnation incarnation{};  // of the peer
  std::uint64_t nonce = 0;
  bool connected = false;  // by this node
  PeerLimits theirs{};
  std::string remote{};            // address, as the connection says
  std::optional<NodeId> proved{};  // as Channel has it
};

class Link : public std::enable_shared_from_this<Link> {
 public:
  Link(std::shared_ptr<RpcState>, LinkTerms, std::unique_ptr<io::Connection>, FrameSplitter);
  ~Link();

  void start(std::string first_bytes);  // which go out before anything else
  // Ends it: what was sent on it and not answered completes with `why`. With a farewell the peer is
  // told before the connection goes.
  void close(const Error& why, const Refusal* farewell = nullptr);
  bool closed() const { return closed_; }
  const LinkTerms& terms() const { return terms_; }

  // Whether the peer's process is there: it answers to a ping that is sent now. False: it does not
  // within this time, or the connection is gone.
  io::Task<bool> answers(io::Nanos within);

  void wake();                                // there may be something to send
  void give_up(std::uint64_t id);             // a call that was sent: nobody waits for it any more
  void release(Priority, std::int64_t cost);  // by Occupied
  void account(std::int64_t bytes);           // held for the application, more or less than before

 private:
  using Key = StreamState::Key;
  struct Served {  // a call or an open of the peer that runs
    std::shared_ptr<bool> over;
  };
  struct Waiting {  // a bulk request for which there is no room yet
    FrameHeader header;
    Request request;
  };
  struct Answer {
    FrameHeader header;
    std::string body;
    std::int64_t cost;
  };
  struct Window {
    std::int64_t available = 0;                 // to send
    std::int64_t size = 0, left = 0, owed = 0;  // to receive; the rest is occupied
  };

  static boost::asio::awaitable<void> run_reader(std::shared_ptr<Link>);
  static boost::asio::awaitable<void> run_writer(std::shared_ptr<Link>);
  io::Task<void> read_frames();
  io::Task<void> write_frames();
  io::Task<void> say_farewell();

  // What comes in; an error is a violation, which ends the link.
  Result<void> take(const Frame&);
  Result<void> take_request(const Frame&);
  Result<void> take_answer(const Frame&);
  Result<void> take_cancel(const Frame&);
  Result<void> take_data(const Frame&);
  Result<void> take_credit(const Frame&);
  Result<void> charge(Priority, std::size_t payload);
  void refuse_by_peer(const Frame&);

  bool has_room() const;
  void serve_waiting();
  void serve(const FrameHeader&, Request);
  void serve_stream(const FrameHeader&, Request);
  static boost::asio::awaitable<void> run_call(std::shared_ptr<Link>, FrameHeader,
                                               std::shared_ptr<const Rpc::Handler>, Request);
  static boost::asio::awaitable<void> run_stream(std::shared_ptr<Link>,
                                                 std::shared_ptr<const Rpc::StreamHandler>, Request,
                                                 std::unique_ptr<Stream>);
  void answer(const FrameHeader&, Result<std::string>);
  void forget(const Key&);

  // What goes out, into out_.
  bool gather();
  void gather_owed();
  void gather_class(Priority, std::size_t budget);
  void gather_request(std::uint64_t id, Priority);
  void gather_streams(std::size_t budget);
  void gather_stream(StreamState&, std::size_t max);
  void append(const FrameHeader&, Bytes body);

  const std::shared_ptr<RpcState> state_;
  const LinkTerms terms_;
  const std::unique_ptr<io::Connection> connection_;
  FrameSplitter splitter_;
  const std::unique_ptr<io::Gate> work_;
  bool closed_ = false, writing_ = false;
  std::string farewell_;
  std::int64_t silent_reads_ = 0;  // in a row

  std::array<Window, kPriorities> windows_;
  std::int64_t held_ = 0;         // bytes of windows occupied and of streams received
  std::set<std::uint64_t> sent_;  // own calls and opens that wait for an answer
  std::map<std::uint64_t, Served> served_;
  std::deque<Waiting> waiting_;
  std::size_t running_ = 0;  // bulk handlers of calls
  std::map<Key, std::shared_ptr<StreamState>> streams_;
  Key last_stream_{};  // that sent: the next one's turn comes
  std::size_t peer_streams_ = 0;

  std::string out_;
  std::array<std::deque<Answer>, kPriorities> answers_;
  std::int64_t answers_bytes_ = 0;  // of bulk
  std::vector<std::uint64_t> given_up_;
  bool ping_owed_ = false, pong_owed_ = false;
  std::uint64_t pong_id_ = 0;
  std::uint64_t asked_ = 1, answered_ = 0;  // ids of pings: the newest of ours, and of pongs
  std::vector<io::Gate*> asking_;           // of answers()
};

}  // namespace walrus::net
