// Services whose nodes know each other by certificates, in the real world.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "io/env.h"
#include "net/issue.h"
#include "service/test_machine.h"

namespace walrus::service {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class ServiceTlsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "walrus-stls-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  net::IssuedPem authority() {
    const auto now = io::real_env().wall();
    auto made = net::issue_authority("services.test", {now - 1h, now + 24h});
    EXPECT_TRUE(made);
    return *made;
  }
  TlsFiles files(const net::IssuedPem& authority, NodeId node, const std::string& name) {
    const auto now = io::real_env().wall();
    const auto address = world_.peers(4)[node.value - 1].address;
    auto issued = net::issue_node(
        authority, {.node = node, .addresses = {address.substr(0, address.rfind(':'))}},
        {now - 1h, now + 12h});
    EXPECT_TRUE(issued) << issued.error().message;
    const auto file = [&](const std::string& kind, const std::string& text) {
      const auto path = root_ / (name + kind);
      std::ofstream(path) << text;
      return path;
    };
    return {.ca = file(".ca", authority.certificate),
            .certificate = file(".crt", issued->pem.certificate),
            .key = file(".key", issued->pem.key)};
  }

  World world_ = World::in_process(4);
  std::filesystem::path root_;
};

TEST_F(ServiceTlsTest, members_and_guests_with_certificates_and_nobody_else) {
  const auto ca = authority(), other_ca = authority();
  TestCluster cluster(world_, 3, root_);
  cluster.tweak([&](ServiceOptions& options) {
    options.tls = files(ca, options.id, "node" + std::to_string(options.id.value));
  });
  cluster.start_all();
  auto session = cluster.at(cluster.follower()).session(within(20s));
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ(session->propose("add n 1", within(20s)), "1");

  auto guest = Service::connect(cluster.addresses(), files(ca, NodeId{4}, "guest"), within(20s));
  ASSERT_TRUE(guest) << guest.error().message;
  EXPECT_EQ(guest->propose("add n 1", within(20s)), "2");
  EXPECT_EQ(guest->query("get n", Read::kLinearizable, within(20s)), "2");

  const auto stranger =
      Service::connect(cluster.addresses(), files(other_ca, NodeId{4}, "stranger"), within(500ms));
  EXPECT_FALSE(stranger);
  const auto plain = Service::connect(cluster.addresses(), std::nullopt, within(500ms));
  EXPECT_FALSE(plain);

  // A certificate of another node does not do.
  auto impostor = cluster.options(NodeId{1});
  impostor.id = NodeId{4};
  impostor.listen = world_.peers(4)[3].address;
  impostor.data_dir = root_ / "impostor";
  impostor.founders.clear();
  impostor.join = cluster.addresses();
  const auto refused = Service::start(impostor, std::make_unique<TestMachine>());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kInvalid);
  EXPECT_THAT(refused.error().message, HasSubstr("node 1"));
  EXPECT_EQ(session->propose("add n 1", within(20s)), "3");
}

}  // namespace
}  // namespace walrus::service
