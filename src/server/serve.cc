#include "server/serve.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "server/config.h"
#include "server/server.h"
#include "server/setup.h"
#include "server/signals.h"

extern char** environ;

namespace walrus::server {
namespace {

constexpr int kExitFailed = 1;

// Log lines go to stderr, so that stdout has the ready line alone.
class StderrLog final : public LogSink {
 public:
  explicit StderrLog(bool quiet)
      : quiet_(quiet), logger_("walrus", std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
    logger_.set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
    logger_.flush_on(spdlog::level::debug);
  }
  bool wants(LogLevel level) const override {
    return quiet_ ? level == LogLevel::kError : level != LogLevel::kDebug;
  }
  void write(LogLevel level, Bytes line) override {
    auto to = level == LogLevel::kError     ? spdlog::level::err
              : level == LogLevel::kWarning ? spdlog::level::warn
                                            : spdlog::level::info;
    logger_.log(to, spdlog::string_view_t(line.data(), line.size()));
  }

 private:
  bool quiet_;
  spdlog::logger logger_;
};

std::map<std::string, std::string> environment() {
  std::map<std::string, std::string> values;
  for (auto** entry = environ; *entry != nullptr; ++entry) {
    std::string text = *entry;
    auto equals = text.find('=');
    if (equals != std::string::npos && text.starts_with("WALRUS_"))
      values.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return values;
}

// What to do about it, where the error alone does not say.
Bytes hint(Code code) {
  switch (code) {
    case Code::kExists:
      return ": stop what listens there, or choose another address (--listen, --kafka-listen, "
             "--admin-listen)";
    case Code::kLocked: return ": stop that process, or choose another directory (--data-dir)";
    case Code::kNoSpace: return ": free some space; nothing that was acknowledged is lost";
    case Code::kVersion: return ": start it with the newer release";
    case Code::kCorrupt: return ": see `walrus log verify` and docs/operations.md";
    default: return "";
  }
}

using Report = std::function<void(const Error&)>;

int failed(const Report& report, Bytes what, const Error& error) {
  report({error.code, fmt::format("{}: {}{}", what, error.message, hint(error.code))});
  return kExitFailed;
}

Result<std::string> read_file(const std::string& path) {
  constexpr std::int64_t kConfigBytesMax = 1 << 20;
  WALRUS_ASSIGN(auto file, io::real_env().disk().open(path, io::Open::kRead));
  WALRUS_ASSIGN(auto size, file->size());
  if (size > kConfigBytesMax) return fail(Code::kTooLarge, "{}: above 1 MiB", path);
  std::string text(static_cast<std::size_t>(size), '\0');
  WALRUS_ASSIGN(auto read, file->read(0, text));
  text.resize(read);
  return text;
}

}  // namespace

struct ServeCommand::Flags {
  std::string config;
  std::vector<ConfigInput::Flag> values;  // in the order of the command line
  std::string host, port, set;
  bool check_only = false, print_only = false;
  std::vector<std::string> join, initial_peers;
  // Upstream's aliases, which give host and port apart.
  std::string client_host, client_port, raft_host, raft_port;
};

ServeCommand::ServeCommand() : flags_(std::make_unique<Flags>()) {}
ServeCommand::~ServeCommand() = default;

CLI::App* ServeCommand::add_to(CLI::App& parent) {
  auto* app = parent.add_subcommand("serve", "Run a server");
  auto* flags = flags_.get();
  auto value = [app, flags](const std::string& names, const std::string& key,
                            const std::string& help) {
    auto flag = names.substr(0, names.find(','));
    app->add_option_function<std::string>(
        names,
        [flags, flag, key](const std::string& text) { flags->values.push_back({flag, key, text}); },
        help);
  };
  app->add_option("--config", flags->config, "Configuration file (TOML)");
  value("--data-dir", "node.data_dir", "Data directory [./walrus-data]");
  value("--listen", "native.listen", "Native protocol [127.0.0.1:9091]");
  value("--kafka-listen", "kafka.listen", "Kafka protocol; empty: none [127.0.0.1:9092]");
  value("--kafka-advertise", "kafka.advertise", "Address given to Kafka clients");
  value("--peer-listen", "peer.listen", "Other nodes of a cluster [127.0.0.1:9093]");
  value("--admin-listen", "admin.listen", "HTTP: /metrics, /healthz, /readyz [127.0.0.1:9094]");
  value("--node-id", "node.id", "This node's id [1]");
  app->add_option("--join", flags->join, "Peer addresses of nodes: joins their cluster")
      ->delimiter(',')
      ->type_name("HOST:PORT");
  app->add_option_function<std::vector<std::string>>(
         "--set",
         [flags](const std::vector<std::string>& settings) {
           for (const auto& setting : settings) {
             auto equals = setting.find('=');
             flags->values.push_back(
                 {"--set", setting.substr(0, equals), setting.substr(equals + 1)});
           }
         },
         "One configuration value: TABLE.KEY=VALUE")
      ->check([](const std::string& setting) {
        return setting.contains('=') ? "" : setting + ": expected TABLE.KEY=VALUE";
      });
  app->add_flag("--check-config", flags->check_only, "Check the configuration and exit");
  app->add_flag("--print-config", flags->print_only, "Print the configuration and exit");
  app->add_flag_function(
      "--insecure",
      [flags](std::int64_t) {
        flags->values.push_back({"--insecure", "security.insecure", "true"});
      },
      "Allow addresses other than loopback without authentication and encryption");
  app->add_option("--client-host", flags->client_host, "Upstream's name: host of --listen");
  app->add_option("--client-port,--port", flags->client_port, "Upstream's name: port of --listen");
  app->add_option("--raft-host", flags->raft_host, "Upstream's name: host of --peer-listen");
  app->add_option("--raft-port", flags->raft_port, "Upstream's name: port of --peer-listen");
  app->add_option("--initial-peer", flags->initial_peers, "Upstream's name for --join");
  return app;
}

namespace {

// Upstream's flags for host and port; those of our own on the same command line win.
void add_alias(std::vector<ConfigInput::Flag>& values, const std::string& host,
               const std::string& port, ConfigInput::Flag into) {
  if (host.empty() && port.empty()) return;
  auto separator = into.value.rfind(':');
  auto address = (host.empty() ? into.value.substr(0, separator) : host) + ":" +
                 (port.empty() ? into.value.substr(separator + 1) : port);
  values.insert(values.begin(), {into.flag, into.key, address});
}

int serve(const Config& config, const Report& report) {
  install_signal_handlers();
  StderrLog log(config.quiet());
  auto& env = io::real_env();
  auto options = server_options(config, get_nprocs());
  options.reload = &reload_asked_for();
  options.stop = &stop_asked_for();
  if (auto fitted = fit_open_files(options, log); !fitted)
    return failed(report, "serve", fitted.error());
  auto server = Server::start(env, options, log);
  if (!server && stop_asked_for()) return 0;
  if (!server) return failed(report, "serve", server.error());
  stop_on_signal((*server)->stop_requested());
  auto kafka = (*server)->kafka_address(), peer = (*server)->peer_address();
  if (!kafka.empty()) kafka = " kafka=" + kafka;
  if (!peer.empty()) peer = " peer=" + peer;
  std::printf("walrus ready native=%s%s%s admin=%s data_dir=%s pid=%d\n",
              (*server)->native_address().c_str(), kafka.c_str(), peer.c_str(),
              (*server)->admin_address().c_str(), config.string("node.data_dir").c_str(),
              static_cast<int>(getpid()));
  std::fflush(stdout);
  if (auto ended = (*server)->wait(); !ended) {
    failed(report, "storage failed", ended.error());
    // Nothing is acknowledged any more, and nothing is to be written: restart recovers.
    std::fflush(nullptr);
    _exit(kExitStorageFailed);
  }
  Result<void> taking_part;
  if (auto* cluster = (*server)->cluster()) taking_part = cluster->failure();
  auto stopped = (*server)->stop();
  if (!taking_part) return failed(report, "cluster", taking_part.error());
  if (stopped) return 0;
  // A full disk keeps the last checkpoint from being written; the journal has all of it.
  failed(report, "stop", stopped.error());
  return stopped.error().code == Code::kNoSpace ? 0 : kExitFailed;
}

}  // namespace

int ServeCommand::run(const Report& report) {
  ConfigInput input{
      .file_name = flags_->config, .environment = environment(), .flags = flags_->values};
  add_alias(input.flags, flags_->client_host, flags_->client_port,
            {"--client-port", "native.listen", "127.0.0.1:9091"});
  add_alias(input.flags, flags_->raft_host, flags_->raft_port,
            {"--raft-port", "peer.listen", "127.0.0.1:9093"});
  for (auto [flag, members] :
       {std::pair("--join", &flags_->join), std::pair("--initial-peer", &flags_->initial_peers)})
    if (!members->empty())
      input.flags.push_back({flag, "cluster.join", fmt::format("{}", fmt::join(*members, ","))});
  if (!flags_->config.empty()) {
    auto text = read_file(flags_->config);
    if (!text) return failed(report, "config", text.error());
    input.file_text = std::move(*text);
  }
  auto config = Config::load(input);
  if (!config) return failed(report, "config", config.error());
  if (flags_->print_only) std::fputs(config->print().c_str(), stdout);
  if (flags_->print_only || flags_->check_only) return 0;
  return serve(*config, report);
}

}  // namespace walrus::server
