#include "server/cluster_directory.h"

#include "io/runner.h"
#include "log/directory.h"
#include "net/tls_transport.h"

namespace walrus::server {
namespace {

constexpr std::size_t kTopicsNamed = 3;  // in an error

class Silence final : public LogSink {
 public:
  bool wants(LogLevel) const override { return false; }
  void write(LogLevel, Bytes) override {}
};

// Of a Walrus directory; none: there is none.
Result<std::optional<log::Identity>> find_directory(io::Env& env, const io::Path& data_dir) {
  WALRUS_ASSIGN(bool there, env.disk().exists(data_dir));
  if (!there) return std::nullopt;
  return log::read_identity(env, data_dir);
}

Result<std::unique_ptr<log::Engine>> open_directory(io::Env& env, const DirectoryOptions& options) {
  log::EngineOptions stored;
  stored.user.root = options.data_dir;
  stored.user.key = options.key;
  WALRUS_ASSIGN(stored.user.shards, journals_of_node(env, options.data_dir));
  WALRUS_ASSIGN(auto engine, log::Engine::open(env, stored));
  WALRUS_TRY(check_without_topics(*engine));
  return engine;
}

}  // namespace

Result<int> journals_of_node(io::Env& env, const io::Path& data_dir) {
  WALRUS_ASSIGN(auto found, find_directory(env, data_dir));
  return found ? found->shards : 1;
}

Result<void> check_without_topics(log::Engine& engine) {
  std::vector<std::string> topics;
  for (const auto& stream : engine.list("")) {
    const auto& name = log::stream_name(stream);
    if (!name.starts_with("__") && !name.contains('/')) topics.push_back(name);
  }
  if (topics.empty()) return {};
  auto count = topics.size();
  topics.resize(std::min(count, kTopicsNamed));
  return fail(Code::kExists,
              "the directory holds {} topics of a single server ({}{}): a cluster begins with an "
              "empty directory; walrus consume and produce carry records over",
              count, fmt::join(topics, ", "), count > kTopicsNamed ? ", ..." : "");
}

Result<meta::Identity> found_in_directory(io::Env& env, const DirectoryOptions& options) {
  WALRUS_ASSIGN(auto engine, open_directory(env, options));
  WALRUS_ASSIGN(auto identity, meta::found_cluster(env, *engine, options.node));
  WALRUS_TRY(engine->close());
  return identity;
}

Result<meta::Identity> join_from_directory(io::Env& env, const DirectoryOptions& options,
                                           std::vector<std::string> addresses,
                                           const std::optional<TlsFiles>& tls, io::Nanos timeout) {
  Silence silence;
  Metrics metrics;
  net::TcpTransport tcp;
  std::unique_ptr<net::TlsTransport> secured;
  if (tls) {
    WALRUS_ASSIGN(secured, net::TlsTransport::open(env, tcp, silence, metrics,
                                                   {.files = *tls, .self = options.node}));
  }
  auto& transport = secured ? static_cast<net::Transport&>(*secured) : tcp;
  WALRUS_ASSIGN(auto engine, open_directory(env, options));
  io::Runner runner(env);
  auto identity = runner.run<meta::Identity>([&] {
    return meta::find_cluster(env, runner.loop(), transport, *engine, options.node,
                              std::move(addresses), timeout);
  });
  runner.stop();
  auto closed = engine->close();
  if (identity && !closed) return std::unexpected(std::move(closed).error());
  return identity;
}

Result<std::optional<meta::Survey>> mend_in_directory(io::Env& env, const DirectoryOptions& options,
                                                      LastResort how, const Confirm& confirm) {
  WALRUS_ASSIGN(auto found, find_directory(env, options.data_dir));
  if (!found) return fail(Code::kNotFound, "{} is no Walrus directory", options.data_dir);
  WALRUS_ASSIGN(auto engine, open_directory(env, options));
  WALRUS_ASSIGN(const auto seen, meta::survey(*engine));
  WALRUS_ASSIGN(const bool confirmed, confirm(seen));
  std::optional<meta::Survey> after;
  if (confirmed && how == LastResort::kRecover) {
    WALRUS_ASSIGN(after, meta::recover_metadata(env, *engine));
  } else if (confirmed) {
    WALRUS_ASSIGN(after, meta::forget_metadata(*engine));
  }
  WALRUS_TRY(engine->close());
  return after;
}

}  // namespace walrus::server
