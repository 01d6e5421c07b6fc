#include "broker/cluster/proposal.h"

#include <algorithm>

namespace walrus::broker {
namespace {

constexpr io::Nanos kRetryPause = std::chrono::milliseconds(100);

// Whether to look again; otherwise why not.
Result<void> judge(const meta::Outcome& outcome) {
  using meta::Refusal;
  switch (outcome.refusal) {
    case Refusal::kNone:
    case Refusal::kMismatch:
    case Refusal::kExists:
    case Refusal::kNotFound:
    case Refusal::kState: return {};
    default:
      return fail(Code::kInvalid, "metadata refuses it: {}", meta::refusal_name(outcome.refusal));
  }
}

bool may_pass(const Error& error) {
  return error.code == Code::kBusy || error.code == Code::kTimeout || error.code == Code::kIo;
}

struct Attempt {
  bool done = false;
  meta::Version version{};
  std::vector<std::uint64_t> values{};
};

io::Task<Attempt> attempt(Bridge& bridge, std::vector<meta::Change> changes) {
  WALRUS_CO_ASSIGN(auto* metadata, bridge.metadata());
  auto time = std::chrono::floor<Millis>(bridge.env().wall());
  WALRUS_CO_ASSIGN(auto outcomes,
                   co_await metadata->propose({.time = time, .changes = std::move(changes)}));
  Attempt made{.done = true};
  for (const auto& outcome : outcomes) {
    WALRUS_CO_TRY(judge(outcome));
    made.done = made.done && outcome.done();
    made.version = std::max(made.version, outcome.version);
    made.values.push_back(outcome.value);
  }
  co_return made;
}

}  // namespace

io::Task<std::vector<std::uint64_t>> decide(std::shared_ptr<Bridge> bridge, ChangePlan plan,
                                            io::Nanos timeout) {
  auto deadline = bridge->env().mono() + timeout;
  while (true) {
    WALRUS_CO_ASSIGN(auto* metadata, bridge->metadata());
    // What is decided rests on no image of this node, which may be old (R34).
    auto image = co_await metadata->current();
    Result<Attempt> made = Attempt{};
    if (image) {
      auto changes = plan(**image);
      if (!changes || changes->empty()) {
        // Whoever is told so finds it so on this node.
        auto seen = co_await bridge->seen((*image)->version, timeout);
        if (!changes) co_return std::unexpected(std::move(changes).error());
        WALRUS_CO_TRY(seen);
        co_return std::vector<std::uint64_t>();
      }
      made = co_await attempt(*bridge, std::move(*changes));
    } else {
      made = std::unexpected(std::move(image).error());
      co_await bridge->loop().sleep(kRetryPause);
    }
    if (made && made->done) {
      WALRUS_CO_TRY(co_await bridge->seen(made->version, timeout));
      co_return std::move(made->values);
    }
    if (!made && !may_pass(made.error())) co_return std::unexpected(std::move(made).error());
    if (bridge->env().mono() >= deadline) {
      if (!made) co_return std::unexpected(std::move(made).error());
      co_return fail(Code::kBusy, "others change the same: try again");
    }
  }
}

}  // namespace walrus::broker
