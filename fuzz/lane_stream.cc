// Objects on their way by lanes (fuzz/lane_form.h says what the input is): a sender that may say
// anything, and the receiver that ships, on a simulated disk whose node is killed and whose files
// are damaged. What has an object's name has the SHA-256 that its sender named, and stays when it
// was acknowledged; beside it there are parts within the limits. Afterwards an honest sender gets
// its object across, or is told that another one has its name.

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <set>

#include "base/check.h"
#include "io/sim/sim_world.h"
#include "lane_form.h"
#include "net/lane.h"
#include "net/lane_message.h"
#include "steps.h"

namespace {

using namespace walrus;
using namespace std::chrono_literals;
using fuzz::LaneStep;

constexpr std::size_t kStepsMax = 60, kRestartsMax = 3;
constexpr std::int64_t kObjectMax = 600, kDirectoryMax = 1'000;

std::string digest_of(Bytes bytes) {
  net::Sha256 sha;
  sha.update(bytes);
  return net::to_hex(sha.digest());
}

net::RpcOptions rpc_options(std::uint64_t node, std::uint64_t life) {
  net::RpcOptions options;
  options.self = {{1, 1}, {node}, {life}};
  options.silence_max = 4s;
  return options;
}

class Receiver {
 public:
  explicit Receiver(io::World& world) : world_(world) { start(); }
  ~Receiver() { end(); }
  std::string address() const { return world_.node(0).host() + ":9093"; }
  void restart(io::CrashKind how) {
    world_.node(0).crash(how);
    end();
    world_.node(0).restart();
    start();
  }
  io::Path path(const std::string& name) const { return directory_ / name; }
  std::vector<io::Entry> entries() {
    auto listed = world_.node(0).env().disk().list(directory_);
    return listed ? *listed : std::vector<io::Entry>{};
  }
  std::string content(const std::string& name) {
    return world_.node(0).disk().cached(path(name)).value_or("");
  }
  void damage(const std::string& name, std::size_t at) {
    auto file = world_.node(0).env().disk().open(path(name), io::Open::kWrite);
    auto bytes = content(name);
    if (!file || at >= bytes.size()) return;
    bytes[at] ^= 1;
    CHECK((*file)->write(static_cast<std::int64_t>(at), bytes.substr(at, 1)).has_value());
  }

 private:
  void start() {
    auto& env = world_.node(0).env();
    loop_ = env.make_loop();
    worker_ = std::make_unique<net::FileWorker>(env, *loop_);
    auto options = rpc_options(1, ++life_);
    options.listen = address();
    rpc_ = *net::Rpc::start(env, *loop_, transport_, options);
    lanes_ = std::make_unique<net::LaneReceiver>(
        env, *rpc_, *worker_,
        net::LaneReceiverOptions{.directory = directory_,
                                 .bytes_max = kObjectMax,
                                 .directory_bytes_max = kDirectoryMax,
                                 .free_bytes_min = 0,
                                 .sync_bytes = fuzz::kLaneSyncBytes,
                                 .transfers_max = 2,
                                 .silence_max = 1s});
  }
  void end() {
    rpc_.reset();
    lanes_.reset();
    worker_.reset();
    loop_.reset();
  }

  io::World& world_;
  const io::Path directory_ = "/in";
  std::uint64_t life_ = 0;
  net::TcpTransport transport_;
  std::unique_ptr<io::Loop> loop_;
  std::unique_ptr<net::FileWorker> worker_;
  std::unique_ptr<net::Rpc> rpc_;
  std::unique_ptr<net::LaneReceiver> lanes_;
};

class Run {
 public:
  explicit Run(std::uint64_t seed)
      : world_(seed, {.nodes = 2}), receiver_(world_), loop_(env().make_loop()) {
    worker_ = std::make_unique<net::FileWorker>(env(), *loop_);
    rpc_ = *net::Rpc::start(env(), *loop_, transport_, rpc_options(2, 1));
    rpc_->add_peer({1}, receiver_.address());
  }
  ~Run() {
    lanes_.clear();
    rpc_.reset();
    worker_.reset();
    loop_.reset();
  }

