#include <nlohmann/json.hpp>

#include "cli/output.h"
#include "cli/progress.h"
#include "walrus/lane.h"

namespace walrus::cli {
namespace {

using Json = nlohmann::ordered_json;

struct SendFlags {
  std::string file, name;
  std::int64_t node = 0;
  LaneOptions options{};
};

struct ReceiveFlags {
  std::string into;
  LaneReceiverOptions options{};
};

// None of the three, or all.
Result<std::optional<TlsFiles>> mutual_tls(const Globals& globals) {
  const bool some = globals.tls || !globals.tls_ca.empty() || !globals.tls_certificate.empty() ||
                    !globals.tls_key.empty();
  if (!some) return std::nullopt;
  if (globals.tls_ca.empty() || globals.tls_certificate.empty() || globals.tls_key.empty())
    return fail(Code::kInvalid,
                "a lane's TLS is mutual: --tls-ca, --tls-cert and --tls-key come together");
  return TlsFiles{
      .ca = globals.tls_ca, .certificate = globals.tls_certificate, .key = globals.tls_key};
}

Result<int> send(const Globals& globals, const SendFlags& flags) {
  const auto what = "lane send " + flags.file;
  Progress progress(io::real_env(), globals);
  auto options = flags.options;
  WALRUS_ASSIGN(options.tls, about(what, mutual_tls(globals)));
  options.receiver = {static_cast<std::uint64_t>(flags.node)};
  options.silence_max = Millis(globals.timeout_ms);
  options.progress = [&](const LaneProgress& seen) {
    progress.update(seen.durable, static_cast<double>(seen.durable) /
                                      static_cast<double>(std::max<std::int64_t>(seen.size, 1)));
  };
  const auto name = flags.name.empty() ? io::Path(flags.file).filename().string() : flags.name;
  auto result = send_lane(flags.file, name, options);
  progress.clear();
  WALRUS_ASSIGN(const auto sent, about(what, std::move(result)));
  if (globals.json)
    WALRUS_TRY(print_json(
        {{"name", name}, {"bytes", sent.bytes}, {"sent", sent.sent}, {"sha256", sent.sha256}}));
  else
    WALRUS_TRY(
        print_line(fmt::format("sent {} bytes {} sha256 {}", name, sent.bytes, sent.sha256)));
  return kExitDone;
}

Result<void> print_received(const Globals& globals, const LaneReceived& one) {
  if (globals.json) {
    Json document{{"name", one.name},
                  {"bytes", one.bytes},
                  {"sha256", one.sha256},
                  {"path", one.path.string()}};
    if (one.from.value != 0) document["node"] = one.from.value;
    WALRUS_TRY(print_json(document));
  } else {
    const auto from = one.from.value == 0 ? "" : fmt::format(" from node {}", one.from.value);
    WALRUS_TRY(print_line(
        fmt::format("received {} bytes {} sha256 {}{}", one.name, one.bytes, one.sha256, from)));
  }
  return flush_output();
}

// Ends by a signal, or when its output cannot be written.
Result<int> receive(const Globals& globals, const ReceiveFlags& flags) {
  auto options = flags.options;
  const auto what = "lane receive " + options.listen;
  WALRUS_ASSIGN(options.tls, about(what, mutual_tls(globals)));
  Event ended;
  Result<void> printed;
  options.directory = flags.into;
  options.received = [&](const LaneReceived& one) {
    if (!printed) return;
    printed = print_received(globals, one);
    if (!printed) ended.set();
  };
  options.log = [&](Bytes line) { notice(globals, line); };
  WALRUS_ASSIGN(auto receiver, about(what, LaneReceiver::start(options)));
  const auto& address = receiver.address();
  if (globals.json) WALRUS_TRY(print_json({{"listen", address}, {"into", flags.into}}));
  else
    WALRUS_TRY(print_line(fmt::format("walrus lane ready listen={} into={}", address, flags.into)));
  WALRUS_TRY(flush_output());
  io::real_env().wait(ended, io::Nanos::max());
  WALRUS_TRY(about(what, receiver.stop()));
  WALRUS_TRY(about(what, std::move(printed)));
  return kExitDone;
}

void add_send(CommandLine& line, Verb lane) {
  auto flags = std::make_shared<SendFlags>();
  auto verb = line.add(lane, "send", "Send a file, or go on with one that was cut off",
                       [flags](const Globals& globals) { return send(globals, *flags); });
  auto& options = flags->options;
  verb.option("file", flags->file, "The file").required();
  verb.option("--to", options.address, "HOST:PORT of `walrus lane receive`").required();
  verb.option("--to-node", flags->node,
              "With TLS: the node that must be there, wherever its certificate is for")
      .positive()
      .type_name("N");
  verb.option("--name", flags->name, "Its name there; by default its own");
  verb.option("--offset", options.position, "Send from this byte on").not_negative();
  verb.option("--length", options.length, "Send so many bytes").not_negative();
  verb.option("--rate", options.bytes_per_s, "At most so many bytes a second").positive();
}

void add_receive(CommandLine& line, Verb lane) {
  auto flags = std::make_shared<ReceiveFlags>();
  auto verb = line.add(lane, "receive", "Take files into one directory until it is stopped",
                       [flags](const Globals& globals) { return receive(globals, *flags); });
  auto& options = flags->options;
  verb.option("--listen", options.listen, "HOST:PORT; port 0 takes a free one").required();
  verb.option("--into", flags->into, "The directory; made if it does not exist").required();
  verb.option("--bytes-max", options.bytes_max, "Refuse files that are larger")
      .default_shown()
      .not_negative();
  verb.option("--directory-bytes-max", options.directory_bytes_max,
              "Refuse what would make the directory larger; 0: no limit")
      .default_shown()
      .not_negative();
  verb.option("--free-bytes-min", options.free_bytes_min,
              "Refuse what would leave less room on the disk")
      .default_shown()
      .not_negative();
}

}  // namespace

void add_lane(CommandLine& line) {
  auto lane = line.root().family("lane", "Move files to another node: checked, resumable");
  add_send(line, lane);
  add_receive(line, lane);
}

}  // namespace walrus::cli
