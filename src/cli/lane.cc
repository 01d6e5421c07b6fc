#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "cli/progress.h"
#include "io/address.h"
#include "io/runner.h"
#include "net/lane.h"

namespace walrus::cli {
namespace {

struct SendFlags {
  std::string file, to, name;
  std::int64_t offset = 0, length = -1, rate = 0;
};

struct ReceiveFlags {
  std::string listen, into;
  net::LaneReceiverOptions limits{};
};

// Nothing is authenticated or encrypted, and a receiver writes what it is sent.
Result<void> check_loopback(const std::string& address) {
  WALRUS_ASSIGN(const auto parsed, io::parse_address(address));
  if (io::is_loopback(parsed)) return {};
  return fail(
      Code::kInvalid,
      "{} is not a loopback address: a lane to another machine needs mutual TLS, which this "
      "release does not have",
      address);
}

net::RpcOptions options_of(net::NodeId node, Time now) {
  net::RpcOptions options;
  options.self = {
      net::kLaneCluster, node, {static_cast<std::uint64_t>(now.time_since_epoch().count())}};
  options.stream_window = 4 << 20;
  return options;
}

// A file's own name, if it is one that a lane may have.
std::string name_of(const SendFlags& flags) {
  return flags.name.empty() ? io::Path(flags.file).filename().string() : flags.name;
}

io::Task<net::LaneResult> send_on(io::Env& env, io::Loop& loop, net::Transport& transport,
                                  SendFlags flags, net::LaneSend what) {
  net::FileWorker worker(env, loop);
  const net::LaneRange range{flags.offset, flags.length};
  WALRUS_CO_ASSIGN(what.source, co_await worker.run<std::shared_ptr<net::LaneSource>>(
                                    [&env, file = flags.file, range] {
                                      return net::open_lane_file(env.disk(), file, range);
                                    }));
  const auto id = env.random() | (std::uint64_t{1} << 63);  // nobody asks for it
  WALRUS_CO_ASSIGN(auto rpc, net::Rpc::start(env, loop, transport, options_of({id}, env.wall())));
  rpc->add_peer(what.to, flags.to);
  auto result = co_await net::send_lane(env, loop, *rpc, worker, std::move(what));
  WALRUS_CO_TRY(co_await rpc->stop(std::chrono::seconds(1)));
  co_return result;
}

Result<int> send(const Globals& globals, const SendFlags& flags) {
  const auto name = name_of(flags);
  const auto what = "lane send " + flags.file;
  WALRUS_TRY(about(what, check_loopback(flags.to)));
  auto& env = io::real_env();
  Progress progress(env, globals);
  net::TcpTransport transport;
  io::Runner runner(env);
  net::LaneSend lane{.to = net::kLaneReceiver,
                     .name = name,
                     .bytes_per_s = flags.rate,
                     .silence_max = Millis(globals.timeout_ms)};
  lane.progress = [&](const net::LaneProgress& seen) {
    progress.update(seen.durable, static_cast<double>(seen.durable) /
                                      static_cast<double>(std::max<std::int64_t>(seen.size, 1)));
  };
  auto result = runner.run<net::LaneResult>(
      [&] { return send_on(env, runner.loop(), transport, flags, std::move(lane)); });
  runner.stop();
  progress.clear();
  WALRUS_ASSIGN(const auto sent, about(what, std::move(result)));
  const auto digest = net::to_hex(sent.digest);
  if (globals.json)
    WALRUS_TRY(print_json(
        {{"name", name}, {"bytes", sent.size}, {"sent", sent.sent}, {"sha256", digest}}));
  else WALRUS_TRY(print_line(fmt::format("sent {} bytes {} sha256 {}", name, sent.size, digest)));
  return kExitDone;
}

// What a receiver is made of. Made, used and, but for the end of the process, destroyed on the
// loop.
struct Receiver {
  std::unique_ptr<net::FileWorker> worker;
  std::unique_ptr<net::Rpc> rpc;
  std::unique_ptr<net::LaneReceiver> lanes;
};

io::Task<std::string> receive_on(io::Env& env, io::Loop& loop, net::Transport& transport,
                                 ReceiveFlags flags, Receiver& receiver) {
  auto options = options_of(net::kLaneReceiver, env.wall());
  options.listen = flags.listen;
  receiver.worker = std::make_unique<net::FileWorker>(env, loop);
  WALRUS_CO_ASSIGN(receiver.rpc, net::Rpc::start(env, loop, transport, options));
  receiver.lanes =
      std::make_unique<net::LaneReceiver>(env, *receiver.rpc, *receiver.worker, flags.limits);
  co_return receiver.rpc->address();
}

Result<void> print_received(const Globals& globals, const net::LaneReceived& one) {
  const auto digest = net::to_hex(one.digest);
  if (globals.json)
    WALRUS_TRY(print_json({{"name", one.name},
                           {"bytes", one.size},
                           {"sha256", digest},
                           {"path", one.path.string()}}));
  else
    WALRUS_TRY(
        print_line(fmt::format("received {} bytes {} sha256 {}", one.name, one.size, digest)));
  return flush_output();
}

// Ends by a signal, or when its output cannot be written.
Result<int> receive(const Globals& globals, ReceiveFlags flags) {
  const auto what = "lane receive " + flags.listen;
  WALRUS_TRY(about(what, check_loopback(flags.listen)));
  auto& env = io::real_env();
  Event ended;
  Result<void> printed;
  flags.limits.directory = flags.into;
  flags.limits.received = [&](const net::LaneReceived& one) {
    printed = print_received(globals, one);
    if (!printed) ended.set();
  };
  net::TcpTransport transport;
  Receiver receiver;
  io::Runner runner(env);
  WALRUS_ASSIGN(const auto address, about(what, runner.run<std::string>([&] {
                  return receive_on(env, runner.loop(), transport, flags, receiver);
                })));
  if (globals.json) WALRUS_TRY(print_json({{"listen", address}, {"into", flags.into}}));
  else
    WALRUS_TRY(print_line(fmt::format("walrus lane ready listen={} into={}", address, flags.into)));
  WALRUS_TRY(flush_output());
  env.wait(ended, io::Nanos::max());
  runner.stop();
  receiver = {};
  WALRUS_TRY(about(what, std::move(printed)));
  return kExitDone;
}

void add_send(CommandLine& line, CLI::App& lane) {
  auto flags = std::make_shared<SendFlags>();
  auto* verb = line.add(lane, "send", "Send a file, or go on with one that was cut off",
                        [flags](const Globals& globals) { return send(globals, *flags); });
  verb->add_option("file", flags->file, "The file")->required();
  verb->add_option("--to", flags->to, "HOST:PORT of `walrus lane receive`")->required();
  verb->add_option("--name", flags->name, "Its name there; by default its own");
  verb->add_option("--offset", flags->offset, "Send from this byte on")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--length", flags->length, "Send so many bytes")->check(CLI::NonNegativeNumber);
  verb->add_option("--rate", flags->rate, "At most so many bytes a second")
      ->check(CLI::PositiveNumber);
}

void add_receive(CommandLine& line, CLI::App& lane) {
  auto flags = std::make_shared<ReceiveFlags>();
  auto* verb = line.add(lane, "receive", "Take files into one directory until it is stopped",
                        [flags](const Globals& globals) { return receive(globals, *flags); });
  verb->add_option("--listen", flags->listen, "HOST:PORT; port 0 takes a free one")->required();
  verb->add_option("--into", flags->into, "The directory; made if it does not exist")->required();
  verb->add_option("--bytes-max", flags->limits.bytes_max, "Refuse files that are larger")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--free-bytes-min", flags->limits.free_bytes_min,
                   "Refuse what would leave less room on the disk")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
}

}  // namespace

void add_lane(CommandLine& line) {
  auto* lane = line.root().add_subcommand("lane", "Move files to another node: checked, resumable");
  lane->require_subcommand(1);
  add_send(line, *lane);
  add_receive(line, *lane);
}

}  // namespace walrus::cli
