#pragma once
// The model of one stream name: creations, alterations and removals in the order in which they were
// issued. After a restart the catalogue shows the name as it was after a prefix of them, and the
// prefix holds at least what was acknowledged. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "history.h"

namespace walrus::sim {

struct Naming {
  enum Kind { kCreate, kAlter, kRemove } kind = kCreate;
  std::uint64_t id = 0;
  StreamOptions options;
  std::optional<std::int64_t> acknowledged_ms;
};

struct ObservedName {
  std::uint64_t id = 0;
  StreamOptions options;
};

bool same_options(const StreamOptions&, const StreamOptions&);

class NameHistory {
 public:
  // The answer is a number for acknowledge().
  std::uint64_t add(Naming);
  void acknowledge(std::uint64_t number, std::int64_t now_ms);
  // Something of stream `id` is known to have survived, and so its creation must have, too.
  void require_creation(std::uint64_t id);
  std::uint64_t issued() const { return folded_ + namings_.size(); }

  // The stream under this name now, if any.
  std::optional<ObservedName> now() const;
  // The streams that the name may be after a crash: ids by age. An id of 0 is a creation whose
  // answer was lost; it is given the first id that reconcile() sees and that is not known.
  std::vector<std::uint64_t> candidates() const;

  // Folds the surviving prefix. No `seen`: the name is not there. What was acknowledged later than
  // `marked_ms`, if set, need not have survived.
  Verdict reconcile(const std::string& name, const std::optional<ObservedName>& seen,
                    std::optional<std::int64_t> marked_ms);

 private:
  static void apply(std::optional<ObservedName>&, const Naming&);
  std::optional<ObservedName> base_;
  std::vector<Naming> namings_;
  std::uint64_t folded_ = 0;
};

}  // namespace walrus::sim
