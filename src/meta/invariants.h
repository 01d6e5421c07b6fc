#pragma once
// What is true of every State, and of every step from one to the next: the rules of segments as
// far as metadata keeps them. Checked after each command in tests and simulated worlds, and of
// every snapshot that is restored.

#include <string>

#include "meta/state.h"

namespace walrus::meta {

// The first rule that does not hold, by its number and what it is about; empty: all hold.
std::string broken_rule(const State&);
// The first rule that a step broke; `before` may be any number of commands before `after`.
std::string broken_step(const State& before, const State& after);

}  // namespace walrus::meta
