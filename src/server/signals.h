#pragma once
// The process's signals, which belong to the server alone; the library installs no handlers.

#include "base/event.h"

namespace walrus::server {

constexpr int kExitStorageFailed = 70;

// SIGTERM and SIGINT set `stop`, which must live as long as the process; a second one ends the
// process at once. SIGPIPE is ignored. A SIGBUS in a mapped file, which means that the disk below
// the journal has failed, ends the process with a message and kExitStorageFailed.
void install_signal_handlers(Event& stop);

}  // namespace walrus::server
