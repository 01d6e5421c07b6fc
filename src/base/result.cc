#include "base/result.h"

namespace walrus {

const char* code_name(Code code) {
  switch (code) {
    case Code::kInvalid: return "invalid";
    case Code::kNotFound: return "not_found";
    case Code::kExists: return "exists";
    case Code::kTooLarge: return "too_large";
    case Code::kMismatch: return "mismatch";
    case Code::kOutOfRange: return "out_of_range";
    case Code::kBusy: return "busy";
    case Code::kTimeout: return "timeout";
    case Code::kLocked: return "locked";
    case Code::kCorrupt: return "corrupt";
    case Code::kNoSpace: return "no_space";
    case Code::kIo: return "io";
    case Code::kVersion: return "version";
    case Code::kReadOnly: return "read_only";
    case Code::kClosed: return "closed";
    case Code::kFenced: return "fenced";
  }
  return "unknown";
}

}  // namespace walrus
