#include "anomalies.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <queue>

namespace walrus::sim {
namespace {

std::string text(LogPlace place) { return fmt::format("{}/{}", place.segment, place.offset); }

Violation found(const char* anomaly, std::string detail) { return {anomaly, std::move(detail)}; }

class Search {
 public:
  explicit Search(const PartitionHistory& history) : history_(history) {
    for (const auto& [place, value] : history.log) at_[place] = value;
    for (const auto& [place, value] : history.log) ++times_[value];
  }

  Verdict log() const {
    std::set<RecordValue> sent, anew;
    for (const auto& one : history_.sent) {
      sent.insert(one.value);
      if (one.resent_anew) anew.insert(one.value);
    }
    const LogPlace* before = nullptr;
    for (const auto& [place, value] : history_.log) {
      if (before && place.offset != before->offset + 1)
        return found("gap", fmt::format("{} behind {}", text(place), text(*before)));
      before = &place;
      if (!sent.contains(value)) return found("phantom", text(place));
      if (times_.at(value) > 1 && !anew.contains(value)) return found("duplicate", text(place));
    }
    return {};
  }

  Verdict acknowledged() const {
    for (const auto& one : history_.sent) {
      if (!one.completed_at || lost(one.place)) continue;
      auto at = at_.find(one.place);
      if (at == at_.end()) return found("lost-write", text(one.place));
      if (at->second != one.value) return found("inconsistent-offsets", text(one.place));
    }
    return {};
  }

  // An acknowledged offset is above all that were acknowledged before it was asked for.
  Verdict rewind() const {
    if (!history_.losses.empty()) return {};
    std::vector<const SentRecord*> done;
    for (const auto& one : history_.sent)
      if (one.completed_at) done.push_back(&one);
    std::ranges::sort(done, {},
                      [](const SentRecord* one) { return std::pair(one->invoked_at, one->value); });
    using End = std::pair<std::int64_t, std::int64_t>;  // time, offset
    std::priority_queue<End, std::vector<End>, std::greater<>> ends;
    std::int64_t highest = -1;
    for (const auto* one : done) {
      for (; !ends.empty() && ends.top().first < one->invoked_at; ends.pop())
        highest = std::max(highest, ends.top().second);
      if (one->place.offset <= highest)
        return found("ack-rewind", fmt::format("{} at or below {}", text(one->place), highest));
      ends.emplace(*one->completed_at, one->place.offset);
    }
    return {};
  }

  Verdict order() const {
    std::map<std::uint32_t, LogPlace> last;
    for (const auto& one : history_.sent) {
      if (!one.completed_at || one.resent_anew) continue;
      auto [at, fresh] = last.try_emplace(one.producer, one.place);
      if (!fresh && one.place <= at->second)
        return found("nonmonotonic-send",
                     fmt::format("{} behind {}", text(one.place), text(at->second)));
      at->second = one.place;
    }
    return {};
  }

  Verdict polls() const {
    std::map<std::uint32_t, LogPlace> last;
    for (const auto& one : history_.polled) {
      auto at = at_.find(one.place);
      if (!lost(one.place)) {
        if (at == at_.end()) return found("lost-write", "polled at " + text(one.place));
        if (at->second != one.value) return found("inconsistent-offsets", text(one.place));
      }
      auto [before, fresh] = last.try_emplace(one.reader, one.place);
      if (fresh) continue;
      bool jumps = one.place.segment != before->second.segment && lost(before->second);
      if (one.place <= before->second && !jumps) return found("nonmonotonic-poll", text(one.place));
      if (one.place.offset > before->second.offset + 1 && !jumps)
        return found("poll-skip",
                     fmt::format("{} behind {}", text(one.place), text(before->second)));
      before->second = one.place;
    }
    return {};
  }

  // Somebody has read to the end: what was acknowledged was seen.
  Verdict unseen() const {
    std::set<LogPlace> seen;
    for (const auto& one : history_.polled) seen.insert(one.place);
    if (seen.empty() || history_.log.empty() || !seen.contains(history_.log.back().first))
      return {};
    for (const auto& one : history_.sent)
      if (one.completed_at && !lost(one.place) && !seen.contains(one.place))
        return found("unseen", text(one.place));
    return {};
  }

 private:
  bool lost(LogPlace place) const {
    return std::ranges::any_of(history_.losses, [&](LogPlace from) {
      return place.segment == from.segment && place.offset >= from.offset;
    });
  }

  const PartitionHistory& history_;
  std::map<LogPlace, RecordValue> at_{};
  std::map<RecordValue, int> times_{};
};

}  // namespace

Verdict find_anomaly(const PartitionHistory& history) {
  Search search(history);
  for (auto check : {&Search::log, &Search::acknowledged, &Search::rewind, &Search::order,
                     &Search::polls, &Search::unseen})
    if (auto verdict = (search.*check)()) return verdict;
  return {};
}

}  // namespace walrus::sim
