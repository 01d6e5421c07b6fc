#include "net/tls_watch.h"

#include <utility>

namespace walrus::net {

Result<void> TlsWatch::open(const Take& take) {
  WALRUS_ASSIGN(used_, read_tls_files(disk_, files_));
  seen_ = used_;
  return take(used_);
}

void TlsWatch::refresh(const Take& take) {
  auto material = read_tls_files(disk_, files_);
  if (!material) {
    if (!std::exchange(unreadable_, true))
      log_line(log_, LogLevel::kError, "certificate_unreadable", {{"error", material.error()}});
    return;
  }
  unreadable_ = false;
  const bool settled = *material == seen_;
  seen_ = *std::move(material);
  if (!settled || seen_ == used_) return;
  used_ = seen_;
  const auto taken = take(used_);
  if (taken)
    log_line(log_, LogLevel::kInfo, "certificate_reloaded",
             {{"certificate", files_.certificate.string()}});
  else
    log_line(log_, LogLevel::kError, "certificate_refused",
             {{"error", taken.error()}, {"hint", "the one before it serves on"}});
}

}  // namespace walrus::net
