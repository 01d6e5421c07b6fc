#include "broker/auth/users.h"

#include <set>

#include "record/batch.h"

namespace walrus::broker {
namespace {

constexpr std::int64_t kReadBytes = 1 << 20;
constexpr int kSecretWords = 4;

std::string random_secret(io::Env& env) {
  std::string secret;
  for (int i = 0; i < kSecretWords; ++i) append_le(secret, env.random());
  return secret;
}

Result<void> apply_batches(UserTable& table, Bytes rest) {
  while (!rest.empty()) {
    WALRUS_ASSIGN(auto batch, record::BatchView::parse(rest));
    rest.remove_prefix(batch.bytes().size());
    WALRUS_ASSIGN(auto records, record::RecordIterator::open(batch));
    while (true) {
      WALRUS_ASSIGN(auto record, records.next());
      if (!record) break;
      WALRUS_TRY(apply_user_record(table, record->key.value_or(Bytes()), record->value));
    }
  }
  return {};
}

class LocalUsers final : public Users, public std::enable_shared_from_this<LocalUsers> {
 public:
  LocalUsers(log::Engine& engine, io::Loop& loop) : Users(loop), engine_(engine) {}
  Result<void> load_all();
  io::Task<void> change(Plan plan) override;

 private:
  Result<void> read_all(UserTable&);
  io::Task<void> take_turn();
  void end_turn();
  io::Task<void> change_now(const Plan&);
  io::Task<void> store(const std::vector<UserRecord>&);
  io::Task<void> durable(log::Pending);

  log::Engine& engine_;
  std::optional<log::StreamRef> stream_;  // none: there never was a user
  bool busy_ = false;
  Waiters turns_;
};

}  // namespace

Result<std::shared_ptr<Users>> Users::load(log::Engine& engine, io::Loop& loop) {
  auto users = std::make_shared<LocalUsers>(engine, loop);
  WALRUS_TRY(users->load_all());
  return users;
}

Result<void> LocalUsers::load_all() {
  UserTable table(random_secret(engine_.env()));
  if (auto found = engine_.find(kUsersStream)) {
    stream_ = *found;
    WALRUS_TRY(read_all(table));
  } else if (found.error().code != Code::kNotFound) {
    return std::unexpected(std::move(found).error());
  }
  publish(std::move(table));
  return {};
}

Result<void> LocalUsers::read_all(UserTable& table) {
  WALRUS_ASSIGN(auto bounds, engine_.bounds(*stream_));
  for (auto from = bounds.log_start; from < bounds.high_watermark;) {
    WALRUS_ASSIGN(auto fetched, engine_.fetch(*stream_, from, {.bytes_max = kReadBytes}));
    WALRUS_TRY(apply_batches(table, fetched.bytes));
    if (fetched.next <= from) break;
    from = fetched.next;
  }
  return {};
}

io::Task<void> LocalUsers::change(Plan plan) {
  auto self = shared_from_this();
  WALRUS_CO_TRY(co_await take_turn());
  auto result = co_await change_now(plan);
  end_turn();
  co_return result;
}

io::Task<void> LocalUsers::take_turn() {
  while (busy_) {
    io::Signal signal(loop());
    turns_.add(signal.setter());
    WALRUS_CO_TRY(co_await signal.wait());
  }
  busy_ = true;
  co_return Result<void>();
}

void LocalUsers::end_turn() {
  busy_ = false;
  turns_.wake_all({});
}

io::Task<void> LocalUsers::change_now(const Plan& plan) {
  auto next = *table();
  WALRUS_CO_ASSIGN(auto changes, plan(next));
  std::set<std::string> touched;
  for (const auto& change : changes) {
    next.apply(change);
    touched.insert(change.user);
  }
  if (touched.empty()) co_return Result<void>();
  if (next.users().size() > kUsersMax)
    co_return fail(Code::kTooLarge, "more than {} users", kUsersMax);
  std::vector<UserRecord> records;
  if (!stream_) {
    auto created = engine_.create(kUsersStream, {.compact = true}, log::Engine::Names::kOwn);
    if (!created) co_return std::unexpected(std::move(created).error());
    stream_ = created->stream;
    WALRUS_CO_TRY(co_await durable(created->pending));
  }
  // Also where an earlier change made the stream and came no further.
  WALRUS_CO_ASSIGN(auto bounds, engine_.bounds(*stream_));
  if (bounds.log_end == Offset{0}) records.push_back(secret_record(next.secret()));
  for (const auto& name : touched) {
    const auto* credentials = next.find(name);
    records.push_back(user_record(name, credentials ? *credentials : Credentials()));
  }
  WALRUS_CO_TRY(co_await store(records));
  publish(std::move(next));
  co_return Result<void>();
}

// One batch: all of it is durable, or nothing.
io::Task<void> LocalUsers::store(const std::vector<UserRecord>& records) {
  std::vector<walrus::Record> encoded;
  for (const auto& record : records)
    encoded.push_back({.key = record.key,
                       .value = record.value ? std::optional<Bytes>(*record.value) : std::nullopt});
  while (true) {
    auto appended = engine_.append(*stream_, encoded, {});
    if (appended) co_return co_await durable(appended->pending);
    if (appended.error().code != Code::kBusy)
      co_return std::unexpected(std::move(appended).error());
    io::Signal signal(loop());
    engine_.when_room(*stream_, signal.setter());
    WALRUS_CO_TRY(co_await signal.wait());
  }
}

io::Task<void> LocalUsers::durable(log::Pending pending) {
  io::Signal signal(loop());
  engine_.when_done(pending, signal.setter());
  co_return co_await signal.wait();
}

Users::Plan plan_user(std::string name, Credentials credentials, UserChange change) {
  return [name = std::move(name), credentials = std::move(credentials),
          change](const UserTable& table) -> Result<std::vector<CredentialChange>> {
    const auto* known = table.find(name);
    if (change == UserChange::kAdd && known != nullptr)
      return fail(Code::kExists, "user exists {}", name);
    if (change == UserChange::kReplace && known == nullptr)
      return fail(Code::kNotFound, "unknown user {}", name);
    std::vector<CredentialChange> changes;
    if (known != nullptr)
      for (const auto& [mechanism, old] : *known) changes.push_back({name, mechanism, {}});
    for (const auto& [mechanism, credential] : credentials)
      changes.push_back({name, mechanism, credential});
    return changes;
  };
}

}  // namespace walrus::broker
