#include "broker/cluster/cluster_users.h"

#include <map>

#include "broker/cluster/proposal.h"

namespace walrus::broker {
namespace {

constexpr io::Nanos kChangeTimeout = std::chrono::seconds(10);

UserTable table_of(const meta::State& state) {
  UserTable table(state.cluster.users_secret);
  state.users.each(
      [&](const std::string& name, const meta::User& user) { table.set(name, user.credentials); });
  return table;
}

// What users shall have in the end.
using Wanted = std::map<std::string, Credentials>;

bool is_so(const meta::State& state, const Wanted& wanted) {
  for (const auto& [name, credentials] : wanted) {
    const auto* user = state.users.find(name);
    if (user == nullptr ? !credentials.empty() : user->credentials != credentials) return false;
  }
  return true;
}

}  // namespace

ClusterUsers::ClusterUsers(std::shared_ptr<Bridge> bridge)
    : Users(bridge->loop()), bridge_(std::move(bridge)) {
  publish(table_of(*bridge_->image()));
}

std::shared_ptr<Users> ClusterUsers::make(std::shared_ptr<Bridge> bridge) {
  auto users = std::make_shared<ClusterUsers>(bridge);
  bridge->on_image([weak = std::weak_ptr(users)](const ImageRef& image) {
    if (auto self = weak.lock()) self->learn(image);
  });
  return users;
}

void ClusterUsers::learn(const ImageRef& image) {
  auto changes = image->changes_since(seen_);
  seen_ = image->version;
  if (changes.whole || changes.users || changes.cluster) publish(table_of(*image));
}

io::Task<void> ClusterUsers::change(Plan plan) {
  auto wanted = std::make_shared<Wanted>();
  auto changes_of = [plan, wanted](const meta::State& state) -> Result<std::vector<meta::Change>> {
    std::vector<meta::Change> changes;
    if (!wanted->empty() && is_so(state, *wanted)) return changes;  // done, as it turns out
    auto table = table_of(state);
    WALRUS_ASSIGN(auto credentials, plan(table));
    wanted->clear();
    for (const auto& one : credentials) {
      table.apply(one);
      (*wanted)[one.user] = {};
    }
    if (table.users().size() > kUsersMax)
      return fail(Code::kTooLarge, "more than {} users", kUsersMax);
    for (auto& [name, has] : *wanted) {
      if (const auto* found = table.find(name)) has = *found;
      const auto* known = state.users.find(name);
      changes.emplace_back(meta::SetUser{
          .name = name, .expected = known ? known->version : meta::Version{}, .credentials = has});
    }
    return changes;
  };
  WALRUS_CO_TRY(co_await decide(bridge_, changes_of, kChangeTimeout));
  co_return Result<void>();
}

}  // namespace walrus::broker
