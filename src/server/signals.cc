#include "server/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <string_view>

namespace walrus::server {
namespace {

// Signal handlers see nothing but statics.
std::atomic<Event*> stop_event{nullptr};
std::atomic<bool> asked_to_stop{false};
std::atomic<bool> asked_to_reload{false};

constexpr std::string_view kBusMessage =
    "walrus: storage: a mapped journal page could not be read or written (SIGBUS): the disk "
    "failed or the file was cut; acknowledged records are on the disk, restart recovers them\n";

extern "C" void on_stop(int signal) {
  if (asked_to_stop.exchange(true)) _exit(128 + signal);  // the second time: at once
  if (auto* event = stop_event.load()) event->set();
}

extern "C" void on_reload(int) { asked_to_reload.store(true); }

// BUS_ADRERR and BUS_MCEERR_*: a page of a mapping that has no memory behind it. The journal is the
// only file that is written through a mapping. Anything else is a bug and dies as one.
extern "C" void on_bus_error(int signal, siginfo_t* info, void*) {
  if (info->si_code == BUS_ADRERR || info->si_code == BUS_MCEERR_AR) {
    [[maybe_unused]] auto written = ::write(STDERR_FILENO, kBusMessage.data(), kBusMessage.size());
    _exit(kExitStorageFailed);
  }
  struct sigaction fallback{};
  fallback.sa_handler = SIG_DFL;
  sigaction(signal, &fallback, nullptr);
  raise(signal);
}

}  // namespace

void stop_on_signal(Event& stop) {
  stop_event = &stop;
  if (asked_to_stop.load()) stop.set();
}

std::atomic<bool>& reload_asked_for() { return asked_to_reload; }
const std::atomic<bool>& stop_asked_for() { return asked_to_stop; }

void install_signal_handlers() {
  struct sigaction action{};
  action.sa_handler = on_stop;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  struct sigaction hangup{};
  hangup.sa_handler = on_reload;
  hangup.sa_flags = SA_RESTART;
  sigaction(SIGHUP, &hangup, nullptr);
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, nullptr);
  struct sigaction bus{};
  bus.sa_sigaction = on_bus_error;
  bus.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &bus, nullptr);
}

}  // namespace walrus::server
