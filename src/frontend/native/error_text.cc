#include "frontend/native/error_text.h"

#include "wire/native/errors.h"

namespace walrus::frontend::native {

namespace text = wire::native::text;

std::string error_text(const Error& error, Bytes target, bool failed) {
  switch (error.code) {
    case Code::kNotFound:
      if (error.message.starts_with("unknown consumer ")) return error.message;
      return text::unknown_topic(target);
    case Code::kExists: return text::topic_exists(target);
    case Code::kNoSpace: return std::string(text::kStorageFull);
    case Code::kIo:
    case Code::kReadOnly: return std::string(text::kStorageFailed);
    case Code::kClosed: return std::string(failed ? text::kStorageFailed : text::kShuttingDown);
    case Code::kBusy: return std::string(text::kBusy);
    case Code::kTimeout: return std::string(text::kTimedOut);
    case Code::kTooLarge: return text::with_detail(text::kTooLarge, error.message);
    case Code::kMismatch: return text::with_detail(text::kOutOfOrder, error.message);
    case Code::kFenced: return text::with_detail(text::kFenced, error.message);
    case Code::kCorrupt: return text::with_detail(text::kCorrupt, error.message);
    default: return error.message;
  }
}

}  // namespace walrus::frontend::native
