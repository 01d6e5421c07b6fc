// What net/tls_transport.h promises, asked in both worlds.

#include "net/tls_transport.h"

#include <openssl/ssl.h>

#include "net/message.h"
#include "net/tls_fixture.h"

namespace walrus::net {
namespace {

using testing::HasSubstr;
using testing::Not;

class TlsTransportTest : public TlsNodesTest {};
INSTANTIATE_TEST_SUITE_P(Worlds, TlsTransportTest,
                         testing::Values(io::WorldKind::kReal, io::WorldKind::kSimulated),
                         io::name_of);

TEST_P(TlsTransportTest, nodes_of_one_cluster_talk_and_are_proved) {
  run([](TlsTransportTest& t) -> Awaitable<void> {
    auto &one = t.add_node(1), &two = t.add_node(2);
    EXPECT_EQ(one.transport->self(), (NodeName{"test", {1}}));
    auto a = t.start_over(one, 1), b = t.start_over(two, 2);
    std::optional<NodeId> proved;
    b->handle_send(kNotify, [&](const Request& request) { proved = request.proved; });
    a->add_peer({2}, b->address());
    EXPECT_EQ(co_await a->call({2}, kEcho, "hello"), "hello");
    EXPECT_TRUE(a->send({2}, kNotify, "hear"));
    EXPECT_TRUE(co_await t.until([&] { return proved.has_value(); }));
    EXPECT_EQ(proved, NodeId{1});
    EXPECT_EQ(co_await b->call({1}, kEcho, "back"), "back");  // the same connection
    const auto large = std::string(60'000, 'x');
    for (int i = 0; i < 20; ++i) EXPECT_EQ(co_await a->call({2}, kEcho, large), large);
    EXPECT_EQ(one.handshakes(), 1U);
    EXPECT_EQ(two.handshakes(), 1U);
    EXPECT_EQ(one.failures() + two.failures(), 0U);
    EXPECT_TRUE(co_await a->stop(5s));
    EXPECT_TRUE(co_await b->stop(5s));
  }(*this));
}

TEST_P(TlsTransportTest, node_that_calls_itself_another_one_is_refused) {
  run([](TlsTransportTest& t) -> Awaitable<void> {
    auto &one = t.add_node(1), &two = t.add_node(2);
    auto b = t.start_over(two, 2);
    auto liar = t.start_over(one, 3);
    liar->add_peer({2}, b->address());
    const auto refused = co_await liar->call({2}, kEcho, "x");
    EXPECT_EQ(refused.error().code, Code::kMismatch);
    EXPECT_THAT(refused.error().message, HasSubstr("the certificate is of node 1"));
    EXPECT_EQ(b->stats().refused, 1U);
    // A guest is nobody's name, and no way around it but where guests are welcome.
    auto guest = t.start_over(one, kGuestBit + 5);
    guest->add_peer({2}, b->address());
    EXPECT_EQ((co_await guest->call({2}, kEcho, "x")).error().code, Code::kMismatch);
    auto options = t.eager(2);
    options.guests = true;
    auto host = t.start_over(*two.transport, options);
    std::optional<NodeId> proved;
    host->handle_send(kNotify, [&](const Request& request) { proved = request.proved; });
    auto welcome = t.start_over(one, kGuestBit + 6);
    welcome->add_peer({2}, host->address());
    EXPECT_TRUE(welcome->send({2}, kNotify, "x"));
    EXPECT_TRUE(co_await t.until([&] { return proved.has_value(); }));
    EXPECT_EQ(proved, NodeId{1});
    auto again = t.start_over(one, 3);
    again->add_peer({2}, host->address());
    EXPECT_EQ((co_await again->call({2}, kEcho, "x")).error().code, Code::kMismatch);
    co_await t.others_live(*b);
  }(*this));
}

// Proves that somebody is there, whoever it is.
class SayingTransport final : public Transport {
 public:
  explicit SayingTransport(NodeId says) : says_(says) {}
  Result<std::unique_ptr<io::Listener>> listen(io::Loop& loop, const std::string& at) override {
    return loop.listen(at);
  }
  io::Task<Channel> connect(io::Loop& loop, std::string to, NodeId, io::Nanos timeout) override {
    WALRUS_CO_ASSIGN(auto connection, co_await loop.connect(std::move(to), timeout));
    co_return Channel{.bytes = std::move(connection), .proved = says_};
  }
  io::Task<Channel> accepted(io::Loop&, std::unique_ptr<io::Connection> connection,
                             io::Nanos) override {
    co_return Channel{.bytes = std::move(connection), .proved = says_};
  }

 private:
  const NodeId says_;
};

TEST_P(TlsTransportTest, a_welcome_of_another_node_than_was_proved_is_refused) {
  const auto transport = std::make_unique<SayingTransport>(NodeId{5});
  run([](TlsTransportTest& t, Transport& saying) -> Awaitable<void> {
    auto b = t.start(t.eager(2));
    auto a = t.start_over(saying, t.eager(1));
    a->add_peer({2}, b->address());
    const auto refused = co_await a->call({2}, kEcho, "x");
    EXPECT_EQ(refused.error().code, Code::kMismatch);
    EXPECT_THAT(refused.error().message,
                HasSubstr("it is node 5, which says that it is another one"));
    EXPECT_EQ(b->stats().served, 0U);
    EXPECT_TRUE(co_await a->stop(5s));
    a.reset();
  }(*this, *transport));
  loop_.reset();  // before the transport
}

TEST_P(TlsTransportTest, who_connects_refuses_another_node_than_the_one_it_means) {
  run([](TlsTransportTest& t) -> Awaitable<void> {
    auto &one = t.add_node(1), &two = t.add_node(2);
    auto a = t.start_over(one, 1), b = t.start_over(two, 2);
    a->add_peer({3}, b->address());
    const auto refused = co_await a->call({3}, kEcho, "x");
    EXPECT_EQ(refused.error().code, Code::kMismatch);
    EXPECT_THAT(refused.error().message, HasSubstr("it is node 2, not 3"));
    EXPECT_THAT(one.log.lines(), HasSubstr("tls_handshake_failed port=peer direction=out"));
    // The one that is refused is told in the handshake and writes its own line.
    EXPECT_TRUE(co_await t.until([&] { return two.failures() == 1; }));
    EXPECT_THAT(two.log.lines(), HasSubstr("direction=in"));
    co_await t.others_live(*b);
  }(*this));
}

// ---------------------------------------------------------------------------------------------
// Certificates that are no good

// A peer that shows what it likes: TlsConnection without the checks of TlsTransport.
struct Bad {
  const char* what;
  TestSubject subject;
  const char* as_server;  // what a node says that connects to it; null: it is good there
  const char* as_client;  // what a node says that it connects to
  bool other_ca = false, itself = false;
};

std::vector<Bad> bad_certificates() {
  auto usage = [](const char* value) {
    auto subject = TlsNodesTest::subject_of(2);
    subject.usage = value;
    return subject;
  };
  auto time = [](std::chrono::seconds begins, std::chrono::seconds ends) {
    auto subject = TlsNodesTest::subject_of(2);
    subject.begins = begins;
    subject.ends = ends;
    return subject;
  };
  auto names = [](const char* value) {
    return TestSubject{.common_name = "node 2", .names = value};
  };
  constexpr auto kTwo = "URI:walrus://test/node/2,URI:walrus://test/node/3";
  return {
      {"another CA", TlsNodesTest::subject_of(2), "certificate", "certificate", true},
      {"self-signed", TlsNodesTest::subject_of(2), "certificate", "certificate", false, true},
      {"expired", time(-2h, -1h), "certificate has expired", "certificate has expired"},
      {"not yet valid", time(1h, 2h), "not yet valid", "not yet valid"},
      {"a client's alone", usage("clientAuth"), "purpose", nullptr},
      {"a server's alone", usage("serverAuth"), nullptr, "purpose"},
      {"nobody's", names("DNS:node-2"), "names no node", "names no node"},
      {"without any name", names(""), "names no node", "names no node"},
      {"two nodes'", names(kTwo), "names two nodes", "names two nodes"},
      {"badly named", names("URI:walrus://test/node/02"), "names no node", "names no node"},
      {"another cluster's", TlsNodesTest::subject_of(2, "other"),
       "it is node 2 of cluster other, this is node 1 of cluster test",
       "it is node 2 of cluster other, this is node 1 of cluster test"},
  };
}

TestCertificate make_bad(TlsTransportTest& t, const Bad& bad) {
  const auto now = t.world().wall();
  if (bad.itself) return make_certificate(bad.subject, now);
  if (!bad.other_ca) return t.signed_for(bad.subject);
  const auto other = t.another_ca();
  return make_certificate(bad.subject, now, &other);
}

TlsMaterial material_of(const TestCertificate& own, const TestCertificate& ca) {
  return {.ca = ca.pem(), .certificate = own.pem(), .key = own.key_pem()};
}

// The certificate as if it were its time.
std::shared_ptr<const TlsContext> server_context(TlsTransportTest& t, const TestSubject& subject,
                                                 const TestCertificate& own) {
  auto made = TlsContext::server({}, material_of(own, t.ca()), ClientCertificate::kRequired,
                                 TlsVersion::k13, t.world().wall() + subject.begins + 1s);
  EXPECT_TRUE(made) << made.error().message;
  return *made;
}
std::shared_ptr<const TlsContext> client_context(TlsTransportTest& t, const TestCertificate& own) {
  auto made = TlsContext::client({}, material_of(own, t.ca()), TlsVersion::k13);
  EXPECT_TRUE(made) << made.error().message;
  return *made;
}

TlsConnectionOptions anybody() {
  return {.judge = [](const std::vector<std::string>&) { return Result<void>(); },
          .handshake_timeout = 5s};
}

// Accepts one connection, shakes hands and reads: what came of it.
Awaitable<void> accept_one(TlsTransportTest& t, io::Listener& listener,
                           std::shared_ptr<const TlsContext> context,
                           std::optional<Result<std::size_t>>& end) {
  auto plain = co_await listener.accept();
  EXPECT_TRUE(plain);
  if (!plain) co_return;
  TlsConnection connection(t.world(), t.loop(), *std::move(plain), std::move(context), anybody());
  char bytes[10];
  end.emplace(co_await connection.read_some(bytes, 5s));
}

TEST_P(TlsTransportTest, server_with_a_bad_certificate_is_refused_with_the_reason) {
  run([](TlsTransportTest& t) -> Awaitable<void> {
    for (const auto& bad : bad_certificates()) {
      SCOPED_TRACE(bad.what);
      auto& one = t.add_node(
          t.write_files(fmt::format("good-{}", bad.what), t.signed_for(t.subject_of(1))));
      auto listener = t.loop().listen("127.0.0.1:0");
      EXPECT_TRUE(listener);
      std::optional<Result<std::size_t>> end;
      t.loop().spawn(
          accept_one(t, **listener, server_context(t, bad.subject, make_bad(t, bad)), end));
      auto channel =
          co_await one.transport->connect(t.loop(), (*listener)->address(), NodeId{2}, 5s);
      if (bad.as_server == nullptr) {
        EXPECT_TRUE(channel) << channel.error().message;
        if (channel) channel->bytes->close();
      } else {
        EXPECT_FALSE(channel);
        if (!channel) EXPECT_THAT(channel.error().message, HasSubstr(bad.as_server));
        EXPECT_THAT(one.log.lines(), HasSubstr(bad.as_server));
        EXPECT_EQ(one.failures(), 1U);
      }
      EXPECT_TRUE(co_await t.until([&] { return end.has_value(); }));
      if (bad.as_server != nullptr) EXPECT_FALSE(end && end->has_value());
    }
  }(*this));
}

TEST_P(TlsTransportTest, client_with_a_bad_certificate_is_refused_with_the_reason) {
  run([](TlsTransportTest& t) -> Awaitable<void> {
    auto& one = t.add_node(1);
    auto server = t.start_over(one, 1);
    std::uint64_t failures = 0;
    for (const auto& bad : bad_certificates()) {
      SCOPED_TRACE(bad.what);
      auto plain = co_await t.loop().connect(server->address(), 5s);
      EXPECT_TRUE(plain);
      TlsConnection connection(t.world(), t.loop(), *std::move(plain),
                               client_context(t, make_bad(t, bad)), anybody());
      EXPECT_TRUE(co_await connection.handshake(5s));
      (void)co_await connection.write("WPP", 5s);  // may come too late
      char bytes[10];
      const auto end = co_await connection.read_some(bytes, bad.as_client ? 10s : 300ms);
      if (bad.as_client == nullptr) {
        EXPECT_NE(end.error().code, Code::kInvalid);
        continue;
      }
      ++failures;
      EXPECT_FALSE(end);
      EXPECT_EQ(end.error().code, Code::kInvalid);
      EXPECT_THAT(end.error().message, HasSubstr("the peer refuses this certificate"));
      connection.close();
      EXPECT_TRUE(co_await t.until([&] { return one.failures() == failures; }));
      EXPECT_THAT(one.log.lines(), HasSubstr(bad.as_client));
    }
    co_await t.others_live(*server, 1);
  }(*this));
}

TEST_P(TlsTransportTest, who_shows_none_or_speaks_an_older_tls_is_refused) {
  run([](TlsTransportTest& t) -> Awaitable<void> {
    auto& one = t.add_node(1);
    auto server = t.start_over(one, 1);
    const auto without = TlsContext::client({}, {.ca = t.ca().pem()}, TlsVersion::k13);
    EXPECT_TRUE(without);
    auto plain = co_await t.loop().connect(server->address(), 5s);
    TlsConnection nobody(t.world(), t.loop(), *std::move(plain), *without, anybody());
    EXPECT_TRUE(co_await nobody.handshake(5s));
    char bytes[10];
    EXPECT_EQ((co_await nobody.read_some(bytes, 5s)).error().code, Code::kInvalid);
    nobody.close();
    EXPECT_TRUE(co_await t.until([&] { return one.failures() == 1; }));
    EXPECT_THAT(one.log.lines(), HasSubstr("peer did not return a certificate"));

    const auto old =
        TlsContext::client({}, material_of(t.signed_for(t.subject_of(2)), t.ca()), TlsVersion::k12);
    SSL_CTX_set_max_proto_version((*old)->get(), TLS1_2_VERSION);
    auto second = co_await t.loop().connect(server->address(), 5s);
    TlsConnection older(t.world(), t.loop(), *std::move(second), *old, anybody());
    EXPECT_THAT((co_await older.handshake(5s)).error().message, HasSubstr("protocol version"));
    older.close();
    EXPECT_TRUE(co_await t.until([&] { return one.failures() == 2; }));
    EXPECT_THAT(one.log.lines(), HasSubstr("unsupported protocol"));
    co_await t.others_live(*server, 1);
  }(*this));
}

TEST_P(TlsTransportTest, no_handshake_continues_an_earlier_one) {
  run([](TlsTransportTest& t) -> Awaitable<void> {
    auto& one = t.add_node(1);
    auto server = t.start_over(one, 1);
    const auto context = client_context(t, t.signed_for(t.subject_of(2)));
    // A client that would keep what it is given.
    SSL_CTX_set_session_cache_mode(context->get(), SSL_SESS_CACHE_CLIENT);
    static int given;
    given = 0;
    SSL_CTX_sess_set_new_cb(context->get(), [](SSL*, SSL_SESSION*) {
      ++given;
      return 0;
    });
    auto plain = co_await t.loop().connect(server->address(), 5s);
    TlsConnection connection(t.world(), t.loop(), *std::move(plain), context, anybody());
    EXPECT_TRUE(co_await connection.handshake(5s));
    char bytes[100];
    (void)co_await connection.read_some(bytes, 300ms);  // a ticket would come now
    EXPECT_EQ(given, 0);
  }(*this));
}

// ---------------------------------------------------------------------------------------------
// What cannot be opened

TEST_P(TlsTransportTest, own_certificate_that_others_would_refuse_is_refused_at_the_start) {
  const auto open = [&](const TestCertificate& own, NodeId self) {
    static int number = 0;
    static LinesLog log;
    static Metrics metrics;
    const auto files = write_files(fmt::format("own-{}", ++number), own);
    auto opened =
        TlsTransport::open(world(), plain(), log, metrics, {.files = files, .self = self});
    return opened ? std::string() : opened.error().message;
  };
  EXPECT_EQ(open(signed_for(subject_of(2)), {2}), "");
  EXPECT_EQ(open(signed_for(subject_of(2)), {}), "");
  EXPECT_THAT(open(signed_for(subject_of(2)), {1}), HasSubstr("it is of node 2, this is node 1"));
  EXPECT_THAT(open(signed_for({.common_name = "x"}), {}), HasSubstr("names no node"));
  auto subject = subject_of(2);
  subject.usage = "clientAuth";
  EXPECT_THAT(open(signed_for(subject), {}), HasSubstr("not for both sides"));
  subject = subject_of(2);
  subject.ends = -60s;
  EXPECT_THAT(open(signed_for(subject), {}), HasSubstr("has expired"));
  subject.begins = 60s;
  subject.ends = 1h;
  EXPECT_THAT(open(signed_for(subject), {}), HasSubstr("not valid yet"));

  LinesLog log;
  Metrics metrics;
  auto files = write_files("incomplete", signed_for(subject_of(2)));
  for (auto without : {&TlsFiles::ca, &TlsFiles::certificate, &TlsFiles::key}) {
    auto some = files;
    some.*without = "";
    const auto opened = TlsTransport::open(world(), plain(), log, metrics, {.files = some});
    EXPECT_EQ(opened.error().code, Code::kInvalid);
    some.*without = path("nothing");
    EXPECT_EQ(TlsTransport::open(world(), plain(), log, metrics, {.files = some}).error().code,
              Code::kNotFound);
    some.*without = path("incomplete") / "junk";
    if (!*disk().exists(some.*without)) write_test_file(disk(), some.*without, "junk");
    EXPECT_EQ(TlsTransport::open(world(), plain(), log, metrics, {.files = some}).error().code,
              Code::kInvalid);
  }
}

// ---------------------------------------------------------------------------------------------
// Strangers

TEST_P(TlsTransportTest, a_node_without_tls_is_told_and_tells) {
  run([](TlsTransportTest& t) -> Awaitable<void> {
    auto &one = t.add_node(1), &two = t.add_node(2);
    auto secured = t.start_over(one, 1);
    auto bare = t.start(t.eager(3));
    bare->add_peer({1}, secured->address());
    const auto told = co_await bare->call({1}, kEcho, "x", {.timeout = 2s});
    EXPECT_EQ(told.error().code, Code::kTimeout);
    EXPECT_THAT(told.error().message, HasSubstr("refused: this port speaks TLS only"));
    EXPECT_THAT(one.log.lines(), HasSubstr("does not speak TLS"));
    // The other way round.
    auto b = t.start_over(two, 2);
    b->add_peer({3}, bare->address());
    const auto reverse = co_await b->call({3}, kEcho, "x", {.timeout = 2s});
    EXPECT_EQ(reverse.error().code, Code::kTimeout);
    EXPECT_THAT(reverse.error().message, HasSubstr("does not speak TLS"));
    co_await t.others_live(*secured, 1);
  }(*this));
}

// What a client says first.
std::string client_hello(TlsTransportTest& t) {
  const auto context = client_context(t, t.signed_for(t.subject_of(2)));
  const std::unique_ptr<SSL, Freed<SSL_free>> ssl(SSL_new(context->get()));
  SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(ssl.get());
  EXPECT_NE(SSL_do_handshake(ssl.get()), 1);
  std::string bytes(BIO_ctrl_pending(SSL_get_wbio(ssl.get())), '\0');
  EXPECT_EQ(BIO_read(SSL_get_wbio(ssl.get()), bytes.data(), static_cast<int>(bytes.size())),
            static_cast<int>(bytes.size()));
  return bytes;
}

TEST_P(TlsTransportTest, handshakes_that_are_cut_or_damaged_cost_nothing_but_themselves) {
  run([](TlsTransportTest& t) -> Awaitable<void> {
    auto& one = t.add_node(1);
    auto server = t.start_over(one, 1);
    const auto hello = client_hello(t);
    EXPECT_GT(hello.size(), 100U);
    std::uint64_t failures = 0;
    for (std::size_t size = 1; size < hello.size(); size += 1 + size / 8) {
      auto cut = co_await t.loop().connect(server->address(), 5s);
      EXPECT_TRUE(co_await (*cut)->write(Bytes(hello).substr(0, size), 5s));
      (*cut)->close();
      ++failures;
    }
    for (std::size_t at = 0; at < hello.size(); at += 3) {
      auto damaged = co_await t.loop().connect(server->address(), 5s);
      auto bytes = hello;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << at % 8));
      EXPECT_TRUE(co_await (*damaged)->write(bytes, 5s));
      (*damaged)->shutdown_write();
      ++failures;
    }
    for (const auto& text :
         {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(2'000, '\x16'),
          std::string("\x16\x03\x01\xff\xff", 5), std::string("\x15\x03\x03\0\2", 5),
          "\x16\x03\x01\x40\x00" + std::string(0x4000, '\1')}) {
      auto garbage = co_await t.loop().connect(server->address(), 5s);
      EXPECT_TRUE(co_await (*garbage)->write(text, 5s));
      (*garbage)->shutdown_write();
      ++failures;
    }
    EXPECT_TRUE(co_await t.until([&] { return one.failures() == failures; }));
    EXPECT_EQ(one.failures(), failures);
    EXPECT_EQ(one.handshakes(), 0U);
    // A stranger cannot fill the log.
    const auto lines = one.log.lines();
    EXPECT_LE(std::ranges::count(lines, '\n'), 21);
    co_await t.others_live(*server, 1);
  }(*this));
}

// A byte now and then.
Awaitable<void> drip(io::Loop& loop, io::Connection& to, Bytes bytes, bool& over) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (!co_await to.write(bytes.substr(i, 1), 1s)) break;
    co_await loop.sleep(20ms);
  }
  over = true;
}

