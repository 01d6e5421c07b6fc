#pragma once
// SessionTable: what makes commands apply exactly once (thesis §6.3). Each session's commands are
// numbered from 1; the table knows the last number that was applied and keeps the replies that the
// session may still ask for. A part of the replicated state: every member has the same table after
// the same commands, and it is in every snapshot.
//
// Pure. The numbers below decide what is applied: members that differ in them would diverge, so
// that another value needs another version of the command.
//
// A snapshot begins with the table; integers are uvarints unless said otherwise.
//
//   table    version u8 = 1 | time varint, ms | count | session * count, ids rise
//   session  id | ttl, ms | used varint, ms | last sequence | count | outcome * count, of the
//            sequences up to the last
//   outcome  code u8, 0: applied | index | size | reply

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "wire/peer/service_command.h"

namespace walrus::service {

constexpr std::size_t kSessionsMax = 1 << 16;
constexpr std::size_t kOutcomesMax = 2'048;                 // kept, of one session
constexpr std::uint64_t kOutcomeBytesMax = 16 << 20;        // kept, of one session, when one begins
constexpr std::uint64_t kOutcomeBytesTotalMax = 256 << 20;  // kept, of all
constexpr std::size_t kReplyBytesMax = 1 << 20;

// What became of a command.
struct Outcome {
  Code refused{};           // 0: applied
  std::uint64_t index = 0;  // of the entry that it was first applied with; 0: it was not
  std::shared_ptr<const std::string> text{};  // the reply, or why not; shared with snapshots
  bool applied() const { return refused == Code{}; }
  Bytes reply() const { return text ? Bytes(*text) : Bytes(); }
  bool operator==(const Outcome& other) const {
    return refused == other.refused && index == other.index && reply() == other.reply();
  }
};
Outcome applied(std::uint64_t index, std::string reply);
Outcome refused(Code, std::string why, std::uint64_t index = 0);

class SessionTable {
 public:
  // The leader's time of the next command, which may lie behind: then time stands still. Sessions
  // whose time is over are gone.
  Time advance(Time leader_time);
  Time now() const { return time_; }

  // The new session's id is the index of its entry. kBusy: there are too many.
  Outcome open(std::uint64_t index, std::uint64_t ttl_ms);
  // None: the command is to be applied now, and keep() called with what came of it. Else its
  // outcome: that of the first time, or a refusal:
  //   kNotFound    no such session: it was never opened, or its time is over
  //   kMismatch    a sequence before it is missing
  //   kOutOfRange  a repeat of what the session has the reply of
  //   kBusy        too many replies that the session has not acknowledged
  std::optional<Outcome> admit(const wire::peer::ProposeCommand&);
  void keep(const wire::peer::ProposeCommand&, Outcome);

  // The last sequence that was applied; none: no such session.
  std::optional<std::uint64_t> last_sequence(std::uint64_t session) const;
  std::size_t size() const { return sessions_.size(); }
  std::uint64_t newest() const { return sessions_.empty() ? 0 : sessions_.rbegin()->first; }
  std::uint64_t outcome_bytes() const { return outcome_bytes_; }

  std::string encode() const;
  static Result<SessionTable> decode(Bytes);  // kCorrupt, kVersion
  bool operator==(const SessionTable&) const;

 private:
  struct Session {
    std::int64_t ttl_ms = 0, used_ms = 0;
    std::uint64_t last = 0;          // sequence
    std::deque<Outcome> outcomes{};  // of the sequences up to `last`
    std::uint64_t outcome_bytes = 0;
    std::int64_t over_ms() const { return used_ms + ttl_ms; }
    bool operator==(const Session&) const = default;
  };
  void forget_outcomes(Session&, std::uint64_t answered);
  void drop(std::uint64_t id);
  std::int64_t now_ms() const { return time_.time_since_epoch().count(); }

  Time time_{};
  std::map<std::uint64_t, Session> sessions_{};  // by id
  // When to look at which session again: not after its time is over. One entry each.
  std::set<std::pair<std::int64_t, std::uint64_t>> looks_{};
  std::uint64_t outcome_bytes_ = 0;
};

}  // namespace walrus::service