  void take(const LaneStep& step) {
    auto object = step.object % fuzz::kLaneObjects;
    switch (step.what) {
      case LaneStep::kDamage: damage(object, step.at); break;
      case LaneStep::kRestart:
        if (++restarts_ > kRestartsMax) break;
        lanes_.clear();
        quiet_ = true;
        receiver_.restart(step.at & 1 ? io::CrashKind::kPowerCut : io::CrashKind::kKill);
        check();
        break;
      default: run(say(*this, object, step));
    }
  }
  void heal();

 private:
  struct Lane {
    std::unique_ptr<net::Stream> stream{};
    std::int64_t offered = 0, have = 0, position = 0;
    std::string sent{};  // what the receiver has of this lane, from the first byte on
  };

  io::Env& env() { return world_.node(1).env(); }
  static std::string name_of(std::size_t object) { return fmt::format("object-{}", object); }

  void run(boost::asio::awaitable<void> task) {
    bool over = false;
    loop_->spawn([](boost::asio::awaitable<void> what, bool& done) -> boost::asio::awaitable<void> {
      co_await std::move(what);
      done = true;
    }(std::move(task), over));
    CHECK(world_.run_until([&] { return over; }, 60s));
  }
  static boost::asio::awaitable<void> say(Run& self, std::size_t object, LaneStep step) {
    if (step.what == LaneStep::kOffer) {
      co_await offer(self, object, step);
      co_return;
    }
    auto found = self.lanes_.find(object);
    if (found == self.lanes_.end()) co_return;
    auto& lane = found->second;
    Result<void> said;
    if (step.what == LaneStep::kFrom) said = co_await self.from(object, lane, step);
    if (step.what == LaneStep::kBytes || step.what == LaneStep::kAltered)
      said = co_await self.bytes(object, lane, step);
    if (step.what == LaneStep::kTrailer) said = co_await self.trailer(object, lane, step);
    if (step.what == LaneStep::kEnd) co_await end(self, object);
    else if (step.what == LaneStep::kCancel || !said) self.lanes_.erase(object);
  }
  static boost::asio::awaitable<void> offer(Run& self, std::size_t object, LaneStep step);
  io::Task<void> from(std::size_t object, Lane&, LaneStep);
  io::Task<void> bytes(std::size_t object, Lane&, LaneStep);
  io::Task<void> trailer(std::size_t object, Lane&, LaneStep);
  static boost::asio::awaitable<void> end(Run& self, std::size_t object);
  static boost::asio::awaitable<void> send(Run& self, std::size_t object,
                                           std::optional<Result<net::LaneResult>>& result);
  // What it has of one that nobody sends: it looks at that when it is sent on.
  void damage(std::size_t object, std::size_t at) {
    if (quiet_) receiver_.damage(name_of(object) + ".part", at);
  }
  void check();