TEST_P(TlsTransportTest, slow_handshakes_end_in_time) {
  run([](TlsTransportTest& t) -> Awaitable<void> {
    auto& one = t.add_node(1);
    auto options = t.eager(1);
    options.handshake_timeout = 1s;
    auto server = t.start_over(*one.transport, options);
    const auto hello = client_hello(t);
    auto slow = co_await t.loop().connect(server->address(), 5s);
    auto silent = co_await t.loop().connect(server->address(), 5s);
    const auto begun = t.world().mono();
    bool over = false;
    t.loop().spawn(drip(t.loop(), **slow, hello, over));
    EXPECT_TRUE(co_await t.until([&] { return one.failures() == 2; }));
    const auto took = t.world().mono() - begun;
    if (t.simulated()) EXPECT_TRUE(took > 900ms && took < 1100ms);
    EXPECT_THAT(one.log.lines(), HasSubstr("timeout"));
    co_await t.others_live(*server, 1);
    (*slow)->close();
    EXPECT_TRUE(co_await t.until([&] { return over; }));
  }(*this));
}

TEST_P(TlsTransportTest, of_too_many_handshakes_the_slowest_gives_way) {
  run([](TlsTransportTest& t) -> Awaitable<void> {
    auto& one = t.add_node(1, {.handshakes_max = 3});
    auto options = t.eager(1);
    options.handshake_timeout = 60s;
    auto server = t.start_over(*one.transport, options);
    std::vector<std::unique_ptr<io::Connection>> crowd;
    for (int i = 0; i < 10; ++i) {
      auto made = co_await t.loop().connect(server->address(), 5s);
      EXPECT_TRUE(made && co_await (*made)->write("\x16", 5s));
      crowd.push_back(*std::move(made));
    }
    EXPECT_TRUE(co_await t.until([&] { return one.failures() == 7; }));
    EXPECT_THAT(one.log.lines(),
                HasSubstr("more than 3 handshakes at once, this one was the slowest"));
    char bytes[10];
    const auto first = co_await crowd.front()->read_some(bytes, 5s);
    EXPECT_TRUE(!first || *first == 0);
    co_await t.others_live(*server, 1);  // who is quick gets in
    EXPECT_EQ(one.failures(), 8U);       // and takes the place of one more
    crowd.clear();
    EXPECT_TRUE(co_await t.until([&] { return one.failures() == 10; }));
  }(*this));
}

