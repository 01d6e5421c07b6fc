#include "client/lane.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "io/address.h"
#include "io/runner.h"
#include "net/lane.h"
#include "net/timers.h"
#include "net/tls_transport.h"

namespace walrus {
namespace {

constexpr io::Nanos kFindTimeout = std::chrono::seconds(5);
constexpr io::Nanos kFindPause = std::chrono::milliseconds(200);

class LaneLog final : public LogSink {
 public:
  explicit LaneLog(std::function<void(Bytes)> call) : call_(std::move(call)) {}
  bool wants(LogLevel level) const override { return call_ && level != LogLevel::kDebug; }
  void write(LogLevel, Bytes line) override { call_(line); }

 private:
  const std::function<void(Bytes)> call_;
};

// How a lane's bytes travel. It goes after the loop that uses it.
class Carrier {
 public:
  explicit Carrier(std::function<void(Bytes)> log = {}) : log_(std::move(log)) {}
  // `address`: of the receiver, which is on loopback if there is no TLS.
  Result<void> open(io::Env& env, const std::optional<TlsFiles>& files,
                    const std::string& address) {
    WALRUS_ASSIGN(const auto parsed, io::parse_address(address));
    if (files) {
      WALRUS_ASSIGN(tls_, net::TlsTransport::open(env, plain_, log_, metrics_, {.files = *files}));
    } else if (!io::is_loopback(parsed)) {
      return fail(Code::kInvalid,
                  "{} is not a loopback address: a lane to another machine needs mutual TLS (a CA, "
                  "a certificate and its key)",
                  address);
    }
    return {};
  }
  net::Transport& transport() {
    if (tls_) return *tls_;
    return plain_;
  }
  net::TlsTransport* tls() { return tls_.get(); }

