#pragma once
// Progress: what a leader knows of one peer (thesis §3.5, §10.2.1). Owned by a Core.

#include <cstddef>
#include <vector>

#include "raft/event.h"

namespace walrus::raft {

// Appends sent and not answered: their last indexes and bytes, oldest first.
class InFlight {
 public:
  std::uint64_t bytes() const { return bytes_; }
  std::size_t messages() const { return sent_.size() - head_; }
  void add(Index last, std::uint64_t bytes) {
    sent_.push_back({last, bytes});
    bytes_ += bytes;
  }
  void free_to(Index match) {
    while (head_ < sent_.size() && sent_[head_].last <= match) bytes_ -= sent_[head_++].bytes;
    if (head_ < sent_.size() / 2) return;
    sent_.erase(sent_.begin(), sent_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
  void clear() {
    sent_.clear();
    head_ = 0;
    bytes_ = 0;
  }

 private:
  struct Sent {
    Index last;
    std::uint64_t bytes;
  };
  std::vector<Sent> sent_{};
  std::size_t head_ = 0;
  std::uint64_t bytes_ = 0;
};

struct Progress {
  enum class State : std::uint8_t {
    kProbe,      // where the logs agree is not known: one empty append a heartbeat
    kReplicate,  // appends follow each other without waiting for answers
    kSnapshot,   // what it needs is not in the log any more
  };
  struct Sending {
    SnapshotMeta meta{};
    bool started = false;         // it has said where to go on
    std::uint64_t acked = 0;      // bytes it has
    std::uint64_t requested = 0;  // bytes asked of the disk or sent
    std::uint64_t resumed_from = 0;
    Instant resumed_at{}, heard_at{};
  };

  NodeId id{};
  State state = State::kProbe;
  Index match = 0;               // it has our log up to here on its disk; never falls in a term
  Index next = 1;                // the next entry to send; above match
  std::uint64_t round = 0;       // the newest round that it has answered
  Instant round_sent_at{};       // when that round began
  std::uint64_t told_round = 0;  // the newest round that it was sent
  InFlight in_flight{};
  Sending sending{};  // kSnapshot
};

}  // namespace walrus::raft