TEST_P(TlsTransportTest, finds_out_who_is_there) {
  run([](TlsTransportTest& t) -> Awaitable<void> {
    auto &one = t.add_node(1), &two = t.add_node(2);
    auto b = t.start_over(two, 2);
    const auto find = [&](TlsNode& by, NodeId expected) {
      return by.transport->find(t.loop(), b->address(), expected, 10s);
    };
    EXPECT_EQ(co_await find(one, {}), NodeId{2});  // the certificate is for 127.0.0.1
    EXPECT_EQ(co_await find(one, {2}), NodeId{2});
    EXPECT_EQ((co_await find(one, {3})).error().code, Code::kMismatch);

    auto elsewhere = t.subject_of(4);
    elsewhere.names = "URI:walrus://test/node/4,IP:127.0.0.9,DNS:elsewhere";
    auto& four = t.add_node(t.write_files("four", t.signed_for(elsewhere)));
    auto d = t.start_over(four, 4);
    auto found = co_await one.transport->find(t.loop(), d->address(), {}, 10s);
    EXPECT_EQ(found.error().code, Code::kInvalid);
    EXPECT_THAT(found.error().message, HasSubstr("IP address mismatch"));
    EXPECT_EQ(co_await one.transport->find(t.loop(), d->address(), {4}, 10s), NodeId{4});

    // It takes us, we do not take it, or the other way round.
    const auto other = t.another_ca();
    auto both = t.write_files("five", t.signed_for(t.subject_of(5)), &other);
    auto& five = t.add_node(both);  // trusts another CA
    EXPECT_THAT((co_await find(five, {})).error().message, HasSubstr("certificate"));
    const auto foreign = make_certificate(t.subject_of(6), t.world().wall(), &other);
    auto& six = t.add_node(t.write_files("six", foreign));
    found = co_await find(six, {});
    EXPECT_EQ(found.error().code, Code::kInvalid);
    EXPECT_THAT(found.error().message, HasSubstr("the peer refuses this certificate"));
    EXPECT_EQ((co_await one.transport->find(t.loop(), "127.0.0.1:1", {}, 1s)).error().code,
              Code::kIo);
    EXPECT_EQ((co_await one.transport->find(t.loop(), "nowhere", {}, 1s)).error().code,
              Code::kInvalid);
  }(*this));
}

