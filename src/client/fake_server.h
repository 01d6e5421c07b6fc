#pragma once
// A server of the native protocol for the client's tests: what it answers is a function of the
// request's body. No answer means that the connection is cut instead.

#include <fmt/format.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/runner.h"
#include "wire/native/frame.h"

namespace walrus::client {

class FakeServer {
 public:
  using Answer = std::function<std::optional<std::string>(Bytes body)>;  // on the server's thread

  explicit FakeServer(Answer answer)
      : answer_(std::move(answer)), runner_(io::real_env()), address_(listen("127.0.0.1:0")) {}
  ~FakeServer() {
    runner_.stop();
    listener_.reset();  // before its loop
  }

  const std::string& address() const { return address_; }
  int connections() const { return connections_; }
  // Cuts all connections and refuses new ones until restart().
  void stop() {
    (void)runner_.call<void>([this](io::Done<void> done) {
      listener_->close();
      for (auto* connection : open_) connection->close();
      done({});
    });
  }
  void restart() { (void)listen(address_); }

 private:
  std::string listen(const std::string& address) {
    auto bound = runner_.call<std::string>([this, address](io::Done<std::string> done) {
      auto listener = runner_.loop().listen(address);
      if (!listener) return done(std::unexpected(listener.error()));
      listener_ = *std::move(listener);
      runner_.loop().spawn(accept(this, listener_));
      done(listener_->address());
    });
    return bound.value_or("");
  }

  static boost::asio::awaitable<void> accept(FakeServer* self,
                                             std::shared_ptr<io::Listener> listener) {
    while (true) {
      auto connection = co_await listener->accept();
      if (!connection) co_return;
      ++self->connections_;
      self->runner_.loop().spawn(serve(self, *std::move(connection)));
    }
  }

  static boost::asio::awaitable<void> serve(FakeServer* self,
                                            std::unique_ptr<io::Connection> connection) {
    self->open_.push_back(connection.get());
    wire::native::FrameSplitter splitter({.frame_bytes_max = 64 << 20});
    for (bool cut = false; !cut;) {
      auto size = co_await connection->read_some(splitter.space(), io::Nanos::max());
      if (!size || *size == 0) break;
      splitter.received(*size);
      while (auto event = splitter.next()) {
        auto reply = self->answer_(event->body);
        if (!reply) {
          cut = true;
          break;
        }
        std::string frame;
        wire::native::append_frame(frame, *reply);
        if (!co_await connection->write(frame, io::Nanos::max())) cut = true;
      }
    }
    std::erase(self->open_, connection.get());
    connection->close();
  }

  Answer answer_;
  std::shared_ptr<io::Listener> listener_;
  std::vector<io::Connection*> open_;
  std::atomic<int> connections_ = 0;
  io::Runner runner_;
  std::string address_;
};

}  // namespace walrus::client