 private:
  LaneLog log_;
  Metrics metrics_;  // nobody reads them
  net::TcpTransport plain_;
  std::unique_ptr<net::TlsTransport> tls_;  // null: plain_
};

io::Nanos nanos_of(Millis time) {
  return time > std::chrono::floor<Millis>(io::Nanos::max()) ? io::Nanos::max() : io::Nanos(time);
}

net::RpcOptions rpc_options(NodeId self, Time now) {
  net::RpcOptions options;
  options.self = {
      net::kLaneCluster, self, {static_cast<std::uint64_t>(now.time_since_epoch().count())}};
  options.stream_window = 4 << 20;
  return options;
}

// One call of send_lane(), which blocks until it is over. On its loop but for what is const.
struct Sending {
  io::Env& env;
  io::Loop& loop;
  Carrier& carrier;
  const std::filesystem::path& file;
  const LaneOptions& options;
  net::LaneSend lane{};
  std::shared_ptr<bool> stopped = std::make_shared<bool>(false);  // shared with the lane
  net::Rpc* rpc = nullptr;                                        // while there is one
};

// Which node is there. Who is not there yet is waited for, as a lane that was cut waits.
io::Task<NodeId> find_receiver(Sending& sending) {
  const auto& options = sending.options;
  const auto patience = net::moment_after(
      sending.env.mono(), nanos_of(std::min(options.silence_max, options.deadline)));
  while (true) {
    const auto left = std::max(patience - sending.env.mono(), io::Nanos(0));
    auto found = co_await sending.carrier.tls()->find(
        sending.loop, options.address, options.receiver, std::min(left, kFindTimeout));
    if (found || (found.error().code != Code::kIo && found.error().code != Code::kTimeout))
      co_return found;
    if (*sending.stopped) co_return fail(Code::kClosed, "stopped");
    if (sending.env.mono() + kFindPause >= patience)
      co_return fail(Code::kTimeout, "not sent in time; {}", found.error().message);
    co_await sending.loop.sleep(kFindPause);
  }
}

io::Task<net::LaneResult> send_on(Sending& sending) {
  auto& [env, loop, carrier, file, options, lane, stopped, rpc_in_use] = sending;
  const auto deadline = net::moment_after(env.mono(), nanos_of(options.deadline));
  net::FileWorker worker(env, loop);
  WALRUS_CO_ASSIGN(lane.source,
                   co_await worker.run<std::shared_ptr<net::LaneSource>>(
                       [&env, file, range = net::LaneRange{options.position, options.length}] {
                         return net::open_lane_file(env.disk(), file, range);
                       }));
  const auto size = lane.source->size();
  if (options.bytes_max > 0 && size > options.bytes_max)
    co_return fail(Code::kTooLarge, "{} bytes, the limit is {}", size, options.bytes_max);
  lane.to = net::kLaneReceiver;
  if (carrier.tls() != nullptr) {
    WALRUS_CO_ASSIGN(lane.to, co_await find_receiver(sending));
  }
  if (*stopped) co_return fail(Code::kClosed, "stopped");
  lane.timeout = deadline - env.mono();
  const NodeId guest{env.random() | net::kGuestBit};
  WALRUS_CO_ASSIGN(const auto rpc,
                   net::Rpc::start(env, loop, carrier.transport(), rpc_options(guest, env.wall())));
  rpc->add_peer(lane.to, options.address);
  rpc_in_use = rpc.get();
  auto result = co_await net::send_lane(env, loop, *rpc, worker, std::move(lane));
  rpc_in_use = nullptr;
  WALRUS_CO_TRY(co_await rpc->stop(std::chrono::seconds(1)));
  co_return result;
}

boost::asio::awaitable<void> carry_out(io::Task<void> task) { (void)co_await std::move(task); }

// Whatever it waits for ends.
void end_sending(Sending& sending) {
  *sending.stopped = true;
  if (sending.rpc != nullptr) sending.loop.spawn(carry_out(sending.rpc->stop(io::Nanos(0))));
}

}  // namespace

Result<LaneSent> client::send_lane(io::Env& env, const std::filesystem::path& file, Bytes name,
                                   const LaneOptions& options) {
  Carrier carrier;
  WALRUS_TRY(carrier.open(env, options.tls, options.address));
  io::Runner runner(env);
  Sending sending{
      .env = env, .loop = runner.loop(), .carrier = carrier, .file = file, .options = options};
  sending.lane.name = name.empty() ? file.filename().string() : std::string(name);
  sending.lane.bytes_per_s = options.bytes_per_s;
  sending.lane.silence_max = nanos_of(options.silence_max);
  sending.lane.cancelled = sending.stopped;
  if (options.progress)
    sending.lane.progress = [&options](const net::LaneProgress& seen) {
      options.progress({.durable = seen.durable, .size = seen.size});
    };
  Result<net::LaneResult> result;
  {
    const std::stop_callback on_stop(options.stop, [&runner, &sending] {
      runner.loop().post([&sending] { end_sending(sending); });
    });
    result = runner.run<net::LaneResult>([&sending] { return send_on(sending); });
  }
  runner.stop();
  if (!result && *sending.stopped) return fail(Code::kClosed, "stopped");
  if (!result) return std::unexpected(std::move(result).error());
  return LaneSent{
      .bytes = result->size, .sent = result->sent, .sha256 = net::to_hex(result->digest)};
}

Result<LaneSent> send_lane(const std::filesystem::path& file, Bytes name,
                           const LaneOptions& options) {
  return client::send_lane(io::real_env(), file, name, options);
}

// The members from `worker` on are made, used and destroyed on the loop.
struct LaneReceiver::Impl {
  Impl(io::Env& e, const LaneReceiverOptions& with)
      : env(e), options(with), carrier(with.log), runner(e) {}
  ~Impl() { (void)stop(io::Nanos(0)); }

  Result<void> stop(io::Nanos timeout) {
    if (stopped.exchange(true)) return {};
    auto result = runner.run<void>([this, timeout] { return stop_on(*this, timeout); });
    runner.stop();
    return result;
  }
  static io::Task<std::string> start_on(Impl&);
  static io::Task<void> stop_on(Impl&, io::Nanos timeout);
  net::LaneReceiverOptions limits() const;

