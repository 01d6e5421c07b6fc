#pragma once
// What errno says, as Errors (the mapping at the top of env.h), and the loops around system calls
// that may move fewer bytes than asked for. Both implementations of the disk go through them.

#include <cerrno>
#include <cstdint>
#include <span>

#include "io/env.h"

namespace walrus::io {

// "write /data/x: No space left on device" with the Code that env.h promises for it.
std::unexpected<Error> fail_errno(int error, const char* call, const Path&);

// `call(position, bytes)` behaves like pread and pwrite: bytes moved, or -1 and errno.
template <class Call>
Result<std::size_t> read_fully(Call&& call, const Path& path, std::int64_t position,
                               std::span<char> to) {
  std::size_t done = 0;
  while (done < to.size()) {
    const auto moved = call(position + static_cast<std::int64_t>(done), to.subspan(done));
    if (moved == 0) break;
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) return fail_errno(errno, "read", path);
    done += static_cast<std::size_t>(moved);
  }
  return done;
}

template <class Call>
Result<void> write_fully(Call&& call, const Path& path, std::int64_t position, Bytes from) {
  while (!from.empty()) {
    const auto moved = call(position, from);
    if (moved < 0 && errno == EINTR) continue;
    if (moved <= 0) return fail_errno(moved < 0 ? errno : EIO, "write", path);
    position += moved;
    from.remove_prefix(static_cast<std::size_t>(moved));
  }
  return {};
}

}  // namespace walrus::io
