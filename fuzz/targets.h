#pragma once
// The fuzz targets by name. Every fuzz/NAME.cc defines LLVMFuzzerTestOneInput, which CMake renames
// to fuzz_NAME, so that all are in one program.

#include <cstdint>
#include <string_view>

namespace walrus::fuzz {

using Target = int (*)(const std::uint8_t* data, std::size_t size);

// Null when there is none of this name. A name may end in a number, as kafka_18.
Target choose(std::string_view name);

// The number of the target that was chosen, -1 when it has none.
int chosen_number();

}  // namespace walrus::fuzz
