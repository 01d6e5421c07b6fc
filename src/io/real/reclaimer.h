#pragma once
// Gives the blocks of large files back to the disk once their names are gone, a piece at a time on
// a thread of its own, with pauses. On a file system that tells its disk what is free (`discard`),
// the disk does nothing else meanwhile: 0.2 ms a MiB, measured, for which everybody's sync would
// wait.

#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "io/real/real_file.h"

namespace walrus::io {

class Reclaimer {
 public:
  ~Reclaimer();  // what is left goes at once

  // Opened before its name goes, to be given to take() afterwards; none if it is not large. Any
  // thread, as take().
  static Descriptor open_large(const Path&);
  // Nothing happens here to a file that has another name, or that anybody else has open or mapped.
  void take(Descriptor);

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Descriptor> files_;
  bool stopping_ = false;
  std::atomic<pid_t> owner_ = 0;  // of the thread: a forked child has none
  std::thread thread_;            // begun with the first file
};

}  // namespace walrus::io
