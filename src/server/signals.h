#pragma once
// The process's signals, which belong to the server alone; the library installs no handlers.

#include <atomic>

#include "base/event.h"

namespace walrus::server {

constexpr int kExitStorageFailed = 70;

// SIGTERM and SIGINT ask for a stop; a second one ends the process at once. SIGHUP asks for what is
// read from files to be read again. SIGPIPE is ignored. A
// SIGBUS in a mapped file, which means that the disk below the journal has failed, ends the process
// with a message and kExitStorageFailed.
void install_signal_handlers();
// Set when a stop is asked for, or at once if it was already. Must live until the first signal is
// taken or the process ends.
void stop_on_signal(Event& stop);
// Becomes true at each SIGHUP; whoever acts on it makes it false.
std::atomic<bool>& reload_asked_for();
const std::atomic<bool>& stop_asked_for();  // by a signal

}  // namespace walrus::server
