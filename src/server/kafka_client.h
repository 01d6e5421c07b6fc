#pragma once
// A client of the Kafka protocol for the server's tests, in both worlds: requests of any version,
// pipelined if need be.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "server/test_client.h"
#include "wire/kafka/codec.h"
#include "wire/kafka/header.h"

namespace walrus::server {

inline io::Task<std::string> read_exactly(io::Connection& connection, std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t filled = 0; filled < size;) {
    WALRUS_CO_ASSIGN(
        auto got, co_await connection.read_some(std::span(bytes).subspan(filled), kTestDeadline));
    if (got == 0) co_return fail(Code::kClosed, "closed");
    filled += got;
  }
  co_return bytes;
}

class KafkaClient {
 public:
  KafkaClient(TestLoop& loop, const std::string& address) : loop_(loop) {
    auto connected = loop_.block<std::unique_ptr<io::Connection>>(
        [&] { return loop_.loop().connect(address, kTestDeadline); });
    if (connected) connection_ = std::move(*connected);
  }
  ~KafkaClient() {
    if (!connection_) return;
    (void)loop_.block<void>([this]() -> io::Task<void> {
      connection_.reset();
      co_return Result<void>();
    });
  }

  bool connected() const { return connection_ != nullptr; }

  template <class Request>
  static std::string frame(const Request& request, std::int16_t version, std::int32_t id) {
    std::string bytes(wire::kafka::kLengthBytes, '\0');
    wire::kafka::append_request_header(
        bytes,
        {.key = Request::kKey, .version = version, .correlation_id = id, .client_id = "test"});
    wire::kafka::encode(bytes, request, version);
    wire::kafka::finish_frame(bytes, 0);
    return bytes;
  }
  Result<void> send_raw(Bytes bytes) {
    if (!connection_) return fail(Code::kClosed, "not connected");
    return loop_.block<void>([&] { return connection_->write(bytes, kTestDeadline); });
  }
  // Nothing more will be sent.
  Result<void> end() {
    return loop_.block<void>([this]() -> io::Task<void> {
      connection_->shutdown_write();
      co_return Result<void>();
    });
  }
  template <class Request>
  Result<void> send(const Request& request, std::int16_t version) {
    auto bytes = frame(request, version, ++sent_);
    return send_raw(bytes);
  }
  // The response to the oldest request that has none; views live until the next call.
  template <class Response>
  Result<Response> receive(std::int16_t version) {
    WALRUS_TRY(receive_raw());
    const auto& api = wire::kafka::api_of<Response>();
    WALRUS_ASSIGN(auto response, wire::kafka::parse_response(last_, api, version));
    if (response.correlation_id != ++received_)
      return fail(Code::kMismatch, "response {} instead of {}", response.correlation_id, received_);
    return wire::kafka::decode<Response>(response.body, version);
  }
  template <class Response, class Request>
  Result<Response> ask(const Request& request, std::int16_t version) {
    WALRUS_TRY(send(request, version));
    return receive<Response>(version);
  }
  Result<void> receive_raw() {
    if (!connection_) return fail(Code::kClosed, "not connected");
    WALRUS_ASSIGN(auto prefix, read(wire::kafka::kLengthBytes));
    WALRUS_ASSIGN(last_, read(static_cast<std::size_t>(load_be<std::int32_t>(prefix.data()))));
    return {};
  }
  Bytes last() const { return last_; }
  // Everything until the server ends the connection.
  std::string rest() {
    std::string all;
    while (auto byte = read(1)) all += *byte;
    return all;
  }

 private:
  Result<std::string> read(std::size_t size) {
    return loop_.block<std::string>([this, size] { return read_exactly(*connection_, size); });
  }

  TestLoop& loop_;
  std::unique_ptr<io::Connection> connection_;
  std::string last_;
  std::int32_t sent_ = 0, received_ = 0;
};

}  // namespace walrus::server
