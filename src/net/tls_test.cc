// TLS over the simulated network: handshakes that succeed, handshakes that must not, everything
// that a Connection promises, cuts and certificates that change.

#include <gtest/gtest.h>

#include <algorithm>

#include "base/test_log.h"
#include "io/sim/sim_world.h"
#include "net/newcomers.h"
#include "net/test_certificates.h"
#include "net/tls_server.h"

namespace walrus::net {
namespace {

constexpr io::Nanos kDeadline = std::chrono::seconds(30);

// A server on node 0, a client on node 1; what they do are coroutines of their loops.
class TlsTest : public testing::Test {
 public:
  explicit TlsTest(const io::LinkOptions& link = {})
      : world(1, {.nodes = 2, .link = link}),
        there(world.node(0).env()),
        here(world.node(1).env()),
        server_loop(there.make_loop()),
        client_loop(here.make_loop()),
        ca(make_certificate({.common_name = "test CA", .ca = true}, there.wall())),
        address(world.node(0).host() + ":1") {}
  ~TlsTest() override {
    client.reset();
    accepted.reset();
  }

  TestCertificate signed_for(const TestSubject& subject) {
    return make_certificate(subject, there.wall(), &ca);
  }
  TestSubject server_subject() {
    return {.common_name = "server", .names = "IP:" + world.node(0).host() + ",DNS:example"};
  }
  void serve(TlsServerOptions options = {}) {
    serve(signed_for(server_subject()), std::move(options));
  }
  void serve(const TestCertificate& own, TlsServerOptions options = {}) {
    options.files = write_test_files(there.disk(), "/tls", "server", ca, own);
    if (options.client_certificate == ClientCertificate::kNone) options.files.ca.clear();
    auto opened = TlsServer::open(there, log, metrics, options);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    server = std::move(*opened);
  }
  TlsFiles client_files(const TestCertificate* own = nullptr) {
    auto files = write_test_files(here.disk(), "/tls", "client", ca, own ? *own : ca);
    if (own == nullptr) files = {.ca = files.ca};
    return files;
  }

  template <class T>
  Result<T> block(io::Loop& loop, std::move_only_function<io::Task<T>()> make) {
    std::optional<Result<T>> result;
    loop.spawn(carry<T>(make, result));
    EXPECT_TRUE(world.run_until([&] { return result.has_value(); }, std::chrono::minutes(5)));
    return result ? std::move(*result) : Result<T>(fail(Code::kTimeout, "the test waits"));
  }
  template <class T>
  static boost::asio::awaitable<void> carry(std::move_only_function<io::Task<T>()>& make,
                                            std::optional<Result<T>>& result) {
    result.emplace(co_await make());
  }

  // Accepts one connection, and reads once, which shakes hands: what was read, or why not.
  void listen() {
    auto listening = server_loop->listen(address);
    ASSERT_TRUE(listening.has_value());
    listener = std::move(*listening);
    server_loop->spawn(accept(this));
  }
  static boost::asio::awaitable<void> accept(TlsTest* self) {
    auto plain = co_await self->listener->accept();
    if (!plain) co_return;
    self->accepted = self->server->secure(
        *self->server_loop, std::move(*plain), "test", [self] { ++self->secured; },
        [](Bytes) { return std::string("speak TLS"); });
    char bytes[64];
    auto got = co_await self->accepted->read_some(bytes, kDeadline);
    if (got) self->server_got = std::string(bytes, *got);
    else self->server_got = std::unexpected(got.error());
    if (!got) self->accepted->close();
  }
  io::Task<std::unique_ptr<io::Connection>> connect(TlsClientOptions options) {
    WALRUS_CO_ASSIGN(auto tls, TlsClient::open(here, options));
    WALRUS_CO_ASSIGN(auto plain, co_await client_loop->connect(address, kDeadline));
    co_return co_await tls->secure(*client_loop, std::move(plain), address, kDeadline);
  }
  Result<void> connect_client(TlsFiles files, TlsVersion least = TlsVersion::k12) {
    listen();
    auto connected = block<std::unique_ptr<io::Connection>>(
        *client_loop, [&] { return connect({.files = files, .version_min = least}); });
    if (!connected) return std::unexpected(connected.error());
    client = std::move(*connected);
    return {};
  }
  Result<void> send(Bytes bytes) {
    return block<void>(*client_loop, [&] { return client->write(bytes, kDeadline); });
  }
  Result<std::string> receive(std::size_t most = 64) {
    return block<std::string>(*client_loop,
                              [&]() -> io::Task<std::string> { return read(*client, most); });
  }
  static io::Task<std::string> read(io::Connection& from, std::size_t most) {
    std::string bytes(most, '\0');
    WALRUS_CO_ASSIGN(auto size, co_await from.read_some(bytes, kDeadline));
    bytes.resize(size);
    co_return bytes;
  }
  bool served() {
    if (!send("hello")) return false;
    return world.run_until([&] { return server_got.has_value(); }, kDeadline) &&
           *server_got == "hello";
  }
  void run() { world.run_for(std::chrono::seconds(5)); }

