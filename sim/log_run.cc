#include "log_run.h"

#include <cstdio>

namespace walrus::sim {
namespace {

constexpr std::int64_t kRestartsMin = 3;

}  // namespace

LogRun::LogRun(std::uint64_t seed, std::int64_t operations)
    : operations_(operations), random_(seed), plan_(draw_plan(random_)) {
  world_ = std::make_unique<io::World>(seed, plan_.world);
  world_->node(0).at_crash_points([this](std::string_view name) {
    if (slow_read_ && name == "fetch-before-copy") append_meanwhile();
  });
  // At least three incarnations end early; what else ends them comes on top.
  auto restarts = random_.between(3, 7);
  for (std::int64_t i = 1; i <= restarts; ++i) {
    restart_at_.insert(operations * i / (restarts + 1) + random_.between(-5, 5));
  }
}

LogRun::~LogRun() {
  ++incarnation_;  // callbacks that still come find no one
  waits_.clear();
  for (auto& name : names_) name.stream.reset();
  names_.clear();
  engine_.reset();
}

void LogRun::run() {
  begin_life();
  while (done_ < operations_ && !violation_) step();
  if (!violation_) {
    close_windows();
    world_->node(0).crash_after_ops(0, io::CrashKind::kKill);
    if (engine_) end(random_.chance(0.5) ? End::kPowerCut : End::kClose);
    if (!violation_ && !engine_) open();
    // What was drawn to end an incarnation did not always come to pass.
    while (!violation_ && tally_.restarts < kRestartsMin) {
      if (engine_) end(End::kKill);
      if (!violation_ && !engine_) open();
    }
    if (!violation_ && engine_ && !damaged_) end_by_close();
  }
  if (!violation_ && (tally_.operations < operations_ || tally_.restarts < kRestartsMin)) {
    flag("too-little-done",
         fmt::format("{} operations, {} restarts", tally_.operations, tally_.restarts));
  }
  for (const auto& [family, count] : disk().hits()) tally_.hits[family] += count;
  tally_.trace = world_->trace_hash();
}

void LogRun::step() {
  if (!engine_) {
    open();
    if (engine_ && !violation_ && !damaged_) end_early();
    return;
  }
  if (restart_at_.contains(done_)) {
    restart_at_.erase(done_);
    draw_end();
    if (!engine_) return;
  }
  fault_window();
  ++done_;
  watch_syncs();
  do_operation();
  watch_syncs();
  if (std::exchange(seen_early_, false)) cut_at_once();
  if (!violation_ && engine_ && !crashed()) advance();
  watch_syncs();
  if (violation_) return;
  if (crashed()) {
    after_crash();
  } else if (engine_failed()) {
    check_failed_instance();
  } else if (damaged_ && done_ >= damage_until_) {
    end_damaged_life();
  }
}

// Lets the world run for a while, most often hardly at all, so that much is in flight.
void LogRun::advance() {
  auto draw = random_.below(100);
  if (draw < 35) return;
  if (draw < 75) {
    for (auto steps = random_.between(1, 12); steps > 0 && !crashed(); --steps) world_->step();
  } else if (draw < 95) {
    pass(std::chrono::microseconds(random_.between(10, 20'000)));
  } else {
    pass(std::chrono::milliseconds(random_.between(20, 2'000)));
  }
}

// Lets time pass, but not beyond a crash: the moment of it decides what had to be on the disk.
void LogRun::pass(io::Nanos time) {
  world_->run_until([this] { return crashed(); }, time);
}

void LogRun::do_operation() {
  ++tally_.operations;
  // One whose creation is not acknowledged is not used yet.
  auto first = random_.below(names_.size()), at = first;
  while (names_[at].creating && (at + 1) % names_.size() != first) at = (at + 1) % names_.size();
  auto& name = names_[at];
  if (name.creating) return pass(std::chrono::milliseconds(1));
  if (!name.stream) return create(name);
  using Operation = void (LogRun::*)(Name&);
  struct Weighted {
    unsigned weight;
    Operation operation;
  };
  static constexpr Weighted kOperations[] = {{40, &LogRun::append},
                                             {8, &LogRun::append_as_producer},
                                             {4, &LogRun::append_conditionally},
                                             {1, &LogRun::append_unasked},
                                             {10, &LogRun::read},
                                             {1, &LogRun::read_outside},
                                             {1, &LogRun::read_slowly},
                                             {3, &LogRun::find_time},
                                             {6, &LogRun::check_info},
                                             {5, &LogRun::put_cursor},
                                             {3, &LogRun::check_cursors},
                                             {4, &LogRun::trim},
                                             {3, &LogRun::truncate},
                                             {2, &LogRun::alter},
                                             {2, &LogRun::remove},
                                             {3, &LogRun::wait_for_tail},
                                             {2, &LogRun::sync},
                                             {2, &LogRun::compact}};
  unsigned total = 0;
  for (const auto& one : kOperations) total += one.weight;
  auto draw = random_.below(total + 7);
  for (const auto& one : kOperations) {
    if (draw < one.weight) return (this->*one.operation)(name);
    draw -= one.weight;
  }
  switch (draw) {
    case 0:
    case 1:
    case 2: return checkpoint();
    case 3: return backup();
    case 4: return open_read_only();
    case 5: return open_twice();
    default: return cancel_tail_wait();
  }
}

void LogRun::flag(const Verdict& verdict) {
  if (verdict && !violation_) violation_ = verdict;
}

// The same, of a stream.
void LogRun::flag(const Name& name, Verdict verdict) {
  if (verdict) verdict->detail = fmt::format("{} ({}): {}", name.name, name.id, verdict->detail);
  flag(verdict);
}

void LogRun::flag(const char* rule, std::string detail) {
  flag(Violation{rule, std::move(detail)});
}

bool LogRun::crashed() { return world_->node(0).crashed(); }

// Ended for good, in contrast to an error in the background that is retried.
bool LogRun::engine_failed() { return engine_ && !crashed() && !engine_->failure(); }

// Dates a failed sync, and the end of the instance by any failure, by the last moment at which
// there was none yet: from then on nothing is synced any more.
void LogRun::watch_syncs() {
  if (!engine_) return;
  if (!failed_ms_ && !crashed()) {
    if (engine_->failure()) {
      last_alive_ms_ = true_ms();
    } else {
      failed_ms_ = last_alive_ms_;
    }
  }
  if (sync_failed_ms_) return;
  if (hits("sync_error") == sync_errors_before_) {
    last_synced_ms_ = true_ms();
  } else {
    sync_failed_ms_ = last_synced_ms_;
  }
}

StreamHistory& LogRun::history(Name& name) {
  auto& history = name.streams.at(name.id);
  history.set_clock_lead(clock_lead_ms());
  return history;
}

// Retention's clock follows jumps of the wall clock at ten times the pace of time.
std::int64_t LogRun::clock_lead_ms() {
  if (wall_jump_.count() <= 0) return clock_lead_ms_;
  // It is looked at once in a while, and gains for all of that while.
  auto since = world_->now() - jumped_at_ + plan_.engine.maintenance_interval + sync_slack(plan_);
  auto jumped = std::chrono::duration_cast<Millis>(since).count();
  constexpr std::int64_t kGain = 9;
  return clock_lead_ms_ + std::min(wall_jump_.count(), kGain * jumped);
}

std::int64_t LogRun::true_ms() {
  auto passed = std::chrono::duration_cast<Millis>(world_->now());
  return (plan_.world.start + passed).time_since_epoch().count();
}

io::SimDisk& LogRun::disk() { return world_->node(0).disk(); }

std::int64_t LogRun::hits(const char* family) {
  auto found = disk().hits().find(family);
  return found == disk().hits().end() ? 0 : found->second;
}

void LogRun::say(const std::string& line) {
  if (!narrating_) return;
  std::printf("%6lld %10.3f ms  %s\n", static_cast<long long>(done_),
              static_cast<double>(world_->now().count()) / 1e6, line.c_str());
}

// An error that a fault explains; any other refusal is a violation.
bool LogRun::tolerates(const Error& error) {
  if (engine_failed()) return true;
  if (error.code == Code::kBusy) return true;
  // Nobody waited for a damaged life to get over a full disk: see check_progress().
  if (error.code == Code::kNoSpace) return disk_full_ || errors_on_ || damaged_;
  if (error.code == Code::kIo) return errors_on_;
  return error.code == Code::kCorrupt && damaged_;
}

LogRun::Name* LogRun::any_stream() {
  for (auto& name : names_) {
    if (name.stream) return &name;
  }
  return nullptr;
}

log::Done<void> LogRun::answer(std::move_only_function<void()> then) {
  ++unanswered_;
  return [this, incarnation = incarnation_, then = std::move(then)](Result<void> result) mutable {
    if (incarnation != incarnation_) return;  // of a process that is dead
    --unanswered_;
    if (unanswered_ < 0) return flag("answered-twice", "a callback ran again");
    if (!result || crashed()) return;
    if (failed_for_ > 0) return flag("lives-after-failure", "an acknowledgement after the failure");
    ++tally_.acknowledged;
    then();
  };
}

void LogRun::await(const log::Pending& pending, std::move_only_function<void()> then) {
  if (asks_later_) {
    unasked_.emplace_back(pending, std::move(then));
    return;
  }
  auto done = answer(std::move(then));
  if (nobody_waits_ || (plan_.concurrent && random_.chance(0.8))) {
    engine_->when_done(pending, std::move(done));
  } else {
    auto result = engine_->wait(pending);
    done(std::move(result));
  }
}

}  // namespace walrus::sim
