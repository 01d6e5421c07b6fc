#pragma once
// Fetch sessions (KIP-227): a client names the partitions that it reads once, then only what
// changes, and is answered only what it does not know yet. Pure: no Env, the time and the random
// number come in. FetchSessions is one loop's and lives on it; a client that comes back on a
// connection of another loop is told that its session is not known, and makes another.
//
//   request      session  epoch   what it means
//   full           0       -1     no session is wanted
//   full          id/0      0     end session `id`, make one of these partitions
//   full           id      -1     end session `id`
//   incremental    id       n     the n-th of the session: partitions added or changed, forgotten
//
// Source: https://cwiki.apache.org/confluence/display/KAFKA/KIP-227

#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "frontend/kafka/errors.h"
#include "wire/kafka/data.h"

namespace walrus::frontend::kafka {

using SessionTime = std::chrono::nanoseconds;  // of a clock that never goes back

struct FetchSessionOptions {
  std::size_t sessions_max = 1000;
  std::size_t partitions_max = 200'000;  // of all sessions
  // One that was not used for so long makes room for any other; one that exists for so long makes
  // room for one with more partitions.
  SessionTime evictable_after = std::chrono::minutes(2);
};

// The partitions of one client, in the order in which they are read.
class FetchSession {
 public:
  struct Part {
    std::string topic{};  // its name, or the bytes of its id
    wire::kafka::FetchRequest::Partition asked{};
    std::int64_t high_watermark = -1, log_start = -1;  // as the client knows them; -1: not
  };

  // By topic id, or by name. Takes what the request names.
  FetchSession(bool by_id, const wire::kafka::FetchRequest&);

  // Adds and changes what the request names, in its order, behind what is there; drops what it
  // forgets.
  void update(const wire::kafka::FetchRequest&);
  // Whether an answer tells what the client does not know: records, an error, another high
  // watermark or log start. Taken for told then; what has records goes behind all others.
  bool tell(const wire::kafka::FetchResponse::Topic&, const wire::kafka::FetchResponse::Partition&);

  const std::list<Part>& parts() const { return parts_; }
  bool by_id() const { return by_id_; }
  std::int32_t id() const { return id_; }
  std::int32_t epoch() const { return epoch_; }  // of the next request

 private:
  friend class FetchSessions;
  using Key = std::pair<std::string, std::int32_t>;
  const bool by_id_;
  std::list<Part> parts_;
  std::map<Key, std::list<Part>::iterator> index_;
  std::int32_t id_ = 0, epoch_ = 0;
  SessionTime made_{}, used_{};
};
using FetchSessionRef = std::shared_ptr<FetchSession>;

class FetchSessions {
 public:
  explicit FetchSessions(const FetchSessionOptions& options) : options_(options) {}

  // What a request is of: an error, a session whose turn it is, or neither: a full fetch.
  struct Turn {
    ErrorCode error = ErrorCode::kNone;
    FetchSessionRef session{};
    std::int32_t epoch = 0;  // of the session from now on
    bool wanted = false;     // a session is to be made of it
  };
  Turn begin(const wire::kafka::FetchRequest&, bool by_id, SessionTime now);
  // Makes a session of what was read in full; its id, or 0: there is no room for it.
  std::int32_t admit(FetchSessionRef, SessionTime now, std::uint64_t random);

  std::size_t size() const { return sessions_.size(); }
  std::size_t partitions() const { return partitions_; }

 private:
  void remove(std::int32_t id);
  bool make_room(std::size_t partitions, SessionTime now);

  const FetchSessionOptions options_;
  std::unordered_map<std::int32_t, FetchSessionRef> sessions_;
  std::map<std::pair<SessionTime, std::int32_t>, FetchSessionRef> by_use_;  // the oldest first
  std::size_t partitions_ = 0;
};

}  // namespace walrus::frontend::kafka
