#include "meta_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "meta/invariants.h"

namespace walrus::sim {
namespace {

using namespace meta;

constexpr std::array kRefusals{
    Refusal::kMalformed, Refusal::kUnknown, Refusal::kNotFound, Refusal::kExists,
    Refusal::kMismatch,  Refusal::kState,   Refusal::kEpoch,    Refusal::kInvalid,
};

}  // namespace

std::vector<std::string> meta_families() {
  std::vector<std::string> names{"snapshot", "follow",     "replay",       "damaged command",
                                 "loss",     "wiped node", "copies moved", "topic made again"};
  for (auto why : kRefusals) names.push_back("refused as " + std::string(refusal_name(why)));
  std::ranges::replace(names, std::string("refused as not_found"), "refused as not found");
  return names;
}

MetaRun::MetaRun(std::uint64_t seed, std::int64_t operations)
    : random_(seed), operations_(operations) {
  odd_ = 0.01 * static_cast<double>(below(20));
}

void MetaRun::run() {
  for (done_ = 0; done_ < operations_ && !violation_; ++done_) step();
  if (!violation_) check_replay();
  trace_.fold(fingerprint(state_));
  tally_.trace = trace_.value();
}

void MetaRun::step() {
  now_ += Millis(static_cast<std::int64_t>(below(2'000)) - 200);
  Command command{.time = now_};
  auto count = random_.chance(0.2) ? 1 + below(5) : 1;
  for (; count > 0; --count) command.changes.push_back(draw());
  auto bytes = encode(command);
  if (random_.chance(0.02)) {
    bytes[below(bytes.size())] ^= static_cast<char>(1 + below(255));
    apply_damaged(bytes);
  } else {
    apply(bytes, &command);
  }
  if (violation_) return;
  if (random_.chance(0.03)) through_snapshot();
  if (random_.chance(0.05)) keep_image();
  if (random_.chance(0.1)) follow();
}

void MetaRun::apply_damaged(const std::string& bytes) {
  auto parsed = parse_command(bytes);
  auto partitions = [](const Change& change) {
    const auto* create = std::get_if<CreateTopic>(&change);
    const auto* add = std::get_if<AddPartitions>(&change);
    return create ? create->partitions : add ? add->partitions : 0;
  };
  // What damage turned into thousands of partitions is sound, and slow to look at.
  if (parsed && std::ranges::any_of(parsed->changes,
                                    [&](const Change& one) { return partitions(one) > 100; }))
    return;
  hit("damaged command");
  apply(bytes, parsed ? &*parsed : nullptr);
}

void MetaRun::apply(const std::string& bytes, const Command* command) {
  State before = state_;
  log_.push_back(bytes);
  ++tally_.operations;
  auto reply = parse_reply(apply_encoded(state_, bytes));
  if (!reply) return fail("a reply can be read", reply.error().message);
  if (command) check_outcomes(*command, *reply);
  else if (*reply != std::vector{Outcome{.refusal = Refusal::kMalformed}})
    fail("a damaged command is refused", "it was not");
  if (violation_) return;
  if (auto why = broken_rule(state_); !why.empty()) fail("rules of a state", why);
  if (auto why = broken_step(before, state_); !why.empty()) fail("rules of a step", why);
  if (auto verdict = model_.compare(state_); verdict && !violation_) violation_ = verdict;
  trace_.fold(state_.version.value);
}

void MetaRun::check_outcomes(const Command& command, const std::vector<Outcome>& outcomes) {
  if (outcomes.size() != command.changes.size())
    return fail("one outcome a change",
                fmt::format("{} of {}", outcomes.size(), command.changes.size()));
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const auto& change = command.changes[i];
    auto expected = model_.apply(change, command.time);
    const auto& outcome = outcomes[i];
    if (narrate_)
      fmt::print("{} change of kind {}: {} version {} value {}\n", log_.size(), change.index(),
                 refusal_name(outcome.refusal), outcome.version.value, outcome.value);
    auto what = fmt::format("command {}, change of kind {}: {}", log_.size(), change.index(),
                            refusal_name(outcome.refusal));
    if (expected.has_value() != outcome.done()) fail("a change is done exactly if it may be", what);
    else if (expected && *expected != outcome) fail("a change answers what was issued", what);
    if (outcome.done()) {
      ++tally_.acknowledged;
      if (std::holds_alternative<MoveCopies>(change)) hit("copies moved");
      if (std::holds_alternative<HoldCompacted>(change) && outcome.value == 1) hit("compacted");
      const auto* seal = std::get_if<Seal>(&change);
      if (seal && seal->loss) hit("loss");
    } else {
      ++tally_.refused;
      auto name = std::string(refusal_name(outcome.refusal));
      hit("refused as " + (name == "not_found" ? "not found" : name));
    }
  }
}

void MetaRun::through_snapshot() {
  hit("snapshot");
  SnapshotStream stream(state_);
  std::string all;
  while (stream.next(all, 1 + below(2'000))) {
  }
  SnapshotLoader loader;
  for (Bytes rest = all; !rest.empty();) {
    auto piece = std::min<std::size_t>(rest.size(), 1 + below(700));
    if (auto fed = loader.feed(rest.substr(0, piece)); !fed)
      return fail("a snapshot can be read", fed.error().message);
    rest.remove_prefix(piece);
  }
  auto restored = loader.finish();
  if (!restored) return fail("a snapshot can be read", restored.error().message);
  if (fingerprint(*restored) != fingerprint(state_))
    return fail("a snapshot is the state", "the fingerprints differ");
  state_ = *std::move(restored);
  if (auto verdict = model_.compare(state_)) violation_ = verdict;
  if (auto why = broken_rule(state_); !why.empty()) fail("rules of a restored state", why);
}

void MetaRun::keep_image() {
  if (fingerprint(image_) != image_print_ && image_.version > Version{})
    return fail("an image does not change", "it did");
  image_ = state_;
  image_print_ = fingerprint(image_);
}

void MetaRun::follow() {
  hit("follow");
  auto changes = state_.changes_since(follower_.seen);
  if (changes.whole) return fail("changes are known", "they were forgotten");
  for (const auto& id : changes.deleted) {
    follower_.topics.erase(id);
    std::erase_if(follower_.partitions, [&](const auto& one) { return one.first.topic == id; });
  }
  for (const auto& id : changes.topics) follower_.topics[id] = state_.topics.find(id)->version;
  for (const auto& id : changes.partitions)
    follower_.partitions[id] = state_.partitions.find(id)->version;
  for (auto id : changes.nodes) follower_.nodes[id] = state_.nodes.find(id)->version;
  follower_.seen = state_.version;
  Follower fresh;
  state_.partitions.each(
      [&](const auto& id, const auto& is) { fresh.partitions[id] = is.version; });
  state_.topics.each([&](const auto& id, const auto& is) { fresh.topics[id] = is.version; });
  state_.nodes.each([&](const auto& id, const auto& is) { fresh.nodes[id] = is.version; });
  if (fresh.partitions != follower_.partitions || fresh.topics != follower_.topics ||
      fresh.nodes != follower_.nodes)
    fail("who follows the changes knows all", "something was left out");
}

void MetaRun::check_replay() {
  hit("replay");
  State again;
  for (const auto& bytes : log_) apply_encoded(again, bytes);
  if (fingerprint(again) != fingerprint(state_)) fail("the log gives the state", "it does not");
}

void MetaRun::fail(const std::string& rule, const std::string& detail) {
  if (!violation_)
    violation_ = Violation{rule, fmt::format("{} (command {})", detail, log_.size())};
}

}  // namespace walrus::sim
