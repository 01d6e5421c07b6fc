#pragma once
// Nodes that trust each other by certificates of a CA of the test's, in both worlds.

#include <memory>
#include <string>
#include <vector>

#include "base/test_log.h"
#include "net/rpc_fixture.h"
#include "net/test_certificates.h"
#include "net/tls_transport.h"

namespace walrus::net {

// What one node's end of TLS is made of.
struct TlsNode {
  LinesLog log{};
  Metrics metrics{};
  TlsFiles files{};
  std::unique_ptr<TlsTransport> transport{};

  std::uint64_t counted(Bytes name) { return metrics.counter({name, help_of(name)}).value(); }
  std::uint64_t handshakes() { return counted("walrus_peer_tls_handshakes"); }
  std::uint64_t failures() { return counted("walrus_peer_tls_handshake_failures"); }

 private:
  static Bytes help_of(Bytes name) {
    return name == "walrus_peer_tls_handshakes" ? "TLS handshakes between nodes that succeeded."
                                                : "TLS handshakes between nodes that failed.";
  }
};

class TlsNodesTest : public RpcTest {
 public:
  using BothWorlds::disk;
  using BothWorlds::path;
  using BothWorlds::simulated;

  static TestSubject subject_of(std::uint64_t node, const char* cluster = "test") {
    return {.common_name = fmt::format("node {}", node),
            .names = fmt::format("URI:walrus://{}/node/{},IP:127.0.0.1", cluster, node)};
  }
  TestCertificate signed_for(const TestSubject& subject) {
    return make_certificate(subject, world().wall(), &ca_);
  }
  const TestCertificate& ca() const { return ca_; }
  TestCertificate another_ca() {
    return make_certificate({.common_name = "another CA", .ca = true}, world().wall());
  }

  // The files of a node in a directory of its own.
  TlsFiles write_files(const std::string& name, const TestCertificate& own,
                       const TestCertificate* authority = nullptr) {
    return write_test_files(disk(), path(name.c_str()), "node", authority ? *authority : ca_, own);
  }
  TlsNode& add_node(TlsFiles files, TlsTransportOptions options = {}) {
    auto& node = *nodes_.emplace_back(std::make_unique<TlsNode>());
    node.files = files;
    options.files = std::move(files);
    auto opened = TlsTransport::open(world(), transport_, node.log, node.metrics, options);
    EXPECT_TRUE(opened) << opened.error().message;
    if (opened) node.transport = *std::move(opened);
    return node;
  }
  TlsNode& add_node(std::uint64_t id, TlsTransportOptions options = {}) {
    const auto name = fmt::format("node-{}", id);
    return add_node(write_files(name, signed_for(subject_of(id))), options);
  }
  std::unique_ptr<Rpc> start_over(Transport& transport, const RpcOptions& options) {
    auto rpc = Rpc::start(world(), loop(), transport, options);
    EXPECT_TRUE(rpc) << rpc.error().message;
    (*rpc)->handle(kEcho, [](Request request) { return echo(std::move(request)); });
    return *std::move(rpc);
  }
  std::unique_ptr<Rpc> start_over(TlsNode& node, std::uint64_t id) {
    return start_over(*node.transport, eager(id));
  }
  TcpTransport& plain() { return transport_; }
  static RpcOptions eager(std::uint64_t node) {
    auto options = options_of(node);
    options.backoff_max = 50ms;
    return options;
  }
  // Whatever else goes on, who is trusted is served.
  Awaitable<void> others_live(Rpc& server, std::uint64_t id = 2) {
    auto& node = add_node(77);
    auto rpc = start_over(node, 77);
    rpc->add_peer({id}, server.address());
    EXPECT_EQ(co_await rpc->call({id}, kEcho, "others", {.timeout = 10s}), "others");
  }

 protected:
  void SetUp() override {
    RpcTest::SetUp();
    ca_ = make_certificate({.common_name = "test CA", .ca = true}, world().wall());
  }
  void TearDown() override {
    loop_.reset();
    for (const auto& node : nodes_) {
      const auto lines = node->log.lines();
      EXPECT_EQ(lines.find("PRIVATE"), std::string::npos) << lines;
      EXPECT_EQ(lines.find("-----"), std::string::npos) << lines;
    }
    nodes_.clear();
    RpcTest::TearDown();
  }

 private:
  TestCertificate ca_;
  std::vector<std::unique_ptr<TlsNode>> nodes_;
};

}  // namespace walrus::net
