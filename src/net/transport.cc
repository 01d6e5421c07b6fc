#include "net/transport.h"

namespace walrus::net {

Result<std::unique_ptr<io::Listener>> TcpTransport::listen(io::Loop& loop,
                                                           const std::string& address) {
  return loop.listen(address);
}

io::Task<Channel> TcpTransport::connect(io::Loop& loop, std::string address, NodeId,
                                        io::Nanos timeout) {
  WALRUS_CO_ASSIGN(auto connection, co_await loop.connect(std::move(address), timeout));
  co_return Channel{.bytes = std::move(connection)};
}

io::Task<Channel> TcpTransport::accepted(io::Loop&, std::unique_ptr<io::Connection> connection,
                                         io::Nanos) {
  co_return Channel{.bytes = std::move(connection)};
}

}  // namespace walrus::net
