#include "broker/log_journal.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "broker/each_record.h"

namespace walrus::broker {
namespace {

const Error kLost{Code::kFenced, "somebody else has written to the journal"};

std::size_t size_of(const JournalRecord& record) {
  return record.key.size() + (record.value ? record.value->size() : 0);
}

}  // namespace

class LogJournal::State : public std::enable_shared_from_this<State> {
 public:
  State(log::Engine& engine, io::Loop& loop, LogRef log, const LogJournalOptions& options,
        std::function<void()> lost)
      : engine_(engine), loop_(loop), log_(std::move(log)), options_(options), on_lost_(lost) {}

  io::Task<void> load(Apply apply);
  Result<void> append(std::span<const JournalRecord>, log::Done<void> done);
  void when_room(log::Done<void> done);
  io::Task<void> confirm();
  void end();  // nobody is told any more
  log::Engine& engine() { return engine_; }

 private:
  struct Waiting {
    std::vector<JournalRecord> records{};
    std::size_t bytes = 0;
    log::Done<void> done{};
  };
  io::Task<void> read(Apply& apply, Offset to);
  void send_soon();
  static boost::asio::awaitable<void> send(std::shared_ptr<State>);
  std::vector<Waiting> next_batch();
  io::Task<void> place(std::vector<JournalRecord>);
  io::Task<Placed> append_there(std::span<const walrus::Record>);
  bool is_wasteful() const;
  io::Task<void> shrink();
  static boost::asio::awaitable<void> confirm_rounds(std::shared_ptr<State>);
  io::Task<void> check_end();
  void lose();

