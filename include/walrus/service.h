#pragma once
// walrus/service.h: your state machine, replicated.
//
//   StateMachine  what you write: apply a command, answer a question, save and restore.
//   Service       one member of a group of nodes that keep the same StateMachine.
//   Session       through which commands are applied exactly once. From any node, or from outside.
//
// What a majority of the voters has on its disks is committed: it is never lost, and every member
// applies it in the same order. Any member answers anybody: commands are passed on to the leader
// until the deadline.
//
// Every call blocks until its answer is known or its deadline is over, may be made from any thread,
// and never throws. Besides the errors named at each call:
//   kTimeout  the deadline is over. Of a call that changes something the outcome is unknown, unless
//             the message says that it was not sent.
//   kClosed   the Service was stopped, or the Session let go.
//   kBusy     too much is under way; nothing was changed.
// Sizes are bytes. docs/kernel.md has the guarantees of each call, the limits, and a tutorial.

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "walrus/log.h"
#include "walrus/node_id.h"
#include "walrus/tls.h"

namespace walrus {

class World;  // walrus/testing.h: in-process and simulated worlds

// ---- What you write ----

// The same on every member. All that apply() may depend on, besides the command and the state.
struct ApplyContext {
  std::uint64_t index = 0;    // of the command in the log: rises, one command each
  std::uint64_t term = 0;     // of the leader that took it
  Time leader_time{};         // when that leader took it; never goes back. The only clock allowed
  std::uint64_t seed = 0;     // drawn by that leader. The only randomness allowed
  std::uint64_t session = 0;  // who asked for it; 0 = no session
};

class SnapshotWriter {
 public:
  virtual ~SnapshotWriter() = default;
  virtual Result<void> write(Bytes) = 0;  // any number of bytes, any number of times
};

class SnapshotReader {
 public:
  virtual ~SnapshotReader() = default;
  // At least one byte, unless `to` is empty; 0: the end.
  virtual Result<std::size_t> read(std::span<char> to) = 0;
};

// The state as it was when it was taken. Written on a thread of its own while apply() goes on.
class Snapshot {
 public:
  virtual ~Snapshot() = default;
  virtual Result<void> write(SnapshotWriter&) const = 0;
};

// Called by one thread at a time, except Snapshot::write(). A command that the state does not allow
// is answered by a reply that says so. What any of these throws, and what restore() or
// Snapshot::write() returns as an error of their own, fails this group on this node: nothing later
// is applied here, ServiceStatus::failure says why, other groups and nodes go on. Only query() may
// throw: that fails the question.
class StateMachine {
 public:
  virtual ~StateMachine() = default;
  virtual std::string apply(Bytes command, const ApplyContext&) = 0;  // the reply
  virtual std::string query(Bytes question) const = 0;                // changes nothing
  virtual std::unique_ptr<Snapshot> snapshot() const = 0;  // quick: a copy, a copy-on-write view
  virtual Result<void> restore(SnapshotReader&) = 0;       // replaces all state
};

// ---- Who takes part ----

struct Peer {
  NodeId id{};
  std::string address{};  // HOST:PORT, by which the others reach it
  bool operator==(const Peer&) const = default;
};

// The same group has the same name and founders on each founder. A data_dir belongs to one member
// of one group for good: it is not copied, and a node that lost it comes back under another id.
struct ServiceOptions {
  std::string name{};                     // of the group: 1 to 255 bytes, any but NUL
  NodeId id{};                            // of this node
  std::filesystem::path data_dir{};       // made if it does not exist
  std::string listen = "127.0.0.1:9093";  // port 0 takes a free one, unless this is a founder
  std::string advertise{};                // by which the others reach it; empty: `listen`
  std::vector<Peer> founders{};           // the first voters, this node among them; or
  std::vector<std::string> join{};        // addresses of members: comes as a learner
  std::optional<TlsFiles> tls{};          // none: loopback only
  World* world = nullptr;                 // none: the real one. Must outlive the Service
  Millis heartbeat{100};                  // at most a fifth of election_timeout_min
  Millis election_timeout_min{500};       // a leader that is silent is replaced after one to two
  Millis session_ttl{std::chrono::hours(1)};     // of sessions opened while this node leads
  std::int64_t snapshot_after_bytes = 64 << 20;  // of log behind the last snapshot
  std::int64_t in_flight_bytes_max = 64 << 20;   // commands not committed yet; above it kBusy
  std::int64_t command_bytes_max = 1 << 20;      // at most 16 MiB
  // Events for operators, one line each, without newline; from any thread, never payload.
  std::function<void(Bytes line)> log{};
};

enum class Role {
  kLeader,
  kFollower,
  kCandidate,
  kLearner,  // applies everything, votes in nothing; also a node that is no member (yet)
  kFailed,   // apply() or restore() threw, or the disk failed
};
const char* role_name(Role);  // "leader", "follower", ...

struct Member {
  Peer peer{};
  bool voter = false;
  std::uint64_t match_index = 0;  // its log agrees with the leader's up to here; of the leader only
  bool operator==(const Member&) const = default;
};

struct ServiceStatus {
  std::string name{}, cluster_id{};  // of the group, as 32 hexadecimal digits
  NodeId self{}, leader{};           // leader: 0 if not known
  Role role = Role::kFollower;
  std::uint64_t term = 0;
  std::uint64_t commit_index = 0, applied_index = 0, snapshot_index = 0;
  std::uint64_t log_bytes = 0, sessions = 0;
  std::vector<Member> members{};
  std::string failure{};  // why it is kFailed
  bool operator==(const ServiceStatus&) const = default;
};

// ---- How it is used ----

// Until when to wait, by the clock that std::chrono::steady_clock is; in a simulated world, by
// World::within().
using Deadline = std::chrono::steady_clock::time_point;
Deadline within(Millis);  // so long from now in the real world

enum class Read {
  kLinearizable,  // sees all that was answered to anybody before it was asked
  kSession,       // sees all that was answered to this session; never goes back in it
  kStale,         // what the node that is asked has
};

// A copyable handle; all copies are the same session.
//
// Commands are numbered, applied in the order in which they were proposed, each exactly once,
// whatever is lost or repeated on the way. After kTimeout the session goes on trying: the command
// may still be applied, before any later one of this session. A session that proposes nothing for
// session_ttl, by the leaders' time, ends; its commands answer kNotFound then.
//
// To be exactly-once across a crash of the client as well: keep id() and next_sequence() before
// each command, and with them the command. After the crash resume() and propose the same: a repeat
// answers the first reply. At most the replies since the last command that was proposed after
// their receipt are kept.
class Session {
 public:
  // The reply. kTooLarge: above command_bytes_max, or the command was applied and its reply is
  // above 1 MiB. kNotFound: the session is over. kMismatch, kOutOfRange: resumed at a sequence that
  // leaves a gap, or whose reply is not kept any more; nothing was applied.
  Result<std::string> propose(Bytes command, Deadline);
  // The same, without waiting for earlier ones, up to 1,024 and 16 MiB: then kBusy. `done` runs on
  // the session's thread, or on this one if the answer is known at once: hand over, never block,
  // and do not let go there of the last copy of a session of connect().
  void propose_async(Bytes command, Deadline,
                     std::move_only_function<void(Result<std::string>)> done);
  Result<std::string> query(Bytes question, Read, Deadline) const;
  std::uint64_t id() const;
  std::uint64_t next_sequence() const;  // that the next command will have, from 1; 0: kClosed

