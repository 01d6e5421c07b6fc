#pragma once
// From configuration to ServerOptions, and what of the process's limits bears on it.

#include "server/config.h"
#include "server/server.h"

namespace walrus::server {

ServerOptions server_options(const Config&, int cores);

// Raises the soft limit on open files to the hard one and fits connections_max of both faces into
// it, with a warning. An error if not even a small server fits.
Result<void> fit_open_files(ServerOptions&, LogSink&);

}  // namespace walrus::server
