#include "net/acceptor.h"

#include <utility>

#include "base/check.h"

namespace walrus::net {
namespace {

std::string host_of(const std::string& peer) { return peer.substr(0, peer.rfind(':')); }

}  // namespace

// What posted calls look through: `self` is null once the Acceptor has gone. Touched on the
// listening loop only.
struct Acceptor::Alive {
  Acceptor* self;
  io::Loop& loop;
};

Acceptor::Acceptor(std::vector<io::Loop*> loops, const AcceptorOptions& options,
                   std::unique_ptr<io::Listener> listener)
    : loops_(std::move(loops)),
      options_(options),
      listener_(std::move(listener)),
      address_(listener_->address()),
      alive_(std::make_shared<Alive>(this, *loops_[0])) {}

Acceptor::~Acceptor() { alive_->self = nullptr; }

Result<std::unique_ptr<Acceptor>> Acceptor::listen(std::vector<io::Loop*> loops,
                                                   const AcceptorOptions& options) {
  CHECK(!loops.empty());
  WALRUS_ASSIGN(auto listener, loops[0]->listen(options.listen));
  return over(std::move(loops), options, std::move(listener));
}

std::unique_ptr<Acceptor> Acceptor::over(std::vector<io::Loop*> loops,
                                         const AcceptorOptions& options,
                                         std::unique_ptr<io::Listener> listener) {
  return std::unique_ptr<Acceptor>(new Acceptor(std::move(loops), options, std::move(listener)));
}

void Acceptor::start(Serve serve, std::string refusal) {
  serve_ = std::move(serve);
  refusal_ = std::move(refusal);
  loops_[0]->spawn(accept_all(alive_));
}

boost::asio::awaitable<void> Acceptor::accept_all(std::shared_ptr<Alive> alive) {
  constexpr io::Nanos kPause = std::chrono::milliseconds(50);  // out of file descriptors
  while (alive->self != nullptr) {
    auto accepted = co_await alive->self->accept_one();
    if (!accepted && accepted.error().code == Code::kClosed) co_return;
    if (!accepted) co_await alive->loop.sleep(kPause);
  }
}

io::Task<bool> Acceptor::accept_one() {
  auto alive = alive_;  // `this` may be gone after the wait
  auto number = turn_++ % loops_.size();
  auto& owner = *loops_[number];
  auto accepted = co_await listener_->accept_for(owner);
  if (alive->self == nullptr) co_return fail(Code::kClosed, "the listener has gone");
  if (!accepted) co_return std::unexpected(std::move(accepted).error());
  auto connection = std::move(*accepted);
  if (admit(connection->peer())) {
    owner.post([serve = serve_, number, connection = std::move(connection)]() mutable {
      serve(number, std::move(connection));
    });
    co_return true;
  }
  ++refused_;
  if (refusing_ < options_.refusals_max) {
    ++refusing_;
    owner.post([alive, &owner, bytes = refusal_, timeout = options_.refusal_timeout,
                connection = std::move(connection)]() mutable {
      owner.spawn(refuse(alive, owner, std::move(connection), std::move(bytes), timeout));
    });
  } else {
    owner.post([connection = std::move(connection)] { connection->close(); });
  }
  co_return true;
}

// The peer's own bytes are read before the close, so that it gets the refusal and no reset.
boost::asio::awaitable<void> Acceptor::refuse(std::shared_ptr<Alive> alive, io::Loop&,
                                              std::unique_ptr<io::Connection> connection,
                                              std::string bytes, io::Nanos timeout) {
  auto written = co_await connection->write(bytes, timeout);
  if (written) {
    connection->shutdown_write();
    char dropped[512];
    (void)co_await connection->read_some(dropped, timeout);
  }
  connection->close();
  alive->loop.post([alive] {
    if (alive->self != nullptr) --alive->self->refusing_;
  });
}

bool Acceptor::admit(const std::string& peer) {
  auto host = host_of(peer);
  if (connections_ >= options_.connections_max) return false;
  auto found = per_host_.find(host);
  if (found != per_host_.end() && found->second >= options_.connections_per_address_max)
    return false;
  ++connections_;
  ++per_host_[host];
  return true;
}

void Acceptor::release(std::string peer) {
  alive_->loop.post([alive = alive_, host = host_of(peer)] {
    if (alive->self != nullptr) alive->self->release_here(host);
  });
}

void Acceptor::release_here(const std::string& host) {
  auto found = per_host_.find(host);
  CHECK(found != per_host_.end() && connections_ > 0);
  if (--found->second == 0) per_host_.erase(found);
  if (--connections_ == 0 && when_drained_) std::exchange(when_drained_, nullptr)({});
}

void Acceptor::close() { listener_->close(); }

io::Task<void> Acceptor::drained(io::Nanos timeout) {
  if (connections_ == 0) co_return Result<void>();
  io::Signal signal(*loops_[0]);
  when_drained_ = signal.setter();
  co_return co_await signal.wait(timeout);
}

}  // namespace walrus::net
