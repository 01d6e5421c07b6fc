#include "linearizable.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

namespace walrus::sim {
namespace {

using Kind = KvOperation::Kind;
using Level = KvOperation::Level;
using Outcome = KvOperation::Outcome;

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kNoChoice = std::numeric_limits<std::size_t>::max();

bool is_read(const KvOperation& operation) { return operation.kind == Kind::kGet; }

// An operation and when it took effect: not before begin, not after end.
struct Placed {
  const KvOperation* operation = nullptr;
  std::int64_t begin = 0, end = 0;
};
struct Placement {
  std::vector<Placed> certain{}, possible{};  // each by begin
};

// One key's operations in an order that explains all answers. A configuration is a set of
// operations that are placed, and the value that they left. Among the certain ones it is those
// before base_ and some of those that run at the same time, so it takes few bytes.
class Search {
 public:
  Search(Placement placement, std::int64_t& steps_left);
  Verdict run(const std::string& rule, const std::string& key);

 private:
  using State = std::uint32_t;  // a value, by number; 0: none
  struct Step {
    Kind kind;
    State expected, value;
    std::optional<bool> changed;
  };
  struct Frame {
    std::size_t choice;
    State before;
    bool alone;  // there is no need to try another in its place
  };

  State number_of(const KvValue&);
  std::optional<State> after(const Step&) const;
  std::int64_t limit() const;
  std::size_t next_choice(std::size_t from, bool& alone);
  void take(std::size_t choice, bool alone);
  std::size_t undo();
  bool is_new();
  void note_dead_end();

  std::vector<Placed> certain_, possible_;
  std::vector<Step> steps_{};  // of the certain ones, then of the possible ones
  std::vector<char> placed_{};
  std::int64_t& steps_left_;
  std::unordered_map<std::string, State> numbers_{};
  std::vector<std::string> values_{"-"};

  std::size_t base_ = 0, top_ = 0, count_ = 0;  // all before base_, none from top_ on; how many
  State state_ = 0;
  std::vector<Frame> frames_{};
  std::unordered_set<std::string> seen_{};
  std::string configuration_{};

