// What walrus/lane.h promises, asked in both worlds.

#include "client/lane.h"

#include <thread>

#include "io/world_under_test.h"
#include "net/sha256.h"
#include "net/test_certificates.h"

namespace walrus::client {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

std::string bytes_of(std::size_t size) {
  std::string bytes(size, '\0');
  std::uint64_t seed = 7;
  for (char& byte : bytes) {
    seed = seed * 6364136223846793005 + 1442695040888963407;
    byte = static_cast<char>(seed >> 56);
  }
  return bytes;
}

std::string digest_of(Bytes bytes) {
  net::Sha256 sha;
  sha.update(bytes);
  return net::to_hex(sha.digest());
}

class LaneTest : public io::BothWorlds {
 protected:
  void SetUp() override {
    BothWorlds::SetUp();
    ca_ = net::make_certificate({.common_name = "CA", .ca = true}, env().wall());
  }
  Result<LaneReceiver> start(LaneReceiverOptions options = {}) {
    options.listen = "127.0.0.1:0";
    options.directory = path("in");
    options.free_bytes_min = 0;
    options.received = [this](const LaneReceived& one) {
      const LockGuard guard(lock_);
      received_.push_back(one);
    };
    options.log = [this](Bytes line) {
      const LockGuard guard(lock_);
      lines_ += std::string(line) + "\n";
    };
    return start_lane_receiver(env(), options);
  }
  Result<LaneSent> send(const LaneReceiver& to, Bytes name, LaneOptions options = {}) {
    options.address = to.address();
    return send_lane(env(), path("source"), name, options);
  }
  void source(Bytes bytes) { (void)make("source", bytes); }
  std::optional<std::string> content(const std::string& name) {
    auto file = disk().open(path("in") / name, io::Open::kRead);
    return file ? std::optional(content_of(**file)) : std::nullopt;
  }
  TlsFiles files_of(std::uint64_t node, const char* addresses = "IP:127.0.0.1",
                    const char* cluster = "test") {
    const auto name = fmt::format("tls-{}-{}", node, cluster);
    const net::TestSubject subject{
        .common_name = "node",
        .names = fmt::format("URI:walrus://{}/node/{},{}", cluster, node, addresses)};
    return net::write_test_files(disk(), path(name.c_str()), "node", ca_,
                                 net::make_certificate(subject, env().wall(), &ca_));
  }
  std::vector<LaneReceived> received() {
    const LockGuard guard(lock_);
    return received_;
  }
  std::string lines() {
    const LockGuard guard(lock_);
    return lines_;
  }

  net::TestCertificate ca_;

