#pragma once
// Journal: what its one owner (the coordinator of consumer groups, the keeper of cursors) makes
// durable: records with keys, in order, of which the last one of a key counts. Made on the loop of
// its owner and used there only; callbacks come from any thread, in the order of the calls.
//
// An owner writes what it has decided from what it has read. A journal may change hands (a
// replicated one, when its partition gets another leader): load() then sees all that was
// acknowledged to earlier owners, and from the moment at which a later owner can have written,
// append() and confirm() of this one fail with kFenced, for good. Records of an earlier owner
// therefore never come behind those of a later one.

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/network.h"
#include "log/engine.h"

namespace walrus::broker {

struct JournalRecord {
  std::string key{};
  std::optional<std::string> value{};  // none: the key is gone
};

class Journal {
 public:
  virtual ~Journal() = default;

  // Once, before anything else: everything that is durable, in order. Of a key only the last record
  // is certain to come. kCorrupt, or the error of `apply`, which ends it.
  using Apply = std::move_only_function<Result<void>(Bytes key, std::optional<Bytes> value)>;
  virtual io::Task<void> load(Apply apply) = 0;

  // All of them or none, behind everything before. `done` when they are durable; it is not called
  // if this fails. kBusy: no room for now, see when_room(); kTooLarge: they never fit.
  virtual Result<void> append(std::span<const JournalRecord>, log::Done<void> done) = 0;
  virtual void when_room(log::Done<void>) = 0;

  // Returns when it is certain that at the time of the call nobody else had written: what is
  // answered then from what was loaded and appended here is current.
  virtual io::Task<void> confirm() = 0;

  // Milliseconds since 1970, for what is removed by age; see log::Engine::trusted_ms().
  virtual std::int64_t now_ms() = 0;
};

}  // namespace walrus::broker
