// The checker of histories: for each anomaly one history that has it and is flagged, and a near
// miss that passes; both checks against brute force on tiny histories; the text form.

#include "linearizable.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "io/sim/sim_random.h"

namespace walrus::sim {
namespace {

using Kind = KvOperation::Kind;
using Outcome = KvOperation::Outcome;

std::string rule(const Verdict& verdict) { return verdict ? verdict->rule : "none"; }

KvHistory history(const std::string& lines) {
  auto parsed = KvHistory::parse("walrus-history 1\n" + lines);
  EXPECT_TRUE(parsed.has_value()) << parsed.error().message;
  return parsed.value_or(KvHistory());
}

// What the two checks say of a bad history; neither says anything of the near miss.
struct Anomaly {
  const char* name;
  const char* by_index;
  const char* by_search;
  const char* bad;
  const char* near_miss;
};
void PrintTo(const Anomaly& anomaly, std::ostream* to) { *to << anomaly.name; }
constexpr const char *kUnnoticed = "none", *kNotLinearizable = "not linearizable";

const Anomaly kAnomalies[] = {
    {"stale_read", "real time", kNotLinearizable,
     R"(1 0..9   put x a    @1
        1 10..19 put x b    @2
        2 20..29 get x = a  @1)",
     R"(1 0..9   put x a    @1
        1 10..20 put x b    @2
        2 20..29 get x = a  @1)"},
    {"stale_read_that_claims_to_be_current", "replay", kNotLinearizable,
     R"(1 0..9   put x a    @1
        1 10..19 put x b    @2
        2 20..29 get x = a  @2)",
     R"(1 0..9   put x a    @1
        1 10..19 put x b    @2
        2 20..29 get x = b  @2)"},
    {"lost_update", "replay", kNotLinearizable,
     R"(1 0..9   put x 1          @1
        1 10..20 cas x 1 2 = yes  @2
        2 10..20 cas x 1 3 = yes  @3)",
     R"(1 0..9   put x 1          @1
        1 10..20 cas x 1 2 = yes  @2
        2 10..20 cas x 1 3 = no   @3)"},
    {"lost_write", "replay", kNotLinearizable,
     R"(1 0..9   put x a    @1
        2 10..19 put x b    @2
        1 20..29 get x = a  @2)",
     R"(1 0..9   put x a    @1
        2 10..19 put x b    failed
        1 20..29 get x = a  @2)"},
    {"duplicated_write", "replay", kNotLinearizable,
     R"(1 0..9   put x a    @1
        2 10..19 put x b    @2
        3 20..29 get x = a  @3)",
     R"(1 0..9   put x a    @1
        4 0..    put x a
        2 10..19 put x b    @2
        3 20..29 get x = a  @3)"},
    {"read_from_the_future", "real time", kNotLinearizable,
     R"(1 0..9   put x a    @1
        2 10..19 get x = b  @2
        1 20..29 put x b    @2)",
     R"(1 0..9   put x a    @1
        2 10..20 get x = b  @2
        1 20..29 put x b    @2)"},
    {"writes_against_real_time", "real time", kNotLinearizable,
     R"(1 0..9   put x a    @2
        2 10..19 put x b    @1
        3 20..29 get x = a  @2)",
     R"(1 0..10  put x a    @2
        2 10..19 put x b    @1
        3 20..29 get x = a  @2)"},
    {"reads_go_back", "real time", kNotLinearizable,
     R"(1 0..9   put x a    @1
        1 10..90 put x b    @2
        2 20..29 get x = b  @2
        3 30..39 get x = a  @1)",
     R"(1 0..9   put x a    @1
        1 10..90 put x b    @2
        2 20..30 get x = b  @2
        3 30..39 get x = a  @1)"},
    {"reads_of_a_session_go_back", "session", kUnnoticed,
     R"(1 0..9   put x a    @1
        1 10..19 put x b    @2
        2 20..29 get x = b  @2 session
        2 30..39 get x = a  @1 session)",
     R"(1 0..9   put x a    @1
        1 10..19 put x b    @2
        2 20..29 get x = b  @2 session
        3 30..39 get x = a  @1 session)"},
    {"session_goes_back_behind_its_stale_read", "session", kUnnoticed,
     R"(1 0..9   put x a    @1
        1 10..19 put x b    @2
        2 20..29 get x = b  @2 stale
        2 30..39 get x = a  @1 session)",
     R"(1 0..9   put x a    @1
        1 10..19 put x b    @2
        2 20..29 get x = b  @2 stale
        2 30..39 get x = a  @1 stale)"},
    {"session_misses_its_own_write", "session", kUnnoticed,
     R"(1 0..9   put x a    @1
        1 10..19 put x b    @2
        1 20..29 get x = a  @1 session)",
     R"(1 0..9   put x a    @1
        1 10..19 put x b    @2
        1 20..29 get x = a  @1 stale)"},
    {"stale_read_of_what_never_was", "replay", kUnnoticed,
     R"(1 0..9   put x a    @1
        1 10..19 put x b    @2
        2 20..29 get x = b  @1 stale)",
     R"(1 0..9   put x a    @1
        1 10..19 put x b    @2
        2 20..29 get x = a  @1 stale)"},
    {"unknown_outcome_applied_twice", "replay", kNotLinearizable,
     R"(1 0..    put x a
        2 10..19 get x = a  @1
        2 20..29 put x b    @2
        2 30..39 get x = a  @3)",
     R"(1 0..    put x a
        2 10..19 get x = -  @1
        2 20..29 put x b    @2
        2 30..39 get x = a  @3
        2 40..49 get x = a  @3)"},
    {"unknown_outcome_before_its_invocation", "replay", kNotLinearizable,
     R"(1 0..9   get x = a  @1
        2 10..   put x a)",
     R"(1 0..10  get x = a  @1
        2 10..   put x a)"},
    {"unknown_outcome_before_what_another_key_shows", "replay", kUnnoticed,
     R"(1 0..9   put y 1    @5
        2 10..   put x a
        3 0..50  get x = a  @4)",
     R"(1 0..9   put y 1    @5
        2 10..   put x a
        3 0..50  get x = a  @5)"},
    {"unknown_outcome_that_cannot_have_been", "replay", kNotLinearizable,
     R"(1 0..    cas x a b
        2 10..19 get x = b  @1)",
     R"(1 0..    cas x a b
        3 5..    put x a
        2 10..19 get x = b  @1)"},
    {"failed_write_is_seen", "replay", kNotLinearizable,
     R"(1 0..9   put x a    failed
        2 10..19 get x = a  @1)",
     R"(1 0..    put x a
        2 10..19 get x = a  @1)"},
    {"nobody_wrote_it", "replay", kNotLinearizable,
     R"(1 0..9   put x a    @1
        2 10..19 get x = c  @1)",
     R"(1 0..9   put x a    @1
        2 10..19 get y = -  @1
        2 20..29 get x = a  @1)"},
    {"resurrection", "replay", kNotLinearizable,
     R"(1 0..9   put x a         @1
        2 10..19 delete x = yes  @2
        3 20..29 get x = a       @3)",
     R"(1 0..9   put x a         @1
        2 10..20 delete x = yes  @2
        3 20..29 get x = a       @1)"},
    {"two_hold_a_lock", "replay", kNotLinearizable,
     R"(1 0..9   cas lock - 1 = yes  @1
        2 10..19 cas lock - 2 = yes  @2)",
     R"(1 0..9   cas lock - 1 = yes  @1
        1 10..30 delete lock = yes   @2
        2 20..29 cas lock - 2 = yes  @3)"},
    {"swap_refused_for_no_reason", "replay", kNotLinearizable,
     R"(1 0..9   put x a         @1
        2 10..19 cas x a b = no  @2)",
     R"(1 0..9   put x a         @1
        3 10..   put x c
        2 10..19 cas x a b = no  @2)"},
    {"deleted_what_was_not_there", "replay", kNotLinearizable,
     R"(1 0..9   delete x = no   @1
        2 10..19 delete x = yes  @2)",
     R"(1 0..9   delete x = no   @1
        3 9..    put x a
        2 10..19 delete x = yes  @2)"},
    {"two_writes_at_one_index", "two writes at one index", kUnnoticed,
     R"(1 0..9   put x a    @1
        2 10..19 put y b    @1)",
     R"(1 0..9   put x a    @1
        2 10..19 get y = -  @1)"},
    {"write_at_an_index_that_was_read", "real time", kUnnoticed,
     R"(1 0..9   get x = -  @4
        2 10..19 put x a    @4)",
     R"(1 0..10  get x = a  @4
        2 10..19 put x a    @4)"},
    {"answer_without_an_index", "no index", kUnnoticed,
     R"(1 0..9   put x a    @1
        2 10..19 put y b)",
     R"(1 0..9   put x a    @1
        2 10..   put y b)"},
};

