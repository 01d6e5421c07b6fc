#pragma once
// FileWorker: a thread for file calls, so that a loop never waits for a disk, and for whatever else
// takes long. Jobs run one after
// the other, in the order in which they were started. Made and used on one loop; a job keeps what
// it uses by shared ownership, because who waits for it may be gone before it runs.

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/event.h"
#include "io/network.h"

namespace walrus::net {

class FileWorker {
 public:
  FileWorker(io::Env&, io::Loop&, std::string name = "walrus-files");
  ~FileWorker();  // the job that runs is finished, the others answer kClosed
  FileWorker(const FileWorker&) = delete;
  FileWorker& operator=(const FileWorker&) = delete;

  template <class T>
  class Job {  // move only; waited for once
   public:
    io::Task<T> wait() && { return wait_for(std::move(signal_), std::move(slot_)); }

   private:
    friend class FileWorker;
    struct Slot {
      Result<T> result = fail(Code::kClosed, "the disk's worker has gone");
    };
    static io::Task<T> wait_for(std::unique_ptr<io::Signal> signal, std::shared_ptr<Slot> slot) {
      WALRUS_CO_TRY(co_await signal->wait());
      co_return std::move(slot->result);
    }
    std::shared_ptr<Slot> slot_ = std::make_shared<Slot>();
    std::unique_ptr<io::Signal> signal_;
  };

  template <class T>
  Job<T> start(std::move_only_function<Result<T>()> call) {
    Job<T> job;
    job.signal_ = std::make_unique<io::Signal>(loop_);
    add([slot = job.slot_, call = std::move(call)]() mutable { slot->result = call(); },
        job.signal_->setter());
    return job;
  }
  template <class T>
  io::Task<T> run(std::move_only_function<Result<T>()> call) {
    return start<T>(std::move(call)).wait();
  }

 private:
  struct Queued {
    std::move_only_function<void()> call;
    std::move_only_function<void(Result<void>)> done;
  };
  void add(std::move_only_function<void()> call, std::move_only_function<void(Result<void>)> done);
  io::Nanos step();

  io::Loop& loop_;
  Lock lock_;
  std::deque<Queued> queue_;  // under lock_
  std::unique_ptr<io::Worker> worker_;
};

}  // namespace walrus::net
