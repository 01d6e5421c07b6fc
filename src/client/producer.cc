#include "client/connect.h"
#include "client/produce_core.h"
#include "client/target.h"
#include "walrus/client.h"

namespace walrus {

struct Producer::Impl {
  Impl(io::Env& env, const ProducerOptions& options)
      : runner(env), core(std::make_shared<client::ProduceCore>(env, runner.loop(), options)) {}
  ~Impl() {
    runner.stop();  // from here on nothing runs on the loop
    core->stop();
  }

  io::Runner runner;
  std::shared_ptr<client::ProduceCore> core;  // shared with its own coroutines
};

namespace {

constexpr int kInFlightMax = 5;

Result<void> check(const ProducerOptions& options) {
  WALRUS_TRY(client::parse_target(options.topic));
  if (options.in_flight_max < 1 || options.in_flight_max > kInFlightMax)
    return fail(Code::kInvalid, "in_flight_max is 1 to {}", kInFlightMax);
  if (options.batch_records_max < 1 || options.batch_bytes_max < 1 || options.linger.count() < 0)
    return fail(Code::kInvalid, "batch limits are 1 or more, linger 0 or more");
  return {};
}

}  // namespace

Result<Producer> client::connect_producer(io::Env& env, const ProducerOptions& options) {
  WALRUS_TRY(check(options));
  auto impl = std::make_unique<Producer::Impl>(env, options);
  WALRUS_TRY(impl->runner.run<void>([core = impl->core] { return ProduceCore::start(core); }));
  return Producer(std::move(impl));
}

Result<Producer> Producer::connect(const ProducerOptions& options) {
  return client::connect_producer(io::real_env(), options);
}

Producer::Producer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Producer::Producer(Producer&&) noexcept = default;
Producer& Producer::operator=(Producer&&) noexcept = default;
Producer::~Producer() = default;

Result<void> Producer::send(std::span<const Record> records) {
  return impl_->runner.call<void>(
      [&](client::Done<void> done) { impl_->core->add(records, std::move(done)); });
}

Result<Produced> Producer::flush() {
  return impl_->runner.call<Produced>(
      [&](client::Done<Produced> done) { impl_->core->flush(std::move(done)); });
}

Produced Producer::progress() const {
  return *impl_->runner.call<Produced>(
      [&](client::Done<Produced> done) { done(impl_->core->progress()); });
}

}  // namespace walrus
