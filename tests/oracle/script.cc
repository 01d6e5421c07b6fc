#include "script.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <tuple>

namespace walrus::oracle {
namespace {

using Command = Group::Command;

constexpr int kBeatsOfRest = 5;  // a lost snapshot is offered again after three
constexpr int kRoundsMax = 2000;

std::string text(const State& state) {
  return fmt::format("term {} vote {} leader {} {} commit {} applied {}/{:x} behind {}: {}",
                     state.term, state.vote, state.leader, state.role, state.commit, state.applied,
                     state.applied_crc, state.base, fmt::join(state.entries, " "));
}

std::uint64_t last_index(const State& state) { return state.base + state.entries.size(); }

// What both logs hold, as far as neither is compacted or longer, is the same.
bool agree(const State& a, const State& b) {
  auto end = std::min(last_index(a), last_index(b));
  for (auto index = std::max(a.base, b.base) + 1; index <= end; ++index)
    if (a.entries[static_cast<std::size_t>(index - a.base - 1)] !=
        b.entries[static_cast<std::size_t>(index - b.base - 1)])
      return false;
  return true;
}

}  // namespace

Script::Script(std::uint64_t seed, Group& ours, Group& theirs, int nodes, Tally& tally,
               bool narrate)
    : random_(seed),
      ours_(ours),
      theirs_(theirs),
      nodes_(nodes),
      tally_(tally),
      narrate_(narrate),
      up_(static_cast<std::size_t>(nodes) + 1, 1),
      side_(static_cast<std::size_t>(nodes) + 1),
      before_(static_cast<std::size_t>(nodes) + 1) {}

std::optional<std::string> Script::run(int steps) {
  for (int step = 1; step <= steps && !difference_; ++step) {
    ++tally_.steps;
    draw_partition();
    rest();
    compare(true);
    if (difference_) break;
    act();
    if (!difference_) compare(false);
  }
  return difference_;
}

void Script::note(std::string line) {
  if (narrate_) std::printf("%s\n", line.c_str());
  last_action_ = std::move(line);
}

void Script::each(const std::function<void(Group&)>& what) {
  what(ours_);
  what(theirs_);
}

std::vector<int> Script::up_nodes() const {
  std::vector<int> found;
  for (int node = 1; node <= nodes_; ++node)
    if (up_[static_cast<std::size_t>(node)]) found.push_back(node);
  return found;
}

int Script::leader_of(int node) {
  int best = 0;
  std::uint64_t term = 0;
  for (int other : up_nodes()) {
    if (!hear(node, other)) continue;
    auto state = theirs_.state(other);
    if (state.leads() && (best == 0 || state.term > term)) {
      best = other;
      term = state.term;
    }
  }
  return best;
}

// ---- What happens ----

void Script::draw_partition() {
  for (int node = 1; node <= nodes_; ++node) {
    auto place = static_cast<std::size_t>(node);
    bool was_up = up_[place];
    bool is_up = random_.chance(was_up ? 0.94 : 0.5);
    if (was_up == is_up) continue;
    up_[place] = is_up;
    tally_.restarts += is_up;
    each([&](Group& group) { group.command(is_up ? Command::kStart : Command::kStop, node); });
  }
  std::ranges::fill(side_, 0);
  auto up = up_nodes();
  auto draw = random_.below(8);
  if (draw < 2 && !up.empty()) {
    auto leader = leader_of(any(up));
    side_[static_cast<std::size_t>(leader != 0 && random_.chance(0.7) ? leader : any(up))] = 1;
  } else if (draw < 4) {
    for (auto& side : side_) side = static_cast<int>(random_.below(2));
  }
  note(fmt::format("sides {} up {}", fmt::join(side_.begin() + 1, side_.end(), ""),
                   fmt::join(up, " ")));
  deliver();  // what a start had to say
}

void Script::rest() {
  for (int beat = 0; beat < kBeatsOfRest && !difference_; ++beat) deliver();
}

void Script::act() {
  auto up = up_nodes();
  if (up.empty()) return;
  int node = any(up);
  int leader = leader_of(node);
  auto draw = random_.below(100);
  if (draw < 40) return propose(leader != 0 && random_.chance(0.9) ? leader : node);
  if (draw < 75) return campaign(node);
  if (leader == 0) return;
  if (draw < 83) {
    note(fmt::format("compact {}", node));
    ++tally_.compactions;
    return each([&](Group& group) { group.command(Command::kCompact, node); });
  }
  if (draw < 92) return transfer(leader);
  step_down(leader);
}

void Script::campaign(int node) {
  for (int other : up_nodes()) each([&](Group& group) { group.command(Command::kForget, other); });
  auto term = theirs_.state(node).term + 1;
  // Votes that do not arrive, in one direction; a leader whose own entries do not.
  std::vector<char> deaf(static_cast<std::size_t>((nodes_ + 1) * (nodes_ + 1)));
  if (random_.chance(0.3))
    for (auto& link : deaf) link = random_.chance(0.3);
  bool strip = random_.chance(0.4);
  note(fmt::format("campaign {}{}{}", node, strip ? ", new entries are withheld" : "",
                   std::ranges::count(deaf, 1) > 0 ? ", votes are lost" : ""));
  each([&](Group& group) { group.command(Command::kCampaign, node); });
  deliver(
      [&](const Message& message) {
        bool vote = message.kind == Kind::kVote || message.kind == Kind::kVoteReply;
        return vote && deaf[static_cast<std::size_t>(message.from * (nodes_ + 1) + message.to)];
      },
      strip ? term : 0);
  auto state = theirs_.state(node);
  bool elected = state.leads() && state.term == term;
  ++(elected ? tally_.elections : tally_.refused_elections);
  // Entries of older terms that are on a majority and may not be counted (figure 8).
  auto old = last_index(state) - 1;
  if (elected && strip && state.commit < old) ++tally_.old_term_entries;
}

void Script::propose(int node) {
  std::vector<char> silent(static_cast<std::size_t>(nodes_) + 1);
  if (random_.chance(0.4))
    for (auto& one : silent) one = random_.chance(0.7);
  auto before = theirs_.state(node);
  for (auto count = random_.between(1, 3); count > 0; --count) {
    auto command = fmt::format("c{}", ++commands_);
    bool ours = ours_.propose(node, command), theirs = theirs_.propose(node, command);
    if (ours != theirs) difference_ = fmt::format("propose {}: ours {}", node, ours);
  }
  note(fmt::format("propose {}, silent {}", node, fmt::join(silent.begin() + 1, silent.end(), "")));
  deliver([&](const Message& message) {
    return message.kind == Kind::kAppendReply && silent[static_cast<std::size_t>(message.from)];
  });
  auto after = theirs_.state(node);
  tally_.commits += after.commit > before.commit;
  tally_.unacknowledged += after.leads() && after.commit < last_index(after);
}

void Script::transfer(int node) {
  std::vector<int> others;
  for (int other : up_nodes())
    if (other != node && hear(node, other)) others.push_back(other);
  if (others.empty()) return;
  int to = any(others);
  note(fmt::format("transfer {} to {}", node, to));
  each([&](Group& group) { group.transfer(node, to); });
  deliver();
  tally_.transfers += theirs_.state(to).leads();
}

void Script::step_down(int node) {
  note(fmt::format("does {} hear a majority", node));
  for (int time = 0; time < 2; ++time) {
    each([&](Group& group) { group.command(Command::kQuorum, node); });
    deliver();
  }
  tally_.stepped_down += !theirs_.state(node).leads();
}

// ---- The network ----

// All that was sent and what follows; then a heartbeat, because followers may learn of a commit at
// once or with the next one, and what they know of it is theirs when they lead.
void Script::deliver(const Lost& lost, std::uint64_t stripped_term) {
  each([&](Group& group) { deliver_in(group, lost, stripped_term); });
  for (int node : up_nodes()) each([&](Group& group) { group.command(Command::kBeat, node); });
  each([&](Group& group) { deliver_in(group, lost, stripped_term); });
}

void Script::deliver_in(Group& group, const Lost& lost, std::uint64_t stripped_term) {
  for (int round = 0; round < kRoundsMax; ++round) {
    auto sent = group.take_messages();
    if (sent.empty()) return;
    std::ranges::sort(sent, {}, [](const Message& one) {
      return std::tuple(one.to, ~one.term, one.from, one.handle);
    });
    std::vector<Message> arrive, vanish;
    for (const auto& message : sent) {
      bool gone = !hear(message.from, message.to) || (lost && lost(message));
      (gone ? vanish : arrive).push_back(message);
      if (!gone && stripped_term != 0 && message.kind == Kind::kAppend)
        group.strip(stripped_term, message);
    }
    group.lose(vanish);
    group.deliver(arrive);
  }
  difference_ = fmt::format("{} never rests", &group == &ours_ ? "our group" : "etcd's group");
}

// ---- What is the same ----

void Script::compare(bool rested) {
  for (int node : up_nodes())
    if (!difference_) compare_node(node, rested);
}

void Script::compare_node(int node, bool rested) {
  auto ours = ours_.state(node), theirs = theirs_.state(node);
  bool same = ours.term == theirs.term && ours.vote == theirs.vote && ours.role == theirs.role &&
              ours.leader == theirs.leader && last_index(ours) == last_index(theirs) &&
              agree(ours, theirs);
  // A follower learns of a commit when its leader next speaks, and that may be at any time.
  bool knows = theirs.leads() || (rested && leader_of(node) != 0);
  if (knows)
    same = same && ours.commit == theirs.commit && ours.applied == theirs.applied &&
           ours.applied_crc == theirs.applied_crc;
  auto& before = before_[static_cast<std::size_t>(node)];
  tally_.truncations += last_index(theirs) < last_index(before) || !agree(before, theirs);
  before = theirs;
  if (same) return;
  difference_ = fmt::format("node {} after {}{}\n  ours   {}\n  etcd's {}", node, last_action_,
                            rested ? " and rest" : "", text(ours), text(theirs));
}

}  // namespace walrus::oracle
