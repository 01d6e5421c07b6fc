#include "frontend/native/error_text.h"

#include <gtest/gtest.h>

#include "wire/native/reply.h"

namespace walrus::frontend::native {
namespace {

struct Case {
  Error error;
  const char* text;
};

const Case kCases[] = {
    {{Code::kInvalid, "invalid config: x"}, "invalid config: x"},
    {{Code::kNotFound, "stream t: not there"}, "unknown topic t/1"},
    {{Code::kNotFound, "unknown consumer c"}, "unknown consumer c"},
    {{Code::kExists, "stream t"}, "topic exists t/1"},
    {{Code::kTooLarge, "above batch_bytes_max"}, "too large: above batch_bytes_max"},
    {{Code::kMismatch, "sequence 9, expected 4"}, "sequence out of order: sequence 9, expected 4"},
    {{Code::kBusy, "no room"}, "busy, try again"},
    {{Code::kTimeout, "no answer"}, "timed out"},
    {{Code::kCorrupt, "segments/x position 64"}, "corrupt: segments/x position 64"},
    {{Code::kNoSpace, "write"}, "storage full"},
    {{Code::kIo, "read"}, "storage failed"},
    {{Code::kReadOnly, "write"}, "storage failed"},
    {{Code::kClosed, "closed"}, "shutting down"},
    {{Code::kFenced, "epoch 0, current 1"}, "producer fenced: epoch 0, current 1"},
};

TEST(ErrorText, of_every_code_is_one_of_the_protocols) {
  for (const auto& [error, text] : kCases) EXPECT_EQ(error_text(error, "t/1", false), text);
}

TEST(ErrorText, tells_a_failed_storage_from_an_orderly_stop) {
  EXPECT_EQ(error_text({Code::kClosed, "closed"}, "t", true), "storage failed");
}

// What a client makes of the text is the code that the server had.
TEST(ErrorText, gives_its_code_back) {
  for (const auto& [error, text] : kCases) {
    auto code = error.code == Code::kReadOnly ? Code::kIo : error.code;
    EXPECT_EQ(wire::native::error_of(text).code, code) << text;
  }
}

}  // namespace
}  // namespace walrus::frontend::native
