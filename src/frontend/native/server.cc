#include "frontend/native/server.h"

#include <algorithm>

#include "frontend/entrance.h"
#include "wire/native/errors.h"
#include "wire/native/reply.h"

namespace walrus::frontend::native {
namespace {
constexpr Bytes kWaitingBytes = "walrus_native_waiting";
}  // namespace

NativeServer::NativeServer(broker::Broker& broker, Metrics& metrics, NativeOptions options,
                           std::unique_ptr<net::Acceptor> acceptor)
    : broker_(broker),
      options_(std::move(options)),
      acceptor_(std::move(acceptor)),
      sessions_(broker.loops()),
      newcomers_(broker.loops(),
                 net::Newcomers(std::max<std::size_t>(options_.newcomers_max / broker.loops(), 1))),
      metrics_(metrics),
      connections_(metrics.gauge({"walrus_native_connections", "Open connections."})),
      accepted_(metrics.counter({"walrus_native_accepted", "Connections accepted."})),
      counters_{metrics.counter({"walrus_native_requests", "Requests received."}),
                metrics.counter({"walrus_native_errors", "Requests answered with ERR."}),
                metrics.counter({"walrus_native_received", "Bytes received.", "bytes"}),
                metrics.counter({"walrus_native_sent", "Bytes of replies sent.", "bytes"})} {
  options_.session.advertised = acceptor_->address();
  options_.session.counters = &counters_;
  options_.session.memory = &memory_;
  memory_.bytes_max = options_.memory_bytes_max;
  metrics.read_gauge({kWaitingBytes, "Replies and requests that wait.", "bytes"}, {},
                     [this] { return static_cast<double>(memory_.bytes.load()); });
}

NativeServer::~NativeServer() { metrics_.remove(kWaitingBytes, {}); }

Result<std::unique_ptr<NativeServer>> NativeServer::listen(broker::Broker& broker, Metrics& metrics,
                                                           NativeOptions options) {
  std::vector<io::Loop*> loops;
  for (std::size_t i = 0; i < broker.loops(); ++i) loops.push_back(&broker.local(i).loop());
  WALRUS_ASSIGN(auto acceptor,
                net::Acceptor::listen(
                    loops, {.listen = options.listen,
                            .connections_max = options.connections_max,
                            .connections_per_address_max = options.connections_per_address_max}));
  return std::unique_ptr<NativeServer>(
      new NativeServer(broker, metrics, std::move(options), std::move(acceptor)));
}

void NativeServer::start() {
  started_ = true;
  std::string refusal;
  wire::native::append_error(refusal, wire::native::text::kTooManyConnections);
  acceptor_->start(
      [this](std::size_t loop, std::unique_ptr<io::Connection> connection) {
        serve(loop, std::move(connection));
      },
      std::move(refusal));
}

void NativeServer::serve(std::size_t loop, std::unique_ptr<io::Connection> connection) {
  auto peer = connection->peer();
  Entrance entrance(newcomers_[loop], {.name = "native",
                                       .tls = options_.tls,
                                       .asks = !options_.session.security.mechanisms.empty()});
  connection = entrance.secure(broker_.local(loop).loop(), std::move(connection));
  auto session =
      std::make_shared<Session>(broker_.local(loop), std::move(connection), options_.session);
  std::weak_ptr weak(session);
  entrance.enter([weak] {
    if (auto cut = weak.lock()) cut->cut();
  });
  sessions_[loop].insert(session);
  accepted_.add();
  connections_.add(1);
  session->start(
      [this, loop, peer, weak, entrance] {
        entrance.leave();
        sessions_[loop].erase(weak.lock());
        connections_.add(-1);
        acceptor_->release(peer);
      },
      [entrance] { entrance.leave(); });
  if (stopping_) session->stop();  // was on its way here
}

io::Task<void> NativeServer::serve_forwarded(net::Request request, net::Stream& stream) {
  WALRUS_CO_ASSIGN(auto opened, wire::peer::parse_forward_open(request.body));
  if (stopping_) co_return fail(Code::kClosed, "stopping");
  if (!started_) co_return Result<void>();  // nothing of it is looked at: it is handed on again
  auto options = options_.session;
  options.forwarded = true;
  options.security.mechanisms.clear();  // the other node has asked
  auto& local = broker_.local(0);
  auto session = std::make_shared<Session>(
      local, std::make_unique<ForwardedConnection>(stream, std::move(opened), request.from),
      options);
  sessions_[0].insert(session);
  io::Signal ended(local.loop());
  session->start([this, session, set = std::make_shared<decltype(ended.setter())>(ended.setter())] {
    sessions_[0].erase(session);
    (*set)({});
  });
  session.reset();
  co_return co_await ended.wait();
}

io::Task<void> NativeServer::stop(io::Nanos timeout) {
  stopping_ = true;
  acceptor_->close();
  for (std::size_t i = 0; i < broker_.loops(); ++i) {
    auto& local = broker_.local(i);
    local.loop().post([this, i, &local] {
      local.stop();
      auto sessions = sessions_[i];
      for (const auto& session : sessions) session->stop();
    });
  }
  co_return co_await acceptor_->drained(timeout);
}

}  // namespace walrus::frontend::native
