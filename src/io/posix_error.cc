#include "io/posix_error.h"

#include <system_error>

#include "base/result.h"

namespace walrus::io {
namespace {

Code code_of(int error) {
  switch (error) {
    case ENOENT: return Code::kNotFound;
    case EEXIST: return Code::kExists;
    case ENOSPC:
    case EDQUOT: return Code::kNoSpace;
    case EROFS: return Code::kReadOnly;
    case EMFILE:
    case ENFILE: return Code::kBusy;
    default: return Code::kIo;
  }
}

}  // namespace

std::unexpected<Error> fail_errno(int error, const char* call, const Path& path) {
  return fail(code_of(error), "{} {}: {}", call, path.string(),
              std::generic_category().message(error));
}

}  // namespace walrus::io
