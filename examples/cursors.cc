// cursors.cc: two named readers of one stream, each with a durable position of its own.
//   cursors DIRECTORY     run it twice: the second run goes on where the first one stopped
#include <walrus/log.h>

#include <iostream>
#include <string>

namespace {

int failed(const walrus::Error& error) {
  std::cerr << "cursors: " << error.message << "\n";
  return 1;
}

walrus::Result<walrus::Stream> open_or_fill(walrus::Log& log) {
  auto jobs = log.stream("jobs");
  if (jobs || jobs.error().code != walrus::Code::kNotFound) return jobs;
  jobs = log.create("jobs");
  for (int i = 0; jobs && i < 10; ++i) {
    auto at = jobs->append({.value = "job " + std::to_string(i)});
    if (!at) return std::unexpected(at.error());
  }
  return jobs;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::cerr << "usage: cursors DIRECTORY\n";
    return 2;
  }
  auto log = walrus::Log::open({.root = arguments[1]});
  if (!log) return failed(log.error());
  auto jobs = open_or_fill(*log);
  if (!jobs) return failed(jobs.error());

  // At most once: the new position is on the disk before the records are handed out.
  auto billing = jobs->cursor("billing", {.delivery = walrus::Delivery::kAtMostOnce});
  if (!billing) return failed(billing.error());
  auto taken = billing->read({.records_max = 3});
  if (!taken) return failed(taken.error());
  for (const auto& record : *taken) std::cout << "billing " << *record.value << "\n";

  // At least once: look, do the work, then commit. A crash in between shows the record again.
  auto audit = jobs->cursor("audit", {.persist_every = 100});
  if (!audit) return failed(audit.error());
  auto seen = audit->peek({.records_max = 5});
  if (!seen) return failed(seen.error());
  for (const auto& record : *seen) std::cout << "audit " << *record.value << "\n";
  if (auto done = audit->commit(seen->next()); !done) return failed(done.error());

  auto left = billing->unread();
  if (!left) return failed(left.error());
  std::cout << *left << " left for billing\n";
}
