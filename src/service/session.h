#pragma once
// What is behind a walrus::Session.

#include <memory>

#include "service/channel.h"
#include "service/gateway.h"
#include "walrus/service.h"

namespace walrus {

struct Session::Impl {
  std::shared_ptr<service::Gateway> gateway;  // shared with the owner of the loop, who closes it
  std::weak_ptr<service::Channel> channel;    // locked on the loop only
  service::Channels* channels;                // goes after the gateway is closed
  std::uint64_t id = 0;
  std::shared_ptr<void> owner{};  // of a session from outside: the loop and all that is on it

  ~Impl();
};

namespace service {

// A channel that its loop keeps, as other threads may hold it.
struct Opened {
  std::weak_ptr<Channel> channel{};
  std::uint64_t id = 0;
};
// On the loop: a new session, or the one at `place`.
io::Task<Opened> open_channel(io::Env&, io::Loop&, Channels&, std::shared_ptr<Endpoint>,
                              std::optional<SessionPlace> place, io::Nanos deadline);

}  // namespace service
}  // namespace walrus
