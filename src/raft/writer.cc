#include "raft/writer.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace walrus::raft {

void Writer::Inbox::wake() {
  const LockGuard guard(lock);
  if (worker != nullptr) worker->wake();
}

Writer::Writer(io::Env& env, log::Engine& engine, Mailbox mailbox, io::Nanos retry, Waits waits)
    : env_(env),
      engine_(engine),
      mailbox_(std::move(mailbox)),
      retry_(retry),
      waits_(std::make_shared<const Waits>(std::move(waits))),
      inbox_(std::make_shared<Inbox>()),
      answers_(std::make_shared<Answers>()),
      worker_(env.start_worker("walrus-raft", [this] { return step(); })) {
  const LockGuard guard(inbox_->lock);
  inbox_->worker = worker_.get();
}

Writer::~Writer() {
  {
    const LockGuard guard(inbox_->lock);
    inbox_->worker = nullptr;
  }
  worker_.reset();
  answers_->by_number.clear();
}

void Writer::Answers::give(std::uint64_t number, Result<StoreJob> result) {
  auto found = by_number.extract(number);
  if (!found.empty()) found.mapped()(std::move(result));
}

void Writer::submit(std::vector<Order> orders) {
  const LockGuard guard(inbox_->lock);
  for (auto& order : orders) {
    answers_->by_number.emplace(++answers_->last, std::move(order.done));
    inbox_->orders.push_back({std::move(order.store), std::move(order.job), answers_->last});
  }
  if (inbox_->worker != nullptr) inbox_->worker->wake();
}

void Writer::take_inbox() {
  std::vector<Numbered> orders;
  {
    const LockGuard guard(inbox_->lock);
    orders.swap(inbox_->orders);
  }
  for (auto& order : orders) {
    auto [place, added] = line_of_.try_emplace(order.store.get(), lines_.size());
    if (added) lines_.push_back({.store = order.store});
    lines_[place->second].orders.push_back(std::move(order));
  }
}

io::Nanos Writer::step() {
  take_inbox();
  std::vector<WrittenRef> written;
  std::vector<Line> waiting;
  for (auto& line : lines_) {
    env_.crash_point("raft-write");
    if (!work(line, written)) waiting.push_back(std::move(line));
  }
  lines_ = std::move(waiting);
  line_of_.clear();
  for (std::size_t i = 0; i < lines_.size(); ++i) line_of_[lines_[i].store.get()] = i;
  await_disk(std::move(written));
  for (auto& line : lines_) await_room(line);
  return lines_.empty() ? io::Worker::kForever : retry_;
}

bool Writer::work(Line& line, std::vector<WrittenRef>& written) {
  while (!line.orders.empty()) {
    auto& order = line.orders.front();
    auto done = line.store->advance(order.job);
    if (done && !*done) return false;
    if (std::exchange(line.told, false))
      mailbox_.send([waits = waits_, group = line.store->group()] { (*waits)(group, {}); });
    if (done) {
      written.push_back(std::make_shared<Written>(std::move(order.job), order.number));
    } else {
      mailbox_.send([answers = answers_, number = order.number, error = done.error()] {
        answers->give(number, std::unexpected(error));
      });
    }
    line.orders.pop_front();
  }
  return true;
}

void Writer::await_room(Line& line) {
  const auto& blocked = line.store->blocked_on();
  auto wake = [inbox = inbox_](const Result<void>&) { inbox->wake(); };
  if (blocked.pending) {
    engine_.when_done(*blocked.pending, wake);
    return;
  }
  if (std::exchange(line.told, true)) return;
  // What is answered at once would say nothing: then the next retry looks again.
  auto asking = std::make_shared<std::atomic<bool>>(true);  // shared with the callback
  engine_.when_room(blocked.room, [asking, inbox = inbox_](const Result<void>&) {
    if (!*asking) inbox->wake();
  });
  *asking = false;
  mailbox_.send([waits = waits_, group = line.store->group(), why = blocked.error.message] {
    (*waits)(group, why);
  });
}

// One callback a shard: jobs that lie in one journal alone share it.
void Writer::await_disk(std::vector<WrittenRef> written) {
  struct Shared {
    log::Pending pending{};
    std::vector<WrittenRef> jobs{};
  };
  std::vector<Shared> shards;
  for (auto& one : written) {
    one->left = std::max<std::size_t>(1, one->job.pending.size());
    if (one->job.pending.empty()) one->job.pending.emplace_back();
    for (const auto& place : one->job.pending) {
      auto shared =
          std::ranges::find(shards, place.shard, [](const Shared& s) { return s.pending.shard; });
      if (shared == shards.end()) shared = shards.insert(shards.end(), Shared{place});
      if (place.lsn > shared->pending.lsn) shared->pending = place;
      shared->jobs.push_back(one);
    }
  }
  for (auto& shared : shards) {
    engine_.when_done(shared.pending,
                      [mailbox = mailbox_, answers = answers_,
                       jobs = std::move(shared.jobs)](const Result<void>& result) mutable {
                        mailbox.send([answers = std::move(answers), jobs = std::move(jobs),
                                      result] { synced(*answers, jobs, result); });
                      });
  }
}

void Writer::synced(Answers& answers, const std::vector<WrittenRef>& jobs,
                    const Result<void>& result) {
  for (const auto& one : jobs) {
    if (!result && !one->error) one->error = result.error();
    if (--one->left > 0) continue;
    if (one->error) answers.give(one->number, std::unexpected(*one->error));
    else answers.give(one->number, std::move(one->job));
  }
}

}  // namespace walrus::raft
