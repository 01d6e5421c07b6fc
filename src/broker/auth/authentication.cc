#include "broker/auth/authentication.h"

#include <algorithm>

namespace walrus::broker {
namespace {

constexpr io::Nanos kAgainAfter = std::chrono::seconds(1);
constexpr std::size_t kLoggedNameMax = 64;

// 144 random bits, printable and without a comma.
std::string make_nonce(io::Env& env) {
  return fmt::format("{:016x}{:016x}{:04x}", env.random(), env.random(), env.random() & 0xffff);
}

}  // namespace

Authentication::Authentication(const PortSecurity& security, io::Env& env, std::string peer)
    : security_(security), env_(env), peer_(std::move(peer)), done_(security.mechanisms.empty()) {}

bool Authentication::expired() const { return env_.mono() >= expires_; }

Millis Authentication::lifetime() const {
  if (expires_ == io::Nanos::max()) return Millis(0);
  // Not 0, which would mean: for ever.
  return std::max(Millis(1), std::chrono::duration_cast<Millis>(expires_ - env_.mono()));
}

Result<void> Authentication::begin(Bytes name) {
  if (!asked()) return fail(Code::kBusy, "nobody is asked here");
  auto now = env_.mono();
  if (done_ && now < begun_ + kAgainAfter) return fail(Code::kBusy, "again too soon");
  auto mechanism = wire::sasl::parse_mechanism(name);
  const auto& offers = security_.mechanisms;
  bool offered = mechanism && std::ranges::find(offers, *mechanism) != offers.end();
  if (offered && mechanism_ && *mechanism != *mechanism_) offered = false;  // the same, again
  if (!offered) {
    fail_for("a mechanism that is not offered");
    return fail(Code::kNotFound, "not offered");
  }
  mechanism_ = mechanism;
  begun_ = now;
  exchange_.emplace(*mechanism, security_.users->table(), make_nonce(env_));
  return {};
}

Result<std::string> Authentication::step(Bytes token) {
  if (!exchange_) return fail(Code::kInvalid, "no exchange is under way");
  auto step = exchange_->step(token);
  if (!step) {
    fail_for(step.error().message);
    return fail(Code::kMismatch, "authentication failed");
  }
  if (!step->done) return std::move(step->token);
  auto user = exchange_->user();
  if (done_ && user != user_) {
    fail_for("another user than before");
    return fail(Code::kMismatch, "authentication failed");
  }
  exchange_.reset();
  user_ = std::move(user);
  done_ = true;
  if (security_.session_lifetime > io::Nanos(0))
    expires_ = env_.mono() + security_.session_lifetime;
  return std::move(step->token);
}

void Authentication::fail_for(Bytes why) {
  failed_ = true;
  std::string user = exchange_ ? exchange_->user().substr(0, kLoggedNameMax) : "";
  exchange_.reset();
  if (!security_.journal) return;
  auto& journal = *security_.journal;
  journal.failures.add();
  auto suppressed = journal.limit.admit(env_.mono());
  if (!suppressed) return;
  log_line(journal.log, LogLevel::kWarning, "authentication_failed",
           {{"peer", peer_},
            {"user", user},
            {"mechanism", mechanism_ ? mechanism_name(*mechanism_) : Bytes("-")},
            {"why", why},
            {"suppressed", *suppressed}});
}

void note_stranger(const PortSecurity& security, io::Env& env, Bytes peer, Bytes speaks) {
  if (!security.journal) return;
  auto suppressed = security.journal->strangers.admit(env.mono());
  if (!suppressed) return;
  log_line(security.journal->log, LogLevel::kInfo, "foreign_protocol",
           {{"peer", peer}, {"speaks", speaks}, {"suppressed", *suppressed}});
}

void note_user_changed(const PortSecurity& security, Bytes user, Bytes by, Bytes peer) {
  if (!security.journal) return;
  log_line(security.journal->log, LogLevel::kInfo, "user_changed",
           {{"user", user}, {"by", by.empty() ? Bytes("-") : by}, {"peer", peer}});
}

}  // namespace walrus::broker
