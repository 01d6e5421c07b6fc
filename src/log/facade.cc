#include "log/facade.h"

#include <algorithm>

#include "base/check.h"

namespace walrus::log {
namespace {

constexpr io::Nanos kLongest = std::chrono::hours(24 * 365);
constexpr io::Nanos kBusyPause = std::chrono::milliseconds(1);
constexpr std::size_t kAsideBytesMax = 64 << 20;

// Threads that run at the same time have different thread blocks; their low bits are alike.
std::size_t thread_number() {
  auto address = reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer());
  return static_cast<std::size_t>((address >> 6) * 0x9e3779b97f4a7c15ULL >> 60);
}

}  // namespace

Face::Face(io::Env& env, std::unique_ptr<Engine> engine, std::unique_ptr<ForkGuard> guard)
    : env_(env), engine_(std::move(engine)), guard_(std::move(guard)) {
  static_assert(std::tuple_size_v<decltype(stripes_)> == 16, "thread_number() has four bits");
}

Face::~Face() {
  // The parent's workers do not exist in a child: the engine cannot be ended there.
  if (guard_->inherited()) static_cast<void>(engine_.release());
}

std::unexpected<Error> Face::closed() { return fail(Code::kClosed, "the log is closed"); }

Face::Stripe* Face::enter() {
  if (guard_->inherited()) [[unlikely]]
    return nullptr;
  Stripe& stripe = stripes_[thread_number()];
  // Before the look at closing_: either this call sees it, or close() sees this call.
  stripe.running.fetch_add(1, std::memory_order_seq_cst);
  if (closing_.load(std::memory_order_seq_cst)) [[unlikely]] {
    leave(stripe);
    return nullptr;
  }
  return &stripe;
}

void Face::leave(Stripe& stripe) {
  stripe.running.fetch_sub(1, std::memory_order_seq_cst);
  if (closing_.load(std::memory_order_seq_cst) && idle()) [[unlikely]]
    left_.set();
}

bool Face::idle() const {
  return std::ranges::all_of(stripes_, [](const Stripe& stripe) {
    return stripe.running.load(std::memory_order_seq_cst) == 0;
  });
}

Result<void> Face::close() {
  if (guard_->inherited() || closing_.exchange(true)) return closed();
  {
    std::lock_guard lock(mutex_);
    for (const auto& event : sleeping_) event->set();
  }
  if (!idle()) env_.wait(left_, kLongest);
  auto result = engine_->close();
  engine_.reset();
  return result;
}

io::Nanos Face::deadline(std::chrono::nanoseconds timeout) {
  return env_.mono() + std::clamp(timeout, io::Nanos(0), kLongest);
}

Result<bool> Face::sleep(const std::shared_ptr<Event>& event, io::Nanos until) {
  {
    std::lock_guard lock(mutex_);
    if (closing_) return closed();
    sleeping_.insert(event);
  }
  io::Nanos left = until - env_.mono();
  bool woken = event->is_set() || (left > io::Nanos(0) && env_.wait(*event, left));
  {
    std::lock_guard lock(mutex_);
    sleeping_.erase(event);
  }
  if (closing_) return closed();
  return woken;
}

Result<bool> Face::wait_readable(const StreamRef& stream, Offset offset, UpTo up_to,
                                 io::Nanos until) {
  auto event = std::make_shared<Event>();
  std::uint64_t id =
      engine_->when_readable(stream, offset, up_to, [event](Result<void>) { event->set(); });
  auto woken = sleep(event, until);
  engine_->cancel(stream, id);
  return woken;
}

Result<bool> Face::wait_room(const StreamRef& stream, io::Nanos until) {
  auto event = std::make_shared<Event>();
  // After a failure the next attempt says what it was.
  engine_->when_room(stream, [event](Result<void>) { event->set(); });
  if (!event->is_set()) return sleep(event, until);
  // There is room, but another thread had it before this one: not again at once.
  io::Nanos now = env_.mono();
  if (now >= until) return false;
  WALRUS_TRY(sleep(std::make_shared<Event>(), std::min(until, now + kBusyPause)));
  return true;
}

Result<void> Face::admit(std::int64_t bytes) {
  std::int64_t limit = engine_->options().user.in_flight_bytes_max;
  std::optional<io::Nanos> until;
  while (true) {
    std::int64_t now = in_flight_.load(std::memory_order_seq_cst);
    // One append always fits, however large.
    while (now == 0 || now + bytes <= limit) {
      if (in_flight_.compare_exchange_weak(now, now + bytes, std::memory_order_seq_cst)) return {};
    }
    if (!until) until = deadline(kRoomWait);
    auto event = std::make_shared<Event>();
    {
      std::lock_guard lock(mutex_);
      admission_events_.push_back(event);
      admissions_.store(static_cast<int>(admission_events_.size()), std::memory_order_seq_cst);
    }
    // An answer that came before the event was seen is not announced again.
    now = in_flight_.load(std::memory_order_seq_cst);
    if (now == 0 || now + bytes <= limit) continue;
    WALRUS_ASSIGN(bool woken, sleep(event, *until));
    if (!woken)
      return fail(Code::kBusy, "{} bytes of appends are not answered yet, at most {}", now, limit);
  }
}

void Face::answered(std::int64_t bytes) {
  in_flight_.fetch_sub(bytes, std::memory_order_seq_cst);
  if (admissions_.load(std::memory_order_seq_cst) == 0) return;
  std::lock_guard lock(mutex_);
  for (const auto& event : admission_events_) event->set();
  admission_events_.clear();
  admissions_.store(0, std::memory_order_seq_cst);
}

std::shared_ptr<StreamShared> Face::shared(std::uint64_t stream) {
  std::lock_guard lock(mutex_);
  auto& shared = streams_[stream];
  if (!shared) shared = std::make_shared<StreamShared>();
  return shared;
}

void Face::forget(std::uint64_t stream) {
  std::lock_guard lock(mutex_);
  streams_.erase(stream);
}

bool Face::lay_aside(std::size_t bytes) {
  if (aside_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= kAsideBytesMax) return true;
  take_up(bytes);
  return false;
}

Result<void> check_read_options(const ReadOptions& options) {
  if (options.bytes_max < 0)
    return fail(Code::kInvalid, "bytes_max {}: below 0", options.bytes_max);
  if (options.records_max < 1)
    return fail(Code::kInvalid, "records_max {}: below 1", options.records_max);
  return {};
}

bool is_clean(Engine& engine, const StreamRef& stream, Offset log_end) {
  auto mark = engine.get_state(stream, Table::kClean, "");
  if (!mark) return log_end.value == 0;
  auto marked = Decoder(*mark).le<std::int64_t>();
  return marked && *marked == log_end.value;
}

Result<Pending> put_clean(Engine& engine, const StreamRef& stream, std::optional<Offset> log_end) {
  constexpr std::int64_t kDirty = -1;  // no log ends there
  std::string mark;
  append_le(mark, log_end ? log_end->value : kDirty);
  return engine.put_state(stream, Table::kClean, "", mark);
}

Result<StreamInfo> stream_info(Engine& engine, const StreamRef& stream) {
  WALRUS_ASSIGN(auto info, engine.info(stream));
  info.clean = is_clean(engine, stream, info.log_end);
  return info;
}

}  // namespace walrus::log
