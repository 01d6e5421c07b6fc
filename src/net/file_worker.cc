#include "net/file_worker.h"

namespace walrus::net {

FileWorker::FileWorker(io::Env& env, io::Loop& loop, std::string name)
    : loop_(loop), worker_(env.start_worker(std::move(name), [this] { return step(); })) {}

FileWorker::~FileWorker() {
  worker_.reset();
  for (auto& queued : queue_) queued.done(fail(Code::kClosed, "the disk's worker has gone"));
}

void FileWorker::add(std::move_only_function<void()> call,
                     std::move_only_function<void(Result<void>)> done) {
  {
    const LockGuard guard(lock_);
    queue_.push_back({std::move(call), std::move(done)});
  }
  worker_->wake();
}

io::Nanos FileWorker::step() {
  Queued next;
  {
    const LockGuard guard(lock_);
    if (queue_.empty()) return io::Worker::kForever;
    next = std::move(queue_.front());
    queue_.pop_front();
  }
  next.call();
  next.call = nullptr;  // what it keeps is gone when its caller goes on
  next.done({});
  return io::Nanos(0);
}

}  // namespace walrus::net
