#include "service/endpoint.h"

#include <algorithm>

#include "net/timers.h"

namespace walrus::service {

using wire::peer::Failed;
using wire::peer::ServiceAnswer;

io::Task<ServiceAnswer> ask_until(io::Env& env, io::Loop& loop, std::shared_ptr<Endpoint> endpoint,
                                  wire::peer::ServiceRequest request, io::Nanos deadline) {
  Backoff backoff;
  std::string last = "nobody answered";
  while (env.mono() < deadline) {
    auto answer = co_await endpoint->ask(request, deadline);
    const auto* failed = answer ? std::get_if<Failed>(&*answer) : nullptr;
    if (answer && (failed == nullptr || !failed->again)) co_return answer;
    last = failed != nullptr ? failed->error.message : answer.error().message;
    if (!answer && answer.error().code == Code::kClosed) co_return answer;
    const auto left = deadline - env.mono();
    if (left <= io::Nanos(0)) break;
    co_await loop.sleep(std::min(left, backoff.next(env)));
  }
  co_return fail(Code::kTimeout, "not done in time: {}", last);
}

}  // namespace walrus::service
