#pragma once
// The inside of a Stream: shared by its handle and by the Link that carries it. On the loop only.

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "io/network.h"
#include "net/identity.h"

namespace walrus::net {

class Link;

class StreamState : public std::enable_shared_from_this<StreamState> {
 public:
  StreamState(io::Env&, io::Loop&);
  ~StreamState();

  // Used by the handle.
  static io::Task<void> write(std::shared_ptr<StreamState>, std::string bytes, io::Nanos timeout);
  static io::Task<std::string> read(std::shared_ptr<StreamState>, io::Nanos timeout);
  void end();
  void cancel(const Error&);
  void dropped();  // by who had the handle

  // Used by the Link.
  struct Key {
    bool mine = false;  // this node issued the id
    std::uint64_t id = 0;
    auto operator<=>(const Key&) const = default;
  };
  void attach(Link&, const Key&, NodeId peer, std::int64_t send_window, std::int64_t window);
  void detach() { link_ = nullptr; }
  bool has_output() const;
  bool accept_owed = false;            // of a stream that the peer opened
  std::optional<Error> cancel_owed{};  // to the peer
  // Up to `max` bytes that may be sent now, and whether the side ends behind them.
  struct Piece {
    Bytes bytes{};
    bool end = false;
  };
  Piece next_piece(std::size_t max) const;
  void sent(const Piece&);
  void granted(std::int64_t bytes);  // by the peer
  bool receive(Bytes, bool end);     // false: beyond what was granted, or behind the end
  void peer_cancelled(const Error&);
  void break_off(const Error&);     // both directions, without a word to the peer
  bool finished() const;            // nothing comes or goes any more, and nothing waits to be read
  std::int64_t take_credit_owed();  // 0: not worth a frame yet
  const Key& key() const { return key_; }
  NodeId peer() const { return peer_; }

 private:
  bool ended() const { return end_sent_ && peer_ended_; }
  void drop_received();
  void wake_link();

  io::Env& env_;
  Link* link_ = nullptr;  // null: not attached yet, or over
  Key key_{};
  NodeId peer_{};
  bool broken_ = false;  // by break_off()
  // Out. Each error is set once and for all.
  Bytes out_{};  // of the write in flight, whose coroutine owns it
  std::int64_t available_ = 0;
  bool end_owed_ = false, end_sent_ = false;
  std::optional<Error> write_error_{};
  std::unique_ptr<io::Gate> writable_;

  // In.
  std::deque<std::string> received_{};
  std::int64_t received_bytes_ = 0;
  std::int64_t window_ = 0, left_ = 0, owed_ = 0;  // window_ = left_ + received_bytes_ + owed_
  bool peer_ended_ = false;
  std::optional<Error> read_error_{};
  std::unique_ptr<io::Gate> readable_;
};

}  // namespace walrus::net
