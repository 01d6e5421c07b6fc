// Clients of the node world: each has one operation under way, a command that is tried until it is
// acknowledged, or a read.

#include <fmt/format.h>

#include "node_run.h"

namespace walrus::sim {

using namespace std::chrono_literals;

void NodeRun::again(std::size_t client, io::Nanos after) {
  auto attempt = clients_[client].attempt = ++attempts_;
  world_->at(world_->now() + after, [this, client, attempt] { turn(client, attempt); });
}

void NodeRun::turn(std::size_t client, std::uint64_t attempt) {
  auto& one = clients_[client];
  if (violation_ || one.attempt != attempt) return;
  if (one.idle) {
    one.idle = false;
    one.reading = draw(4) == 0;
  }
  auto* at = node(one.target, one.group);
  // A read that is not answered has no effect: the next one may go to anybody.
  if (!at || draw(8) == 0 || (one.reading && draw(3) == 0)) {
    one.target = draw(processes_.size());
    at = node(one.target, one.group);
  }
  if (!at) return again(client, 10ms);
  // Whatever happens to the process, the client goes on after a while.
  // At the end one node of six may be all that is left of the group: it has to be found in time.
  auto patience = healed_ ? draw_ms(50, 300) : draw_ms(200, 1'500);
  world_->at(world_->now() + patience + 50ms, [this, client, attempt] {
    if (clients_[client].attempt == attempt) again(client, 1ms);
  });
  if (one.reading) {
    auto status = at->status();
    auto level = draw(2) == 0 ? raft::ReadLevel::kLease : raft::ReadLevel::kLinearizable;
    if (level == raft::ReadLevel::kLease) ++tally_.hits["read-lease"];
    if (status.core.role != raft::Role::kLeader) ++tally_.hits["read-on-follower"];
    auto floor = groups_[one.group].truth.known();
    at->read(level, patience, [this, client, attempt, floor](const Result<raft::Index>& index) {
      was_read(client, attempt, floor, index);
    });
    return;
  }
  NodeCommand command{one.number, one.sequence + 1, attempt};
  at->propose(command.bytes(draw(120)), patience,
              [this, client, command](const raft::Proposal& proposal) {
                proposed(client, command, proposal);
              });
}

void NodeRun::proposed(std::size_t client, const NodeCommand& command,
                       const raft::Proposal& proposal) {
  using End = raft::Proposal::End;
  auto& one = clients_[client];
  auto& truth = groups_[one.group].truth;
  if (proposal.end == End::kLost || proposal.end == End::kRefused)
    truth.never(command, end_name(proposal.end));
  if (proposal.end == End::kLost) ++tally_.hits["proposal-lost"];
  if (proposal.end == End::kUnknown) ++tally_.hits["proposal-unknown"];
  if (proposal.end == End::kRefused) ++tally_.hits["proposal-refused"];
  if (proposal.end == End::kApplied) truth.acknowledged(command, proposal);
  if (one.attempt != command.attempt) return;  // it has given up waiting
  if (proposal.leader != NodeId{}) one.target = static_cast<std::size_t>(proposal.leader.value - 1);
  if (proposal.end != End::kApplied) {
    ++tally_.refused;
    return again(client, draw_ms(1, 30));
  }
  ++tally_.operations;
  ++tally_.acknowledged;
  ++one.sequence;
  ++one.done;
  one.idle = true;
  again(client, draw_ms(0, 60));
}

void NodeRun::was_read(std::size_t client, std::uint64_t attempt, raft::Index floor,
                       const Result<raft::Index>& index) {
  auto& one = clients_[client];
  if (index) groups_[one.group].truth.read(floor, *index);
  if (one.attempt != attempt) return;  // it has given up waiting
  if (!index) {
    one.target = draw(processes_.size());
    return again(client, draw_ms(1, 30));
  }
  ++tally_.operations;
  ++tally_.reads;
  ++one.done;
  one.idle = true;
  again(client, draw_ms(0, 60));
}

}  // namespace walrus::sim
