#pragma once
// RFC 3339 times: 2026-05-13T08:00:00Z, with a fraction of a second and an offset (+02:00) if need
// be. Pure; no time zones but offsets.

#include <optional>
#include <string>

#include "walrus/log.h"

namespace walrus::cli {

std::optional<Time> parse_time(Bytes);
std::string format_time(Time);  // in UTC, whole seconds, rounded down

}  // namespace walrus::cli
