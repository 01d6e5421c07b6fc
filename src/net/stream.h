#pragma once
// Stream: bytes both ways between two nodes, over the connection that they share, each direction
// with a window of its own: what the peer's application has not read may not exceed it, so write()
// waits for a slow reader and memory stays bounded on both sides.
//
// Lives on the loop of its Rpc, which it may outlive (everything fails then). At most one read and
// one write are in flight. Bytes arrive whole and in order; a stream that ends with an error drops
// what was received and not read.

#include <memory>
#include <string>

#include "io/network.h"
#include "net/identity.h"

namespace walrus::net {

class StreamState;  // net/stream_state.h

class Stream {
 public:
  explicit Stream(std::shared_ptr<StreamState>);
  ~Stream();  // a direction that has not ended is cancelled
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  NodeId peer() const;
  // Returns when all of it is on its way. kTimeout (the stream is cancelled then: a part may be on
  // its way); kIo: the connection broke; the peer's error if it cancelled; kClosed after end().
  io::Task<void> write(std::string bytes, io::Nanos timeout = io::Nanos::max());
  // The next bytes, as many as are there; empty: the peer has ended its side. kTimeout: nothing
  // came, the stream goes on. Other errors as of write.
  io::Task<std::string> read(io::Nanos timeout = io::Nanos::max());
  void end();          // of this side, behind what was written; the other may go on
  void cancel(Error);  // of both sides, at once; the peer gets the error

 private:
  const std::shared_ptr<StreamState> state_;
};

}  // namespace walrus::net
