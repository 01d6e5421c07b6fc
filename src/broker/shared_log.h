#pragma once
// SharedLog: a Log in memory for tests, which several owners write to as the nodes of a cluster do:
// appends and confirmations take time, fail, or are left without an answer, as the test says.

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/log.h"

namespace walrus::broker {

// What all of them see.
struct SharedRecords {
  struct Batch {
    std::int64_t first = 0, next = 0;
    std::string bytes{};
  };
  std::vector<Batch> batches{};
  std::int64_t log_start = 0, log_end = 0;
  int trims = 0;

  Result<Placed> append(std::span<const walrus::Record> records, std::optional<Offset> expected) {
    if (expected && expected->value != log_end)
      return fail(Code::kMismatch, "expected offset {}, next is {}", expected->value, log_end);
    Batch batch{.first = log_end, .next = log_end + std::ssize(records)};
    batch.bytes = record::encode(records, {.now = Time(Millis(1'700'000'000'000))});
    record::set_base_offset(batch.bytes.data(), log_end);
    log_end = batch.next;
    batches.push_back(std::move(batch));
    return Placed{.first = {batches.back().first}, .next = {batches.back().next}};
  }
};

class SharedLog final : public Log {
 public:
  SharedLog(io::Loop& loop, std::shared_ptr<SharedRecords> records)
      : Log("__shared"), loop_(loop), records_(std::move(records)) {}

  bool full = false;                    // appends find no room
  bool silent = false;                  // appends are not answered before answer() is called
  bool fails = false;                   // answers say that it is not known
  Code confirm_error{};                 // none: it confirms
  std::vector<log::Done<void>> room{};  // who waits for it
  void answer() {
    for (auto& one : std::exchange(unanswered_, {})) one();
  }

  Result<Appending> append(std::span<const walrus::Record> records,
                           const AppendRules& rules) override {
    if (full) return fail(Code::kBusy, "no room");
    Appending appending{.owed = std::make_shared<Owed>(loop_)};
    auto placed = records_->append(records, rules.expected_next);
    if (fails) placed = fail(Code::kIo, "not known");
    auto settle = [owed = appending.owed, placed] { owed->settle(placed); };
    if (silent) unanswered_.push_back(settle);
    else loop_.post(settle);
    return appending;
  }
  Result<Appending> append_batch(const record::BatchView&, const AppendRules&) override {
    return fail(Code::kInvalid, "not in tests");
  }
  void when_room(log::Done<void> done) override { room.push_back(std::move(done)); }
  io::Task<log::Fetched> fetch(Offset from, log::FetchOptions) override {
    log::Fetched fetched{.log_start = {records_->log_start},
                         .high_watermark = {records_->log_end},
                         .log_end = {records_->log_end},
                         .next = from};
    if (from.value < records_->log_start || from.value > records_->log_end)
      co_return fail(Code::kOutOfRange, "offset {}", from.value);
    for (const auto& batch : records_->batches) {
      if (batch.next <= from.value) continue;
      fetched.bytes = batch.bytes;
      fetched.next = Offset{batch.next};
      break;
    }
    co_return fetched;
  }
  io::Task<Offset> find_time(Time) override { co_return Offset{records_->log_end}; }
  std::uint64_t when_readable(Offset, log::Done<void>) override { return 0; }
  void cancel(std::uint64_t) override {}
  io::Task<Offset> confirm() override {
    if (confirm_error != Code{}) co_return fail(confirm_error, "not for now");
    co_return Offset{records_->log_end};
  }
  io::Task<void> trim(io::Loop&, Offset first_kept) override {
    records_->log_start = first_kept.value;
    std::erase_if(records_->batches,
                  [&](const auto& batch) { return batch.next <= first_kept.value; });
    ++records_->trims;
    co_return Result<void>();
  }
  Result<Bounds> bounds() const override {
    return Bounds{.log_start = {records_->log_start},
                  .high_watermark = {records_->log_end},
                  .log_end = {records_->log_end}};
  }
  Result<LogInfo> info() const override { return LogInfo{}; }
  std::vector<LogSegment> segments() const override { return {}; }

 private:
  io::Loop& loop_;
  const std::shared_ptr<SharedRecords> records_;  // shared with the other owners
  std::vector<std::function<void()>> unanswered_{};
};

}  // namespace walrus::broker
