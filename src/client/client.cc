#include "walrus/client.h"

#include "client/channel.h"
#include "client/connect.h"
#include "client/received.h"
#include "client/target.h"
#include "wire/native/reply.h"
#include "wire/native/request.h"

namespace walrus {

namespace native = wire::native;

struct Client::Impl {
  Impl(io::Env& env, const ClientOptions& with) : options(with), runner(env) {}
  ~Impl() {
    runner.stop();  // before the channel goes: its callbacks belong to the loop's thread
    if (channel) channel->close();
  }

  ClientOptions options;
  io::Runner runner;
  std::shared_ptr<client::Channel> channel;

  Result<std::string> call(std::string frame, Millis wait) {
    return runner.call<std::string>(
        [&](client::Done<std::string> done) { channel->submit(frame, wait, std::move(done)); });
  }
  Result<std::string> call(const native::Request& request, Millis wait = Millis(0)) {
    std::string frame;
    native::append_request(frame, request);
    return call(std::move(frame), wait);
  }
  Result<void> call_ok(const native::Request& request) {
    WALRUS_ASSIGN(auto body, call(request));
    return native::parse_ok(body);
  }
  Result<std::string> call_text(const native::Request& request) {
    WALRUS_ASSIGN(auto body, call(request));
    WALRUS_TRY(native::parse_text(body));
    return body;
  }
  Result<Offset> call_offset(const native::Request& request) {
    WALRUS_ASSIGN(auto body, call(request));
    return native::parse_offset(body);
  }
};

namespace {

std::vector<native::Setting> settings_of(std::span<const TopicSetting> settings) {
  std::vector<native::Setting> result;
  for (const auto& setting : settings) {
    result.push_back({.name = setting.name});
    if (setting.value) result.back().value = *setting.value;
  }
  return result;
}

// The protocol separates settings by single spaces.
Result<void> check_settings(std::span<const TopicSetting> settings) {
  for (const auto& [name, value] : settings) {
    if (name.empty() || name.find_first_of(" =") != std::string::npos)
      return fail(Code::kInvalid, "invalid setting name '{}'", name);
    if (value && value->find_first_of(" \n") != std::string::npos)
      return fail(Code::kInvalid, "setting {}: a value holds no space", name);
  }
  return {};
}

Result<Bytes> check_word(Bytes what, Bytes word) {
  if (word.empty() || word.find_first_of(" \n\r\t") != Bytes::npos)
    return fail(Code::kInvalid, "invalid {} '{}'", what, word);
  return word;
}

}  // namespace

Result<Client> client::connect(io::Env& env, const ClientOptions& options) {
  auto impl = std::make_unique<Client::Impl>(env, options);
  auto channel = channel_options(options);
  auto& runner = impl->runner;
  WALRUS_ASSIGN(impl->channel, runner.run<std::shared_ptr<Channel>>([&env, &runner, &channel] {
    return Channel::connect(env, runner.loop(), channel);
  }));
  return Client(std::move(impl));
}

Result<Client> Client::connect(const ClientOptions& options) {
  return client::connect(io::real_env(), options);
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Result<void> Client::register_topic(Bytes topic) {
  WALRUS_ASSIGN(auto name, client::parse_topic(topic));
  return impl_->call_ok(native::Register{.topic = name});
}

Result<void> Client::create(Bytes topic, std::span<const TopicSetting> settings) {
  WALRUS_ASSIGN(auto name, client::parse_topic(topic));
  WALRUS_TRY(check_settings(settings));
  return impl_->call_ok(native::Create{.topic = name, .settings = settings_of(settings)});
}

Result<void> Client::remove(Bytes topic) {
  WALRUS_ASSIGN(auto name, client::parse_topic(topic));
  return impl_->call_ok(native::Delete{.topic = name});
}

Result<std::string> Client::list(Bytes prefix) {
  if (!prefix.empty()) WALRUS_TRY(check_word("prefix", prefix));
  return impl_->call_text(native::List{.prefix = prefix});
}

Result<std::string> Client::describe(Bytes topic) {
  WALRUS_ASSIGN(auto name, client::parse_topic(topic));
  return impl_->call_text(native::Describe{.topic = name});
}

Result<std::string> Client::configure(Bytes topic, std::span<const TopicSetting> settings) {
  WALRUS_ASSIGN(auto name, client::parse_topic(topic));
  WALRUS_TRY(check_settings(settings));
  return impl_->call_text(native::Configure{.topic = name, .settings = settings_of(settings)});
}

Result<std::string> Client::state(Bytes topic) {
  WALRUS_ASSIGN(auto target, client::parse_target(topic));
  return impl_->call_text(native::State{.target = target});
}

Result<std::string> Client::metrics() { return impl_->call_text(native::Metrics{}); }

Result<void> Client::put(Bytes topic, Bytes payload) {
  WALRUS_ASSIGN(auto target, client::parse_target(topic));
  return impl_->call_ok(native::Put{.target = target, .payload = payload});
}

Result<std::optional<std::string>> Client::get(Bytes topic, Millis wait) {
  WALRUS_ASSIGN(auto target, client::parse_target(topic));
  WALRUS_ASSIGN(auto body,
                impl_->call(native::Get{.target = target, .wait_ms = wait.count()}, wait));
  WALRUS_ASSIGN(auto payload, native::parse_payload(body));
  if (!payload) return std::nullopt;
  return std::string(*payload);
}

Result<Offset> Client::append(Bytes topic, Bytes payload) {
  WALRUS_ASSIGN(auto target, client::parse_target(topic));
  return impl_->call_offset(native::Append{.target = target, .payload = payload});
}

Result<Offset> Client::append_at(Bytes topic, Offset expected_next, Bytes payload) {
  WALRUS_ASSIGN(auto target, client::parse_target(topic));
  return impl_->call_offset(
      native::AppendAt{.target = target, .offset = expected_next.value, .payload = payload});
}

Result<Offset> Client::append_batch(Bytes topic, std::span<const Record> records,
                                    const ProducerSequence& producer) {
  WALRUS_ASSIGN(auto target, client::parse_target(topic));
  if (records.empty()) return fail(Code::kInvalid, "a batch of no records");
  auto batch = record::encode(records, {.now = impl_->runner.env().wall(),
                                        .producer_id = producer.id,
                                        .producer_epoch = producer.epoch,
                                        .base_sequence = producer.sequence});
  WALRUS_ASSIGN(auto body, impl_->call(native::Batch{.target = target, .batch = batch}));
  WALRUS_ASSIGN(auto reply, native::parse_batch_reply(body));
  return reply.first;
}

Result<ProducerIdentity> Client::new_producer() {
  WALRUS_ASSIGN(auto body, impl_->call(native::Producer{}));
  WALRUS_ASSIGN(auto reply, native::parse_producer(body));
  return ProducerIdentity{reply.id, reply.epoch};
}

Result<Received> Client::read(Bytes topic, Offset from, const FetchLimits& limits) {
  WALRUS_ASSIGN(auto target, client::parse_target(topic));
  WALRUS_ASSIGN(auto body, impl_->call(native::ReadBatch{.target = target,
                                                         .offset = from.value,
                                                         .bytes_max = limits.bytes_max,
                                                         .wait_ms = limits.wait.count()},
                                       limits.wait));
  return client::receive_batches(std::move(body), from);
}

Result<Offset> Client::find(Bytes topic, Time time) {
  WALRUS_ASSIGN(auto target, client::parse_target(topic));
  return impl_->call_offset(
      native::Find{.target = target, .timestamp_ms = time.time_since_epoch().count()});
}

Result<Received> Client::poll(Bytes topic, Bytes consumer, const FetchLimits& limits) {
  WALRUS_ASSIGN(auto target, client::parse_target(topic));
  WALRUS_ASSIGN(auto name, check_word("consumer", consumer));
  WALRUS_ASSIGN(auto body, impl_->call(native::Poll{.target = target,
                                                    .consumer = name,
                                                    .bytes_max = limits.bytes_max,
                                                    .wait_ms = limits.wait.count()},
                                       limits.wait));
  return client::receive_records(std::move(body));
}

Result<void> Client::commit(Bytes topic, Bytes consumer, Offset next) {
  WALRUS_ASSIGN(auto target, client::parse_target(topic));
  WALRUS_ASSIGN(auto name, check_word("consumer", consumer));
  return impl_->call_ok(native::Commit{.target = target, .consumer = name, .next = next.value});
}

Result<std::string> Client::request(Bytes body, Millis wait) {
  std::string frame;
  native::append_frame(frame, body);
  return impl_->call(std::move(frame), wait);
}

void Client::request_async(Bytes body, Done done) {
  std::string frame;
  native::append_frame(frame, body);
  auto& channel = impl_->channel;
  impl_->runner.loop().post([channel, frame = std::move(frame), done = std::move(done)]() mutable {
    channel->submit(frame, io::Nanos(0), std::move(done));
  });
}

}  // namespace walrus
