// Strangers at a port of the peer protocol that speaks TLS, in a simulated world. The first byte
// says who speaks: 0 who connects, and then a good node is served; 1 who is connected to, and then
// the call ends with an error; 2 nobody: the bytes are the files of certificates.

#include <cstdint>
#include <memory>
#include <string>

#include "base/check.h"
#include "io/sim/sim_world.h"
#include "net/issue.h"
#include "net/rpc.h"
#include "net/tls_transport.h"

namespace {

using namespace walrus;
using namespace std::chrono_literals;

constexpr net::Method kEcho{1};
constexpr net::ClusterId kCluster{1, 1};

class NoLog final : public LogSink {
  void write(LogLevel, Bytes line) override { CHECK(!line.contains("PRIVATE")); }
};

// Keys are dear: the same for all inputs.
struct Issued {
  net::IssuedPem authority, one, two;
  explicit Issued(Time now) {
    const net::Validity validity{.begins = now - 1h, .ends = now + 24h};
    authority = *net::issue_authority("fuzz", validity);
    one = net::issue_node(authority, {{1}, {"127.0.0.1"}}, validity)->pem;
    two = net::issue_node(authority, {{2}, {"127.0.0.1"}}, validity)->pem;
  }
};

void write_file(io::Disk& disk, const io::Path& path, Bytes text) {
  auto file = disk.open(path, io::Open::kCreate);
  CHECK(file && (*file)->write(0, text));
}

TlsFiles write_files(io::Disk& disk, const char* name, const Issued& issued,
                     const net::IssuedPem& own) {
  const io::Path directory = name;
  CHECK(disk.make_directory(directory).has_value());
  TlsFiles files{directory / "ca", directory / "certificate", directory / "key"};
  write_file(disk, files.ca, issued.authority.certificate);
  write_file(disk, files.certificate, own.certificate);
  write_file(disk, files.key, own.key);
  return files;
}

net::RpcOptions options_of(std::uint64_t node) {
  net::RpcOptions options;
  options.self = {kCluster, {node}, {1}};
  options.listen = "127.0.0.1:0";
  options.connect_timeout = options.handshake_timeout = 500ms;
  return options;
}

io::Task<std::string> echo(net::Request request) { co_return std::move(request.body); }

boost::asio::awaitable<void> hear_out(std::unique_ptr<io::Connection> connection, Bytes bytes) {
  (void)co_await connection->write(bytes, 1s);
  char heard[4096];
  while (true) {
    const auto size = co_await connection->read_some(heard, 1s);
    if (!size || *size == 0) co_return;
  }
}
boost::asio::awaitable<void> come(io::Loop& loop, std::string address, Bytes bytes) {
  auto connection = co_await loop.connect(address, 1s);
  CHECK(connection.has_value());
  co_await hear_out(*std::move(connection), bytes);
}
boost::asio::awaitable<void> wait_for(io::Listener& listener, Bytes bytes) {
  auto connection = co_await listener.accept();
  if (connection) co_await hear_out(*std::move(connection), bytes);
}

struct Ends {  // of one run
  explicit Ends(const Issued& issued) {
    auto& env = world.node(0).env();
    loop = env.make_loop();
    const auto open = [&](const char* name, const net::IssuedPem& own) {
      return *net::TlsTransport::open(env, plain, log, metrics,
                                      {.files = write_files(env.disk(), name, issued, own)});
    };
    one = open("/one", issued.one);
    two = open("/two", issued.two);
    server = *net::Rpc::start(env, *loop, *two, options_of(2));
    server->handle(kEcho, [](net::Request request) { return echo(std::move(request)); });
    client = *net::Rpc::start(env, *loop, *one, options_of(1));
  }
  ~Ends() {
    client.reset();
    server.reset();
    loop.reset();
  }
  Result<std::string> call(std::string address) {
    std::optional<Result<std::string>> result;
    client->add_peer({2}, std::move(address));
    client->call({2}, kEcho, "alive", {.timeout = 2s},
                 [&](Result<std::string> reply) { result = std::move(reply); });
    CHECK(world.run_until([&] { return result.has_value(); }, 10s));
    return *std::move(result);
  }

  NoLog log;
  Metrics metrics;
  io::World world{1};
  net::TcpTransport plain;
  std::unique_ptr<net::TlsTransport> one, two;
  std::unique_ptr<io::Loop> loop;
  std::unique_ptr<net::Rpc> server, client;
};

void strangers_come(const Issued& issued, Bytes bytes) {
  Ends ends(issued);
  ends.loop->spawn(come(*ends.loop, ends.server->address(), bytes));
  ends.world.run_for(2s);
  CHECK(ends.call(ends.server->address()) == "alive");
}

void strangers_wait(const Issued& issued, Bytes bytes) {
  Ends ends(issued);
  auto listener = *ends.loop->listen("127.0.0.1:0");
  ends.loop->spawn(wait_for(*listener, bytes));
  CHECK(!ends.call(listener->address()).has_value());
  listener->close();
  ends.world.run_for(2s);
}

void strange_files(const Issued& issued, Bytes bytes, Time now) {
  const std::string text(bytes);
  const net::TlsMaterial all[] = {{text, issued.one.certificate, issued.one.key},
                                  {issued.authority.certificate, text, issued.one.key},
                                  {issued.authority.certificate, issued.one.certificate, text}};
  for (const auto& material : all) {
    (void)net::TlsContext::server({}, material, net::ClientCertificate::kRequired,
                                  net::TlsVersion::k13, now);
    CHECK(net::take_tls_errors().empty());  // nothing is left for who comes next
  }
  (void)net::issue_node({text, issued.authority.key}, {{3}, {}}, {now, now});
  (void)net::issue_node({issued.authority.certificate, text}, {{3}, {}}, {now, now});
  CHECK(net::take_tls_errors().empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Time now = io::World(1).node(0).env().wall();
  static const Issued issued(now);
  if (size == 0) return 0;
  const Bytes bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0: strangers_come(issued, bytes); break;
    case 1: strangers_wait(issued, bytes); break;
    default: strange_files(issued, bytes, now);
  }
  return 0;
}