class AnomalyTest : public testing::TestWithParam<Anomaly> {};
INSTANTIATE_TEST_SUITE_P(Linearizable, AnomalyTest, testing::ValuesIn(kAnomalies),
                         [](const auto& info) { return info.param.name; });

TEST_P(AnomalyTest, is_flagged) {
  auto bad = history(GetParam().bad);
  EXPECT_EQ(rule(check_by_index(bad)), GetParam().by_index);
  EXPECT_EQ(rule(check_by_search(bad)), GetParam().by_search);
  EXPECT_NE(rule(check_linearizable(bad)), "none");
}

TEST_P(AnomalyTest, near_miss_passes) {
  auto near = history(GetParam().near_miss);
  EXPECT_EQ(rule(check_by_index(near)), "none");
  EXPECT_EQ(rule(check_by_search(near)), "none");
  EXPECT_EQ(rule(check_linearizable(near)), "none");
}

TEST(LinearizableTest, says_what_does_not_fit) {
  auto verdict = check_by_search(history("1 0..9 put x a\n2 10..19 get x = b\n"));
  ASSERT_TRUE(verdict.has_value());
  EXPECT_EQ(
      verdict->detail,
      "key x: behind 1 of 2 operations the value is a, and next there may be 2 10..19 get x = "
      "b");
}

