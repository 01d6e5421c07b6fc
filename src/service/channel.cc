#include "service/channel.h"

#include <algorithm>
#include <utility>

namespace walrus::service {

using wire::peer::QueryAnswer;
using wire::peer::QueryRequest;
using wire::peer::SessionAnswer;

namespace {

// How long one request may be under way before the session tries another member.
constexpr io::Nanos kPatience = std::chrono::seconds(60);

}  // namespace

Channel::Channel(io::Env& env, io::Loop& loop, std::shared_ptr<Endpoint> endpoint,
                 const SessionAnswer& session, std::uint64_t next_sequence)
    : env_(env),
      loop_(loop),
      endpoint_(std::move(endpoint)),
      command_bytes_max_(session.command_bytes_max),
      timers_(std::in_place, env, loop),
      pipeline_(session.session, next_sequence),
      seen_index_(session.index) {}

io::Task<std::shared_ptr<Channel>> Channel::open(io::Env& env, io::Loop& loop,
                                                 std::shared_ptr<Endpoint> endpoint,
                                                 io::Nanos deadline) {
  WALRUS_CO_ASSIGN(const auto session,
                   expect<SessionAnswer>(co_await ask_until(
                       env, loop, endpoint, {.body = wire::peer::OpenSessionRequest{}}, deadline)));
  co_return std::make_shared<Channel>(env, loop, std::move(endpoint), session, 1);
}

io::Task<std::shared_ptr<Channel>> Channel::resume(io::Env& env, io::Loop& loop,
                                                   std::shared_ptr<Endpoint> endpoint,
                                                   SessionPlace place, io::Nanos deadline) {
  if (place.id == 0 || place.next_sequence == 0)
    co_return fail(Code::kInvalid, "sessions and sequences begin with 1");
  WALRUS_CO_ASSIGN(
      const auto session,
      expect<SessionAnswer>(co_await ask_until(
          env, loop, endpoint, {.body = wire::peer::FindSessionRequest{place.id}}, deadline)));
  if (place.next_sequence > session.last_sequence + 1)
    co_return fail(Code::kMismatch, "the next sequence of session {} is {}, not {}", place.id,
                   session.last_sequence + 1, place.next_sequence);
  co_return std::make_shared<Channel>(env, loop, std::move(endpoint), session, place.next_sequence);
}

void Channel::propose(std::string command, io::Nanos deadline, Answering<std::string> answering) {
  if (over_) return answering(std::unexpected(*over_));
  if (command.size() > command_bytes_max_)
    return answering(fail(Code::kTooLarge, "a command of {} bytes, at most {}", command.size(),
                          command_bytes_max_));
  if (env_.mono() >= deadline)
    return answering(fail(Code::kTimeout, "the deadline was over already; not sent"));
  const auto ticket = pipeline_.add(std::move(command));
  if (!ticket) return answering(std::unexpected(ticket.error()));
  auto& caller = callers_[*ticket];
  caller.answering = std::move(answering);
  caller.timer = timers_->at(deadline, [this, ticket = *ticket] { timed_out(ticket); });
  pump();
}

void Channel::pump() {
  while (!pausing_ && !over_) {
    auto request = pipeline_.next();
    if (!request) return;
    loop_.spawn(send(shared_from_this(), *std::move(request)));
  }
}

boost::asio::awaitable<void> Channel::send(std::shared_ptr<Channel> self,
                                           wire::peer::ProposeRequest request) {
  const Pipeline::Sent sent(request);
  auto answer =
      co_await self->endpoint_->ask({.body = std::move(request)}, self->env_.mono() + kPatience);
  if (self->over_) co_return;  // also: closed
  if (!answer && answer.error().code == Code::kClosed) co_return self->end(answer.error());
  self->take(self->pipeline_.take(sent, std::move(answer)));
}

void Channel::take(Pipeline::Progress progress) {
  if (!progress.answered.empty()) backoff_.reset();
  for (auto& [ticket, outcome] : progress.answered) {
    seen_index_ = std::max(seen_index_, outcome.index);
    if (outcome.refused == Code{}) answer(ticket, std::move(outcome.text));
    else answer(ticket, fail(outcome.refused, "{}", outcome.text));
  }
  if (progress.over) return end(*progress.over);
  if (progress.again && !pausing_) {
    pausing_ = true;
    timers_->at(env_.mono() + backoff_.next(env_), [this] {
      pausing_ = false;
      pump();
    });
  }
  pump();
}

void Channel::answer(Ticket ticket, Result<std::string> result) {
  const auto found = callers_.find(ticket);
  if (found == callers_.end()) return;
  timers_->cancel(found->second.timer);
  auto answering = std::move(found->second.answering);
  callers_.erase(found);
  answering(std::move(result));
}

void Channel::timed_out(Ticket ticket) {
  if (pipeline_.withdraw(ticket))
    return answer(ticket, fail(Code::kTimeout, "not sent before the deadline"));
  answer(ticket, fail(Code::kTimeout,
                      "no answer before the deadline: the command may be applied, or yet be"));
}

void Channel::end(const Error& error) {
  if (!over_) over_ = error;
  for (auto callers = std::exchange(callers_, {}); auto& [ticket, caller] : callers) {
    timers_->cancel(caller.timer);
    caller.answering(std::unexpected(error));
  }
}

void Channel::close() {
  closed_ = true;
  over_ = Error{Code::kClosed, "the session was let go"};
  end(*over_);
  timers_.reset();
}

void Channel::query(std::string question, Read level, io::Nanos deadline,
                    Answering<std::string> answering) {
  // A session that is over may still ask.
  if (closed_) return answering(std::unexpected(*over_));
  QueryRequest request{.level = level, .question = std::move(question)};
  if (level == Read::kSession) request.index = seen_index_;
  loop_.spawn(ask(shared_from_this(), std::move(request), deadline, std::move(answering)));
}

boost::asio::awaitable<void> Channel::ask(std::shared_ptr<Channel> self, QueryRequest request,
                                          io::Nanos deadline, Answering<std::string> answering) {
  // Nothing is waited for by a timer here: whoever is asked keeps the deadline.
  auto answer = expect<QueryAnswer>(co_await ask_until(self->env_, self->loop_, self->endpoint_,
                                                       {.body = std::move(request)}, deadline));
  if (!answer) co_return answering(std::unexpected(std::move(answer).error()));
  // Of whatever level: a session read does not go back behind a stale one either.
  self->seen_index_ = std::max(self->seen_index_, answer->index);
  answering(std::move(answer->answer));
}

}  // namespace walrus::service