// ---------------------------------------------------------------------------------------------
// Certificates that change

void replace(TlsTransportTest& t, const TlsNode& node, const TestCertificate& own) {
  write_test_file(t.disk(), node.files.certificate, own.pem());
  write_test_file(t.disk(), node.files.key, own.key_pem());
}

void keep_calling(Rpc& rpc, NodeId to, const bool& stop, int& good, int& bad) {
  rpc.call(to, kEcho, std::string(3'000, 'x'), {.timeout = 10s},
           [&rpc, to, &stop, &good, &bad](const Result<std::string>& reply) {
             ++(reply ? good : bad);
             if (!reply) ADD_FAILURE() << reply.error().message;
             if (!stop) keep_calling(rpc, to, stop, good, bad);
           });
}

TEST_P(TlsTransportTest, another_ca_and_new_certificates_come_in_under_load) {
  run([](TlsTransportTest& t) -> Awaitable<void> {
    const TlsTransportOptions quick{.refresh_interval = 20ms};
    auto &one = t.add_node(1, quick), &two = t.add_node(2, quick);
    auto a = t.start_over(one, 1), b = t.start_over(two, 2);
    a->add_peer({2}, b->address());
    bool stop = false;
    int good = 0, bad = 0;
    for (int i = 0; i < 4; ++i) keep_calling(*a, {2}, stop, good, bad);
    const auto reloaded = [&](std::ptrdiff_t times) {
      for (auto* node : {&one, &two}) {
        const auto lines = node->log.lines();
        std::ptrdiff_t count = 0;
        for (auto at = lines.find("certificate_reloaded"); at != std::string::npos;
             at = lines.find("certificate_reloaded", at + 1))
          ++count;
        if (count < times) return false;
      }
      return true;
    };
    // Both CAs are trusted, then the new one signs, then the old one goes.
    const auto next = t.another_ca();
    for (auto* node : {&one, &two})
      write_test_file(t.disk(), node->files.ca, t.ca().pem() + next.pem());
    EXPECT_TRUE(co_await t.until([&] { return reloaded(1); }));
    replace(t, one, make_certificate(t.subject_of(1), t.world().wall(), &next));
    replace(t, two, make_certificate(t.subject_of(2), t.world().wall(), &next));
    EXPECT_TRUE(co_await t.until([&] { return reloaded(2); }));
    for (auto* node : {&one, &two}) write_test_file(t.disk(), node->files.ca, next.pem());
    EXPECT_TRUE(co_await t.until([&] { return reloaded(3); }));
    const auto before = good;
    EXPECT_TRUE(co_await t.until([&] { return good > before + 50; }));  // what is there stays
    stop = true;
    EXPECT_EQ(one.handshakes(), 1U);
    // Who comes now is asked for the new one.
    EXPECT_EQ(
        (co_await t.add_node(3).transport->find(t.loop(), b->address(), {2}, 10s)).error().code,
        Code::kInvalid);
    auto fresh = t.start_over(one, 1);
    fresh->add_peer({2}, b->address());
    EXPECT_EQ(co_await fresh->call({2}, kEcho, "new"), "new");
    EXPECT_EQ(bad, 0);
    EXPECT_TRUE(co_await a->stop(5s));
    EXPECT_TRUE(co_await fresh->stop(5s));
  }(*this));
}

TEST_P(TlsTransportTest, new_files_that_are_no_good_change_nothing) {
  run([](TlsTransportTest& t) -> Awaitable<void> {
    auto& one = t.add_node(1, {.self = {1}, .refresh_interval = 20ms});
    auto server = t.start_over(one, 1);
    const auto refused = [&](const char* why) {
      return t.until([&one, why] {
        const auto lines = one.log.lines();
        return lines.contains("certificate_refused") && lines.contains(why);
      });
    };
    write_test_file(t.disk(), one.files.certificate, "half of it");
    EXPECT_TRUE(co_await refused("no certificate in it"));
    co_await t.others_live(*server, 1);
    replace(t, one, t.signed_for(t.subject_of(9)));
    EXPECT_TRUE(co_await refused("it is of node 9, this is node 1"));
    replace(t, one, t.signed_for({.common_name = "x"}));
    EXPECT_TRUE(co_await refused("names no node"));
    co_await t.others_live(*server, 1);
    EXPECT_THAT(one.log.lines(), Not(HasSubstr("certificate_reloaded")));
    replace(t, one, t.signed_for(t.subject_of(1, "other")));
    EXPECT_TRUE(co_await refused("it is of node 1 of cluster other, this is node 1 of cluster"));
    replace(t, one, t.signed_for(t.subject_of(1)));
    EXPECT_TRUE(co_await t.until([&] { return one.log.lines().contains("certificate_reloaded"); }));
    co_await t.others_live(*server, 1);
  }(*this));
}

}  // namespace
}  // namespace walrus::net