  std::size_t deepest_ = 0;
  std::string dead_end_{};
};

Search::Search(Placement placement, std::int64_t& steps_left)
    : certain_(std::move(placement.certain)),
      possible_(std::move(placement.possible)),
      steps_left_(steps_left) {
  for (const auto* list : {&certain_, &possible_})
    for (const auto& placed : *list) {
      const auto& one = *placed.operation;
      steps_.push_back({one.kind, number_of(one.expected), number_of(one.value), one.changed});
    }
  placed_.resize(steps_.size());
}

Search::State Search::number_of(const KvValue& value) {
  if (!value) return 0;
  auto [found, added] = numbers_.try_emplace(*value, static_cast<State>(values_.size()));
  if (added) values_.push_back(*value);
  return found->second;
}

// None: the answer does not fit the value that is there.
std::optional<Search::State> Search::after(const Step& step) const {
  auto if_changed = [&](bool changes, State value) -> std::optional<State> {
    if (step.changed && *step.changed != changes) return std::nullopt;
    return changes ? value : state_;
  };
  switch (step.kind) {
    case Kind::kGet: return state_ == step.value ? std::optional(state_) : std::nullopt;
    case Kind::kPut: return step.value;
    case Kind::kCas: return if_changed(state_ == step.expected, step.value);
    case Kind::kDelete: return if_changed(state_ != 0, 0);
  }
  return std::nullopt;
}

// What begins behind it comes later than some operation that is not placed yet.
std::int64_t Search::limit() const {
  auto limit = kNever;
  for (auto i = base_; i < certain_.size() && certain_[i].begin <= limit; ++i)
    if (!placed_[i]) limit = std::min(limit, certain_[i].end);
  return limit;
}

// Takes the next choice, at `from` or behind it, that may come now, fits, and leads to what was not
// tried yet.
std::size_t Search::next_choice(std::size_t from, bool& alone) {
  auto last = limit();
  auto changes_nothing = [](const Step& step) {
    return step.kind == Kind::kGet || step.changed == false;
  };
  // What only looks, and fits, is best placed at once: it is in nobody's way.
  alone = true;
  for (auto i = base_; from == 0 && i < certain_.size() && certain_[i].begin <= last; ++i)
    if (!placed_[i] && changes_nothing(steps_[i]) && after(steps_[i])) return i;
  alone = false;
  auto fresh = [&](std::size_t choice) {
    if (!after(steps_[choice])) return false;
    take(choice, false);
    bool is = is_new();
    undo();
    return is;
  };
  for (auto i = std::max(from, base_); i < certain_.size() && certain_[i].begin <= last; ++i)
    if (!placed_[i] && !changes_nothing(steps_[i]) && fresh(i)) return i;
  // Last, because most of them are never needed; and only where they change something.
  for (auto i = from <= certain_.size() ? 0 : from - certain_.size(); i < possible_.size(); ++i) {
    auto choice = certain_.size() + i;
    if (possible_[i].begin > last) break;
    if (!placed_[choice] && after(steps_[choice]) != state_ && fresh(choice)) return choice;
  }
  return kNoChoice;
}

void Search::take(std::size_t choice, bool alone) {
  frames_.push_back({choice, state_, alone});
  state_ = after(steps_[choice]).value_or(state_);
  placed_[choice] = 1;
  if (choice >= certain_.size()) return;
  ++count_;
  top_ = std::max(top_, choice + 1);
  while (base_ < certain_.size() && placed_[base_]) ++base_;
}

// Where to go on choosing.
std::size_t Search::undo() {
  auto frame = frames_.back();
  frames_.pop_back();
  state_ = frame.before;
  placed_[frame.choice] = 0;
  if (frame.choice < certain_.size()) {
    --count_;
    base_ = std::min(base_, frame.choice);
  }
  return frame.alone ? kNoChoice : frame.choice + 1;
}

bool Search::is_new() {
  auto& to = configuration_;
  to.clear();
  auto put = [&](std::uint64_t value) {
    to.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  auto put_bits = [&](std::size_t begin, std::size_t end) {
    auto size = to.size();
    for (auto at = begin; at < end; at += 8) {
      char bits = 0;
      for (auto i = at; i < std::min(at + 8, end); ++i)
        bits = static_cast<char>(bits | placed_[i] << (i - at));
      to += bits;
    }
    while (to.size() > size && to.back() == 0) to.pop_back();
  };
  put(std::uint64_t{state_} << 32 | base_);
  put_bits(base_, std::max(base_, top_));
  put(to.size());
  put_bits(certain_.size(), placed_.size());
  return seen_.insert(to).second;
}

void Search::note_dead_end() {
  if (count_ < deepest_ && !dead_end_.empty()) return;
  deepest_ = count_;
  dead_end_ = fmt::format("behind {} of {} operations the value is {}, and next there may be",
                          count_, certain_.size(), values_[state_]);
  int named = 0;
  auto last = limit();
  for (auto i = base_; i < certain_.size() && certain_[i].begin <= last; ++i) {
    if (placed_[i]) continue;
    if (++named > 4) break;
    dead_end_ += fmt::format("{} {}", named == 1 ? "" : ";", kv_line(*certain_[i].operation));
  }
}

Verdict Search::run(const std::string& rule, const std::string& key) {
  std::size_t from = 0;
  while (count_ < certain_.size()) {
    bool alone = false;
    auto choice = from == kNoChoice ? kNoChoice : next_choice(from, alone);
    if (--steps_left_ < 0)
      return Violation{"undecided", fmt::format("key {}: the search was given up", key)};
    if (choice != kNoChoice) {
      take(choice, alone);
      from = 0;
      continue;
    }
    if (from == 0) note_dead_end();
    if (frames_.empty()) return Violation{rule, fmt::format("key {}: {}", key, dead_end_)};
    from = undo();
  }
  return std::nullopt;
}

using Places = std::map<std::string, Placement>;

Verdict search_keys(Places places, const std::string& rule, std::int64_t steps_max) {
  for (auto& [key, placement] : places) {
    for (auto* list : {&placement.certain, &placement.possible})
      std::ranges::sort(*list, {},
                        [](const Placed& one) { return std::pair(one.begin, one.operation); });
    if (auto verdict = Search(std::move(placement), steps_max).run(rule, key)) return verdict;
  }
  return std::nullopt;
}

// ---- By index ----

using Operations = std::vector<const KvOperation*>;

// Of those that are equal the one that was recorded first is first.
void sort(Operations& operations, std::int64_t KvOperation::* by) {
  std::ranges::sort(operations, {},
                    [by](const KvOperation* one) { return std::pair(one->*by, one); });
}

// The one of the highest index among those that were completed before a moment; moments rise.
class Frontier {
 public:
  explicit Frontier(Operations completed) : completed_(std::move(completed)) {
    sort(completed_, &KvOperation::completed);
  }
  const KvOperation* before(std::int64_t moment) {
    for (; next_ < completed_.size() && completed_[next_]->completed < moment; ++next_)
      if (!highest_ || *completed_[next_]->index > *highest_->index) highest_ = completed_[next_];
    return highest_;
  }

 private:
  Operations completed_;
  std::size_t next_ = 0;
  const KvOperation* highest_ = nullptr;
};

Violation violation(const char* rule, const KvOperation& first, const KvOperation& second) {
  return {rule, fmt::format("{}, then {}", kv_line(first), kv_line(second))};
}

Verdict check_writes(const Operations& indexed) {
  std::unordered_map<std::uint64_t, const KvOperation*> writes;
  for (const auto* one : indexed) {
    if (is_read(*one)) continue;
    auto [found, added] = writes.try_emplace(*one->index, one);
    if (!added) return violation("two writes at one index", *found->second, *one);
  }
  return std::nullopt;
}

// `by_invocation` with those of `done` that concern them.
Verdict check_order(const Operations& by_invocation, const Operations& done, Level level,
                    const char* rule) {
  Frontier frontier(done);
  for (const auto* one : by_invocation) {
    const auto* before = frontier.before(one->invoked);
    if (!before || one->level != level) continue;
    auto least = *before->index + (is_read(*one) ? 0 : 1);
    if (*one->index < least) return violation(rule, *before, *one);
  }
  return std::nullopt;
}

Verdict check_sessions(const Operations& by_invocation, const Operations& done) {
  std::map<std::uint64_t, std::pair<Operations, Operations>> sessions;
  for (const auto* one : by_invocation) sessions[one->session].first.push_back(one);
  for (const auto* one : done) sessions[one->session].second.push_back(one);
  for (const auto& [session, operations] : sessions)
    if (auto verdict = check_order(operations.first, operations.second, Level::kSession, "session"))
      return verdict;
  return std::nullopt;
}

// The order of the log, with a moment for each operation; those that nothing is known of may be
// anywhere behind what had completed before they were invoked.
Places places_by_index(Operations indexed, const Operations& unknown) {
  std::ranges::sort(indexed, {}, [](const KvOperation* one) {
    return std::tuple(*one->index, is_read(*one), one);
  });
  Places places;
  std::unordered_map<const KvOperation*, std::int64_t> moments;
  std::int64_t moment = 0;
  for (const auto* one : indexed) {
    moment += 2;
    moments[one] = moment;
    places[one->key].certain.push_back({one, moment, moment});
  }
  Operations done;
  for (const auto* one : indexed)
    if (one->outcome == Outcome::kDone) done.push_back(one);
  sort(done, &KvOperation::completed);
  std::int64_t latest = 0;
  auto next = done.begin();
  for (const auto* one : unknown) {
    for (; next != done.end() && (*next)->completed < one->invoked; ++next)
      latest = std::max(latest, moments[*next]);
    places[one->key].possible.push_back({one, latest + 1, kNever});
  }
  return places;
}

}  // namespace

Verdict check_by_index(const KvHistory& history, std::int64_t steps_max) {
  Operations indexed, done, unknown;
  for (const auto& one : history.operations()) {
    if (one.outcome == Outcome::kFailed) continue;
    bool is_done = one.outcome == Outcome::kDone;
    if (one.index) indexed.push_back(&one);
    else if (is_done) return Violation{"no index", kv_line(one)};
    else if (!is_read(one)) unknown.push_back(&one);
    if (is_done) done.push_back(&one);
  }
  sort(indexed, &KvOperation::invoked);
  sort(unknown, &KvOperation::invoked);
  if (auto verdict = check_writes(indexed)) return verdict;
  if (auto verdict = check_order(indexed, done, Level::kLinearizable, "real time")) return verdict;
  if (auto verdict = check_sessions(indexed, done)) return verdict;
  std::erase_if(indexed, [](const KvOperation* one) {
    return is_read(*one) && one->outcome == Outcome::kUnknown;
  });
  return search_keys(places_by_index(std::move(indexed), unknown), "replay", steps_max);
}

Verdict check_by_search(const KvHistory& history, std::int64_t steps_max) {
  Places places;
  for (const auto& one : history.operations()) {
    bool counts = one.outcome != Outcome::kFailed && one.level == Level::kLinearizable;
    if (!counts) continue;
    if (one.outcome == Outcome::kDone)
      places[one.key].certain.push_back({&one, one.invoked, one.completed});
    else if (!is_read(one)) places[one.key].possible.push_back({&one, one.invoked, kNever});
  }
  return search_keys(std::move(places), "not linearizable", steps_max);
}

Verdict check_linearizable(const KvHistory& history, std::int64_t steps_max) {
  bool indexed = false, lower_levels = false;
  for (const auto& one : history.operations()) {
    indexed |= one.index.has_value();
    lower_levels |= one.level != Level::kLinearizable;
  }
  if (lower_levels && !indexed)
    return Violation{"undecided", "reads of a lower level can be checked by their index alone"};
  if (indexed)
    if (auto verdict = check_by_index(history, steps_max)) return verdict;
  return check_by_search(history, steps_max);
}

}  // namespace walrus::sim
