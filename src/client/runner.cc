#include "client/runner.h"

namespace walrus::client {

Runner::Runner(io::Env& env) : env_(env), loop_(env.make_loop()) {
  // A simulated loop is run by its world.
  if (env_.single_threaded()) return;
  worker_ = env_.start_worker("walrus-client", [this] {
    loop_->run();
    return io::Worker::kForever;
  });
}

void Runner::stop() {
  if (!worker_) return;
  loop_->stop();
  worker_.reset();
}

}  // namespace walrus::client
