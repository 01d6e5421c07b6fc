#pragma once
// Decides whether a history of a key-value store is linearizable, in two ways that know nothing of
// each other's evidence. Pure. Nothing is said to be well that was not shown to be: a search that
// was given up is a violation of the rule "undecided".
//
// By index, where the store says where in its log each operation is. It is the store's own claim of
// an order, so it is checked in O(n log n): `two writes at one index`; `real time`: what was
// invoked after another had completed has a larger index, or, to read, none smaller; `session`: a
// read of that level sees no less than its session did before; `replay`: the answers are those of
// writing and reading in that order. Reads that are stale by order have to fit in by `replay`
// alone.
//
// By search, where nothing is believed but the answers: is there any order that respects real time
// and explains them? `not linearizable`: there is none. The algorithm is Wing and Gong's (Testing
// and Verifying Concurrent Objects, 1993) with Lowe's memory of configurations (Testing for
// Linearizability, 2017). A history is linearizable exactly if it is for each key alone (Herlihy
// and Wing, 1990), and is searched so. Only linearizable operations take part.
//
// An operation of unknown outcome takes effect once after its invocation, or never; one that failed
// never does.

#include "history.h"
#include "kv_history.h"

namespace walrus::sim {

// What a search may take: configurations for all keys together, each some tens of bytes. A legal
// history needs about one an operation.
constexpr std::int64_t kKvStepsMax = 20'000'000;

// Both; the index check if any operation has an index, and then each that was done has to.
Verdict check_linearizable(const KvHistory&, std::int64_t steps_max = kKvStepsMax);

Verdict check_by_index(const KvHistory&, std::int64_t steps_max = kKvStepsMax);
Verdict check_by_search(const KvHistory&, std::int64_t steps_max = kKvStepsMax);

}  // namespace walrus::sim
