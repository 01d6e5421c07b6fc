// The C face: its functions are called from C (c_face_test.c), this runs them.

#include "walrus/c.h"

#include <gtest/gtest.h>

#include "log/log_fixture.h"

extern "C" {
const char* c_appends_and_reads(const char* root);
const char* c_scans(const char* root);
const char* c_cursors(const char* root);
const char* c_tells_of_streams(const char* root);
const char* c_compacts_and_backs_up(const char* root);
const char* c_takes_older_and_newer_options(const char* root);
const char* c_frees_nothing_quietly(const char* root);
const char* c_appends_without_waiting(const char* root);
}

namespace walrus::log {
namespace {

class CFace : public ::testing::Test {
 protected:
  std::string run(const char* (*test)(const char*)) {
    const char* wrong = test((directory_.path() / "log").c_str());
    return wrong ? wrong : "";
  }

 private:
  Directory directory_;
};

TEST_F(CFace, appends_and_reads) { EXPECT_EQ(run(c_appends_and_reads), ""); }
TEST_F(CFace, scans) { EXPECT_EQ(run(c_scans), ""); }
TEST_F(CFace, cursors) { EXPECT_EQ(run(c_cursors), ""); }
TEST_F(CFace, tells_of_streams) { EXPECT_EQ(run(c_tells_of_streams), ""); }
TEST_F(CFace, compacts_and_backs_up) { EXPECT_EQ(run(c_compacts_and_backs_up), ""); }
TEST_F(CFace, takes_older_and_newer_options) {
  EXPECT_EQ(run(c_takes_older_and_newer_options), "");
}
TEST_F(CFace, frees_nothing_quietly) { EXPECT_EQ(run(c_frees_nothing_quietly), ""); }
TEST_F(CFace, appends_without_waiting) { EXPECT_EQ(run(c_appends_without_waiting), ""); }

TEST(CFaceCodes, have_the_names_of_the_cpp_codes) {
  for (int code = WALRUS_INVALID; code <= WALRUS_FENCED; ++code) {
    EXPECT_STREQ(walrus_code_name(static_cast<walrus_code>(code)),
                 code_name(static_cast<Code>(code)));
  }
}

}  // namespace
}  // namespace walrus::log
