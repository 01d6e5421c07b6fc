#pragma once
// One seed of the log world: an engine on a simulated disk, a load of operations that are mostly
// not waited for, faults and crashes, and the model that every observation is checked against.
//
// The engine lives through lives and incarnations: an incarnation ends by a crash, a kill or a
// close, and the next one recovers the same directory; a life ends when bytes were damaged on
// purpose, after everything was read that can still be read, and the next one begins in an empty
// directory.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "history.h"
#include "log_plan.h"
#include "names.h"
#include "tally.h"

namespace walrus::sim {

class LogRun {
 public:
  LogRun(std::uint64_t seed, std::int64_t operations);
  ~LogRun();
  LogRun(const LogRun&) = delete;
  LogRun& operator=(const LogRun&) = delete;

  void run();
  const Verdict& violation() const { return violation_; }
  const Tally& tally() const { return tally_; }
  // Printed while running, for a seed that is looked into.
  void narrate(bool on) { narrating_ = on; }

 private:
  struct Name {
    std::string name;
    NameHistory naming;
    std::map<std::uint64_t, StreamHistory> streams;  // by id, those that may still exist
    log::StreamRef stream;                           // null: there is none now
    bool creating = false;                           // not acknowledged, and so not used yet
    std::uint64_t id = 0;
  };
  struct TailWait {
    std::size_t name = 0;
    std::uint64_t stream = 0, engine_id = 0;
    log::StreamRef ref;
    std::int64_t offset = 0;
    UpTo up_to = UpTo::kHighWatermark;
    bool fired = false, cancelled = false;
  };
  enum class End { kKill, kPowerCut, kClose };
  struct CutOff {  // appends of an incarnation that a power cut ended before they were synced
    std::uint64_t stream = 0;
    std::int64_t from = 0, appends = 0;
  };

  // log_run.cc: the course of a run, and what all parts need.
  void step();
  void advance();
  void pass(io::Nanos);
  void do_operation();
  void flag(const Verdict&);
  void flag(const Name&, Verdict);
  void flag(const char* rule, std::string detail);
  bool crashed();
  bool engine_failed();
  void watch_syncs();
  std::int64_t true_ms();  // the wall clock without its jumps
  io::SimDisk& disk();
  std::int64_t hits(const char* family);
  void say(const std::string&);
  bool tolerates(const Error&);
  Name* any_stream();
  StreamHistory& history(Name& name);
  std::int64_t clock_lead_ms();
  // Counts what is to be answered, and runs `then` once it is.
  log::Done<void> answer(std::move_only_function<void()> then);
  // The answer of a mutation that `pending` stands for: by waiting for it or by calling back.
  void await(const log::Pending& pending, std::move_only_function<void()> then);

  // log_appends.cc
  void append(Name&);
  void append_as_producer(Name&);
  void append_conditionally(Name&);
  void append_until_room(Name&);
  void append_meanwhile();
  void append_unasked(Name&);
  void read_stored(Name&);
  std::vector<RecordRef> draw_records(std::size_t count);
  RecordRef draw_even_record();
  void append_evenly(Name&, std::int64_t count);
  std::optional<Producer> draw_producer(const StreamState&, std::size_t& count);
  void issue_append(Name&, const std::vector<RecordRef>&, std::optional<std::int64_t> expected,
                    const std::optional<Producer>&);
  void append_refused(Name&, const Error&, const ExpectedAnswer&, bool failed_before);
  void append_answered(Name&, const log::Appended&, Mutation, const ExpectedAnswer&);

  // log_operations.cc
  void create(Name&);
  void remove(Name&);
  void alter(Name&);
  void trim(Name&);
  void truncate(Name&);
  void put_cursor(Name&);
  void check_cursors(Name&);
  void read(Name&);
  void read_from(Name&, std::int64_t from, const log::FetchOptions&);
  void read_slowly(Name&);
  void read_damaged(Name&);
  void read_outside(Name&);
  void find_time(Name&);
  void check_info(Name&);
  void check_bounds(Name&, Offset log_start, Offset high_watermark, Offset log_end);
  void wait_for_tail(Name&);
  void cancel_tail_wait();
  void sync(Name&);
  void checkpoint();
  void compact(Name&);
  void backup();
  void open_read_only();
  void open_twice();
  StreamOptions draw_options();
  void settled(Name&, Mutation, const Result<log::Pending>&, bool failed_before);
  // Everything of `from` on, up to `end`; unreadable ranges only after planned damage.
  bool read_all(log::Engine&, const log::StreamRef&, ObservedStream&);
  Result<std::vector<ObservedRecord>> fetch(log::Engine&, const log::StreamRef&, std::int64_t from,
                                            const log::FetchOptions&, log::Fetched&);

