#pragma once
// KvHistory: what the clients of a replicated key-value store asked, when, and what they were told.
// linearizable.h decides whether one store could have said so. Pure; times are of one clock that
// all clients share, in any unit.
//
// As text, one operation a line; `#` begins a comment:
//
//   walrus-history 1
//   # session  invoked..completed  operation            index of the log
//   1          0..10               put x a              @3
//   2          5..15               get x = a            @3
//   2          21..30              cas x a b = no       @5
//   3          22..31              delete x = yes       @4
//   3          32..40              get x = -            @2  stale
//   1          20..                put x b                        # no answer: perhaps done
//   1          50..60              put x c              failed    # certainly not done
//
//   session    a number. A session may have several operations under way
//   times      signed integers; completed is left out if the outcome is not known
//   put        key value                    write
//   get        key = value                  read; without an answer only if the outcome is unknown
//   cas        key expected value = yes|no  write if the value is the expected one
//   delete     key = yes|no                 yes: there was a value
//              the answers of cas and delete may be left out: then they say nothing
//   @index     where in the replicated log a write is; up to where a read saw the log
//   session, stale   behind a get: its level, if it is not linearizable
//
// A word is a run of [A-Za-z0-9_./:-], or anything in double quotes with \" \\ and \xHH. A bare `-`
// as a value is no value.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace walrus::sim {

using KvValue = std::optional<std::string>;  // none: the key is not there

struct KvOperation {
  enum class Kind : std::uint8_t { kGet, kPut, kCas, kDelete };
  // kUnknown: it takes effect once at any time after its invocation, or never.
  enum class Outcome : std::uint8_t { kUnknown, kDone, kFailed };
  enum class Level : std::uint8_t { kLinearizable, kSession, kStale };  // of a kGet

  Kind kind = Kind::kGet;
  std::uint64_t session = 0;
  std::string key{};
  KvValue expected{};             // kCas
  KvValue value{};                // kPut, kCas: what is written; kGet, kDone: what was read
  std::optional<bool> changed{};  // kCas, kDelete: the answer; none: it said nothing
  Level level = Level::kLinearizable;
  Outcome outcome = Outcome::kUnknown;
  std::int64_t invoked = 0, completed = 0;  // completed: unless kUnknown
  std::optional<std::uint64_t> index{};
  bool operator==(const KvOperation&) const = default;
};

// Whoever records calls invoke() before the request leaves, and done() or failed() after the answer
// came; an operation that neither is called for has an unknown outcome.
class KvHistory {
 public:
  // Returns the operation's place.
  std::size_t invoke(KvOperation operation, std::int64_t now);
  // The answer as fields of the operation: value of a get, changed of a cas or delete.
  KvOperation& done(std::size_t place, std::int64_t now,
                    std::optional<std::uint64_t> index = std::nullopt);
  void failed(std::size_t place, std::int64_t now);

  const std::vector<KvOperation>& operations() const { return operations_; }
  std::string text() const;
  // kInvalid names the line; kVersion: another version of the form.
  static Result<KvHistory> parse(std::string_view text);

 private:
  std::vector<KvOperation> operations_{};
};

// One line of the form, without its end.
std::string kv_line(const KvOperation&);

}  // namespace walrus::sim