TEST(LinearizableTest, what_is_given_up_is_not_well) {
  std::string lines;
  for (int i = 0; i < 12; ++i) lines += "1 0..99 put x " + std::to_string(i) + "\n";
  lines += "2 100..109 get x = none\n";
  EXPECT_EQ(rule(check_by_search(history(lines), 1000)), "undecided");
  EXPECT_EQ(rule(check_by_search(history(lines))), "not linearizable");
}

TEST(LinearizableTest, levels_are_not_decided_without_an_index) {
  auto one = history("1 0..9 put x a\n1 10..19 get x = a session\n");
  EXPECT_EQ(rule(check_linearizable(one)), "undecided");
}

// ---- Against brute force ----

using Values = std::vector<std::optional<std::string>>;
const Values kValues = {std::nullopt, "a", "b"};

bool may_be_next(const std::vector<const KvOperation*>& left, const KvOperation& one) {
  return std::ranges::none_of(left, [&](const KvOperation* other) {
    return other->outcome == Outcome::kDone && other->completed < one.invoked;
  });
}

// Every order of the operations of one key.
bool any_order(std::vector<const KvOperation*> left, const KvValue& state) {
  if (std::ranges::none_of(left, [](auto* one) { return one->outcome == Outcome::kDone; }))
    return true;
  for (std::size_t i = 0; i < left.size(); ++i) {
    const auto& one = *left[i];
    if (!may_be_next(left, one)) continue;
    bool fits = true;
    auto next = state;
    if (one.kind == Kind::kGet) fits = one.outcome != Outcome::kDone || one.value == state;
    else if (one.kind == Kind::kPut) next = one.value;
    else {
      bool changes = one.kind == Kind::kCas ? state == one.expected : state.has_value();
      fits = !one.changed || *one.changed == changes;
      if (changes) next = one.kind == Kind::kCas ? one.value : std::nullopt;
    }
    auto rest = left;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
    if (fits && any_order(std::move(rest), next)) return true;
  }
  return false;
}

KvOperation draw(io::SimRandom& random) {
  KvOperation one{
      .kind = static_cast<Kind>(random.below(4)), .session = random.below(3), .key = "x"};
  auto value = [&](std::size_t least) { return kValues[least + random.below(3 - least)]; };
  if (one.kind == Kind::kCas) one.expected = value(0);
  if (one.kind != Kind::kDelete) one.value = value(one.kind == Kind::kPut ? 1 : 0);
  one.invoked = random.between(0, 12);
  one.completed = one.invoked + random.between(0, 6);
  auto draw = random.below(10);
  one.outcome = draw < 7 ? Outcome::kDone : draw < 9 ? Outcome::kUnknown : Outcome::kFailed;
  bool answers = one.outcome == Outcome::kDone && random.chance(0.8);
  if (answers && (one.kind == Kind::kCas || one.kind == Kind::kDelete))
    one.changed = random.chance(0.5);
  if (one.outcome == Outcome::kUnknown) one.completed = 0;
  return one;
}