  // log_restarts.cc
  void begin_life();
  void open();
  bool try_open(int attempt);
  void check_boot_id();
  void open_failed(const Error&, bool errors_were_on);
  void note_loss(io::CrashKind);
  void end(End);
  void end_by_close();
  void after_crash();
  void leave_incarnation();
  std::int64_t disk_errors();  // so far
  void draw_end();
  void end_early();
  void end_at_once();
  bool may_cut_beginning();
  void cut_beginning();
  void begin_again(const CutOff&);
  void cut_at_once();
  void arm_crash(std::int64_t operations);
  void fault_window();
  void fill_disk();
  void jump_wall(Millis by);
  void close_windows();
  void check_progress();
  void plant_damage(bool at_restart, bool at_once = false);
  bool rot_somewhere(bool at_restart, bool at_once);
  void end_damaged_life();
  void quiesce();
  void check_tail_waits();
  void check_failed_instance();
  void reconcile(log::Engine&, std::vector<Name>&, const Loss&);
  void reconcile_name(log::Engine&, Name&, const log::StreamRef&, const Loss&);
  Loss loss_now();
  void count_crash(io::CrashKind, const char* how);

  std::int64_t operations_;
  io::SimRandom random_;
  LogPlan plan_;
  std::unique_ptr<io::World> world_;
  std::vector<Name> names_;
  std::unique_ptr<log::Engine> engine_;
  Verdict violation_;
  Tally tally_;
  bool narrating_ = false;

  std::uint64_t incarnation_ = 0;
  std::int64_t unanswered_ = 0;  // of this incarnation
  std::vector<std::unique_ptr<TailWait>> waits_;
  std::set<std::int64_t> restart_at_;  // operations before which an incarnation ends
  std::int64_t done_ = 0;              // operations so far
  int life_ = 0, copies_ = 0;
  std::uint64_t values_ = 0;
  Millis wall_jump_{0};
  io::Nanos jumped_at_{0};
  std::int64_t clock_lead_ms_ = 0;  // of jumps that are over

  // Faults.
  Loss loss_;  // since the last successful recovery
  bool lost_something_ = false;
  io::CrashKind armed_ = io::CrashKind::kKill;
  bool crash_armed_ = false;
  std::int64_t window_until_ = -1;  // operation at which transient faults end
  bool disk_full_ = false, errors_on_ = false;
  bool damaged_ = false;           // bytes were damaged on purpose in this life
  bool damage_seen_ = false;       // and the directory was opened again since
  std::int64_t damage_until_ = 0;  // operation at which this incarnation ends
  std::optional<std::pair<io::Path, std::string>> healable_;  // the file before the damage
  std::int64_t sync_errors_before_ = 0, disk_errors_before_ = 0, failed_for_ = 0;
  std::optional<std::int64_t> sync_failed_ms_;  // in this incarnation
  std::int64_t last_synced_ms_ = 0;             // no sync had failed by then
  std::optional<std::int64_t> failed_ms_;       // the instance ended, in this incarnation
  std::int64_t last_alive_ms_ = 0;              // it had not by then
  bool cut_next_ = false;                       // a power cut is due after a failed sync
  bool ended_at_once_ = false;                  // right after the last recovery
  std::vector<io::Path> recovered_;             // of each journal the first file that it made
  std::optional<CutOff> cut_off_;               // the incarnation before
  bool seen_early_ = false;                     // somebody read what nobody was answered for yet
  bool was_open_ = false;                       // the directory of this life, once before
  bool was_closed_ = false;                     // the last incarnation, cleanly
  bool after_cut_ = false, appended_ = false;   // for the family "cut, append, cut again"
  std::string boot_id_;                         // when it was opened last
  // A reader found where its batches lie, and now others append while it does not get its turn.
  bool slow_read_ = false;
  bool nobody_waits_ = false;  // for answers or for room
  bool asks_later_ = false;    // the answers to these, by what `unasked_` holds:
  std::vector<std::pair<log::Pending, std::move_only_function<void()>>> unasked_;
};

}  // namespace walrus::sim
