// Linearizable reads without a log entry: ReadIndex, thesis §6.4; leases, §6.4.1.

#include <algorithm>

#include "raft/core.h"

namespace walrus::raft {

// What is current now: all that is committed, and whatever an earlier leader committed and this one
// does not know to be, which the no-op of its term is behind.
void Core::handle(Read& event) {
  if (role_ != Role::kLeader || reads_.size() >= options_.reads_max) {
    refuse(event, role_ == Role::kLeader ? Refusal::kBusy : Refusal::kNotLeader);
    return;
  }
  auto index = std::max(commit_, noop_index_);
  if (event.lease && index == commit_ && lease_holds())
    out_->reads.push_back({.ticket = event.ticket, .index = index});
  else reads_.push_back({.ticket = event.ticket, .round = round_ + 1, .index = index});
}

std::uint64_t Core::quorum_round() const {
  return quorum_value<std::uint64_t>(membership(), [&](NodeId id) {
    if (id == options_.id) return round_;
    auto one = std::ranges::find(peers_, id, &Progress::id);
    return one == peers_.end() ? std::uint64_t{0} : one->round;
  });
}

// A majority has heard of this leader at this moment or later.
Instant Core::quorum_time() const {
  return quorum_value<Instant>(membership(), [&](NodeId id) {
    if (id == options_.id) return now_;
    auto one = std::ranges::find(peers_, id, &Progress::id);
    return one == peers_.end() ? Instant{} : one->round_sent_at;
  });
}

// A majority that heard of this leader votes for no other within the least election timeout, each
// by its own clock. With clocks off by at most d from true time, T (1 - 2d) on a slow one is over
// before T on a fast one: (1 - 2d) / (1 - d) <= 1 / (1 + d). An ordered election does not wait.
bool Core::lease_holds() const {
  if (sent_timeout_now_ || quorum_round() == 0) return false;
  auto timeout = options_.election_timeout_min;
  auto margin = timeout / 1'000'000 * (2 * options_.clock_drift_ppm_max);
  return now_ < quorum_time() + timeout - margin;
}

void Core::answer_reads() {
  if (reads_.empty()) return;
  auto round = quorum_round();
  std::size_t answered = 0;
  for (; answered < reads_.size(); ++answered) {
    const auto& read = reads_[answered];
    if (read.round > round || read.index > commit_) break;
    out_->reads.push_back({.ticket = read.ticket, .index = read.index});
  }
  reads_.erase(reads_.begin(), reads_.begin() + static_cast<std::ptrdiff_t>(answered));
}

void Core::refuse_reads(Refusal refusal) {
  for (const auto& read : reads_)
    out_->reads.push_back({.ticket = read.ticket, .refusal = refusal});
  reads_.clear();
}

}  // namespace walrus::raft
