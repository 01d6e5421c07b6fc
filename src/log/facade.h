#pragma once
// The inside of the embedded face (include/walrus/log.h): what turns the engine's places in the
// journal and callbacks into calls that block. Stands on any io::Env: blocking is Env::wait, which
// runs the simulated world in a simulation.
//
// A Face is what a Log and all handles made from it share. The Log owns the life of its engine: at
// close() the calls that run are waited for, later ones answer kClosed, and the engine is gone when
// close() returns. The Face itself lives as long as the last handle.
//
// Threads: any. The locks in here are held for moments only.

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "log/engine.h"
#include "log/fork_guard.h"
#include "log/records.h"

namespace walrus::log {

// As Log::open on any world.
Result<Log> open_log(io::Env&, const EngineOptions&);

constexpr auto kRoomWait = std::chrono::seconds(30);  // for room in the journal, then kBusy

class CursorState;

// What all handles of one stream share.
struct StreamShared {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<CursorState>, std::less<>> cursors;
  // Raised after each trim and truncation: fetched bytes laid aside before it are not used again.
  std::atomic<std::uint64_t> generation{0};
};

class Face {
 public:
  Face(io::Env&, std::unique_ptr<Engine>, std::unique_ptr<ForkGuard>);
  ~Face();

  io::Env& env() { return env_; }
  Engine& engine() { return *engine_; }  // inside a Call only
  Result<void> close();
  bool usable() const { return !guard_->inherited() && !closing_.load(std::memory_order_relaxed); }
  static std::unexpected<Error> closed();

  // Waiting. `until` is a time of Env::mono(). Both end early when the log is closed (kClosed).
  Result<bool> sleep(const std::shared_ptr<Event>&, io::Nanos until);  // false: the time is over
  // Until there is something to read above `offset`; false: the time is over.
  Result<bool> wait_readable(const StreamRef&, Offset offset, UpTo, io::Nanos until);
  // Until an append that was kBusy is worth another try; false: the time is over.
  Result<bool> wait_room(const StreamRef&, io::Nanos until);
  // Now + timeout, bounded so that it cannot overflow.
  io::Nanos deadline(std::chrono::nanoseconds timeout);

  // Bytes of asynchronous appends that were not answered yet. kBusy when there is no room for long.
  Result<void> admit(std::int64_t bytes);
  void answered(std::int64_t bytes);

  std::shared_ptr<StreamShared> shared(std::uint64_t stream);
  void forget(std::uint64_t stream);
  // Accounts for fetched bytes that a cursor lays aside; false: too much is laid aside already.
  bool lay_aside(std::size_t bytes);
  void take_up(std::size_t bytes) { aside_.fetch_sub(bytes, std::memory_order_relaxed); }

 private:
  friend class Call;
  // Running calls, spread over cache lines so that threads do not meet on one.
  struct alignas(64) Stripe {
    std::atomic<std::int64_t> running{0};
  };
  Stripe* enter();
  void leave(Stripe&);
  bool idle() const;

  io::Env& env_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<ForkGuard> guard_;
  std::array<Stripe, 16> stripes_;
  std::atomic<bool> closing_{false};
  Event left_;  // set by a call that leaves last while closing

  std::atomic<std::int64_t> in_flight_{0};
  std::atomic<int> admissions_{0};  // waiting for in_flight_ to fall
  std::atomic<std::size_t> aside_{0};

  std::mutex mutex_;  // guards what follows
  std::set<std::shared_ptr<Event>> sleeping_;
  std::vector<std::shared_ptr<Event>> admission_events_;
  std::map<std::uint64_t, std::shared_ptr<StreamShared>> streams_;
};

// One call into the engine: close() waits for it. False when the log is closed or inherited.
class Call {
 public:
  explicit Call(Face* face) : face_(face), stripe_(face ? face->enter() : nullptr) {}
  ~Call() {
    if (stripe_) face_->leave(*stripe_);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  explicit operator bool() const { return stripe_ != nullptr; }

 private:
  Face* face_;
  Face::Stripe* stripe_;
};

// The shapes that the calls share.
Result<void> check_read_options(const ReadOptions&);
// Tries until it is not kBusy, waiting for room in between.
template <class Try>
auto with_room(Face& face, const StreamRef& stream, Try attempt) -> decltype(attempt()) {
  auto answer = attempt();
  if (answer || answer.error().code != Code::kBusy) [[likely]]
    return answer;
  io::Nanos until = face.deadline(kRoomWait);
  while (!answer && answer.error().code == Code::kBusy) {
    WALRUS_ASSIGN(bool room, face.wait_room(stream, until));
    if (!room) break;
    answer = attempt();
  }
  return answer;
}

// Asks again while there is nothing, as long as the options wait.
template <class Ask>
Result<Records> waiting(Face& face, const StreamRef& stream, const ReadOptions& options, Ask ask) {
  std::optional<io::Nanos> until;
  while (true) {
    WALRUS_ASSIGN(std::unique_ptr<Records::Impl> records, ask());
    if (!records->records.empty() || options.wait <= Millis(0)) return Records(std::move(records));
    if (!until) until = face.deadline(options.wait);
    WALRUS_ASSIGN(bool readable, face.wait_readable(stream, records->next, options.up_to, *until));
    if (!readable) return Records(std::move(records));
  }
}

// As Engine::fetch, but what was appended and not acknowledged yet is nothing for now, not out of
// range: a position may lie there.
Result<Fetched> fetch(Engine&, const StreamRef&, Offset from, const FetchOptions&);
// Records from walk.next() on within the budget, fetching what the walk lacks. `ahead_bytes` is the
// least that a fetch asks for.
Result<std::unique_ptr<Records::Impl>> gather(Engine&, const StreamRef&, Walk&, const ReadOptions&,
                                              std::int64_t ahead_bytes);

// Clean marks: Table::kClean holds the log end at which the stream was marked clean, or kDirty. A
// stream that was never marked is clean while nothing was appended.
bool is_clean(Engine&, const StreamRef&, Offset log_end);
Result<Pending> put_clean(Engine&, const StreamRef&, std::optional<Offset> log_end);  // none: dirty

Result<StreamInfo> stream_info(Engine&, const StreamRef&);

}  // namespace walrus::log

namespace walrus {

struct Log::Impl {
  std::shared_ptr<log::Face> face;
};

struct Stream::Impl {
  std::shared_ptr<log::Face> face;
  log::StreamRef ref;
  std::shared_ptr<log::StreamShared> shared;  // of all handles of this stream
};

}  // namespace walrus
