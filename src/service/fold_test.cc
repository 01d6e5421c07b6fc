#include "service/fold.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/coding.h"
#include "service/test_machine.h"
#include "wire/peer/service_message.h"

namespace walrus::service {
namespace {

using testing::HasSubstr;
using wire::peer::OpenSession;
using wire::peer::ProposeCommand;

class Bag final : public raft::SnapshotSink, public raft::SnapshotSource {
 public:
  Result<void> write(Bytes more) override {
    if (bytes.size() + more.size() > bytes_max) return fail(Code::kNoSpace, "full");
    bytes += more;
    return {};
  }
  Result<std::size_t> read(std::span<char> to) override {
    const auto size = std::min({to.size(), bytes.size() - position, std::size_t{3}});
    std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(position), size, to.begin());
    position += size;
    return size;
  }
  std::string bytes{};
  std::size_t position = 0, bytes_max = 1 << 20;
};

class FoldTest : public testing::Test {
 protected:
  std::string entry(decltype(wire::peer::ServiceCommand::body) body, std::int64_t time_ms = 1'000) {
    std::string bytes;
    wire::peer::append_service_command(bytes, {.leader_time_ms = time_ms, .seed = 5, .body = body});
    return bytes;
  }
  Result<wire::peer::CommandOutcome> apply(Fold& fold, const std::string& bytes) {
    std::vector<std::string> replies;
    const raft::Command command{.at = {2, ++index_}, .bytes = bytes};
    WALRUS_TRY(fold.apply({&command, 1}, replies));
    EXPECT_EQ(replies.size(), 1u);
    return wire::peer::parse_outcome(replies.front());
  }
  std::uint64_t open(Fold& fold) { return apply(fold, entry(OpenSession{60'000}))->index; }
  Result<wire::peer::CommandOutcome> propose(Fold& fold, std::uint64_t session,
                                             std::uint64_t sequence, Bytes command) {
    return apply(fold, entry(ProposeCommand{session, sequence, 0, command}));
  }
  std::unique_ptr<Fold> make() {
    return std::make_unique<Fold>(std::make_unique<TestMachine>(tap_), counts_,
                                  [this] { ++reached_; });
  }

  std::shared_ptr<TestMachine::Tap> tap_ = std::make_shared<TestMachine::Tap>();
  std::shared_ptr<FoldCounts> counts_ = std::make_shared<FoldCounts>();
  std::uint64_t index_ = 0;
  int reached_ = 0;
};

TEST_F(FoldTest, commands_are_applied_once_and_counted) {
  auto fold = make();
  const auto session = open(*fold);
  EXPECT_EQ(session, 1u);
  EXPECT_EQ(propose(*fold, session, 1, "append a x")->text, "x");
  const auto repeat = propose(*fold, session, 1, "append a x");
  EXPECT_EQ(repeat->text, "x");
  EXPECT_EQ(repeat->index, 2u);
  EXPECT_EQ(counts_->commands, 1u);
  EXPECT_EQ(counts_->repeats, 1u);
  EXPECT_EQ(counts_->sessions, 1u);
  EXPECT_EQ(fold->applied_index(), 3u);
  EXPECT_EQ(reached_, 3);
  EXPECT_EQ(fold->query("get a"), "x");
}

TEST_F(FoldTest, what_apply_throws_is_an_error_that_says_so) {
  auto fold = make();
  const auto session = open(*fold);
  tap_->throws = true;
  const auto outcome = propose(*fold, session, 1, "throw");
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().message, "apply() threw: this command is poison");
}

TEST_F(FoldTest, an_entry_of_another_kind_is_an_error) {
  auto fold = make();
  EXPECT_EQ(apply(*fold, "").error().code, Code::kCorrupt);
  EXPECT_EQ(apply(*fold, "\x02rest").error().code, Code::kVersion);
}

TEST_F(FoldTest, a_snapshot_holds_state_sessions_and_replies) {
  auto fold = make();
  const auto session = open(*fold);
  ASSERT_TRUE(propose(*fold, session, 1, "append a x"));
  auto frozen = fold->freeze();
  ASSERT_TRUE(frozen);
  ASSERT_TRUE(propose(*fold, session, 2, "append a y"));  // is not in it
  Bag bag;
  ASSERT_EQ((*frozen)->write(bag), false);

  auto other = make();
  ASSERT_TRUE(other->restore({2, 77}, bag));
  EXPECT_EQ(other->query("get a"), "x");
  EXPECT_EQ(other->applied_index(), 77u);
  EXPECT_EQ(propose(*other, session, 1, "append a x")->text, "x");
  EXPECT_EQ(propose(*other, session, 2, "append a z")->text, "xz");
}

TEST_F(FoldTest, a_snapshot_that_is_cut_or_damaged_is_refused) {
  auto fold = make();
  const auto session = open(*fold);
  ASSERT_TRUE(propose(*fold, session, 1, "put a x"));
  Bag bag;
  ASSERT_TRUE((*fold->freeze())->write(bag));
  const auto whole = bag.bytes;
  const auto ours = 13 + load_le<std::uint64_t>(whole.data() + 1);  // the user's bytes follow
  for (std::size_t size = 0; size < ours; ++size) {
    Bag cut;
    cut.bytes = whole.substr(0, size);
    EXPECT_FALSE(make()->restore({2, 9}, cut)) << size;
    EXPECT_EQ(tap_->restored, 0u);
  }
  for (std::size_t place = 0; place < ours; ++place) {
    Bag damaged;
    damaged.bytes = whole;
    damaged.bytes[place] ^= 0x10;
    EXPECT_FALSE(make()->restore({2, 9}, damaged)) << place;
  }
}

TEST_F(FoldTest, a_snapshot_has_no_session_that_is_yet_to_be_opened) {
  auto fold = make();
  ASSERT_EQ(open(*fold), 1u);
  const auto session = open(*fold);
  Bag bag;
  ASSERT_TRUE((*fold->freeze())->write(bag));
  auto early = bag;
  const auto refused = make()->restore({2, session - 1}, early);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kCorrupt);
  EXPECT_TRUE(make()->restore({2, session}, bag));
}

TEST_F(FoldTest, the_sinks_error_is_what_a_snapshot_ends_with) {
  auto fold = make();
  const auto session = open(*fold);
  ASSERT_TRUE(propose(*fold, session, 1, "put a " + std::string(1'000, 'x')));
  for (std::size_t room : {0, 5, 20, 100, 500}) {
    Bag bag;
    bag.bytes_max = room;
    EXPECT_EQ((*fold->freeze())->write(bag).error().code, Code::kNoSpace);
  }
}

TEST_F(FoldTest, a_reply_that_is_too_large_is_refused_and_the_command_stands) {
  auto fold = make();
  const auto session = open(*fold);
  const auto outcome = propose(*fold, session, 1, "large 1048577");
  EXPECT_EQ(outcome->refused, Code::kTooLarge);
  EXPECT_EQ(outcome->index, 2u);
  EXPECT_EQ(propose(*fold, session, 1, "large 1048577")->refused, Code::kTooLarge);
  EXPECT_EQ(tap_->applied, 1u);
}

}  // namespace
}  // namespace walrus::service
