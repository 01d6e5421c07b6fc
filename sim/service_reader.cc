#include "service_reader.h"

#include <utility>

namespace walrus::sim {

ServiceReader::ServiceReader(io::Env& env, std::vector<std::string> addresses)
    : env_(env),
      runner_(env),
      guest_(std::make_shared<service::Guest>(env, runner_.loop(), tcp_, std::move(addresses))) {}

ServiceReader::~ServiceReader() {
  runner_.stop();
  if (channel_) channel_->close();
  guest_->stop();
}

void ServiceReader::open(io::Nanos deadline, io::Done<std::uint64_t> done) {
  runner_.loop().spawn(finish(open_on(*this, deadline), std::move(done)));
}

io::Task<std::uint64_t> ServiceReader::open_on(ServiceReader& self, io::Nanos deadline) {
  WALRUS_CO_TRY(co_await service::Guest::start(self.guest_, deadline));
  WALRUS_CO_ASSIGN(self.channel_, co_await service::Channel::open(self.env_, self.runner_.loop(),
                                                                  self.guest_, deadline));
  co_return self.channel_->session();
}

boost::asio::awaitable<void> ServiceReader::finish(io::Task<std::uint64_t> task,
                                                   service::Answering<std::uint64_t> answering) {
  answering(co_await std::move(task));
}

void ServiceReader::ask(std::string question, Read level, io::Nanos deadline,
                        io::Done<std::string> done) {
  runner_.loop().post([channel = channel_, question = std::move(question), level, deadline,
                       answering = service::Answering<std::string>(std::move(done))]() mutable {
    channel->query(std::move(question), level, deadline, std::move(answering));
  });
}

}  // namespace walrus::sim
