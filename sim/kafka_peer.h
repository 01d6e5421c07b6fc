#pragma once
// A connection to a server of the Kafka protocol, for coroutines on one loop: requests of any
// version, one at a time or pipelined. Errors are those of the connection.

#include <memory>
#include <string>

#include "base/coding.h"
#include "io/network.h"
#include "wire/kafka/codec.h"
#include "wire/kafka/header.h"

namespace walrus::sim {

class KafkaPeer {
 public:
  explicit KafkaPeer(std::unique_ptr<io::Connection> connection)
      : connection_(std::move(connection)) {}

  template <class Request>
  io::Task<void> send(Request request, std::int16_t version) {
    std::string frame(wire::kafka::kLengthBytes, '\0');
    wire::kafka::append_request_header(
        frame,
        {.key = Request::kKey, .version = version, .correlation_id = ++sent_, .client_id = "sim"});
    wire::kafka::encode(frame, request, version);
    wire::kafka::finish_frame(frame, 0);
    co_return co_await connection_->write(frame, kDeadline);
  }
  // The oldest answer that was not taken; its views live until the next call.
  template <class Response>
  io::Task<Response> receive(std::int16_t version) {
    WALRUS_CO_ASSIGN(auto prefix, co_await read(wire::kafka::kLengthBytes));
    WALRUS_CO_ASSIGN(last_,
                     co_await read(static_cast<std::size_t>(load_be<std::int32_t>(prefix.data()))));
    const auto& api = wire::kafka::api_of<Response>();
    WALRUS_CO_ASSIGN(auto response, wire::kafka::parse_response(last_, api, version));
    if (response.correlation_id != ++received_)
      co_return fail(Code::kMismatch, "response {} instead of {}", response.correlation_id,
                     received_);
    co_return wire::kafka::decode<Response>(response.body, version);
  }
  template <class Response, class Request>
  io::Task<Response> ask(Request request, std::int16_t version) {
    WALRUS_CO_TRY(co_await send(std::move(request), version));
    co_return co_await receive<Response>(version);
  }

 private:
  static constexpr io::Nanos kDeadline = std::chrono::seconds(10);
  io::Task<std::string> read(std::size_t size) {
    std::string bytes(size, '\0');
    for (std::size_t filled = 0; filled < size;) {
      WALRUS_CO_ASSIGN(
          auto got, co_await connection_->read_some(std::span(bytes).subspan(filled), kDeadline));
      if (got == 0) co_return fail(Code::kClosed, "closed");
      filled += got;
    }
    co_return bytes;
  }

  std::unique_ptr<io::Connection> connection_;
  std::string last_;
  std::int32_t sent_ = 0, received_ = 0;
};

}  // namespace walrus::sim
