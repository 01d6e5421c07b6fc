#include "service/guest.h"

#include <algorithm>

#include "io/address.h"
#include "net/identity.h"
#include "service/member.h"

namespace walrus::service {

using namespace wire::peer;

namespace {

// A member that does not answer for so long is given up, for the next one; longer after each time
// in a row, because a question may take its time.
constexpr io::Nanos kPatienceMin = std::chrono::seconds(3), kPatienceMax = std::chrono::minutes(5);
constexpr io::Nanos kFindTimeout = std::chrono::seconds(1);
constexpr std::size_t kMessageBytesMax = (16 << 20) + (64 << 10);  // the largest command there is

}  // namespace

Guest::Guest(io::Env& env, io::Loop& loop, net::Transport& transport,
             std::vector<std::string> addresses)
    : env_(env), loop_(loop), transport_(transport), patience_(kPatienceMin) {
  self_.node = NodeId{env.random() | net::kGuestBit};
  self_.incarnation = {1};
  for (auto& address : addresses) targets_.push_back({.address = std::move(address)});
}

io::Task<void> Guest::start(std::shared_ptr<Guest> self, io::Nanos deadline) {
  if (self->targets_.empty()) co_return fail(Code::kInvalid, "no address of a member is given");
  for (const auto& target : self->targets_) WALRUS_CO_TRY(io::parse_address(target.address));
  Backoff backoff;
  std::string last = "nobody answered";
  bool told = false;
  for (std::size_t place = 0; self->env_.mono() < deadline && !self->stopped_; ++place) {
    if (place == self->targets_.size()) {
      place = 0;
      co_await self->loop_.sleep(backoff.next(self->env_));
    }
    const auto left = std::max(deadline - self->env_.mono(), io::Nanos(0));
    auto found = co_await find(self, place, std::min(left, kFindTimeout));
    if (found) {
      self->place_ = place;
      co_return Result<void>();
    }
    if (found.error().code == Code::kInvalid) co_return found;
    // That the time was over is what was known already.
    if (found.error().code != Code::kTimeout || !told) last = found.error().message;
    told = true;
  }
  co_return fail(Code::kTimeout, "no member was reached: {}", last);
}

void Guest::stop() {
  stopped_ = true;
  rpc_.reset();
}

io::Task<void> Guest::find(std::shared_ptr<Guest> self, std::size_t place, io::Nanos timeout) {
  const auto address = self->targets_[place].address;
  auto found = co_await net::who_is(self->env_, self->loop_, self->transport_, address, self->self_,
                                    timeout);
  if (self->stopped_) co_return fail(Code::kClosed, "stopped");
  if (!found) co_return std::unexpected(std::move(found).error());
  if (!self->rpc_) {
    self->self_.cluster = found->cluster;
    net::RpcOptions options{.self = self->self_,
                            .message_bytes_max = kMessageBytesMax,
                            .bulk_window = 2 * kMessageBytesMax + (1 << 20),
                            .queue_bytes_max = 2 * kMessageBytesMax + (1 << 20)};
    WALRUS_CO_ASSIGN(self->rpc_,
                     net::Rpc::start(self->env_, self->loop_, self->transport_, options));
  }
  if (found->cluster != self->self_.cluster)
    co_return fail(Code::kMismatch, "{} is of another group, {}, than those before, {}", address,
                   net::to_string(found->cluster), net::to_string(self->self_.cluster));
  self->targets_[place].node = found->node;
  self->rpc_->add_peer(found->node, address);
  co_return Result<void>();
}

io::Task<ServiceAnswer> Guest::ask(ServiceRequest request, io::Nanos deadline) {
  const auto self = shared_from_this();
  const auto place = place_;
  auto answer = co_await ask_one(self, std::move(request), place, deadline);
  const auto* failed = answer ? std::get_if<Failed>(&*answer) : nullptr;
  if (self->stopped_) co_return fail(Code::kClosed, "stopped");
  if (answer && (failed == nullptr || !failed->again)) co_return answer;
  self->leave(place);
  if (answer) co_return answer;
  const auto& [code, message] = answer.error();
  co_return Failed{{code, message}, code != Code::kMismatch && code != Code::kVersion};
}

io::Task<ServiceAnswer> Guest::ask_one(std::shared_ptr<Guest> self, ServiceRequest request,
                                       std::size_t place, io::Nanos deadline) {
  const auto left = [&] { return std::max(deadline - self->env_.mono(), io::Nanos(0)); };
  if (self->targets_[place].node == NodeId{})
    WALRUS_CO_TRY(co_await find(self, place, std::min(left(), kFindTimeout)));
  std::string bytes;
  append_service_request(bytes, request);
  auto answer =
      co_await self->rpc_->call(self->targets_[place].node, kServiceCall, std::move(bytes),
                                {.timeout = std::min(left(), self->patience_)});
  if (answer) {
    self->patience_ = kPatienceMin;
    co_return parse_service_answer(*answer);
  }
  auto& [code, message] = answer.error();
  if (code == Code::kTimeout) self->patience_ = std::min(2 * self->patience_, kPatienceMax);
  if (code != Code::kMismatch) co_return fail(code, "{}", message);
  self->targets_[place].node = NodeId{};  // another node is there now
  co_return fail(Code::kIo, "{}", message);
}

// The next address, unless another request was there first.
void Guest::leave(std::size_t place) {
  if (place_ == place) place_ = (place + 1) % targets_.size();
}

}  // namespace walrus::service
