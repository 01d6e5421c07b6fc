#pragma once
// A TCP connection. Reads and writes are tried at once and wait for the socket only when they have
// to. The state is shared with what is in flight, so that it survives the Connection.

#include <boost/asio/ip/tcp.hpp>

#include "io/real/real_gate.h"

namespace walrus::io {

class RealConnection final : public Connection {
 public:
  struct State;

  // The socket is connected; its io_context is that of the loop it belongs to.
  RealConnection(boost::asio::io_context&, boost::asio::ip::tcp::socket);
  ~RealConnection() override;
  Task<std::size_t> read_some(std::span<char> to, Nanos timeout) override;
  Task<void> write(Bytes, Nanos timeout) override;
  std::int64_t written() const override;
  void shutdown_write() override;
  void close() override;
  std::string peer() const override;

 private:
  const std::shared_ptr<State> state_;
};

std::string to_string(const boost::asio::ip::tcp::endpoint&);
// kBusy when descriptors ran out, kExists when the port is in use, else kIo.
std::unexpected<Error> fail_socket(const boost::system::error_code&, const char* call,
                                   const std::string& address);

}  // namespace walrus::io
