#pragma once
// Client and Producer over an Env of the caller's choice; the public faces take the real one.

#include "io/env.h"
#include "walrus/client.h"

namespace walrus::client {

Result<Client> connect(io::Env&, const ClientOptions&);
Result<Producer> connect_producer(io::Env&, const ProducerOptions&);

}  // namespace walrus::client
