#include "net/who_is.h"

#include <algorithm>

#include "base/coding.h"
#include "net/message.h"
#include "net/rpc_state.h"
#include "net/timers.h"

namespace walrus::net {
namespace {

constexpr std::size_t kBodyBytesMax = 2 << 10;
constexpr std::size_t kClusterPosition = 16;  // in a frame's header

struct Answer {
  FrameHeader header{};
  ClusterId cluster{};
  std::string body{};
  std::optional<NodeId> proved{};
};

std::string hello_of(const Identity& self, std::uint64_t link) {
  const RpcOptions defaults;
  std::string body, bytes;
  append_hello(
      body, {.from = self.node,
             .link = link,
             .limits = {.message_bytes_max = static_cast<std::uint32_t>(defaults.message_bytes_max),
                        .bulk_window = static_cast<std::uint32_t>(defaults.bulk_window),
                        .control_window = static_cast<std::uint32_t>(defaults.control_window),
                        .stream_window = static_cast<std::uint32_t>(defaults.stream_window),
                        .streams_max = static_cast<std::uint32_t>(defaults.streams_max)}});
  append_frame(bytes, {.type = FrameType::kHello, .incarnation = self.incarnation}, self.cluster,
               body);
  return bytes;
}

// The frame's own cluster is believed: to learn it is what this is for.
Result<std::optional<Answer>> parse_first(Bytes bytes) {
  if (bytes.size() < kFrameHeaderBytes) return std::nullopt;
  const auto* place = bytes.data() + kClusterPosition;
  Answer answer;
  answer.cluster = {load_le<std::uint64_t>(place), load_le<std::uint64_t>(place + 8)};
  FrameSplitter splitter(answer.cluster, kBodyBytesMax);
  for (auto rest = bytes; !rest.empty();) {
    const auto space = splitter.space();
    const auto size = std::min(space.size(), rest.size());
    std::copy_n(rest.begin(), size, space.begin());
    splitter.received(size);
    rest.remove_prefix(size);
  }
  WALRUS_ASSIGN(const auto frame, splitter.next());
  if (!frame) return std::nullopt;
  answer.header = frame->header;
  answer.body = frame->body;
  return answer;
}

struct Asker {
  io::Env& env;
  io::Loop& loop;
  Transport& transport;
  std::string address;
  Identity self;
  io::Nanos deadline;
  io::Nanos left() const { return std::max(deadline - env.mono(), io::Nanos(0)); }
};

io::Task<Answer> ask(std::shared_ptr<Asker> asker, std::uint64_t link) {
  WALRUS_CO_ASSIGN(auto channel, co_await asker->transport.connect(asker->loop, asker->address,
                                                                   NodeId{}, asker->left()));
  const auto hello = hello_of(asker->self, link);
  WALRUS_CO_TRY(co_await channel.bytes->write(hello, asker->left()));
  std::string received;
  char piece[1024];
  while (received.size() < kFrameHeaderBytes + kBodyBytesMax) {
    WALRUS_CO_ASSIGN(const auto size, co_await channel.bytes->read_some(piece, asker->left()));
    if (size == 0) break;
    received.append(piece, size);
    WALRUS_CO_ASSIGN(auto answer, parse_first(received));
    if (!answer) continue;
    answer->proved = channel.proved;
    co_return *std::move(answer);
  }
  co_return fail(Code::kCorrupt, "it does not speak the protocol between nodes");
}

io::Task<Found> find(std::shared_ptr<Asker> asker) {
  WALRUS_CO_ASSIGN(const auto first, co_await ask(asker, asker->env.random() | 1));
  if (first.header.type != FrameType::kRefuse)
    co_return fail(Code::kCorrupt, "it does not greet as a node does");
  asker->self.cluster = first.cluster;
  const auto link = asker->env.random() | 1;
  WALRUS_CO_ASSIGN(const auto second, co_await ask(asker, link));
  if (second.header.type == FrameType::kRefuse) {
    WALRUS_CO_ASSIGN(const auto refusal, parse_refusal(second.body));
    co_return std::unexpected(refused(refusal));
  }
  if (second.header.type != FrameType::kWelcome)
    co_return fail(Code::kCorrupt, "it does not greet as a node does");
  WALRUS_CO_ASSIGN(const auto welcome, parse_welcome(second.body));
  if (welcome.link != link || welcome.from.value == 0)
    co_return fail(Code::kCorrupt, "the welcome is not for this connection");
  if (second.proved && *second.proved != welcome.from)
    co_return fail(Code::kMismatch, "it says that it is node {}, its certificate is of node {}",
                   welcome.from.value, second.proved->value);
  co_return Found{first.cluster, welcome.from};
}

}  // namespace

io::Task<Found> who_is(io::Env& env, io::Loop& loop, Transport& transport, std::string address,
                       Identity self, io::Nanos timeout) {
  self.cluster = {};
  auto asker = std::make_shared<Asker>(
      Asker{env, loop, transport, address, self, moment_after(env.mono(), timeout)});
  auto found = co_await find(asker);
  if (!found) co_return fail(found.error().code, "{}: {}", address, found.error().message);
  co_return found;
}

}  // namespace walrus::net