  log::Engine& engine_;
  io::Loop& loop_;
  const LogRef log_;
  const LogJournalOptions options_;
  std::function<void()> on_lost_;
  std::map<std::string, std::int64_t, std::less<>> last_{};  // of a key: its last record
  Offset start_{}, next_{};                                  // of the log, as this owner knows it
  std::deque<Waiting> queue_{};
  std::size_t queued_bytes_ = 0;
  bool loaded_ = false, sending_ = false, confirming_ = false, lost_ = false, ended_ = false;
  Waiters room_{}, placed_{};
  std::vector<log::Done<void>> next_round_{};  // of confirm()
};

LogJournal::LogJournal(log::Engine& engine, io::Loop& loop, LogRef log,
                       const LogJournalOptions& options, std::function<void()> lost)
    : state_(std::make_shared<State>(engine, loop, std::move(log), options, std::move(lost))) {}
LogJournal::~LogJournal() { state_->end(); }
io::Task<void> LogJournal::load(Apply apply) { return state_->load(std::move(apply)); }
Result<void> LogJournal::append(std::span<const JournalRecord> records, log::Done<void> done) {
  return state_->append(records, std::move(done));
}
void LogJournal::when_room(log::Done<void> done) { state_->when_room(std::move(done)); }
io::Task<void> LogJournal::confirm() { return state_->confirm(); }
std::int64_t LogJournal::now_ms() { return state_->engine().trusted_ms(); }

// ---------------------------------------------------------------------------------------------
// Reading

io::Task<void> LogJournal::State::load(Apply apply) {
  auto self = shared_from_this();
  CHECK(!loaded_);
  last_.clear();
  WALRUS_CO_ASSIGN(auto end, co_await log_->confirm());
  WALRUS_CO_TRY(co_await read(apply, end));
  next_ = end;
  loaded_ = true;
  co_return Result<void>();
}

// All records below `to`, which is readable here now or in a while.
io::Task<void> LogJournal::State::read(Apply& apply, Offset to) {
  WALRUS_CO_ASSIGN(auto bounds, log_->bounds());
  auto from = start_ = bounds.log_start;
  while (from < to) {
    if (ended_) co_return std::unexpected(kLost);
    WALRUS_CO_ASSIGN(auto fetched,
                     co_await log_->fetch(from, {.bytes_max = options_.fetch_bytes_max}));
    auto take = [this, &apply, from](const record::RecordView& record) -> Result<void> {
      if (record.offset < from.value) return {};
      auto key = record.key.value_or(Bytes());
      if (record.value) last_[std::string(key)] = record.offset;
      else last_.erase(std::string(key));
      return apply(key, record.value);
    };
    WALRUS_CO_TRY(for_each_record(fetched.bytes, take));
    if (fetched.next > from) {
      from = fetched.next;
      continue;
    }
    io::Signal readable(loop_);
    auto id = log_->when_readable(from, readable.setter());
    auto waited = co_await readable.wait(options_.retry);
    log_->cancel(id);
    if (!waited && waited.error().code != Code::kTimeout) co_return waited;
  }
  co_return Result<void>();
}

// ---------------------------------------------------------------------------------------------
// Writing

Result<void> LogJournal::State::append(std::span<const JournalRecord> records,
                                       log::Done<void> done) {
  CHECK(loaded_);
  if (lost_) return std::unexpected(kLost);
  Waiting waiting{.records = {records.begin(), records.end()}, .done = std::move(done)};
  for (const auto& record : records) waiting.bytes += size_of(record);
  if (waiting.bytes > options_.append_bytes_max)
    return fail(Code::kTooLarge, "records of {} bytes, the journal takes {}", waiting.bytes,
                options_.append_bytes_max);
  if (!queue_.empty() && queued_bytes_ + waiting.bytes > options_.queue_bytes_max)
    return fail(Code::kBusy, "{} bytes wait for the journal", queued_bytes_);
  queued_bytes_ += waiting.bytes;
  queue_.push_back(std::move(waiting));
  send_soon();
  return {};
}

// Woken whenever something has gone, whatever then fits.
void LogJournal::State::when_room(log::Done<void> done) {
  if (lost_) return done(std::unexpected(kLost));
  if (queue_.empty()) return done({});
  room_.add(std::move(done));
}

void LogJournal::State::send_soon() {
  if (std::exchange(sending_, true)) return;
  loop_.spawn(send(shared_from_this()));
}

boost::asio::awaitable<void> LogJournal::State::send(std::shared_ptr<State> self) {
  while (!self->lost_ && !self->queue_.empty()) {
    auto batch = self->next_batch();
    std::vector<JournalRecord> records;
    for (auto& one : batch) std::ranges::move(one.records, std::back_inserter(records));
    auto placed = co_await self->place(std::move(records));
    if (!placed) self->lose();
    for (auto& one : batch) one.done(placed ? Result<void>() : std::unexpected(kLost));
    self->placed_.wake_all({});
    if (!self->lost_ && self->is_wasteful() && !co_await self->shrink()) self->lose();
  }
  self->sending_ = false;
  self->placed_.wake_all({});
}

std::vector<LogJournal::State::Waiting> LogJournal::State::next_batch() {
  std::vector<Waiting> batch;
  std::size_t bytes = 0;
  while (!queue_.empty() &&
         (batch.empty() || bytes + queue_.front().bytes <= options_.batch_bytes_max)) {
    bytes += queue_.front().bytes;
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  queued_bytes_ -= bytes;
  room_.wake_all({});
  return batch;
}

io::Task<void> LogJournal::State::place(std::vector<JournalRecord> records) {
  std::vector<walrus::Record> encoded;
  for (const auto& record : records)
    encoded.push_back({.key = record.key,
                       .value = record.value ? std::optional<Bytes>(*record.value) : std::nullopt});
  WALRUS_CO_ASSIGN(auto placed, co_await append_there(encoded));
  if (placed.first != next_) co_return std::unexpected(kLost);
  auto at = placed.first.value;
  for (const auto& record : records) {
    if (record.value) last_[record.key] = at;
    else last_.erase(record.key);
    ++at;
  }
  next_ = placed.next;
  co_return Result<void>();
}

// At next_, and nowhere else. An error: perhaps it is there, but for kBusy, which is waited for.
io::Task<Placed> LogJournal::State::append_there(std::span<const walrus::Record> records) {
  while (true) {
    if (lost_) co_return std::unexpected(kLost);
    auto appending = log_->append(records, {.expected_next = next_});
    if (appending) {
      AppendRun run;
      run.add(*appending);
      WALRUS_CO_TRY(co_await run.wait(engine_, loop_));
      co_return run.outcome(*appending);
    }
    if (appending.error().code != Code::kBusy)
      co_return std::unexpected(std::move(appending).error());
    io::Signal room(loop_);
    log_->when_room(room.setter());
    (void)co_await room.wait(options_.retry);
  }
}

bool LogJournal::State::is_wasteful() const {
  return next_.value - start_.value > 2 * std::ssize(last_) + options_.waste_records_min;
}

// One piece of the log's beginning: what counts of it is written anew, before anything that was
// decided later; then it may go.
io::Task<void> LogJournal::State::shrink() {
  auto bytes_max = static_cast<std::int64_t>(options_.batch_bytes_max);
  WALRUS_CO_ASSIGN(auto fetched, co_await log_->fetch(start_, {.bytes_max = bytes_max}));
  std::vector<JournalRecord> kept;
  auto take = [this, &kept](const record::RecordView& record) -> Result<void> {
    if (record.offset < start_.value) return {};
    auto key = record.key.value_or(Bytes());
    auto last = last_.find(key);
    if (record.value && last != last_.end() && last->second == record.offset)
      kept.push_back({.key = std::string(key), .value = std::string(*record.value)});
    return {};
  };
  WALRUS_CO_TRY(for_each_record(fetched.bytes, take));
  if (!kept.empty()) WALRUS_CO_TRY(co_await place(std::move(kept)));
  // What cannot be trimmed now can be later, with what lies behind it.
  start_ = std::max(start_, fetched.next);
  (void)co_await log_->trim(loop_, start_);
  co_return Result<void>();
}

// ---------------------------------------------------------------------------------------------
// Whose it is

// Who comes while a round is under way, which may have asked already, waits for the next one.
io::Task<void> LogJournal::State::confirm() {
  auto self = shared_from_this();
  io::Signal signal(loop_);
  next_round_.push_back(signal.setter());
  if (!std::exchange(confirming_, true)) loop_.spawn(confirm_rounds(self));
  co_return co_await signal.wait();
}

boost::asio::awaitable<void> LogJournal::State::confirm_rounds(std::shared_ptr<State> self) {
  while (!self->next_round_.empty()) {
    auto round = std::exchange(self->next_round_, {});
    auto checked = co_await self->check_end();
    for (auto& done : round) done(checked);
  }
  self->confirming_ = false;
}

// The log ends where this owner has it end, or with what it appends at the moment.
io::Task<void> LogJournal::State::check_end() {
  if (lost_) co_return std::unexpected(kLost);
  WALRUS_CO_ASSIGN(auto end, co_await log_->confirm());
  while (!lost_ && sending_ && end > next_) {
    io::Signal signal(loop_);
    placed_.add(signal.setter());
    WALRUS_CO_TRY(co_await signal.wait());
  }
  if (end > next_) lose();
  if (lost_) co_return std::unexpected(kLost);
  co_return Result<void>();
}

void LogJournal::State::lose() {
  if (std::exchange(lost_, true)) return;
  for (auto& waiting : std::exchange(queue_, {})) waiting.done(std::unexpected(kLost));
  room_.wake_all(std::unexpected(kLost));
  placed_.wake_all({});
  if (!on_lost_) return;
  loop_.post([self = shared_from_this()] {
    if (auto lost = std::exchange(self->on_lost_, nullptr)) lost();
  });
}

// The loop may be gone already.
void LogJournal::State::end() {
  ended_ = true;
  on_lost_ = nullptr;
  lose();
}

}  // namespace walrus::broker
