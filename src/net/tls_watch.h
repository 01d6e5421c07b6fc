#pragma once
// TlsWatch: certificates that are read again when their files change. New contents count when they
// were the same twice in a row, so that files that are just being written are not taken for broken.
// What is broken is refused once, with a log line, and what was used before stays. Used by one
// thread at a time.

#include <functional>

#include "base/log_line.h"
#include "net/tls_context.h"

namespace walrus::net {

class TlsWatch {
 public:
  // Makes use of new contents; an error: they cannot be used.
  using Take = std::function<Result<void>(const TlsMaterial&)>;

  TlsWatch(io::Disk& disk, LogSink& log, TlsFiles files)
      : disk_(disk), log_(log), files_(std::move(files)) {}
  const TlsFiles& files() const { return files_; }

  Result<void> open(const Take&);  // the first time, when an error ends it
  void refresh(const Take&);       // every second or so

 private:
  io::Disk& disk_;
  LogSink& log_;
  const TlsFiles files_;
  TlsMaterial used_, seen_;  // used_: also what was refused; seen_: at the last refresh()
  bool unreadable_ = false;
};

}  // namespace walrus::net
