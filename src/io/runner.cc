#include "io/runner.h"

namespace walrus::io {

Runner::Runner(Env& env) : env_(env), loop_(env.make_loop()) {
  // A simulated loop is run by its world.
  if (env_.single_threaded()) return;
  worker_ = env_.start_worker("walrus-loop", [this] {
    loop_->run();
    return Worker::kForever;
  });
  worker_->hurry();
}

void Runner::stop() {
  if (!worker_) return;
  loop_->stop();
  worker_.reset();
}

}  // namespace walrus::io
