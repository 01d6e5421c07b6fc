#pragma once
// Names of journal files: the sequence in sixteen hex digits, so that they sort as they follow.

#include <cstdint>
#include <optional>
#include <string>

#include "walrus/log.h"

namespace walrus::log {

std::string journal_name(std::uint64_t sequence);
std::optional<std::uint64_t> journal_sequence(Bytes name);  // none: not a journal file's name

}  // namespace walrus::log