  io::World world_;
  Receiver receiver_;
  net::TcpTransport transport_;
  std::unique_ptr<io::Loop> loop_;
  std::unique_ptr<net::FileWorker> worker_;
  std::unique_ptr<net::Rpc> rpc_;
  std::map<std::size_t, Lane> lanes_{};  // by object
  std::size_t restarts_ = 0;
  bool quiet_ = true;  // no lane was offered since the receiver's start
  std::map<std::string, std::set<std::string>> named_{};  // digests that trailers had, by name
  std::map<std::string, std::string> acknowledged_{};     // digest by name
};

boost::asio::awaitable<void> Run::offer(Run& self, std::size_t object, LaneStep step) {
  self.lanes_.erase(object);
  self.quiet_ = false;
  auto size = std::ssize(fuzz::lane_object(object));
  auto offered = (step.at & 1) ? std::max<std::int64_t>(0, size - step.size) : size + step.size;
  auto stream = co_await self.rpc_->open({1}, net::kLaneMethod,
                                         net::encode(net::LaneOffer{offered, name_of(object)}),
                                         {.timeout = 5s});
  if (!stream) co_return;
  std::string said;
  while (said.size() < net::kLaneStartBytes) {
    auto more = co_await (*stream)->read(5s);
    if (!more || more->empty()) co_return;
    said += *more;
  }
  auto start = net::parse_lane_start(said);
  CHECK(start && start->have <= offered && offered <= kObjectMax);
  self.lanes_[object] = {.stream = *std::move(stream), .offered = offered, .have = start->have};
}

io::Task<void> Run::from(std::size_t object, Lane& lane, LaneStep step) {
  auto place = step.at % 3 == 0 ? lane.have : step.at % 3 == 1 ? 0 : std::int64_t{step.size};
  lane.position = place;
  lane.sent = place == 0 ? "" : receiver_.content(name_of(object) + ".part");
  lane.sent.resize(std::min(lane.sent.size(), static_cast<std::size_t>(place)));
  co_return co_await lane.stream->write(net::encode_from(place), 2s);
}

io::Task<void> Run::bytes(std::size_t object, Lane& lane, LaneStep step) {
  auto all = fuzz::lane_object(object);
  all.resize(static_cast<std::size_t>(lane.offered), 'y');
  auto at = std::min<std::size_t>(static_cast<std::size_t>(lane.position), all.size());
  auto part = all.substr(at, step.size);
  if (step.what == LaneStep::kAltered && !part.empty()) part[0] ^= 0x20;
  lane.position += std::ssize(part);
  lane.sent += part;
  co_return co_await lane.stream->write(std::move(part), 2s);
}

io::Task<void> Run::trailer(std::size_t object, Lane& lane, LaneStep step) {
  net::Sha256 sha;
  auto all = fuzz::lane_object(object);
  if (step.at % 3 == 0) sha.update(all);
  if (step.at % 3 == 1) sha.update(lane.sent);
  named_[name_of(object)].insert(net::to_hex(sha.digest()));
  auto digest = sha.digest();
  co_return co_await lane.stream->write(std::string(digest.data(), digest.size()), 2s);
}

// Hears it out: what is reported as done is there.
boost::asio::awaitable<void> Run::end(Run& self, std::size_t object) {
  auto lane = self.lanes_.extract(object);
  auto& stream = *lane.mapped().stream;
  stream.end();
  std::string said;
  while (true) {
    auto more = co_await stream.read(5s);
    if (!more || more->empty()) break;
    said += *more;
    while (true) {
      auto report = net::parse_lane_report(said);
      CHECK(report.has_value());
      if (!*report) break;
      CHECK((*report)->durable <= lane.mapped().offered);
      if ((*report)->done) {
        auto digest = net::to_hex((*report)->digest);
        CHECK(digest_of(self.receiver_.content(name_of(object))) == digest);
        self.acknowledged_[name_of(object)] = digest;
      }
      said.erase(0, (*report)->bytes);
    }
  }
}

void Run::check() {
  std::int64_t bytes = 0;
  for (const auto& entry : receiver_.entries()) {
    bytes += entry.size;
    if (entry.name.ends_with(".part")) continue;
    CHECK(named_[entry.name].contains(digest_of(receiver_.content(entry.name))));
  }
  CHECK(bytes <= kDirectoryMax);
  for (const auto& [name, digest] : acknowledged_)
    CHECK(digest_of(receiver_.content(name)) == digest);
}

boost::asio::awaitable<void> Run::send(Run& self, std::size_t object,
                                       std::optional<Result<net::LaneResult>>& result) {
  result = co_await net::send_lane(self.env(), *self.loop_, *self.rpc_, *self.worker_,
                                   {.to = {1},
                                    .name = name_of(object),
                                    .source = net::lane_bytes(fuzz::lane_object(object)),
                                    .timeout = 60s});
}

void Run::heal() {
  lanes_.clear();
  world_.run_for(2s);  // longer than the receiver waits for a sender that is silent
  check();
  for (std::size_t object = 0; object < fuzz::kLaneObjects; ++object) {
    auto name = name_of(object);
    auto digest = digest_of(fuzz::lane_object(object));
    bool taken = std::ranges::any_of(receiver_.entries(),
                                     [&](const io::Entry& entry) { return entry.name == name; });
    bool same = !taken || digest_of(receiver_.content(name)) == digest;
    std::optional<Result<net::LaneResult>> result;
    run(send(*this, object, result));
    CHECK(result.has_value());
    CHECK(same || (!result->has_value() && result->error().code == Code::kExists));
    if (result->has_value()) {
      CHECK(net::to_hex((*result)->digest) == digest);
      named_[name].insert(digest);
      acknowledged_[name] = digest;
    } else {
      CHECK(!same || result->error().code == Code::kNoSpace);
    }
  }
  receiver_.restart(io::CrashKind::kPowerCut);
  check();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return fuzz::run_steps<Run>(data, size, kStepsMax, fuzz::take_lane_step);
}
