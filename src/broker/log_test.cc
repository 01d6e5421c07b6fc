#include "broker/log.h"

#include <gtest/gtest.h>

#include "io/sim/sim_world.h"

namespace walrus::broker {
namespace {

using namespace std::chrono_literals;

class OwedTest : public testing::Test {
 protected:
  OwedTest() : world_(1), loop_(world_.node(0).env().make_loop()) {}
  ~OwedTest() override { loop_.reset(); }

  std::shared_ptr<bool> await(std::shared_ptr<Owed> owed, io::Nanos timeout) {
    auto done = std::make_shared<bool>(false);
    loop_->spawn([](auto of, auto at_most, auto to) -> boost::asio::awaitable<void> {
      EXPECT_TRUE((co_await of->wait(at_most)).has_value());
      *to = true;
    }(owed, timeout, done));
    return done;
  }

  io::World world_;
  std::unique_ptr<io::Loop> loop_;
};

TEST_F(OwedTest, is_waited_for_until_it_is_settled) {
  auto owed = std::make_shared<Owed>(*loop_);
  auto done = await(owed, 5s);
  world_.run_for(4s);
  EXPECT_FALSE(*done);
  loop_->post([&] { owed->settle(Placed{.first = {7}, .next = {8}}); });
  world_.run_for(1ms);
  EXPECT_TRUE(*done);
  EXPECT_EQ(owed->outcome()->first, Offset{7});
}

TEST_F(OwedTest, is_unknown_after_its_time_and_what_comes_later_changes_nothing) {
  auto owed = std::make_shared<Owed>(*loop_);
  auto done = await(owed, 5s);
  world_.run_for(5s + 1ms);
  EXPECT_TRUE(*done);
  ASSERT_TRUE(owed->settled());
  EXPECT_EQ(owed->outcome().error().code, Code::kTimeout);
  loop_->post([&] { owed->settle(Placed{.first = {7}, .next = {8}}); });
  world_.run_for(1ms);
  EXPECT_EQ(owed->outcome().error().code, Code::kTimeout);
}

TEST_F(OwedTest, that_has_no_time_left_is_unknown_at_once) {
  auto owed = std::make_shared<Owed>(*loop_);
  auto done = await(owed, -1s);
  world_.run_for(1ms);
  EXPECT_TRUE(*done);
  EXPECT_FALSE(owed->outcome().has_value());
}

}  // namespace
}  // namespace walrus::broker
