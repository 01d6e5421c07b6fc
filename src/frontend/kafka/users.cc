// DescribeUserScramCredentials and AlterUserScramCredentials.

#include <algorithm>
#include <map>

#include "broker/run_on.h"
#include "frontend/kafka/errors.h"
#include "frontend/kafka/handlers.h"
#include "wire/sasl/mechanism.h"

namespace walrus::frontend::kafka {
namespace {

using namespace wire::kafka;

using Described = DescribeUserScramCredentialsResponse::Result;
using Altered = AlterUserScramCredentialsResponse::Result;

Described describe(const std::string& name, const broker::Credentials& credentials) {
  Described result{.user = name};
  for (const auto& [mechanism, credential] : credentials)
    result.credentials.push_back(
        {.mechanism = static_cast<std::int8_t>(mechanism), .iterations = credential.iterations});
  return result;
}

Described refuse(Bytes name, ErrorCode code, std::string why) {
  return {.user = std::string(name), .error_code = number(code), .error_message = std::move(why)};
}

struct UserRefusal {
  ErrorCode code = ErrorCode::kNone;
  std::string why{};
  bool operator()() const { return code != ErrorCode::kNone; }
};

// What is wrong with one change by itself.
UserRefusal check_name(Bytes name, std::int8_t mechanism) {
  if (name.empty()) return {ErrorCode::kUnacceptableCredential, "a user has a name"};
  if (!wire::sasl::valid_user_name(name))
    return {ErrorCode::kUnacceptableCredential,
            fmt::format("a user's name is UTF-8 without control characters, at most {} bytes",
                        wire::sasl::kUserNameBytesMax)};
  if (!wire::sasl::scram_mechanism(mechanism))
    return {ErrorCode::kUnsupportedSaslMechanism, "unknown SCRAM mechanism"};
  return {};
}

UserRefusal check(const AlterUserScramCredentialsRequest::Upsertion& change) {
  if (auto refusal = check_name(change.name, change.mechanism); refusal()) return refusal;
  auto bad = [](std::string why) { return UserRefusal{ErrorCode::kUnacceptableCredential, why}; };
  if (change.iterations < wire::sasl::kIterationsMin)
    return bad(fmt::format("too few iterations: at least {}", wire::sasl::kIterationsMin));
  if (change.iterations > wire::sasl::kIterationsMax)
    return bad(fmt::format("too many iterations: at most {}", wire::sasl::kIterationsMax));
  if (change.salt.empty() || change.salt.size() > wire::sasl::kSaltBytesMax)
    return bad(fmt::format("a salt of 1 to {} bytes", wire::sasl::kSaltBytesMax));
  auto hash = wire::sasl::hash_of(*wire::sasl::scram_mechanism(change.mechanism));
  if (change.salted_password.size() != wire::sasl::hash_bytes(hash))
    return bad("a salted password of the hash's length");
  return {};
}

// The changes of one request by user: one that is refused refuses all of that user's.
struct UserPlan {
  UserRefusal refusal{};
  std::vector<broker::CredentialChange> changes{};

  void refuse(UserRefusal why) {
    if (!refusal()) refusal = std::move(why);
  }
  void add(broker::CredentialChange change) {
    for (const auto& other : changes)
      if (other.mechanism == change.mechanism)
        refuse({ErrorCode::kDuplicateResource, "changed twice in one request"});
    changes.push_back(std::move(change));
  }
};
using Plans = std::map<std::string, UserPlan>;

Plans plans_of(const AlterUserScramCredentialsRequest& request) {
  Plans plans;
  for (const auto& deletion : request.deletions) {
    auto& plan = plans[std::string(deletion.name)];
    auto refusal = check_name(deletion.name, deletion.mechanism);
    if (refusal()) plan.refuse(std::move(refusal));
    else
      plan.add({.user = std::string(deletion.name),
                .mechanism = *wire::sasl::scram_mechanism(deletion.mechanism)});
  }
  for (const auto& upsertion : request.upsertions) {
    auto& plan = plans[std::string(upsertion.name)];
    auto refusal = check(upsertion);
    if (refusal()) {
      plan.refuse(std::move(refusal));
      continue;
    }
    auto mechanism = *wire::sasl::scram_mechanism(upsertion.mechanism);
    plan.add({.user = std::string(upsertion.name),
              .mechanism = mechanism,
              .credential = wire::sasl::scram_credential(mechanism, upsertion.salted_password,
                                                         upsertion.salt, upsertion.iterations)});
  }
  return plans;
}

// What is wrong with them as things stand; the changes of the others.
std::vector<broker::CredentialChange> settle(Plans& plans, const broker::UserTable& table) {
  std::vector<broker::CredentialChange> all;
  for (auto& [name, plan] : plans) {
    const auto* known = table.find(name);
    for (const auto& change : plan.changes)
      if (!change.credential && (known == nullptr || !known->contains(change.mechanism)))
        plan.refuse({ErrorCode::kResourceNotFound, "no such credential to delete"});
    if (!plan.refusal()) all.insert(all.end(), plan.changes.begin(), plan.changes.end());
  }
  return all;
}

}  // namespace

io::Task<DescribeUserScramCredentialsResponse> describe_users(
    Call call, DescribeUserScramCredentialsRequest request) {
  DescribeUserScramCredentialsResponse response;
  auto table = call.security.users->table();
  if (!request.users || request.users->empty()) {
    for (const auto& [name, credentials] : table->users())
      response.results.push_back(describe(name, credentials));
    co_return response;
  }
  std::map<Bytes, int> asked;
  for (const auto& user : *request.users) ++asked[user.name];
  for (const auto& [name, times] : asked) {
    const auto* credentials = table->find(name);
    if (times > 1)
      response.results.push_back(
          refuse(name, ErrorCode::kDuplicateResource, "asked for twice in one request"));
    else if (credentials == nullptr)
      response.results.push_back(refuse(name, ErrorCode::kResourceNotFound, "no such user"));
    else response.results.push_back(describe(std::string(name), *credentials));
  }
  co_return response;
}

io::Task<AlterUserScramCredentialsResponse> alter_users(Call call,
                                                        AlterUserScramCredentialsRequest request) {
  // Shared with the plan, which runs on the users' loop.
  auto plans = std::make_shared<Plans>(plans_of(request));
  auto users = call.security.users;
  auto changed = co_await broker::run_on<void>(call.local.loop(), users->loop(), [users, plans] {
    return users->change([plans](const broker::UserTable& table) { return settle(*plans, table); });
  });
  AlterUserScramCredentialsResponse response;
  for (auto& [name, plan] : *plans) {
    if (!plan.refusal() && !changed)
      plan.refuse({changed.error().code == Code::kTooLarge ? ErrorCode::kUnacceptableCredential
                                                           : partition_error(changed.error()),
                   changed.error().message});
    Altered result{.user = name, .error_code = number(plan.refusal.code)};
    if (plan.refusal()) result.error_message = plan.refusal.why;
    else broker::note_user_changed(call.security, name, call.user, call.client_host);
    response.results.push_back(std::move(result));
  }
  co_return response;
}

}  // namespace walrus::frontend::kafka
