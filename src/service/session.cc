#include "service/session.h"

namespace walrus {
namespace {

using service::Answering;
using service::Channel;

io::Nanos moment(Deadline deadline) { return deadline.time_since_epoch(); }

// Posts `use` of the channel, or drops it with the Answering inside, which answers kClosed.
void use_channel(const Session::Impl& session,
                 std::move_only_function<void(const std::shared_ptr<Channel>&)> use) {
  const auto gateway = session.gateway;  // the session may go within the call
  gateway->post([channel = session.channel, use = std::move(use)]() mutable {
    if (const auto alive = channel.lock()) use(alive);
  });
}

}  // namespace

Session::Impl::~Impl() {
  gateway->post([channel = channel, channels = channels] {
    if (const auto alive = channel.lock()) channels->remove(alive);
  });
}

io::Task<service::Opened> service::open_channel(io::Env& env, io::Loop& loop, Channels& channels,
                                                std::shared_ptr<Endpoint> endpoint,
                                                std::optional<SessionPlace> place,
                                                io::Nanos deadline) {
  auto channel = place ? co_await Channel::resume(env, loop, endpoint, *place, deadline)
                       : co_await Channel::open(env, loop, endpoint, deadline);
  if (!channel) co_return std::unexpected(std::move(channel).error());
  channels.add(*channel);
  co_return Opened{*channel, (*channel)->session()};
}

Session::Session(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

void Session::propose_async(Bytes command, Deadline deadline,
                            std::move_only_function<void(Result<std::string>)> done) {
  use_channel(*impl_, [command = std::string(command), deadline,
                       answering = Answering<std::string>(std::move(done))](
                          const std::shared_ptr<Channel>& channel) mutable {
    channel->propose(std::move(command), moment(deadline), std::move(answering));
  });
}

Result<std::string> Session::propose(Bytes command, Deadline deadline) {
  service::Waiting<std::string> waiting;
  use_channel(*impl_, [command = std::string(command), deadline, answering = waiting.answering()](
                          const std::shared_ptr<Channel>& channel) mutable {
    channel->propose(std::move(command), moment(deadline), std::move(answering));
  });
  return waiting.wait(impl_->gateway->env());
}

Result<std::string> Session::query(Bytes question, Read level, Deadline deadline) const {
  service::Waiting<std::string> waiting;
  use_channel(*impl_,
              [question = std::string(question), level, deadline,
               answering = waiting.answering()](const std::shared_ptr<Channel>& channel) mutable {
                channel->query(std::move(question), level, moment(deadline), std::move(answering));
              });
  return waiting.wait(impl_->gateway->env());
}

std::uint64_t Session::id() const { return impl_->id; }

std::uint64_t Session::next_sequence() const {
  service::Waiting<std::uint64_t> waiting;
  use_channel(*impl_,
              [answering = waiting.answering()](const std::shared_ptr<Channel>& channel) mutable {
                answering(channel->next_sequence());
              });
  return waiting.wait(impl_->gateway->env()).value_or(0);
}

}  // namespace walrus
