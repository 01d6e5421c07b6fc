#include "io/sim/sim_loop.h"
#include "base/check.h"
#include "io/network.h"
namespace walrus::io {
std::unique_ptr<Loop> make_sim_loop(IncarnationRef) { CHECK(false); }
}  // namespace walrus::io
