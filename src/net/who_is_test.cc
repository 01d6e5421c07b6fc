#include "net/who_is.h"

#include <gmock/gmock.h>

#include "net/rpc_fixture.h"

namespace walrus::net {
namespace {

using testing::HasSubstr;

class WhoIsTest : public RpcTest {
 public:
  io::Task<Found> ask(std::string address, std::uint64_t self = kGuestBit | 5) {
    return who_is(env(), loop(), transport_, std::move(address), {{}, {self}, {1}}, 2s);
  }
};
INSTANTIATE_TEST_SUITE_P(Worlds, WhoIsTest,
                         testing::Values(io::WorldKind::kReal, io::WorldKind::kSimulated),
                         io::name_of);

Awaitable<void> finds_node_and_cluster(WhoIsTest& test) {
  auto rpc = test.start(7);
  for (int i = 0; i < 2; ++i) {
    const auto found = co_await test.ask(rpc->address());
    EXPECT_TRUE(found) << found.error().message;
    if (!found) co_return;
    EXPECT_EQ(found->node, NodeId{7});
    EXPECT_EQ(found->cluster, kTestCluster);
  }
  // Who asked may connect with what it was told.
  auto options = RpcTest::options_of(kGuestBit | 5);
  options.listen.clear();
  auto guest = test.start(options);
  guest->add_peer(NodeId{7}, rpc->address());
  const auto reply = co_await guest->call(NodeId{7}, kEcho, "hello");
  EXPECT_EQ(reply, "hello");
}
TEST_P(WhoIsTest, finds_node_and_cluster) { run(walrus::net::finds_node_and_cluster(*this)); }

Awaitable<void> itself_is_refused(WhoIsTest& test) {
  auto rpc = test.start(7);
  const auto found = co_await test.ask(rpc->address(), 7);
  EXPECT_FALSE(found);
  if (!found) EXPECT_EQ(found.error().code, Code::kMismatch);
}
TEST_P(WhoIsTest, itself_is_refused) { run(walrus::net::itself_is_refused(*this)); }

Awaitable<void> serve_garbage(io::Listener& listener, std::string bytes) {
  while (true) {
    auto connection = co_await listener.accept();
    if (!connection) co_return;
    char dropped[512];
    (void)co_await (*connection)->read_some(dropped, 1s);
    (void)co_await (*connection)->write(bytes, 1s);
    (*connection)->shutdown_write();
    (void)co_await (*connection)->read_some(dropped, 1s);
  }
}

Awaitable<void> strangers_are_told_apart(WhoIsTest& test) {
  std::string giant;
  append_frame(giant, {.type = FrameType::kRefuse}, kTestCluster, std::string(3'000, 'x'));
  std::string ping;
  append_frame(ping, {.type = FrameType::kPing, .id = 1}, kTestCluster, "");
  for (const auto& bytes : {std::string(), std::string("HTTP/1.1 400 Bad Request\r\n\r\n"),
                            std::string(5'000, 'x'), giant, ping, ping.substr(0, 47)}) {
    auto listener = test.loop().listen("127.0.0.1:0");
    EXPECT_TRUE(listener);
    test.loop().spawn(serve_garbage(**listener, bytes));
    const auto found = co_await test.ask((*listener)->address());
    EXPECT_FALSE(found);
    if (!found) EXPECT_THAT(found.error().message, HasSubstr((*listener)->address()));
    (*listener)->close();
    co_await test.loop().sleep(10ms);
  }
}
TEST_P(WhoIsTest, strangers_are_told_apart) { run(walrus::net::strangers_are_told_apart(*this)); }

Awaitable<void> nobody_is_an_error(WhoIsTest& test) {
  const auto found = co_await test.ask("127.0.0.1:9");
  EXPECT_FALSE(found);
}
TEST_P(WhoIsTest, nobody_is_an_error) { run(walrus::net::nobody_is_an_error(*this)); }

}  // namespace
}  // namespace walrus::net