  io::World world;
  io::Env& there;
  io::Env& here;
  LinesLog log;
  Metrics metrics;
  std::unique_ptr<TlsServer> server;
  std::unique_ptr<io::Loop> server_loop, client_loop;
  std::unique_ptr<io::Listener> listener;
  TestCertificate ca;
  std::string address;
  std::unique_ptr<io::Connection> accepted, client;
  Result<std::string> server_got = fail(Code::kBusy, "nothing yet");
  int secured = 0;
};

TEST_F(TlsTest, what_one_side_writes_the_other_reads) {
  serve();
  auto connected = connect_client(client_files());
  ASSERT_TRUE(connected.has_value()) << connected.error().message;
  ASSERT_TRUE(served());
  EXPECT_EQ(secured, 1);
  EXPECT_EQ(accepted->principal(), "");
  EXPECT_EQ(client->principal(), "CN=server");
  auto& tls = dynamic_cast<TlsConnection&>(*client);
  EXPECT_EQ(tls.common_name(), "server");
  EXPECT_EQ(tls.dns_names(), std::vector<std::string>{"example"});
}

TEST_F(TlsTest, large_writes_arrive_whole_and_are_counted) {
  serve();
  ASSERT_TRUE(connect_client(client_files()).has_value());
  ASSERT_TRUE(served());
  std::string sent(3 << 20, '\0');
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 7 >> 3);
  std::optional<Result<void>> wrote;
  server_loop->spawn([](TlsTest* self, const std::string& bytes,
                        std::optional<Result<void>>& done) -> boost::asio::awaitable<void> {
    done.emplace(co_await self->accepted->write(bytes, kDeadline));
  }(this, sent, wrote));
  std::string received;
  while (received.size() < sent.size()) {
    auto piece = receive(100'000);
    ASSERT_TRUE(piece.has_value() && !piece->empty());
    received += *piece;
  }
  EXPECT_TRUE(received == sent);
  ASSERT_TRUE(wrote.has_value() && wrote->has_value());
  EXPECT_EQ(accepted->written(), std::ssize(sent));
}

TEST_F(TlsTest, end_is_told_and_a_cut_is_not_an_end) {
  serve();
  ASSERT_TRUE(connect_client(client_files()).has_value());
  ASSERT_TRUE(served());
  accepted->close();
  EXPECT_EQ(receive(), "");  // the end, said so
  auto after = block<std::string>(*server_loop, [&] { return read(*accepted, 10); });
  ASSERT_FALSE(after.has_value());
  EXPECT_EQ(after.error().code, Code::kClosed);
}

TEST_F(TlsTest, connection_that_is_dropped_without_a_word_is_an_error) {
  serve();
  ASSERT_TRUE(connect_client(client_files()).has_value());
  ASSERT_TRUE(served());
  accepted.reset();  // as a process that dies
  auto got = receive();
  ASSERT_FALSE(got.has_value());
  EXPECT_EQ(got.error().code, Code::kIo);
}

TEST_F(TlsTest, reads_time_out_and_go_on) {
  serve();
  ASSERT_TRUE(connect_client(client_files()).has_value());
  ASSERT_TRUE(served());
  auto got = block<std::size_t>(*client_loop, [&]() -> io::Task<std::size_t> {
    static char bytes[10];
    return client->read_some(bytes, std::chrono::milliseconds(50));
  });
  ASSERT_FALSE(got.has_value());
  EXPECT_EQ(got.error().code, Code::kTimeout);
  ASSERT_TRUE(
      block<void>(*server_loop, [&] { return accepted->write("late", kDeadline); }).has_value());
  EXPECT_EQ(receive(), "late");
}

TEST_F(TlsTest, closing_ends_a_read_that_waits) {
  serve();
  ASSERT_TRUE(connect_client(client_files()).has_value());
  ASSERT_TRUE(served());
  world.at(world.now() + std::chrono::seconds(1), [&] { client->close(); });
  auto got = receive();
  ASSERT_FALSE(got.has_value());
  EXPECT_EQ(got.error().code, Code::kClosed);
}

// ---------------------------------------------------------------------------------------------
// Whom the client trusts

TEST_F(TlsTest, client_refuses_a_server_of_another_ca) {
  serve();
  auto other = make_certificate({.common_name = "other CA", .ca = true}, here.wall());
  auto files = client_files();
  write_test_file(here.disk(), files.ca, other.pem());
  auto connected = connect_client(files);
  ASSERT_FALSE(connected.has_value());
  EXPECT_EQ(connected.error().code, Code::kInvalid);
  EXPECT_NE(connected.error().message.find("certificate"), std::string::npos)
      << connected.error().message;
  run();
  EXPECT_EQ(secured, 0);
  EXPECT_NE(log.lines().find("tls_handshake_failed port=test"), std::string::npos) << log.lines();
}

TEST_F(TlsTest, client_refuses_a_certificate_of_another_host) {
  serve(signed_for({.common_name = world.node(0).host(), .names = "IP:10.9.9.9,DNS:other"}));
  EXPECT_FALSE(connect_client(client_files()).has_value());
}

TEST_F(TlsTest, client_refuses_an_expired_certificate) {
  serve();
  world.node(1).jump_wall_clock(std::chrono::hours(24 * 60));
  auto connected = connect_client(client_files());
  ASSERT_FALSE(connected.has_value());
  EXPECT_NE(connected.error().message.find("expired"), std::string::npos)
      << connected.error().message;
}

TEST_F(TlsTest, client_refuses_a_certificate_that_is_not_valid_yet) {
  serve();
  world.node(1).jump_wall_clock(-std::chrono::hours(2));
  EXPECT_FALSE(connect_client(client_files()).has_value());
}

TEST_F(TlsTest, client_refuses_a_certificate_that_signed_itself) {
  serve(make_certificate(server_subject(), there.wall()));
  EXPECT_FALSE(connect_client(client_files()).has_value());
}

TEST_F(TlsTest, certificate_that_is_no_ca_signs_nothing) {
  auto leaf = signed_for({.common_name = "leaf"});
  serve(make_certificate(server_subject(), there.wall(), &leaf));
  EXPECT_FALSE(connect_client(client_files()).has_value());
}

// ---------------------------------------------------------------------------------------------
// Whom the server trusts

TEST_F(TlsTest, server_knows_a_client_by_its_certificate) {
  serve({.client_certificate = ClientCertificate::kRequired, .version_min = TlsVersion::k13});
  auto own = signed_for({.common_name = "alice"});
  ASSERT_TRUE(connect_client(client_files(&own), TlsVersion::k13).has_value());
  ASSERT_TRUE(served());
  EXPECT_EQ(accepted->principal(), "CN=alice");
}

TEST_F(TlsTest, subject_cannot_pretend_to_be_two) {
  serve({.client_certificate = ClientCertificate::kRequired});
  auto own = signed_for({.common_name = "mallory,CN=alice"});
  ASSERT_TRUE(connect_client(client_files(&own)).has_value());
  ASSERT_TRUE(served());
  EXPECT_EQ(accepted->principal(), "CN=mallory\\,CN=alice");
}

TEST_F(TlsTest, server_that_requires_a_certificate_refuses_who_has_none) {
  serve({.client_certificate = ClientCertificate::kRequired});
  if (connect_client(client_files()))  // with TLS 1.3 the client is done before the server
    EXPECT_FALSE(served());
  run();
  EXPECT_EQ(secured, 0);
  EXPECT_FALSE(server_got.has_value());
}

TEST_F(TlsTest, requested_certificate_may_be_missing_but_not_be_bad) {
  serve({.client_certificate = ClientCertificate::kRequested});
  ASSERT_TRUE(connect_client(client_files()).has_value());
  EXPECT_TRUE(served());
  EXPECT_EQ(accepted->principal(), "");
}

TEST_F(TlsTest, certificate_of_another_ca_is_refused_even_where_it_is_only_requested) {
  serve({.client_certificate = ClientCertificate::kRequested});
  auto other = make_certificate({.common_name = "other CA", .ca = true}, here.wall());
  auto own = make_certificate({.common_name = "alice"}, here.wall(), &other);
  if (connect_client(client_files(&own))) EXPECT_FALSE(served());
  run();
  EXPECT_EQ(secured, 0);
}

TEST_F(TlsTest, expired_certificate_of_a_client_is_refused) {
  serve({.client_certificate = ClientCertificate::kRequired});
  auto own = signed_for({.common_name = "alice", .ends = std::chrono::seconds(-60)});
  if (connect_client(client_files(&own))) EXPECT_FALSE(served());
  run();
  EXPECT_EQ(secured, 0);
  EXPECT_NE(log.lines().find("expired"), std::string::npos) << log.lines();
}

// ---------------------------------------------------------------------------------------------
// Strangers

TEST_F(TlsTest, plain_text_is_answered_in_plain_text) {
  serve();
  listen();
  auto plain = block<std::unique_ptr<io::Connection>>(
      *client_loop, [&] { return client_loop->connect(address, kDeadline); });
  ASSERT_TRUE(plain.has_value());
  client = std::move(*plain);
  ASSERT_TRUE(send("GET / HTTP/1.1\r\n\r\n").has_value());
  EXPECT_EQ(receive(), "speak TLS");
  EXPECT_EQ(receive(), "");
  client->close();
  run();
  EXPECT_NE(log.lines().find("does not speak TLS"), std::string::npos) << log.lines();
}

TEST_F(TlsTest, handshake_that_is_not_finished_ends_in_time) {
  serve({.handshake_timeout = std::chrono::seconds(2)});
  listen();
  auto plain = block<std::unique_ptr<io::Connection>>(
      *client_loop, [&] { return client_loop->connect(address, kDeadline); });
  ASSERT_TRUE(plain.has_value());
  client = std::move(*plain);
  // Half a ClientHello.
  ASSERT_TRUE(send(Bytes("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11)).has_value());
  auto began = world.now();
  EXPECT_EQ(receive(), "");
  EXPECT_LT(world.now() - began, std::chrono::seconds(3));
  ASSERT_FALSE(server_got.has_value());
  EXPECT_EQ(server_got.error().code, Code::kTimeout);
}

TEST_F(TlsTest, records_that_were_changed_end_the_connection) {
  serve();
  listen();
  auto plain = block<std::unique_ptr<io::Connection>>(
      *client_loop, [&] { return client_loop->connect(address, kDeadline); });
  ASSERT_TRUE(plain.has_value());
  client = std::move(*plain);
  ASSERT_TRUE(send("\x16" + std::string(400, 'x')).has_value());
  auto alert = receive();
  if (alert && !alert->empty()) EXPECT_EQ((*alert)[0], '\x15');  // a TLS alert, nothing else
  run();
  ASSERT_FALSE(server_got.has_value());
  EXPECT_EQ(server_got.error().code, Code::kInvalid);
}

// ---------------------------------------------------------------------------------------------
// Certificates that change

TEST_F(TlsTest, new_certificate_serves_when_it_lies_still) {
  serve();
  ASSERT_TRUE(connect_client(client_files()).has_value());
  ASSERT_TRUE(served());
  auto subject = server_subject();
  subject.common_name = "second";
  auto next = signed_for(subject);
  write_test_file(there.disk(), "/tls/server.pem", next.pem());
  server->refresh();  // only half of it is there
  write_test_file(there.disk(), "/tls/server.key", next.key_pem());
  server->refresh();
  server->refresh();
  EXPECT_EQ(log.lines(), "certificate_reloaded certificate=/tls/server.pem\n");
  // The connection that was there goes on.
  ASSERT_TRUE(
      block<void>(*server_loop, [&] { return accepted->write("old", kDeadline); }).has_value());
  EXPECT_EQ(receive(), "old");
  listener.reset();
  ASSERT_TRUE(connect_client(client_files()).has_value());
  EXPECT_EQ(client->principal(), "CN=second");
}

TEST_F(TlsTest, broken_certificate_is_refused_once_and_the_old_one_serves_on) {
  serve();
  write_test_file(there.disk(), "/tls/server.pem", "-----BEGIN CERTIFICATE-----\nnonsense\n");
  for (int i = 0; i < 5; ++i) server->refresh();
  EXPECT_EQ(std::ranges::count(log.lines(), '\n'), 1) << log.lines();
  EXPECT_TRUE(log.lines().starts_with("certificate_refused error=")) << log.lines();
  ASSERT_TRUE(connect_client(client_files()).has_value());
  EXPECT_EQ(client->principal(), "CN=server");
}

TEST_F(TlsTest, certificate_is_taken_at_once_where_somebody_says_so) {
  serve();
  auto subject = server_subject();
  subject.common_name = "second";
  auto next = signed_for(subject);
  write_test_file(there.disk(), "/tls/server.pem", next.pem());
  server->reload();
  EXPECT_TRUE(log.lines().starts_with("certificate_refused error=")) << log.lines();
  log.clear();
  write_test_file(there.disk(), "/tls/server.key", next.key_pem());
  for (int i = 0; i < 2; ++i) server->reload();
  EXPECT_EQ(log.lines(),
            "certificate_reloaded certificate=/tls/server.pem\n"
            "certificate_reloaded certificate=/tls/server.pem\n");
  ASSERT_TRUE(connect_client(client_files()).has_value());
  EXPECT_EQ(client->principal(), "CN=second");
}

TEST_F(TlsTest, key_of_another_certificate_and_an_expired_one_are_refused) {
  serve();
  auto other = signed_for(server_subject());
  write_test_file(there.disk(), "/tls/server.key", other.key_pem());
  for (int i = 0; i < 3; ++i) server->refresh();
  EXPECT_NE(log.lines().find("not the key of the certificate"), std::string::npos) << log.lines();
  log.clear();
  auto subject = server_subject();
  subject.ends = std::chrono::seconds(-1);
  auto expired = signed_for(subject);
  write_test_file(there.disk(), "/tls/server.pem", expired.pem());
  write_test_file(there.disk(), "/tls/server.key", expired.key_pem());
  for (int i = 0; i < 3; ++i) server->refresh();
  EXPECT_NE(log.lines().find("has expired"), std::string::npos) << log.lines();
  ASSERT_TRUE(there.disk().remove("/tls/server.pem").has_value());
  for (int i = 0; i < 3; ++i) server->refresh();
  EXPECT_NE(log.lines().find("certificate_unreadable"), std::string::npos) << log.lines();
  ASSERT_TRUE(connect_client(client_files()).has_value());
}

TEST(TlsFilesTest, what_is_wrong_is_said_by_file) {
  io::World world(1, {.nodes = 1});
  auto& env = world.node(0).env();
  auto& disk = env.disk();
  auto ca = make_certificate({.common_name = "CA", .ca = true}, env.wall());
  auto own = make_certificate({.common_name = "own"}, env.wall(), &ca);
  auto files = write_test_files(disk, "/tls", "own", ca, own);
  LinesLog log;
  Metrics metrics;
  auto why = [&](const TlsFiles& with) {
    auto opened = TlsServer::open(env, log, metrics, {.files = with});
    return opened ? "" : opened.error().message;
  };
  EXPECT_EQ(why(files), "");
  auto missing = files;
  missing.key = "/tls/none";
  EXPECT_NE(why(missing).find("/tls/none"), std::string::npos);
  auto swapped = files;
  std::swap(swapped.key, swapped.certificate);
  EXPECT_NE(why(swapped).find("own.key: no certificate in it"), std::string::npos) << why(swapped);
  auto bad_ca = files;
  bad_ca.ca = files.key;
  EXPECT_NE(why(bad_ca).find("own.key: no certificate in it"), std::string::npos);
  auto no_key = files;
  no_key.key = files.certificate;
  EXPECT_NE(why(no_key).find("own.pem: not a private key"), std::string::npos) << why(no_key);
}

// ---------------------------------------------------------------------------------------------
// A network that cuts

class BadTlsTest : public TlsTest {
 protected:
  BadTlsTest() : TlsTest({.reset = 0.02}) {}
};

TEST_F(BadTlsTest, connections_that_are_cut_end_and_never_lie) {
  serve();
  auto files = client_files();
  int served_count = 0, failed = 0;
  for (int i = 0; i < 300; ++i) {
    server_got = fail(Code::kBusy, "nothing yet");
    listener.reset();
    if (connect_client(files) && served()) ++served_count;
    else ++failed;
    if (server_got) EXPECT_EQ(*server_got, "hello");
    client.reset();
    world.run_for(2 * kDeadline);  // the server's side ends by itself
    accepted.reset();
  }
  EXPECT_GT(served_count, 100);
  EXPECT_GT(failed, 10);
}

TEST(NewcomersTest, oldest_is_cut_above_the_limit) {
  Newcomers newcomers(2);
  std::string cut;
  auto first = newcomers.enter([&] { cut += 'a'; });
  newcomers.enter([&] { cut += 'b'; });
  newcomers.leave(first);
  newcomers.enter([&] { cut += 'c'; });
  EXPECT_EQ(cut, "");
  newcomers.enter([&] { cut += 'd'; });
  EXPECT_EQ(cut, "b");
  EXPECT_EQ(newcomers.size(), 2u);
  newcomers.leave(first);  // long gone
  EXPECT_EQ(newcomers.size(), 2u);
}

}  // namespace
}  // namespace walrus::net
