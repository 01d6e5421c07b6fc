#pragma once
// What the server's tests use: a client of raw frames and a server in a directory of its own. The
// same in both worlds: coroutines run on a loop of their own, the test blocks in Env::wait.

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/test_log.h"
#include "server/server.h"
#include "wire/native/frame.h"

namespace walrus::server {

constexpr io::Nanos kTestDeadline = std::chrono::seconds(60);

// A loop that runs beside the test.
class TestLoop {
 public:
  explicit TestLoop(io::Env& env) : env_(env), loop_(env.make_loop()) {
    if (!env.single_threaded())
      worker_ = env.start_worker("test", [this] {
        loop_->run();
        return io::Worker::kForever;
      });
  }
  ~TestLoop() {
    if (!worker_) return;
    block<void>([]() -> io::Task<void> { co_return Result<void>(); });  // it runs now
    loop_->stop();
  }

  io::Loop& loop() { return *loop_; }
  io::Env& env() { return env_; }

  // Runs a coroutine on the loop and waits for it. It has to end by itself within its own deadline.
  template <class T>
  Result<T> block(std::move_only_function<io::Task<T>()> make) {
    Event done;
    std::optional<Result<T>> result;
    loop_->post([&] { loop_->spawn(carry<T>(make, result, done)); });
    if (!env_.wait(done, 10 * kTestDeadline)) std::abort();  // what it refers to would be gone
    return std::move(*result);
  }

 private:
  template <class T>
  static boost::asio::awaitable<void> carry(std::move_only_function<io::Task<T>()>& make,
                                            std::optional<Result<T>>& result, Event& done) {
    result.emplace(co_await make());
    done.set();
  }

  io::Env& env_;
  std::unique_ptr<io::Loop> loop_;
  std::unique_ptr<io::Worker> worker_;
};

enum class Connect { kMustSucceed, kMayFail };

class TestClient {
 public:
  TestClient(TestLoop& loop, const std::string& address, Connect how = Connect::kMustSucceed)
      : loop_(loop) {
    auto connected = loop_.block<std::unique_ptr<io::Connection>>(
        [&] { return loop_.loop().connect(address, kTestDeadline); });
    if (how == Connect::kMustSucceed)
      EXPECT_TRUE(connected.has_value()) << (connected ? "" : connected.error().message);
    if (connected) connection_ = std::move(*connected);
  }
  // None: not connected.
  TestClient(TestLoop& loop, std::unique_ptr<io::Connection> connection)
      : loop_(loop), connection_(std::move(connection)) {}
  ~TestClient() { close(); }

  bool connected() const { return connection_ != nullptr; }
  Result<void> send(Bytes bytes, io::Nanos timeout = kTestDeadline) {
    return loop_.block<void>([&] { return connection_->write(bytes, timeout); });
  }
  Result<void> send_frame(Bytes body) {
    std::string frame;
    wire::native::append_frame(frame, body);
    return send(frame);
  }
  // The next reply's body; kClosed: the server has ended the connection.
  Result<std::string> reply(io::Nanos timeout = kTestDeadline) {
    return loop_.block<std::string>([&] { return read_reply(timeout); });
  }
  // One request and its reply; an error's message, should the connection break.
  std::string ask(Bytes body) {
    if (!connection_) return "<not connected>";
    if (auto sent = send_frame(body); !sent) return "<" + sent.error().message + ">";
    auto answer = reply();
    return answer ? *answer : "<" + answer.error().message + ">";
  }
  // Everything until the server ends the connection.
  std::string rest() {
    auto all = loop_.block<std::string>([&] { return read_all(); });
    return all ? *all : "<" + all.error().message + ">";
  }
  void end_writing() {
    (void)loop_.block<void>([&]() -> io::Task<void> {
      connection_->shutdown_write();
      co_return Result<void>();
    });
  }
  void close() {
    if (!connection_) return;
    (void)loop_.block<void>([this]() -> io::Task<void> {
      connection_.reset();
      co_return Result<void>();
    });
  }

 private:
  io::Task<std::string> read_reply(io::Nanos timeout) {
    while (true) {
      if (auto event = splitter_.next()) co_return std::string(event->body);
      WALRUS_CO_ASSIGN(auto size, co_await connection_->read_some(splitter_.space(), timeout));
      if (size == 0) co_return fail(Code::kClosed, "closed");
      splitter_.received(size);
    }
  }
  io::Task<std::string> read_all() {
    std::string all(splitter_.pending());
    while (true) {
      char bytes[4096];
      auto size = co_await connection_->read_some(bytes, kTestDeadline);
      if (!size || *size == 0) co_return all;
      all.append(bytes, *size);
    }
  }

  TestLoop& loop_;
  std::unique_ptr<io::Connection> connection_;
  wire::native::FrameSplitter splitter_{{.frame_bytes_max = 64 << 20}};
};

// Small journals: the tests start many servers.
inline ServerOptions small_options(const std::filesystem::path& root) {
  ServerOptions options;
  options.engine.user.root = root;
  options.engine.user.shards = 1;
  options.engine.user.journal_bytes_max = 32 << 20;
  options.engine.user.batch_bytes_max = 4 << 20;
  options.engine.user.in_flight_bytes_max = 8 << 20;
  options.engine.journal_file_bytes_min = 8 << 20;
  options.engine.journal_file_bytes_max = 8 << 20;
  options.native.listen = "127.0.0.1:0";
  options.kafka.listen = "";  // for who asks for it
  options.admin_listen = "127.0.0.1:0";
  options.disk_free_bytes_min = 0;
  return options;
}

}  // namespace walrus::server
