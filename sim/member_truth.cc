#include "member_truth.h"

#include <fmt/format.h>

#include <algorithm>

#include "meta/invariants.h"
#include "meta/snapshot.h"

namespace walrus::sim {

void MemberTruth::flag(const std::string& rule, std::string detail) {
  if (!violation_) violation_ = Violation{rule, std::move(detail)};
}

void MemberTruth::proposed(std::size_t client, std::uint64_t number) {
  proposed_[client][number] = true;
}

void MemberTruth::acknowledged(std::size_t client, std::uint64_t number) {
  auto& floor = acknowledged_[client];
  floor = std::max(floor, number);
}

void MemberTruth::never(std::size_t client, std::uint64_t number) {
  proposed_[client][number] = false;
  check_values(newest_);
}

void MemberTruth::check_values(const meta::State& state) {
  for (const auto& [client, numbers] : proposed_) {
    const auto found = state.cluster.settings.find(key_of(client));
    if (found == state.cluster.settings.end()) continue;
    const auto number = std::stoull(found->second);
    const auto made = numbers.find(number);
    if (made == numbers.end() || !made->second)
      flag("certain",
           fmt::format("client {} has {}, which was refused or not proposed", client, number));
  }
}

void MemberTruth::read(const meta::State& state, const Floors& floors) {
  for (const auto& [client, floor] : floors) {
    const auto found = state.cluster.settings.find(key_of(client));
    const auto number = found == state.cluster.settings.end() ? 0 : std::stoull(found->second);
    if (number < floor)
      flag("acknowledged",
           fmt::format("client {} reads {}, {} was acknowledged before", client, number, floor));
  }
}

void MemberTruth::image(NodeId node, std::uint64_t incarnation, const meta::State& state,
                        std::int64_t now) {
  auto& last = seen_[{node, incarnation}];
  if (state.version.value < last)
    flag("forward",
         fmt::format("node {} goes from version {} to {}", node.value, last, state.version.value));
  last = state.version.value;
  auto same = state;
  same.time = {};  // a command of refusals changes nothing but that
  const std::uint64_t mark = meta::fingerprint(same);
  const auto [known, added] = fingerprints_.try_emplace(state.version.value, mark);
  if (known->second != mark)
    flag("one history", fmt::format("version {} of node {} is another than elsewhere",
                                    state.version.value, node.value));
  if (const auto* self = state.find_node(node))
    own_[{node, incarnation}].push_back({now, self->incarnation, self->lease_epoch});
  if (!added || state.version <= newest_.version) return;
  if (auto rule = meta::broken_rule(state); !rule.empty()) flag("rules of metadata", rule);
  if (auto rule = meta::broken_step(newest_, state); !rule.empty()) flag("rules of metadata", rule);
  newest_ = state;
  check_values(state);
  state.nodes.each([&](NodeId id, const meta::Node& of) {
    auto& since = known_[id];
    if (since.empty() || since.back().incarnation != of.incarnation ||
        since.back().lease_epoch != of.lease_epoch)
      since.push_back({now, of.incarnation, of.lease_epoch});
  });
}

void MemberTruth::lease(NodeId node, std::uint64_t incarnation, std::int64_t asked_at) {
  const auto as_of = [asked_at](const std::vector<Since>& all) {
    Since found{};
    for (const auto& one : all)
      if (one.at <= asked_at) found = one;
    return found;
  };
  const auto everywhere = as_of(known_[node]);
  const auto own = as_of(own_[{node, incarnation}]);
  if (incarnation < everywhere.incarnation)
    flag("lease", fmt::format("an earlier life of node {} has one", node.value));
  if (own.lease_epoch < everywhere.lease_epoch)
    flag("lease", fmt::format("node {} has one of lease epoch {}, {} was known before", node.value,
                              own.lease_epoch, everywhere.lease_epoch));
}

void MemberTruth::registered(const meta::Node& before, const meta::Node& now, bool lost) {
  if (now.incarnation <= before.incarnation) flag("lives", "a life is not above the one before");
  const bool raised = now.intact_from > before.intact_from;
  if (raised != lost)
    flag("lives", lost ? "an old or empty directory is taken for intact"
                       : "an intact directory is taken for lost");
}

void MemberTruth::voters(std::size_t count) {
  if (count != 1 && count != 3 && count != 5)
    flag("who votes", fmt::format("{} nodes vote", count));
}

}  // namespace walrus::sim
