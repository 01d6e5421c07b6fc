#include "walrus/log.h"

#include "log/cursor.h"
#include "log/facade.h"

namespace walrus {

using log::Call;

Result<Log> Log::open(const Options& options) {
  log::EngineOptions engine;
  engine.user = options;
  return log::open_log(io::real_env(), engine);
}

Log::Log(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Log::Log(Log&&) noexcept = default;

Log& Log::operator=(Log&& other) noexcept {
  if (this == &other) return *this;
  static_cast<void>(close());
  impl_ = std::move(other.impl_);
  return *this;
}

Log::~Log() { static_cast<void>(close()); }

Result<void> Log::close() {
  if (!impl_) return log::Face::closed();
  return impl_->face->close();
}

Result<Stream> Log::create(Bytes name, const StreamOptions& options) {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  auto& engine = impl_->face->engine();
  WALRUS_ASSIGN(auto created, engine.create(name, options));
  WALRUS_TRY(engine.wait(created.pending));
  auto shared = impl_->face->shared(log::stream_id(created.stream));
  return Stream(
      std::make_shared<Stream::Impl>(impl_->face, std::move(created.stream), std::move(shared)));
}

Result<Stream> Log::stream(Bytes name) const {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  WALRUS_ASSIGN(auto found, impl_->face->engine().find(name));
  auto shared = impl_->face->shared(log::stream_id(found));
  return Stream(std::make_shared<Stream::Impl>(impl_->face, std::move(found), std::move(shared)));
}

Result<void> Log::remove(Bytes name) {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  auto& engine = impl_->face->engine();
  WALRUS_ASSIGN(auto found, engine.find(name));
  WALRUS_ASSIGN(auto pending, engine.remove(name));
  impl_->face->forget(log::stream_id(found));
  return engine.wait(pending);
}

Result<std::vector<StreamInfo>> Log::list(Bytes prefix) const {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  auto& engine = impl_->face->engine();
  WALRUS_TRY(engine.failure());
  std::vector<StreamInfo> infos;
  for (const auto& stream : engine.list(prefix)) {
    auto info = log::stream_info(engine, stream);
    if (info) infos.push_back(*std::move(info));
    else if (info.error().code != Code::kNotFound)  // removed meanwhile
      return std::unexpected(std::move(info).error());
  }
  return infos;
}

Result<void> Log::checkpoint() {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  return impl_->face->engine().checkpoint();
}

Result<void> Log::backup(const std::filesystem::path& to) {
  Call call(impl_ ? impl_->face.get() : nullptr);
  if (!call) return log::Face::closed();
  return impl_->face->engine().backup(to);
}

}  // namespace walrus

namespace walrus::log {

Result<Log> open_log(io::Env& env, const EngineOptions& options) {
  WALRUS_ASSIGN(auto guard, ForkGuard::make());
  WALRUS_ASSIGN(auto engine, Engine::open(env, options));
  if (!options.user.read_only) WALRUS_TRY(clamp_cursors(*engine));
  auto impl = std::make_unique<Log::Impl>();
  impl->face = std::make_shared<Face>(env, std::move(engine), std::move(guard));
  return Log(std::move(impl));
}

}  // namespace walrus::log