  io::Env& env;
  const LaneReceiverOptions options;
  Carrier carrier;
  std::string address;
  std::atomic<bool> stopped = false;
  io::Runner runner;
  std::unique_ptr<net::FileWorker> worker{};
  std::unique_ptr<net::Rpc> rpc{};
  std::unique_ptr<net::LaneReceiver> lanes{};
};

net::LaneReceiverOptions LaneReceiver::Impl::limits() const {
  net::LaneReceiverOptions limits{.directory = options.directory,
                                  .bytes_max = options.bytes_max,
                                  .directory_bytes_max = options.directory_bytes_max,
                                  .free_bytes_min = options.free_bytes_min,
                                  .transfers_max = static_cast<std::size_t>(options.transfers_max),
                                  .silence_max = nanos_of(options.silence_max)};
  if (!options.received) return limits;
  limits.received = [call = options.received,
                     proved = options.tls.has_value()](const net::LaneReceived& one) {
    call({.from = proved ? one.from : NodeId{},
          .name = one.name,
          .path = one.path,
          .bytes = one.size,
          .sha256 = net::to_hex(one.digest)});
  };
  return limits;
}

io::Task<std::string> LaneReceiver::Impl::start_on(Impl& impl) {
  auto* tls = impl.carrier.tls();
  auto options =
      rpc_options(tls != nullptr ? tls->self().node : net::kLaneReceiver, impl.env.wall());
  options.listen = impl.options.listen;
  options.connections_max = static_cast<std::size_t>(impl.options.connections_max);
  options.connections_per_address_max = options.connections_max;
  options.guests = true;
  impl.worker = std::make_unique<net::FileWorker>(impl.env, impl.runner.loop());
  WALRUS_CO_ASSIGN(
      impl.rpc, net::Rpc::start(impl.env, impl.runner.loop(), impl.carrier.transport(), options));
  impl.lanes =
      std::make_unique<net::LaneReceiver>(impl.env, *impl.rpc, *impl.worker, impl.limits());
  co_return impl.rpc->address();
}

io::Task<void> LaneReceiver::Impl::stop_on(Impl& impl, io::Nanos timeout) {
  Result<void> result;
  if (impl.rpc) {
    result = co_await impl.rpc->stop(timeout);
    // They hold what goes below.
    if (!result) (void)co_await impl.rpc->stop(io::Nanos::max());
  }
  impl.rpc.reset();
  impl.lanes.reset();
  impl.worker.reset();
  co_return result;
}

namespace {

Result<void> check(const LaneReceiverOptions& options) {
  if (options.directory.empty()) return fail(Code::kInvalid, "a receiver has a directory");
  if (options.transfers_max <= 0 || options.connections_max <= 0)
    return fail(Code::kInvalid, "a limit of no transfer or no connection");
  if (options.bytes_max < 0 || options.directory_bytes_max < 0 || options.free_bytes_min < 0)
    return fail(Code::kInvalid, "a limit below 0");
  return {};
}

}  // namespace

Result<LaneReceiver> client::start_lane_receiver(io::Env& env, const LaneReceiverOptions& options) {
  WALRUS_TRY(check(options));
  auto impl = std::make_unique<LaneReceiver::Impl>(env, options);
  WALRUS_TRY(impl->carrier.open(env, options.tls, options.listen));
  auto& started = *impl;
  WALRUS_ASSIGN(started.address, started.runner.run<std::string>(
                                     [&started] { return LaneReceiver::Impl::start_on(started); }));
  return LaneReceiver(std::move(impl));
}

Result<LaneReceiver> LaneReceiver::start(const LaneReceiverOptions& options) {
  return client::start_lane_receiver(io::real_env(), options);
}

LaneReceiver::LaneReceiver(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LaneReceiver::LaneReceiver(LaneReceiver&&) noexcept = default;
LaneReceiver& LaneReceiver::operator=(LaneReceiver&&) noexcept = default;
LaneReceiver::~LaneReceiver() = default;

const std::string& LaneReceiver::address() const { return impl_->address; }
Result<void> LaneReceiver::stop(Millis timeout) { return impl_->stop(nanos_of(timeout)); }

}  // namespace walrus
