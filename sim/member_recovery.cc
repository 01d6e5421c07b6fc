// A majority of the voters is lost for ever in the member world, and one node that survives goes on
// with what it has.

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "member_run.h"
#include "raft/membership.h"

namespace walrus::sim {

using namespace std::chrono_literals;

// What its directory has; its process is down. kNotFound: nothing of the metadata.
Result<meta::Survey> MemberRun::survey_of(Process& process) {
  auto& simulated = world_->node(static_cast<int>(process.place));
  auto& env = simulated.restart();
  WALRUS_ASSIGN(const auto engine, log::Engine::open(env, engine_options_));
  return meta::survey(*engine);
}

bool MemberRun::knows_all(const meta::State& state) const {
  return std::ranges::all_of(truth_.floors(), [&state](const auto& floor) {
    const auto found = state.cluster.settings.find(MemberTruth::key_of(floor.first));
    return found != state.cluster.settings.end() && std::stoull(found->second) >= floor.second;
  });
}

// Everything is down. Of all directories the one with the newest log survives; what it has is then
// at least what was acknowledged. Of the other voters so many are wiped that the rest is no
// majority; those who are not were left out, and come back.
void MemberRun::lose_majority() {
  for (const auto& process : processes_)
    if (!process.removed && (process.lost || !process.up)) return;
  const auto at = leader();
  if (at == SIZE_MAX || !among_voters(processes_[at])) return;
  for (auto& process : processes_)
    if (!process.removed) end(process, draw_ms(1, 1'500));
  Process* survivor = nullptr;
  meta::Survey best;
  for (auto& process : processes_) {
    if (process.removed) continue;
    auto found = survey_of(process);
    if (!found && found.error().code != Code::kNotFound) return;  // a disk that is full
    if (!found) continue;
    const auto age = [](const meta::Survey& one) {
      return std::tuple(one.last.term, one.last.index);
    };
    if (survivor != nullptr && age(*found) <= age(best)) continue;
    survivor = &process;
    best = *std::move(found);
  }
  if (survivor == nullptr || best.members.joint || best.state->cluster.id.is_zero()) return;
  const auto* self = best.state->find_node(NodeId{survivor->place + 1});
  if (self == nullptr || self->state == meta::NodeState::kRemoved) return;
  if (!knows_all(*best.state))
    return flag("the newest log has what was acknowledged",
                fmt::format("that of node {} has not", survivor->place + 1));
  const auto voters = std::ranges::count_if(best.members.members,
                                            [](const raft::Member& one) { return one.voter; });
  if (voters < 3) return;
  recovered_ = true;
  auto kept = draw(static_cast<std::uint64_t>(voters) / 2 + 1);
  for (auto& process : processes_) {
    if (process.removed || &process == survivor) continue;
    const auto* voter = raft::find_member(best.members, NodeId{process.place + 1});
    if ((voter == nullptr || !voter->voter) && draw(2) == 0) continue;
    if (voter != nullptr && voter->voter && kept > 0) {
      --kept;
      continue;
    }
    remove_files(process.place, "/data");
    process.lost = true;
    process.copy = {};
    process.copy_life = 0;
  }
  if (!recover(*survivor)) return flag("the metadata is recovered", "it was not");
  ++tally_.hits["recovered"];
  say(fmt::format("node {} recovers the metadata", survivor->place + 1));
}

// With crashes in between: done again it does the rest.
bool MemberRun::recover(Process& process) {
  auto& simulated = world_->node(static_cast<int>(process.place));
  simulated.disk().options() = {};
  for (int attempt = 0; attempt < 3; ++attempt) {
    auto& env = simulated.restart();
    if (attempt < 2 && draw(2) == 0)
      simulated.crash_after_ops(1 + draw(40),
                                draw(2) == 0 ? io::CrashKind::kKill : io::CrashKind::kPowerCut);
    auto engine = log::Engine::open(env, engine_options_);
    const auto done = engine ? meta::recover_metadata(env, **engine)
                             : Result<meta::Survey>(std::unexpected(engine.error()));
    const bool crashed = simulated.crashed();
    simulated.crash_after_ops(0, io::CrashKind::kKill);
    if (done && !crashed) {
      engine->reset();
      simulated.crash(io::CrashKind::kKill);
      return done->recovered;
    }
    if (!crashed) say(fmt::format("no recovery: {}", done.error().message));
    if (!crashed) simulated.crash(io::CrashKind::kKill);
  }
  return false;
}

}  // namespace walrus::sim