  struct Impl;
  explicit Session(std::shared_ptr<Impl>);

 private:
  std::shared_ptr<Impl> impl_;
};

// Names a command of a session: what a client keeps to go on after its crash.
struct SessionPlace {
  std::uint64_t id = 0, next_sequence = 1;
};

class Service {  // move only; the destructor stops it and drops the error
 public:
  // Serves when it returns; a leader may not be there yet. kInvalid: the options; kExists: the port
  // is in use; kLocked, kVersion, kCorrupt, kIo: the directory; kMismatch: it, or whom it asked to
  // join, belongs to another group; kTimeout: no member was reached to join.
  static Result<Service> start(const ServiceOptions&, std::unique_ptr<StateMachine>);
  // A session from outside: of a client that is no member. Any of the members' addresses; more of
  // them survive more failures. kMismatch: they are of different groups.
  static Result<Session> connect(std::span<const std::string> addresses,
                                 const std::optional<TlsFiles>&, Deadline);
  // The same for one that was opened before, by whomever; errors of resume() too.
  static Result<Session> reconnect(std::span<const std::string> addresses,
                                   const std::optional<TlsFiles>&, SessionPlace, Deadline);
  Service(Service&&) noexcept;
  Service& operator=(Service&&) noexcept;
  ~Service();
  // A leader hands over first, if it can before the deadline. All that is under way answers
  // kClosed.
  Result<void> stop(Deadline);

  ServiceStatus status() const;
  std::string metrics() const;         // Prometheus text exposition format 0.0.4
  const std::string& address() const;  // with the port that was really bound

  Result<Session> session(Deadline);  // a new one. kBusy: there are too many
  // One that was opened before, by whomever. kNotFound: it is over; kMismatch: the sequence is
  // beyond its next one.
  Result<Session> resume(std::uint64_t id, std::uint64_t next_sequence, Deadline);

  // Membership. Done when they answer; what is so already is done at once.
  Result<void> add_learner(const Peer&, Deadline);     // kExists: the id has another address
  Result<void> promote(NodeId, Deadline);              // to voter, when it has caught up. kNotFound
  Result<void> remove(NodeId, Deadline);               // the leader too. kInvalid: the last voter
  Result<void> transfer_leadership(NodeId, Deadline);  // kNotFound: no voter

  struct Impl;
  explicit Service(std::unique_ptr<Impl>);

 private:
  std::unique_ptr<Impl> impl_;
};

// What `walrus service status` shows: asks the member at an address. As Service::connect.
Result<ServiceStatus> service_status(const std::string& address, const std::optional<TlsFiles>&,
                                     Deadline);

}  // namespace walrus