 private:
  Lock lock_;
  std::vector<LaneReceived> received_;
  std::string lines_;
};
INSTANTIATE_TEST_SUITE_P(Worlds, LaneTest,
                         testing::Values(io::WorldKind::kReal, io::WorldKind::kSimulated),
                         io::name_of);

TEST_P(LaneTest, a_file_arrives_whole_and_again_costs_nothing) {
  const auto bytes = bytes_of(3'000'000);
  source(bytes);
  auto receiver = start();
  ASSERT_TRUE(receiver) << receiver.error().message;
  std::int64_t last = 0;
  LaneOptions options;
  options.progress = [&](const LaneProgress& seen) {
    EXPECT_EQ(seen.size, 3'000'000);
    last = seen.durable;
  };
  const auto sent = send(*receiver, "object", options);
  ASSERT_TRUE(sent) << sent.error().message;
  EXPECT_EQ(sent->bytes, 3'000'000);
  EXPECT_EQ(sent->sent, 3'000'000);
  EXPECT_EQ(sent->sha256, digest_of(bytes));
  EXPECT_EQ(last, 3'000'000);
  EXPECT_TRUE(content("object") == bytes);
  EXPECT_EQ(send(*receiver, "object")->sent, 0);
  EXPECT_EQ(send(*receiver, "")->bytes, 3'000'000);  // under its own name
  EXPECT_TRUE(content("source") == bytes);
  EXPECT_TRUE(receiver->stop());
  const auto seen = received();
  ASSERT_EQ(seen.size(), 3U);
  EXPECT_EQ(seen[0].name, "object");
  EXPECT_EQ(seen[0].bytes, 3'000'000);
  EXPECT_EQ(seen[0].sha256, digest_of(bytes));
  EXPECT_EQ(seen[0].path, path("in") / "object");
  EXPECT_EQ(seen[0].from, NodeId{0});
}

TEST_P(LaneTest, a_range_and_the_limits_of_both_sides) {
  const auto bytes = bytes_of(10'000);
  source(bytes);
  LaneReceiverOptions limits;
  limits.bytes_max = 9'000;
  limits.directory_bytes_max = 12'000;
  auto receiver = start(limits);
  ASSERT_TRUE(receiver);
  EXPECT_EQ(send(*receiver, "x").error().code, Code::kTooLarge);
  EXPECT_EQ(send(*receiver, "x", {.length = 9'000, .bytes_max = 8'999}).error().code,
            Code::kTooLarge);
  EXPECT_TRUE(send(*receiver, "x", {.position = 1'000, .length = 9'000}));
  EXPECT_TRUE(content("x") == bytes.substr(1'000));
  EXPECT_EQ(send(*receiver, "y", {.length = 3'001}).error().code, Code::kNoSpace);
  EXPECT_TRUE(send(*receiver, "y", {.length = 3'000}));
  EXPECT_EQ(send(*receiver, "x", {.length = 9'000}).error().code, Code::kExists);
  EXPECT_EQ(send(*receiver, "../x").error().code, Code::kInvalid);
  EXPECT_EQ(send(*receiver, "z", {.position = 10'001}).error().code, Code::kOutOfRange);
  EXPECT_EQ(send_lane(env(), path("nothing"), "z", {.address = receiver->address()}).error().code,
            Code::kNotFound);
}

TEST_P(LaneTest, nobody_there_is_a_timeout_that_says_so) {
  source("x");
  std::string address;
  {
    auto receiver = start();
    address = receiver->address();
  }
  LaneOptions options{.address = address, .silence_max = 300ms};
  for (int i = 0; i < 2; ++i) {
    const auto sent = send_lane(env(), path("source"), "x", options);
    EXPECT_EQ(sent.error().code, Code::kTimeout);
    EXPECT_THAT(sent.error().message, HasSubstr("not sent in time"));
    options.tls = files_of(1);
  }
}

TEST_P(LaneTest, goes_on_behind_what_was_there) {
  const auto bytes = bytes_of(28 << 20);
  source(bytes);
  auto receiver = start();
  ASSERT_TRUE(receiver);
  std::stop_source stop;
  LaneOptions options{.bytes_per_s = 50 << 20};
  options.stop = stop.get_token();
  options.progress = [&](const LaneProgress& seen) {
    if (seen.durable >= (16 << 20)) stop.request_stop();
  };
  const auto stopped = send(*receiver, "object", options);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, Code::kClosed);
  EXPECT_FALSE(content("object"));
  EXPECT_TRUE(receiver->stop());
  receiver = start();
  ASSERT_TRUE(receiver);
  const auto sent = send(*receiver, "object");
  ASSERT_TRUE(sent) << sent.error().message;
  EXPECT_LE(sent->sent, 20 << 20);  // at least 8 MiB are known to be there
  EXPECT_TRUE(content("object") == bytes);
}

TEST_P(LaneTest, who_is_asked_to_stop_stops_whatever_it_waits_for) {
  source(bytes_of(1'000'000));
  auto receiver = start();
  ASSERT_TRUE(receiver);
  std::stop_source stopped;
  stopped.request_stop();
  LaneOptions options{.bytes_per_s = 100};
  options.stop = stopped.get_token();
  EXPECT_EQ(send(*receiver, "x", options).error().code, Code::kClosed);  // it was before
  if (simulated()) return;  // the other one is stopped by a thread
  std::stop_source later;
  options.stop = later.get_token();
  std::jthread stopper([&] {
    while (!content("y.part")) std::this_thread::yield();
    later.request_stop();
  });
  EXPECT_EQ(send(*receiver, "y", options).error().code, Code::kClosed);
}

TEST_P(LaneTest, off_loopback_only_with_mutual_tls) {
  source("x");
  const auto sent = send_lane(env(), path("source"), "x", {.address = "192.0.2.1:9095"});
  EXPECT_EQ(sent.error().code, Code::kInvalid);
  EXPECT_THAT(sent.error().message, HasSubstr("mutual TLS"));
  const auto started = start_lane_receiver(env(), {.listen = "0.0.0.0:0", .directory = path("in")});
  EXPECT_EQ(started.error().code, Code::kInvalid);
  EXPECT_THAT(started.error().message, HasSubstr("mutual TLS"));
  auto files = files_of(1);
  files.key = "";
  EXPECT_EQ(start_lane_receiver(env(), {.directory = path("in"), .tls = files}).error().code,
            Code::kInvalid);
  EXPECT_FALSE(*disk().exists(path("in")));
}

TEST_P(LaneTest, with_tls_each_side_proves_who_it_is) {
  const auto bytes = bytes_of(200'000);
  source(bytes);
  LaneReceiverOptions secured;
  secured.tls = files_of(7);
  auto receiver = start(secured);
  ASSERT_TRUE(receiver) << receiver.error().message;
  const auto mine = files_of(3);
  const auto sent = send(*receiver, "a", {.tls = mine});
  ASSERT_TRUE(sent) << sent.error().message;
  EXPECT_EQ(sent->sha256, digest_of(bytes));
  EXPECT_TRUE(send(*receiver, "b", {.tls = mine, .receiver = {7}}));
  ASSERT_EQ(received().size(), 2U);
  EXPECT_EQ(received()[1].from, NodeId{3});
  // Another node than it should be, of another cluster, and nobody at all.
  EXPECT_EQ(send(*receiver, "c", {.tls = mine, .receiver = {8}}).error().code, Code::kMismatch);
  const auto foreign = send(*receiver, "c", {.tls = files_of(3, "IP:127.0.0.1", "other")});
  EXPECT_EQ(foreign.error().code, Code::kMismatch);
  const auto plain = send(*receiver, "c", {.silence_max = 300ms});
  EXPECT_THAT(plain.error().message, HasSubstr("this port speaks TLS only"));
  // A CA that the receiver does not know.
  const auto other = net::make_certificate({.common_name = "other", .ca = true}, env().wall());
  const auto known = std::exchange(ca_, net::make_certificate({.ca = true}, env().wall()));
  auto stranger = files_of(5);
  net::write_test_file(disk(), stranger.ca, known.pem());
  const auto refused = send(*receiver, "c", {.tls = stranger});
  EXPECT_EQ(refused.error().code, Code::kInvalid);
  EXPECT_THAT(refused.error().message, HasSubstr("refuses this certificate"));
  EXPECT_THAT(lines(), HasSubstr("tls_handshake_failed"));
  EXPECT_EQ(received().size(), 2U);
}

TEST_P(LaneTest, several_senders_of_one_node_at_once) {
  if (simulated()) return;  // callers that block at the same time are threads
  const auto bytes = bytes_of(5'000'000);
  source(bytes);
  LaneReceiverOptions secured;
  secured.tls = files_of(7);
  auto receiver = start(secured);
  ASSERT_TRUE(receiver);
  const auto mine = files_of(3);
  std::vector<std::jthread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      if (send(*receiver, fmt::format("object-{}", i), {.tls = mine})) ++good;
    });
  threads.clear();
  EXPECT_EQ(good, 4);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(content(fmt::format("object-{}", i)) == bytes);
}

TEST_P(LaneTest, receiver_that_is_wrongly_asked_for_does_not_start) {
  const auto refused = [&](LaneReceiverOptions options) {
    options.listen = options.listen.empty() ? "127.0.0.1:0" : options.listen;
    return start_lane_receiver(env(), options).error().code;
  };
  EXPECT_EQ(refused({.directory = {}}), Code::kInvalid);
  EXPECT_EQ(refused({.directory = path("in"), .transfers_max = 0}), Code::kInvalid);
  EXPECT_EQ(refused({.directory = path("in"), .connections_max = 0}), Code::kInvalid);
  EXPECT_EQ(refused({.directory = path("in"), .bytes_max = -1}), Code::kInvalid);
  EXPECT_EQ(refused({.listen = "nowhere", .directory = path("in")}), Code::kInvalid);
  auto receiver = start();
  ASSERT_TRUE(receiver);
  EXPECT_EQ(refused({.listen = receiver->address(), .directory = path("in")}), Code::kExists);
}

}  // namespace
}  // namespace walrus::client
