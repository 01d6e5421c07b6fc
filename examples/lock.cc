// A replicated lock service with fencing tokens.
//
//   acquire LOCK OWNER MILLISECONDS -> granted TOKEN | held OWNER
//   renew LOCK TOKEN MILLISECONDS   -> ok | lost
//   release LOCK TOKEN              -> ok | lost
//   ?holder LOCK                    -> OWNER TOKEN | free
//
// A token rises with every grant of any lock. Whoever holds a lock sends its token along with what
// it does, and what is locked refuses a token below the highest that it has seen: so a holder whose
// time ran out while it slept can do no harm. Time is the leaders' (ApplyContext::leader_time): the
// one clock that every member agrees on.

#include <map>
#include <sstream>

#include "service_main.h"

namespace {

struct Grant {
  std::string owner{};
  std::uint64_t token = 0;
  std::int64_t until_ms = 0;
};
using Grants = std::map<std::string, Grant>;

class Saved final : public walrus::Snapshot {
 public:
  Saved(Grants grants, std::int64_t now_ms) : grants_(std::move(grants)), now_ms_(now_ms) {}
  walrus::Result<void> write(walrus::SnapshotWriter& to) const override {
    std::ostringstream text;
    text << now_ms_ << "\n";
    for (const auto& [lock, grant] : grants_)
      text << lock << " " << grant.owner << " " << grant.token << " " << grant.until_ms << "\n";
    return to.write(text.str());
  }

 private:
  const Grants grants_;
  const std::int64_t now_ms_;
};

class Locks final : public walrus::StateMachine {
 public:
  std::string apply(walrus::Bytes command, const walrus::ApplyContext& context) override {
    now_ms_ = context.leader_time.time_since_epoch().count();
    std::istringstream words{std::string(command)};
    std::string verb, lock;
    words >> verb >> lock;
    auto* grant = held(lock);
    if (verb == "acquire") {
      Grant wanted{.token = context.index};
      std::int64_t milliseconds = 0;
      words >> wanted.owner >> milliseconds;
      if (wanted.owner.empty() || milliseconds <= 0)
        return "usage: acquire LOCK OWNER MILLISECONDS";
      if (grant != nullptr) return "held " + grant->owner;
      wanted.until_ms = now_ms_ + milliseconds;
      grants_[lock] = wanted;
      return "granted " + std::to_string(wanted.token);
    }
    std::uint64_t token = 0;
    words >> token;
    if (grant == nullptr || grant->token != token) return "lost";
    if (verb == "release") return grants_.erase(lock), "ok";
    std::int64_t milliseconds = 0;
    words >> milliseconds;
    if (verb != "renew" || milliseconds <= 0) return "usage: renew LOCK TOKEN MILLISECONDS";
    grant->until_ms = now_ms_ + milliseconds;
    return "ok";
  }

  // As of the last command: a question does not move time.
  std::string query(walrus::Bytes question) const override {
    if (!question.starts_with("holder ")) return "unknown question";
    const auto found = grants_.find(std::string(question.substr(7)));
    if (found == grants_.end() || found->second.until_ms <= now_ms_) return "free";
    return found->second.owner + " " + std::to_string(found->second.token);
  }

  std::unique_ptr<walrus::Snapshot> snapshot() const override {
    return std::make_unique<Saved>(grants_, now_ms_);
  }

  walrus::Result<void> restore(walrus::SnapshotReader& from) override {
    std::string bytes;
    char piece[4 << 10];
    while (true) {
      auto size = from.read(piece);
      if (!size) return std::unexpected(size.error());
      if (*size == 0) break;
      bytes.append(piece, *size);
    }
    grants_.clear();
    std::istringstream all(bytes);
    all >> now_ms_;
    Grant grant;
    for (std::string lock; all >> lock >> grant.owner >> grant.token >> grant.until_ms;)
      grants_[lock] = grant;
    return {};
  }

 private:
  Grant* held(const std::string& lock) {
    const auto found = grants_.find(lock);
    return found == grants_.end() || found->second.until_ms <= now_ms_ ? nullptr : &found->second;
  }

  Grants grants_;
  std::int64_t now_ms_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  return example::run("lock", std::vector<std::string>(arguments + 1, arguments + count),
                      std::make_unique<Locks>());
}
