// The requests that are neither appends nor GET: each appends one reply to the session's output.

#include <algorithm>
#include <charconv>

#include "broker/run_on.h"
#include "frontend/native/groups.h"
#include "frontend/native/json.h"
#include "frontend/native/session.h"
#include "frontend/native/target.h"
#include "wire/native/errors.h"
#include "wire/native/reply.h"

namespace walrus::frontend::native {
namespace {

namespace text = wire::native::text;

// Partitions and options of CREATE, from what the node's configuration says of topics.
Result<broker::NewTopic> new_topic(const wire::native::Create& request, broker::Local& local) {
  broker::NewTopic topic{.name = std::string(request.topic),
                         .config = local.broker().options().topic_defaults};
  auto replicas_max = static_cast<std::int32_t>(local.broker().catalogue().replicas_max());
  for (const auto& setting : request.settings) {
    if (!setting.value) return fail(Code::kInvalid, "{}", Bytes(text::kUnexpectedArgument));
    if (setting.name == "partitions" || setting.name == "replication_factor") {
      bool replicas = setting.name != "partitions";
      std::int32_t count = 0;
      auto [end, error] = std::from_chars(setting.value->begin(), setting.value->end(), count);
      auto max = replicas ? replicas_max : wire::native::kPartitionsMax;
      if (error != std::errc() || end != setting.value->end() || count < 1 || count > max)
        return fail(Code::kInvalid, "{}",
                    text::with_detail(text::kInvalidConfig,
                                      fmt::format("{} = {}: expected a number from 1 to {}",
                                                  setting.name, *setting.value, max)));
      if (replicas) topic.replication_factor = static_cast<std::uint32_t>(count);
      else topic.partitions = static_cast<std::size_t>(count);
      continue;
    }
    auto set = broker::set_config(topic.config, setting.name, *setting.value);
    if (!set)
      return fail(Code::kInvalid, "{}",
                  text::with_detail(text::kInvalidConfig, set.error().message));
  }
  if (auto fits = broker::check_config(topic.config); !fits)
    return fail(Code::kInvalid, "{}",
                text::with_detail(text::kInvalidConfig, fits.error().message));
  return topic;
}

}  // namespace

// One coroutine per request. Requests are taken by value; their views live in the slot at the
// front.
struct Session::Executor {
  Session& session;
  broker::Local& local = session.local_;
  std::string& out = session.out_;
  using Done = io::Task<void>;

  Result<void> refuse(const Error& error, Bytes target) {
    wire::native::append_error(out, session.describe_error(error, target));
    return {};
  }
  // Of what is kept by one node of a cluster, which need not be this one.
  io::Task<void> refuse_lost(const Error& error, std::string target) {
    session.again_ = co_await session.worth_again(error);
    if (!session.again_) wire::native::append_error(out, session.describe_lost(error, target));
    co_return Result<void>();
  }
  Result<void> answer_text(const Result<std::string>& text, Bytes target) {
    if (!text) return refuse(text.error(), target);
    wire::native::append_text(out, *text);
    return {};
  }
  Result<void> answer_ok(const Result<void>& result, Bytes target) {
    if (!result) return refuse(result.error(), target);
    wire::native::append_ok(out);
    return {};
  }
  // With the bounds, which the engine's message need not name.
  Result<void> refuse_read(const Error& error, const broker::Log& log, Bytes target) {
    auto bounds = log.bounds();
    if (error.code != Code::kOutOfRange || !bounds) return refuse(error, target);
    wire::native::append_error(
        out, text::out_of_range(bounds->log_start.value, bounds->high_watermark.value));
    return {};
  }
  // Waiting may take long: what is answered already goes out first.
  Done flush_before(std::int64_t wait_ms) {
    if (wait_ms > 0) co_return co_await session.flush();
    co_return Result<void>();
  }
  broker::ReadRequest read_request(std::int64_t offset, std::int64_t bytes_max,
                                   std::int64_t wait_ms) const {
    auto limit = static_cast<std::int64_t>(session.options_.output_bytes_max);
    return {.from = Offset{offset},
            .bytes_max = std::min(bytes_max, limit),
            .wait = std::chrono::milliseconds(wait_ms)};
  }
  Result<void> answer_records(const broker::ReadResult& read) {
    std::string lines;
    for (const auto& record : read.records)
      wire::native::append_record_line(
          lines, {.offset = record.offset,
                  .timestamp_ms = record.timestamp_ms,
                  .value = record.value ? std::optional<Bytes>(*record.value) : std::nullopt});
    wire::native::append_records(out, read.records.size(), read.next, lines);
    return {};
  }