KvHistory tiny(io::SimRandom& random, bool indexed) {
  std::string lines;
  for (auto count = random.between(1, 6); count > 0; --count) {
    auto one = draw(random);
    if (indexed && one.outcome == Outcome::kDone) one.index = random.below(8);
    lines += kv_line(one) + "\n";
  }
  return history(lines);
}

TEST(LinearizableTest, search_is_brute_force) {
  io::SimRandom random(2026);
  int good = 0, bad = 0;
  for (int i = 0; i < 20'000; ++i) {
    auto one = tiny(random, false);
    std::vector<const KvOperation*> left;
    for (const auto& operation : one.operations())
      if (operation.outcome != Outcome::kFailed) left.push_back(&operation);
    bool is = any_order(left, std::nullopt);
    ASSERT_EQ(rule(check_by_search(one)), is ? "none" : "not linearizable") << one.text();
    ++(is ? good : bad);
  }
  EXPECT_GT(good, 3000);
  EXPECT_GT(bad, 3000);
}

// An order that the index check accepts is one that explains the history.
TEST(LinearizableTest, what_passes_by_index_passes_by_search) {
  io::SimRandom random(7);
  int good = 0, bad = 0;
  for (int i = 0; i < 20'000; ++i) {
    auto one = tiny(random, true);
    if (check_by_index(one)) {
      ++bad;
      continue;
    }
    ++good;
    ASSERT_EQ(rule(check_by_search(one)), "none") << one.text();
  }
  EXPECT_GT(good, 1000);
  EXPECT_GT(bad, 3000);
}

// ---- Legal histories ----

// Clients of a store that does everything at one moment between question and answer, and forgets
// some answers. Values are unique.
struct Store {
  explicit Store(std::uint64_t seed) : random(seed) {}

  void run(int operations) {
    std::vector<Pending> pending(8);
    for (std::int64_t now = 0; operations > 0 || std::ranges::any_of(pending, &Pending::busy);
         ++now) {
      auto& one = pending[random.below(pending.size())];
      auto session = static_cast<std::uint64_t>(&one - pending.data());
      if (!one.busy && operations-- > 0) {
        one = {.busy = true, .asked = question(session)};
        one.place = history.invoke(one.asked, now);
      } else if (one.busy && !one.applied) {
        one.applied = true;
        one.forgotten = random.chance(0.02);
        if (!one.forgotten || random.chance(0.5)) apply(one.asked);
        one.index = log;
      } else if (one.busy) {
        one.busy = false;
        if (one.forgotten) continue;
        auto& done = history.done(one.place, now, one.index);
        done.value = one.asked.value;
        done.changed = one.asked.changed;
      }
    }
  }

  struct Pending {
    bool busy = false, applied = false, forgotten = false;
    KvOperation asked{};
    std::size_t place = 0;
    std::uint64_t index = 0;
  };
  KvOperation question(std::uint64_t session) {
    KvOperation one{.kind = static_cast<Kind>(random.below(4)), .session = session};
    one.key = "key " + std::to_string(random.below(4));
    if (one.kind == Kind::kCas) one.expected = values[one.key];
    if (one.kind == Kind::kCas || one.kind == Kind::kPut) one.value = std::to_string(++last);
    return one;
  }
  void apply(KvOperation& one) {
    auto& value = values[one.key];
    if (one.kind == Kind::kGet) {
      one.value = value;
      return;
    }
    ++log;
    if (one.kind == Kind::kCas) one.changed = value == one.expected;
    if (one.kind == Kind::kDelete) one.changed = value.has_value();
    if (!one.changed.value_or(true)) return;
    value = one.kind == Kind::kDelete ? std::nullopt : one.value;
  }

  io::SimRandom random;
  KvHistory history{};
  std::map<std::string, KvValue> values{};
  std::uint64_t log = 0, last = 0;
};

TEST(LinearizableTest, legal_histories_pass) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Store store(seed);
    store.run(1000);
    ASSERT_EQ(rule(check_linearizable(store.history)), "none") << "seed " << seed;
  }
}

