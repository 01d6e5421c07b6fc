#pragma once
// Endpoint: whom a session asks. The member of its own process, or members elsewhere.
//
// Lives on a loop and is used there alone.

#include <memory>

#include "service/answering.h"
#include "wire/peer/service_message.h"

namespace walrus::service {

class Endpoint {
 public:
  virtual ~Endpoint() = default;
  // One attempt. It may end before the deadline with a Failed that says that another one makes
  // sense; it never ends after it. Errors are as good as a Failed with `again`.
  virtual io::Task<wire::peer::ServiceAnswer> ask(wire::peer::ServiceRequest,
                                                  io::Nanos deadline) = 0;
};

// Asks until there is an answer, or a failure that is final. kTimeout says what came last.
io::Task<wire::peer::ServiceAnswer> ask_until(io::Env&, io::Loop&, std::shared_ptr<Endpoint>,
                                              wire::peer::ServiceRequest, io::Nanos deadline);

// Between attempts: grows with each failure in a row.
class Backoff {
 public:
  io::Nanos next(io::Env& env) {
    const auto full = std::min(kMin * (std::int64_t{1} << std::min(failures_++, 6)), kMax);
    const auto half = static_cast<std::uint64_t>(full.count() / 2);
    return io::Nanos(static_cast<std::int64_t>(half + env.random() % (half + 1)));
  }
  void reset() { failures_ = 0; }

 private:
  static constexpr io::Nanos kMin = std::chrono::milliseconds(5),
                             kMax = std::chrono::milliseconds(200);
  int failures_ = 0;
};

// The value of an answer of the kind that was asked for.
template <class T>
Result<T> expect(Result<wire::peer::ServiceAnswer> answer) {
  if (!answer) return std::unexpected(std::move(answer).error());
  if (auto* value = std::get_if<T>(&*answer)) return std::move(*value);
  if (auto* failed = std::get_if<wire::peer::Failed>(&*answer))
    return std::unexpected(std::move(failed->error));
  return fail(Code::kCorrupt, "an answer of another kind than the question");
}

}  // namespace walrus::service
