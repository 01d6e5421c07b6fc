#include "raft/survivor.h"

#include <algorithm>
#include <utility>

#include "raft/membership.h"

namespace walrus::raft {
namespace {

constexpr std::size_t kFoldedAtOnce = 256;

bool history_holds(const Durable& history, EntryId at) {
  if (at.index == history.base.index) return at.term == history.base.term;
  if (at.index < history.base.index) return false;
  const auto place = at.index - history.base.index - 1;
  return place < history.entries.size() && history.entries[place].term == at.term;
}

}  // namespace

Survivor::Survivor(log::Engine& engine, Store::Loaded loaded)
    : engine_(&engine),
      store_(std::move(loaded.store)),
      snapshot_(std::move(loaded.snapshot)),
      history_(std::move(loaded.durable)) {
  // As Core has it when it is opened.
  if (history_holds(history_, history_.snapshot.last)) return;
  cut_ = true;
  history_.base = history_.snapshot.last;
  history_.entries.clear();
}

Result<Survivor> Survivor::load(log::Engine& engine, GroupId group) {
  WALRUS_ASSIGN(auto stream, engine.find(log_stream_name(group)));
  WALRUS_ASSIGN(auto loaded, Store::load(engine, {.group = group}, stream));
  return Survivor(engine, std::move(loaded));
}

EntryId Survivor::last() const {
  if (history_.entries.empty()) return history_.base;
  return {history_.entries.back().term, index_of(history_.entries.size() - 1)};
}

Result<Membership> Survivor::members() const {
  for (auto place = history_.entries.size(); place > 0; --place) {
    const auto& entry = history_.entries[place - 1];
    if (entry.kind != EntryKind::kMembership || index_of(place - 1) <= history_.snapshot.last.index)
      continue;
    auto members = wire::peer::parse_membership(entry.payload.bytes());
    if (!members || !is_sound(*members))
      return fail(Code::kCorrupt, "entry {} is no membership", index_of(place - 1));
    return members;
  }
  return history_.snapshot.membership;
}

Result<void> Survivor::fold(Machine& machine) const {
  const auto from = history_.snapshot.last;
  if (snapshot_) {
    SnapshotReader reader(*engine_, snapshot_);
    WALRUS_TRY(machine.restore(from, reader));
    WALRUS_TRY(reader.finish());
  }
  std::vector<Command> commands;
  const auto apply = [&]() -> Result<void> {
    std::vector<std::string> replies;
    if (!commands.empty()) WALRUS_TRY(machine.apply(commands, replies));
    commands.clear();
    return {};
  };
  for (std::size_t place = 0; place < history_.entries.size(); ++place) {
    const auto& entry = history_.entries[place];
    if (entry.kind != EntryKind::kCommand || index_of(place) <= from.index) continue;
    commands.push_back({{entry.term, index_of(place)}, entry.payload.bytes()});
    if (commands.size() == kFoldedAtOnce) WALRUS_TRY(apply());
  }
  return apply();
}

Result<void> Survivor::stand_alone(const Member& self, std::span<const std::string> commands) {
  const auto term = std::max(history_.hard_state.term, last().term) + 1;
  StoreJob job;
  job.writes.hard_state = HardState{.term = term};
  if (cut_) job.writes.base = LogBase{history_.base, false};
  job.writes.first = last().index + 1;
  for (const auto& command : commands)
    job.writes.entries.push_back({EntryKind::kCommand, term, Payload::copy_of(command)});
  std::string alone;
  wire::peer::append_membership(
      alone, {.members = {{.id = self.id, .address = self.address, .voter = true}}});
  job.writes.entries.push_back({EntryKind::kMembership, term, Payload::copy_of(alone)});
  while (true) {
    WALRUS_ASSIGN(const bool done, store_->advance(job));
    if (done) break;
    const auto& block = store_->blocked_on();
    if (!block.pending) return std::unexpected(block.error);
    WALRUS_TRY(engine_->wait(*block.pending));
  }
  for (const auto& place : job.pending) WALRUS_TRY(engine_->wait(place));
  history_.hard_state = *job.writes.hard_state;
  std::ranges::move(job.writes.entries, std::back_inserter(history_.entries));
  cut_ = false;
  return {};
}

}  // namespace walrus::raft