  Done operator()(wire::native::Register request) {
    auto found = local.find(request.topic);
    if (!found && found.error().code != Code::kNotFound)
      co_return refuse(found.error(), request.topic);
    // Not known that it is there still: another node may have removed it.
    auto result = co_await local.create(
        {.name = std::string(request.topic), .config = local.broker().options().topic_defaults});
    if (!result && result.error().code == Code::kExists) result = {};
    co_return answer_ok(result, request.topic);
  }
  Done operator()(wire::native::Create request) {
    auto topic = new_topic(request, local);
    if (!topic) co_return refuse(topic.error(), request.topic);
    co_return answer_ok(co_await local.create(std::move(*topic)), request.topic);
  }
  Done operator()(wire::native::Configure request) {
    auto topic = co_await local.find_current(request.topic);
    if (!topic) co_return refuse(topic.error(), request.topic);
    if (request.settings.empty())
      co_return answer_text(config_json((*topic)->config), request.topic);
    const auto* defaults = &local.broker().options().topic_defaults;
    auto settings = request.settings;
    auto config = co_await local.configure(
        std::string(request.topic), [settings, defaults](broker::TopicConfig& to) -> Result<void> {
          for (const auto& setting : settings) {
            auto set = setting.value ? broker::set_config(to, setting.name, *setting.value)
                                     : broker::unset_config(to, *defaults, setting.name);
            if (!set)
              return fail(Code::kInvalid, "{}",
                          text::with_detail(text::kInvalidConfig, set.error().message));
          }
          if (auto fits = broker::check_config(to); !fits)
            return fail(Code::kInvalid, "{}",
                        text::with_detail(text::kInvalidConfig, fits.error().message));
          return {};
        });
    if (!config) co_return refuse(config.error(), request.topic);
    co_return answer_text(config_json(*config), request.topic);
  }
  Done operator()(wire::native::Describe request) {
    auto topic = local.find(request.topic);
    if (!topic) co_return refuse(topic.error(), request.topic);
    auto statuses = co_await local.broker().catalogue().look(local.loop(), (*topic)->partitions,
                                                             broker::Catalogue::Look::kSegments);
    if (!statuses) co_return refuse(statuses.error(), request.topic);
    co_return answer_text(describe_json(**topic, *statuses), request.topic);
  }
  Done operator()(wire::native::Delete request) {
    co_return answer_ok(co_await local.remove(std::string(request.topic)), request.topic);
  }
  Done operator()(wire::native::List request) {
    auto topics = co_await local.list(std::string(request.prefix));
    if (!topics) co_return refuse(topics.error(), "");
    co_return answer_text(list_json(*topics), "");
  }
  Done operator()(wire::native::Help request) {
    co_return answer_text(wire::native::help_text(request.command), "");
  }
  Done operator()(wire::native::Metrics) {
    const auto& cluster = session.options_.cluster;
    if (cluster.loop == nullptr)
      co_return answer_text(metrics_json(local, session.options_.advertised), "");
    co_return answer_text(co_await answer_metrics(cluster, local.loop(), local.engine().health()),
                          "");
  }
  Done operator()(wire::native::State request) {
    auto topic = local.find(request.target.topic, partition_of(request.target));
    if (!topic) co_return refuse(topic.error(), name_of(request.target));
    auto partition = partition_of(request.target).value_or(0);
    auto confirmed = co_await (*topic)->partitions[partition]->confirm();
    if (!confirmed) co_return refuse(confirmed.error(), name_of(request.target));
    co_return answer_text(state_json(**topic, partition), name_of(request.target));
  }
  Done operator()(wire::native::Producer) {
    auto id = co_await local.new_producer_id();
    if (!id) co_return refuse(id.error(), "");
    wire::native::append_pair(out, *id, 0);
    co_return Result<void>();
  }
  Done operator()(wire::native::Read request) {
    auto target = name_of(request.target);
    auto topic = local.find(request.target.topic, partition_of(request.target));
    if (!topic) co_return refuse(topic.error(), target);
    WALRUS_CO_TRY(co_await flush_before(request.wait_ms));
    auto partition = partition_of(request.target).value_or(0);
    auto read = co_await local.read(
        *topic, partition, read_request(request.offset, request.bytes_max, request.wait_ms));
    if (!read) co_return refuse_read(read.error(), *(*topic)->partitions[partition], target);
    co_return answer_records(*read);
  }
  Done operator()(wire::native::ReadBatch request) {
    auto target = name_of(request.target);
    auto topic = local.find(request.target.topic, partition_of(request.target));
    if (!topic) co_return refuse(topic.error(), target);
    WALRUS_CO_TRY(co_await flush_before(request.wait_ms));
    auto partition = partition_of(request.target).value_or(0);
    auto read = co_await local.read_batches(
        *topic, partition, read_request(request.offset, request.bytes_max, request.wait_ms));
    if (!read) co_return refuse_read(read.error(), *(*topic)->partitions[partition], target);
    wire::native::append_batches(out, read->next, read->bytes);
    co_return Result<void>();
  }
  // Which partition a POLL without one has read: what a COMMIT without one means.
  std::string polled_key(Bytes topic, Bytes consumer) const {
    return fmt::format("{} {}", topic, consumer);
  }
  Done operator()(wire::native::Poll request) {
    auto target = name_of(request.target);
    auto topic = local.find(request.target.topic, partition_of(request.target));
    if (!topic) co_return refuse(topic.error(), target);
    WALRUS_CO_TRY(co_await flush_before(request.wait_ms));
    auto polled =
        co_await local.poll(*topic, partition_of(request.target), std::string(request.consumer),
                            read_request(0, request.bytes_max, request.wait_ms));
    if (!polled) co_return co_await refuse_lost(polled.error(), target);
    session.remember_polled(polled_key(request.target.topic, request.consumer), polled->partition);
    co_return answer_records(*polled);
  }
  Done operator()(wire::native::Commit request) {
    auto target = name_of(request.target);
    auto topic = local.find(request.target.topic, partition_of(request.target));
    if (!topic) co_return refuse(topic.error(), target);
    auto partition =
        partition_of(request.target)
            .value_or(session.last_polled(polled_key(request.target.topic, request.consumer)));
    if (partition >= (*topic)->partitions.size()) partition = 0;
    auto committed = co_await local.commit(*topic, partition, std::string(request.consumer),
                                           Offset{request.next});
    auto lost = [](Code code) { return code == Code::kFenced || code == Code::kBusy; };
    if (!committed && lost(committed.error().code))
      co_return co_await refuse_lost(committed.error(), target);
    if (!committed)
      co_return refuse_read(committed.error(), *(*topic)->partitions[partition], target);
    wire::native::append_ok(out);
    co_return Result<void>();
  }
  Done operator()(wire::native::Find request) {
    auto target = name_of(request.target);
    auto topic = local.find(request.target.topic, partition_of(request.target));
    if (!topic) co_return refuse(topic.error(), target);
    auto log = (*topic)->partitions[partition_of(request.target).value_or(0)];
    auto offset = co_await log->find_time(Time(Millis(request.timestamp_ms)));
    if (!offset) co_return refuse(offset.error(), target);
    wire::native::append_offset(out, *offset);
    co_return Result<void>();
  }
  Done operator()(wire::native::Auth request) {
    auto& authentication = session.authentication_;
    const auto& security = session.options_.security;
    if (request.mechanism.empty()) {
      wire::native::append_payload(out, offered(security));
      co_return Result<void>();
    }
    if (!authentication.under_way()) {
      auto begun = authentication.begin(request.mechanism);
      if (!begun && begun.error().code == Code::kNotFound)
        co_return refuse_text(text::with_detail(text::kUnsupportedMechanism, offered(security)));
      if (!begun)
        co_return refuse_text(authentication.asked() ? text::kAgainTooSoon : text::kNotAsked);
    }
    auto token = authentication.step(request.token);
    if (!token) {
      co_await local.loop().sleep(security.failure_delay);
      co_return refuse_text(text::kAuthenticationFailed);
    }
    wire::native::append_payload(out, *token);
    co_return Result<void>();
  }
  Result<void> refuse_text(Bytes why) {
    ++session.errors_;
    wire::native::append_error(out, why);
    return {};
  }
  static std::string offered(const broker::PortSecurity& security) {
    std::string names;
    for (auto mechanism : security.mechanisms)
      names += fmt::format("{}{}", names.empty() ? "" : " ", mechanism_name(mechanism));
    return names;
  }
  Done operator()(wire::native::ListUsers) {
    co_return answer_text(users_json(*session.options_.security.users->table()), "");
  }
  Done operator()(wire::native::AddUser request) {
    return change_user(std::string(request.name), request.credentials, broker::UserChange::kAdd);
  }
  Done operator()(wire::native::SetUser request) {
    return change_user(std::string(request.name), request.credentials,
                       broker::UserChange::kReplace);
  }
  Done operator()(wire::native::DeleteUser request) {
    return change_user(std::string(request.name), {}, broker::UserChange::kReplace);
  }
  Done change_user(std::string name, std::vector<wire::native::UserCredential> list,
                   broker::UserChange change) {
    broker::Credentials credentials;
    for (auto& [mechanism, credential] : list) credentials[mechanism] = std::move(credential);
    auto users = session.options_.security.users;
    auto plan = broker::plan_user(name, std::move(credentials), change);
    auto changed = co_await broker::run_on<void>(local.loop(), users->loop(),
                                                 [users, plan] { return users->change(plan); });
    if (!changed && changed.error().code == Code::kExists)
      co_return refuse_text(text::user_exists(name));
    if (!changed && changed.error().code == Code::kNotFound)
      co_return refuse_text(text::unknown_user(name));
    if (changed)
      broker::note_user_changed(session.options_.security, name, session.user(),
                                session.connection_->peer());
    co_return answer_ok(changed, name);
  }
  GroupCall groups() const { return {local, session.options_.groups}; }
  Done operator()(wire::native::ListGroups) {
    bool own = !session.clustered() || session.options_.forwarded;  // those of this node
    if (own) co_return answer_text(co_await list_groups(groups()), "");
    co_return answer_text(co_await session.list_all_groups(), "");
  }
  Done operator()(wire::native::DescribeGroup request) {
    co_return answer_text(co_await describe_group(groups(), std::string(request.group)), "");
  }
  Done operator()(wire::native::SetGroup request) {
    std::string topic(request.topic);
    co_return answer_ok(
        co_await set_group(groups(), topic, request.offsets, std::string(request.group)), topic);
  }
  Done operator()(wire::native::DeleteGroup request) {
    co_return answer_ok(co_await delete_group(groups(), std::string(request.group)), "");
  }
  Done operator()(wire::native::ClusterRequest request) {
    auto answer =
        co_await answer_cluster(session.options_.cluster, local.loop(), to_call(request, author()));
    if (answer && answer->empty()) co_return answer_ok({}, "");
    // Their texts are of this protocol.
    bool told = !answer &&
                (answer.error().code == Code::kNotFound || answer.error().code == Code::kInvalid);
    if (told) co_return refuse_text(answer.error().message);
    co_return answer_text(answer, name_of(request.target));
  }
  // Of what is recorded: the user, where one was proven, and where it came from.
  std::string author() const {
    auto user = session.user(), from = session.connection_->peer();
    return user.empty() ? from : fmt::format("{} at {}", user, from);
  }
  // Appends and GET never come here.
  template <class T>
  Done operator()(T) {
    co_return fail(Code::kInvalid, "not a request of this kind");
  }
};

io::Task<void> Session::execute(wire::native::Request request) {
  Executor executor{*this};
  co_return co_await std::visit(
      [&executor](auto& one) -> io::Task<void> { return executor(std::move(one)); }, request);
}

void Session::remember_polled(const std::string& key, std::size_t partition) {
  constexpr std::size_t kPolledMax = 1024;  // consumers of one connection
  auto found = std::ranges::find(polled_, key, &std::pair<std::string, std::size_t>::first);
  if (found != polled_.end()) {
    found->second = partition;
    return;
  }
  if (polled_.size() >= kPolledMax) polled_.erase(polled_.begin());
  polled_.emplace_back(key, partition);
}

std::size_t Session::last_polled(const std::string& key) const {
  auto found = std::ranges::find(polled_, key, &std::pair<std::string, std::size_t>::first);
  return found == polled_.end() ? 0 : found->second;
}

}  // namespace walrus::frontend::native
