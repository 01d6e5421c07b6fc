#include "service/pipeline.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "base/result.h"
#include "service/session_table.h"

namespace walrus::service {
namespace {

using wire::peer::CommandOutcome;
using wire::peer::Failed;
using wire::peer::ProposeAnswer;
using wire::peer::ProposeRequest;
using Sent = Pipeline::Sent;

constexpr PipelineLimits kLimits{.commands_max = 6,
                                 .bytes_max = 100,
                                 .batch_bytes_max = 20,
                                 .batch_commands_max = 3,
                                 .batches_max = 2};

ProposeAnswer applied_all(const ProposeRequest& request) {
  ProposeAnswer answer;
  for (std::size_t i = 0; i < request.commands.size(); ++i)
    answer.outcomes.push_back({.index = 100 + request.first + i, .text = request.commands[i]});
  return answer;
}

TEST(PipelineTest, commands_are_numbered_and_sent_in_order) {
  Pipeline pipeline(9, 5, kLimits);
  for (const auto* command : {"a", "b"}) ASSERT_TRUE(pipeline.add(command));
  EXPECT_EQ(pipeline.next_sequence(), 7u);
  const auto request = pipeline.next();
  ASSERT_TRUE(request);
  EXPECT_EQ(*request,
            (ProposeRequest{.session = 9, .answered = 4, .first = 5, .commands = {"a", "b"}}));
  EXPECT_FALSE(pipeline.next());
  const auto progress = pipeline.take(Sent(*request), applied_all(*request));
  ASSERT_EQ(progress.answered.size(), 2u);
  EXPECT_EQ(progress.answered[1].outcome.text, "b");
  EXPECT_FALSE(progress.again);
  ASSERT_TRUE(pipeline.add("c"));
  EXPECT_EQ(pipeline.next()->answered, 6u);
}

TEST(PipelineTest, batches_have_limits_and_so_has_what_waits) {
  Pipeline pipeline(9, 1, kLimits);
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(pipeline.add(std::string(9, 'x')));
  EXPECT_EQ(pipeline.add("x").error().code, Code::kBusy);
  EXPECT_EQ(pipeline.next()->commands.size(), 2u);  // of 20 bytes
  EXPECT_EQ(pipeline.next()->commands.size(), 2u);
  EXPECT_FALSE(pipeline.next());  // two are under way
}

TEST(PipelineTest, one_command_fits_whatever_its_size) {
  Pipeline pipeline(9, 1, kLimits);
  ASSERT_TRUE(pipeline.add(std::string(1'000, 'x')));
  EXPECT_EQ(pipeline.add("x").error().code, Code::kBusy);
  EXPECT_EQ(pipeline.next()->commands.size(), 1u);
}

TEST(PipelineTest, a_failed_batch_is_sent_again_from_its_first_command) {
  Pipeline pipeline(9, 1, kLimits);
  for (const auto* command : {"a", "b", "c"}) ASSERT_TRUE(pipeline.add(command));
  const auto request = *pipeline.next();
  auto progress = pipeline.take(Sent(request), fail(Code::kIo, "cut"));
  EXPECT_TRUE(progress.again);
  EXPECT_FALSE(progress.over);
  EXPECT_EQ(*pipeline.next(), request);
  progress = pipeline.take(Sent(request), Failed{{Code::kBusy, "no leader"}, true});
  EXPECT_TRUE(progress.again);
  EXPECT_EQ(*pipeline.next(), request);
}

TEST(PipelineTest, outcomes_that_are_missing_are_asked_for_again) {
  Pipeline pipeline(9, 1, kLimits);
  for (const auto* command : {"a", "b", "c"}) ASSERT_TRUE(pipeline.add(command));
  const auto request = *pipeline.next();
  auto answer = applied_all(request);
  answer.outcomes[1] = {.refused = Code::kBusy};
  answer.outcomes.pop_back();
  const auto progress = pipeline.take(Sent(request), answer);
  EXPECT_EQ(progress.answered.size(), 1u);
  const auto again = *pipeline.next();
  EXPECT_EQ(again.first, 2u);
  EXPECT_EQ(again.answered, 1u);
  EXPECT_EQ(again.commands.size(), 2u);
}

TEST(PipelineTest, a_gap_is_closed_unless_it_is_the_sessions_own) {
  Pipeline pipeline(9, 4, kLimits);
  for (const auto* command : {"a", "b"}) ASSERT_TRUE(pipeline.add(command));
  const auto request = *pipeline.next();
  auto answer = applied_all(request);
  answer.outcomes[0] = {.refused = Code::kBusy};
  answer.outcomes[1] = {.refused = Code::kMismatch, .text = "gap"};
  EXPECT_FALSE(pipeline.take(Sent(request), answer).over);
  answer.outcomes[0] = {.refused = Code::kMismatch, .text = "gap"};
  const auto again = *pipeline.next();
  const auto progress = pipeline.take(Sent(again), answer);
  ASSERT_TRUE(progress.over);
  EXPECT_EQ(progress.over->code, Code::kMismatch);
}

TEST(PipelineTest, a_gap_that_was_one_when_it_was_sent_is_closed_later) {
  Pipeline pipeline(9, 1, {.batch_commands_max = 1});
  for (const auto* command : {"a", "b"}) ASSERT_TRUE(pipeline.add(command));
  const auto first = *pipeline.next(), second = *pipeline.next();
  EXPECT_EQ(pipeline.take(Sent(first), applied_all(first)).answered.size(), 1u);
  // The second one overtook the first.
  const auto progress = pipeline.take(
      Sent(second), ProposeAnswer{{{.refused = Code::kMismatch, .text = "the next one is 1"}}});
  EXPECT_FALSE(progress.over);
  EXPECT_TRUE(progress.again);
  EXPECT_EQ(pipeline.next()->first, 2u);
}

TEST(PipelineTest, what_was_never_sent_can_be_taken_back) {
  Pipeline pipeline(9, 1, {.batch_commands_max = 1, .batches_max = 1});
  const auto one = *pipeline.add("a"), two = *pipeline.add("b"), three = *pipeline.add("c");
  const auto request = *pipeline.next();
  EXPECT_FALSE(pipeline.withdraw(one));
  EXPECT_TRUE(pipeline.withdraw(two));
  EXPECT_FALSE(pipeline.withdraw(two));
  pipeline.take(Sent(request), fail(Code::kTimeout, "silence"));
  EXPECT_FALSE(pipeline.withdraw(one));  // it may have been applied
  const auto again = *pipeline.next();
  pipeline.take(Sent(again), applied_all(again));
  const auto next = *pipeline.next();
  EXPECT_EQ(next.first, 2u);
  EXPECT_EQ(next.commands.front(), "c");
  EXPECT_EQ(pipeline.take(Sent(next), applied_all(next)).answered.front().ticket, three);
}

TEST(PipelineTest, a_session_that_is_over_ends_everything) {
  Pipeline pipeline(9, 1, kLimits);
  ASSERT_TRUE(pipeline.add("a"));
  const auto request = *pipeline.next();
  const auto progress = pipeline.take(
      Sent(request), ProposeAnswer{{{.refused = Code::kNotFound, .text = "session 9 is over"}}});
  ASSERT_TRUE(progress.over);
  EXPECT_EQ(progress.over->code, Code::kNotFound);
}

TEST(PipelineTest, a_reply_that_is_not_kept_is_an_answer) {
  Pipeline pipeline(9, 1, kLimits);
  for (const auto* command : {"a", "b"}) ASSERT_TRUE(pipeline.add(command));
  const auto request = *pipeline.next();
  auto answer = applied_all(request);
  answer.outcomes[0] = {.refused = Code::kOutOfRange, .text = "received"};
  const auto progress = pipeline.take(Sent(request), answer);
  EXPECT_EQ(progress.answered.size(), 2u);
  EXPECT_FALSE(progress.over);
}

// A pipeline against a session table, over a network that loses requests, delivers them late, twice
// and in any order, loses answers, and cuts batches: whatever it does, each command is applied
// exactly once, in order, and its caller gets its own reply.
RC_GTEST_PROP(PipelineProperty, exactly_once_in_order_over_any_network, ()) {
  SessionTable table;
  table.open(1, 1'000'000);
  Pipeline pipeline(1, 1, kLimits);
  std::vector<std::string> log;                     // what was applied
  std::map<Ticket, std::string> waiting, answered;  // command by ticket; reply by ticket
  std::vector<ProposeRequest> on_the_way, late;     // late: copies that nobody waits for
  std::uint64_t index = 1;

  const auto deliver = [&](const ProposeRequest& request) {
    ProposeAnswer answer;
    for (std::size_t i = 0; i < request.commands.size(); ++i) {
      const wire::peer::ProposeCommand command{.session = 1,
                                               .sequence = request.first + i,
                                               .answered = request.answered,
                                               .command = request.commands[i]};
      auto outcome = table.admit(command);
      if (!outcome) {
        log.push_back(request.commands[i]);
        outcome = applied(++index, "did " + request.commands[i]);
        table.keep(command, *outcome);
      }
      answer.outcomes.push_back({outcome->refused, outcome->index, std::string(outcome->reply())});
    }
    return answer;
  };
  const auto take = [&](const ProposeRequest& request, Result<wire::peer::ServiceAnswer> answer) {
    auto progress = pipeline.take(Sent(request), std::move(answer));
    RC_ASSERT(!progress.over);
    for (auto& [ticket, outcome] : progress.answered) answered[ticket] = outcome.text;
  };
  const auto pick = [&](std::vector<ProposeRequest>& from) {
    const auto place = *rc::gen::inRange<std::size_t>(0, from.size());
    auto request = std::move(from[place]);
    from.erase(from.begin() + static_cast<std::ptrdiff_t>(place));
    return request;
  };
  int number = 0;
  for (int step = *rc::gen::inRange(1, 300); step > 0; --step) {
    switch (*rc::gen::inRange(0, 7)) {
      case 0:
      case 1: {
        const auto command = std::to_string(++number);
        if (const auto ticket = pipeline.add(command)) waiting[*ticket] = command;
        break;
      }
      case 2:
        if (auto request = pipeline.next()) on_the_way.push_back(*std::move(request));
        break;
      case 3:  // lost, or very late
        if (!on_the_way.empty()) {
          late.push_back(pick(on_the_way));
          take(late.back(), fail(Code::kTimeout, "silence"));
        }
        break;
      case 4:
        if (!late.empty()) deliver(pick(late));
        break;
      case 5:  // applied, and the answer is lost
        if (!on_the_way.empty()) {
          auto request = pick(on_the_way);
          deliver(request);
          if (*rc::gen::arbitrary<bool>()) late.push_back(request);
          take(request, fail(Code::kIo, "cut"));
        }
        break;
      default:
        if (!on_the_way.empty()) {
          auto request = pick(on_the_way);
          auto answer = deliver(request);
          if (*rc::gen::arbitrary<bool>()) late.push_back(request);
          take(request, std::move(answer));
        }
    }
  }
  while (pipeline.size() > 0) {
    if (auto request = pipeline.next()) on_the_way.push_back(*std::move(request));
    RC_ASSERT(!on_the_way.empty());
    auto request = pick(on_the_way);
    take(request, deliver(request));
  }
  while (!late.empty()) deliver(pick(late));
  RC_ASSERT(log.size() == waiting.size());
  std::size_t place = 0;
  for (const auto& [ticket, command] : waiting) {
    RC_ASSERT(log[place++] == command);
    RC_ASSERT(answered.at(ticket) == "did " + command);
  }
}

}  // namespace
}  // namespace walrus::service
