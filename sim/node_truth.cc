#include "node_truth.h"

#include <fmt/format.h>

#include <iterator>

#include "base/coding.h"
#include "io/sim/sim_random.h"

namespace walrus::sim {

// ---- The state machine ----

std::string NodeCommand::bytes(std::size_t padding) const {
  std::string to;
  append_le(to, client);
  append_le(to, sequence);
  append_le(to, attempt);
  to.append(padding, 'x');
  return to;
}

std::optional<NodeCommand> NodeCommand::parse(Bytes bytes) {
  Decoder from(bytes);
  NodeCommand command;
  command.client = from.le<std::uint32_t>().value_or(0);
  command.sequence = from.le<std::uint32_t>().value_or(0);
  command.attempt = from.le<std::uint64_t>().value_or(0);
  if (!from.ok()) return std::nullopt;
  return command;
}

std::string NodeMachineState::apply(raft::EntryId at, const NodeCommand& command) {
  last = at;
  hash = mix64(hash ^ mix64(at.index) ^ command.attempt);
  auto& sequence = sequences[command.client];
  bool effect = command.sequence == sequence + 1;
  if (effect) ++sequence;
  return fmt::format("{} {}", command.attempt, effect ? "done" : "repeated");
}

std::string NodeMachineState::bytes(std::size_t padding) const {
  std::string to;
  append_le(to, last.term);
  append_le(to, last.index);
  append_le(to, hash);
  append_uvarint(to, sequences.size());
  for (auto [client, sequence] : sequences) {
    append_uvarint(to, client);
    append_uvarint(to, sequence);
  }
  to.append(padding, 'p');
  return to;
}

std::optional<NodeMachineState> NodeMachineState::parse(Bytes bytes) {
  Decoder from(bytes);
  NodeMachineState state;
  state.last.term = from.le<std::uint64_t>().value_or(0);
  state.last.index = from.le<std::uint64_t>().value_or(0);
  state.hash = from.le<std::uint64_t>().value_or(0);
  for (auto left = from.uvarint().value_or(0); left > 0 && from.ok(); --left) {
    auto client = static_cast<std::uint32_t>(from.uvarint().value_or(0));
    state.sequences[client] = static_cast<std::uint32_t>(from.uvarint().value_or(0));
  }
  if (!from.ok()) return std::nullopt;
  return state;
}

// ---- The rules ----

void NodeTruth::fail(std::string rule, std::string detail) {
  if (!violation_) violation_ = Violation{std::move(rule), std::move(detail)};
}

const NodeMachineState* NodeTruth::state_at(raft::Index index) const {
  auto after = places_.upper_bound(index);
  return after == places_.begin() ? nullptr : &std::prev(after)->second.state;
}

void NodeTruth::applied(NodeId node, raft::EntryId at, raft::Index before,
                        const NodeCommand& command, const NodeMachineState& state) {
  if (at.index <= before)
    fail("each once", fmt::format("node {} is given {} after {}", node.value, at.index, before));
  auto known = places_.find(at.index);
  if (known == places_.end()) {
    // The first to apply it: it must have applied all that anybody has.
    auto next = places_.upper_bound(before);
    if (next != places_.end() && next->first < at.index)
      fail("state machine safety",
           fmt::format("node {} skips {}, on its way to {}", node.value, next->first, at.index));
    if (at.index < frontier())
      fail("state machine safety",
           fmt::format("node {} applies {}, which others did not have", node.value, at.index));
    places_[at.index] = {at.term, command.attempt, state};
    if (auto why = never_.find(command.attempt); why != never_.end())
      fail("exactly once",
           fmt::format("{} was {}, and is applied at {}", command.attempt, why->second, at.index));
    applied_[command.attempt] = at.index;
    return;
  }
  const auto& place = known->second;
  auto previous = known == places_.begin() ? 0 : std::prev(known)->first;
  if (place.term != at.term || place.attempt != command.attempt || !place.state.same(state))
    fail("state machine safety",
         fmt::format("node {} applies another command at {}", node.value, at.index));
  if (previous > before) fail("each once", fmt::format("node {} skips {}", node.value, previous));
}

void NodeTruth::restored(NodeId node, raft::EntryId last, const NodeMachineState& state) {
  const auto* replayed = state_at(last.index);
  bool same = replayed ? replayed->same(state) : state.same(NodeMachineState{});
  if (!same)
    fail("snapshot = replay", fmt::format("node {}: the snapshot at {}", node.value, last.index));
}

void NodeTruth::seen(NodeId node, raft::Term term, bool leads) {
  for (auto later = leaders_.upper_bound(term); later != leaders_.end(); ++later)
    if (later->second == node)
      fail("durable term",
           fmt::format("node {} led term {} and is in {}", node.value, later->first, term));
  if (!leads) return;
  auto [leader, first] = leaders_.try_emplace(term, node);
  if (leader->second != node)
    fail("election safety",
         fmt::format("term {}: nodes {} and {}", term, leader->second.value, node.value));
}

void NodeTruth::acknowledged(const NodeCommand& command, const raft::Proposal& proposal) {
  known_ = std::max(known_, proposal.at.index);
  auto place = applied_.find(command.attempt);
  bool there = place != applied_.end() && place->second == proposal.at.index &&
               places_.at(place->second).term == proposal.at.term;
  if (!there)
    fail("exactly once", fmt::format("{} was acknowledged at {}, where it is not", command.attempt,
                                     proposal.at.index));
  auto took = state_at(proposal.at.index);
  auto sequence = took ? took->sequences.find(command.client) : decltype(took->sequences.end()){};
  if (there && sequence->second < command.sequence)
    fail("exactly once", fmt::format("{} had no effect", command.attempt));
  if (!proposal.reply.starts_with(fmt::format("{} ", command.attempt)))
    fail("exactly once", fmt::format("{} was given another's reply", command.attempt));
}

void NodeTruth::never(const NodeCommand& command, const char* why) {
  never_[command.attempt] = why;
  if (auto place = applied_.find(command.attempt); place != applied_.end())
    fail("exactly once",
         fmt::format("{} is {}, and was applied at {}", command.attempt, why, place->second));
}

void NodeTruth::read(raft::Index at_invocation, raft::Index served) {
  known_ = std::max(known_, served);
  if (served < at_invocation)
    fail("never stale", fmt::format("served at {}, {} was known before", served, at_invocation));
}

}  // namespace walrus::sim
