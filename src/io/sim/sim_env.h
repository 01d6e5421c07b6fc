#pragma once
// SimEnv: what one incarnation of a simulated node sees of the world.

#include <memory>
#include <string>

#include "io/env.h"
#include "io/sim/sim_env_disk.h"
#include "io/sim/world_state.h"

namespace walrus::io {

class SimEnv final : public Env {
 public:
  explicit SimEnv(IncarnationRef incarnation)
      : incarnation_(std::move(incarnation)), disk_(incarnation_) {}
  Nanos mono() override;
  Time wall() override;
  std::uint64_t random() override;
  Disk& disk() override { return disk_; }
  std::unique_ptr<Worker> start_worker(std::string name,
                                       std::move_only_function<Nanos()> body) override;
  std::unique_ptr<Loop> make_loop() override;
  bool wait(Event&, Nanos timeout) override;
  bool single_threaded() const override { return true; }
  void crash_point(const char*) override;
  bool buggify(const char*) override;

 private:
  WorldState& world() const { return incarnation_->node->world; }

  const IncarnationRef incarnation_;
  SimEnvDisk disk_;
};

}  // namespace walrus::io