// One answer of a legal history is that of a much earlier read of the key.
TEST(LinearizableTest, one_old_answer_among_many_is_found) {
  int flagged = 0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Store store(seed);
    store.run(300);
    const auto& all = store.history.operations();
    auto is_read = [](const KvOperation& one) {
      return one.kind == Kind::kGet && one.outcome == Outcome::kDone;
    };
    auto later = std::find_if(all.begin() + 150, all.end(), is_read);
    ASSERT_NE(later, all.end());
    auto earlier = std::find_if(all.begin(), later, [&](const KvOperation& one) {
      return is_read(one) && one.key == later->key && one.value && one.value != later->value;
    });
    if (earlier == later) continue;
    std::string lines;
    for (const auto& one : all) {
      auto copy = one;
      if (&one == &*later) copy.value = earlier->value;
      lines += kv_line(copy) + "\n";
    }
    EXPECT_EQ(rule(check_by_index(history(lines))), "replay") << "seed " << seed;
    flagged += rule(check_by_search(history(lines))) == "not linearizable";
  }
  EXPECT_GT(flagged, 20);
}

// ---- Text ----

TEST(KvHistoryTest, text_is_what_was_recorded) {
  KvHistory recorded;
  auto put =
      recorded.invoke({.kind = Kind::kPut, .session = 1, .key = "a b", .value = "\"\\\n"}, -5);
  auto get = recorded.invoke({.kind = Kind::kGet, .session = 2, .key = "-"}, 0);
  auto cas = recorded.invoke(
      {.kind = Kind::kCas, .session = 3, .key = "k", .expected = "-", .value = ""}, 1);
  auto gone = recorded.invoke({.kind = Kind::kDelete, .session = 3, .key = "k"}, 2);
  recorded.invoke({.kind = Kind::kPut, .session = 4, .key = "k", .value = "late"}, 3);
  auto stale = recorded.invoke({.session = 5, .key = "k", .level = KvOperation::Level::kStale}, 4);
  recorded.done(put, 10, 1);
  recorded.done(get, 11, 2).value = std::nullopt;
  recorded.done(cas, 12, 3).changed = true;
  recorded.failed(gone, 13);
  recorded.done(stale, 14, 1).value = "x";
  EXPECT_EQ(recorded.text(),
            "walrus-history 1\n"
            "1 -5..10 put \"a b\" \"\\\"\\\\\\x0a\" @1\n"
            "2 0..11 get \"-\" = - @2\n"
            "3 1..12 cas k \"-\" \"\" = yes @3\n"
            "3 2..13 delete k failed\n"
            "4 3.. put k late\n"
            "5 4..14 get k = x @1 stale\n");
  auto parsed = KvHistory::parse(recorded.text());
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  EXPECT_EQ(parsed->operations(), recorded.operations());
}

TEST(KvHistoryTest, what_is_no_history_is_refused_by_line) {
  auto refused = [](const std::string& text) {
    auto parsed = KvHistory::parse(text);
    return parsed ? "taken" : parsed.error().message.substr(0, parsed.error().message.find(':'));
  };
  EXPECT_EQ(refused("walrus-history 1 # nothing\n\n# yet\n"), "taken");
  EXPECT_EQ(refused(""), "walrus-history 1 is due");
  EXPECT_EQ(refused("1 0..1 put x a\n"), "line 1");
  EXPECT_EQ(KvHistory::parse("walrus-history 2\n").error().code, Code::kVersion);
  for (const auto* line : {"put x a",
                           "x 0..1 put x a",
                           "1 0-1 put x a",
                           "1 5..1 put x a",
                           "1 0..1 swap x a",
                           "1 0..1 put x",
                           "1 0..1 put x -",
                           "1 0..1 put x a b",
                           "1 0..1 put x a = yes",
                           "1 0..1 get x",
                           "1 0.. get x = a",
                           "1 0..1 get x =",
                           "1 0..1 cas x a",
                           "1 0..1 cas x a b = a",
                           "1 0..1 put x \"a",
                           "1 0..1 put x \"\\q\"",
                           "1 0..1 put x \"\\x0\"",
                           "1 0..1 put x a @",
                           "1 0..1 put x a @-1",
                           "1 0..1 put x a stale",
                           "1 0.. put x a failed",
                           "1 0..1 cas x a b = yes failed",
                           "1 0..1 put x \xff",
                           "1 0..1 delete"})
    EXPECT_EQ(refused(std::string("walrus-history 1\n") + line), "line 2") << line;
}

}  // namespace
}  // namespace walrus::sim
