#include "service/pipeline.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/result.h"

namespace walrus::service {

using wire::peer::CommandOutcome;
using wire::peer::ProposeRequest;

Result<Ticket> Pipeline::add(std::string command) {
  if (commands_.size() >= limits_.commands_max ||
      (bytes_ > 0 && bytes_ + command.size() > limits_.bytes_max))
    return fail(Code::kBusy, "{} commands of this session wait for their answers; not sent",
                commands_.size());
  bytes_ += command.size();
  commands_.push_back({.ticket = ++last_ticket_, .bytes = std::move(command)});
  return last_ticket_;
}

bool Pipeline::withdraw(Ticket ticket) {
  const auto found = std::ranges::find(commands_, ticket, &Command::ticket);
  if (found == commands_.end() || found->ever_sent) return false;
  bytes_ -= found->bytes.size();
  commands_.erase(found);
  return true;
}

std::optional<ProposeRequest> Pipeline::next() {
  if (under_way_ >= limits_.batches_max) return std::nullopt;
  const auto begin = std::ranges::find(commands_, State::kWaiting, &Command::state);
  if (begin == commands_.end()) return std::nullopt;
  const auto place = static_cast<std::uint64_t>(begin - commands_.begin());
  ProposeRequest request{.session = session_, .answered = first_ - 1, .first = first_ + place};
  std::size_t bytes = 0;
  for (auto each = begin; each != commands_.end() && each->state == State::kWaiting &&
                          request.commands.size() < limits_.batch_commands_max;
       ++each) {
    if (!request.commands.empty() && bytes + each->bytes.size() > limits_.batch_bytes_max) break;
    bytes += each->bytes.size();
    request.commands.push_back(each->bytes);
    each->state = State::kSent;
    each->ever_sent = true;
  }
  ++under_way_;
  return request;
}

Pipeline::Progress Pipeline::take(const Sent& sent, Result<wire::peer::ServiceAnswer> answer) {
  CHECK(under_way_ > 0);
  --under_way_;
  Progress progress;
  const auto* failed = answer ? std::get_if<wire::peer::Failed>(&*answer) : nullptr;
  if (failed != nullptr && !failed->again) progress.over = failed->error;
  auto* proposed = answer ? std::get_if<wire::peer::ProposeAnswer>(&*answer) : nullptr;
  std::size_t known = 0;
  if (proposed != nullptr) {
    known = std::min(proposed->outcomes.size(), sent.count);
    for (std::size_t i = 0; i < known && !progress.over; ++i)
      take_outcome(sent, i, std::move(proposed->outcomes[i]), progress);
  }
  for (; known < sent.count && !progress.over; ++known) send_again(sent.first + known, progress);
  while (!commands_.empty() && commands_.front().state == State::kAnswered) {
    commands_.pop_front();
    ++first_;
  }
  return progress;
}

void Pipeline::take_outcome(const Sent& sent, std::size_t place, CommandOutcome&& outcome,
                            Progress& progress) {
  const auto sequence = sent.first + place;
  auto* command = at(sequence);
  if (command == nullptr || command->state == State::kAnswered) return;
  // Not applied, and it may be yet. A gap is closed by sending what is before it; if all of that
  // had its answers already when this one was sent, it is not the session's gap.
  const bool gap = outcome.refused == Code::kMismatch && sequence != sent.answered + 1;
  if (gap || outcome.refused == Code::kBusy) return send_again(sequence, progress);
  const bool applied = outcome.index != 0;
  // The reply is not kept: the command itself was applied.
  const bool forgotten = outcome.refused == Code::kOutOfRange;
  if (!applied && !forgotten) {
    progress.over = Error{outcome.refused, std::move(outcome.text)};
    return;
  }
  bytes_ -= command->bytes.size();
  command->bytes.clear();
  command->state = State::kAnswered;
  progress.answered.push_back({command->ticket, std::move(outcome)});
}

void Pipeline::send_again(std::uint64_t sequence, Progress& progress) {
  auto* command = at(sequence);
  if (command == nullptr || command->state != State::kSent) return;
  command->state = State::kWaiting;
  progress.again = true;
}

Pipeline::Command* Pipeline::at(std::uint64_t sequence) {
  if (sequence < first_ || sequence - first_ >= commands_.size()) return nullptr;
  return &commands_[static_cast<std::size_t>(sequence - first_)];
}

}  // namespace walrus::service
