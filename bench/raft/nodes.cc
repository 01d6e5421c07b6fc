#include "nodes.h"

#include <fstream>
#include <thread>

#include "net/issue.h"

namespace walrus::bench {

using namespace std::chrono_literals;

namespace {

constexpr auto kPatience = 60s;  // for what takes a moment

class CountingMachine final : public raft::Machine {
 public:
  explicit CountingMachine(std::uint64_t state_bytes) : state_bytes_(state_bytes) {}

  Result<void> apply(std::span<const raft::Command> commands, std::vector<std::string>&) override {
    count_ += commands.size();
    return {};
  }
  Result<std::unique_ptr<raft::Frozen>> freeze() override {
    return std::make_unique<View>(state_bytes_);
  }
  Result<void> restore(raft::EntryId, raft::SnapshotSource& from) override {
    std::vector<char> buffer(kPart);
    state_bytes_ = 0;
    while (true) {
      WALRUS_ASSIGN(auto got, from.read(buffer));
      if (got == 0) return {};
      state_bytes_ += got;
    }
  }

 private:
  static constexpr std::size_t kPart = 256 << 10;
  class View final : public raft::Frozen {
   public:
    explicit View(std::uint64_t left) : left_(left), noise_(random_bytes(kPart)) {}
    Result<bool> write(raft::SnapshotSink& to) override {
      auto size = std::min<std::uint64_t>(left_, kPart);
      WALRUS_TRY(to.write(Bytes(noise_).substr(0, static_cast<std::size_t>(size))));
      left_ -= size;
      return left_ > 0;
    }

   private:
    std::uint64_t left_;
    std::string noise_;
  };

  std::uint64_t state_bytes_, count_ = 0;
};

// Lives on the leader's loop.
struct ClosedLoop {
  raft::Node& node;
  Clock::time_point measure_from, end;
  std::string command = random_bytes(256);
  int in_flight = 0;
  std::uint64_t done = 0;
  Histogram latency{};
  std::promise<void> over{};

  void start() {
    ++in_flight;
    auto begun = Clock::now();
    node.propose(command, kPatience, [this, begun](const raft::Proposal& proposal) {
      must(proposal.end == raft::Proposal::End::kApplied, "a proposal was not applied");
      auto now = Clock::now();
      --in_flight;
      if (begun >= measure_from && now <= end) {
        ++done;
        latency.record((now - begun).count());
      }
      if (now < end) start();
      else if (in_flight == 0) over.set_value();
    });
  }
};

}  // namespace

Nodes::Nodes(const std::filesystem::path& root, std::size_t count, Wire wire) : nodes_(count) {
  if (wire == Wire::kTls) certify(root);
  for (std::size_t place = 0; place < count; ++place) {
    nodes_[place].directory = root / std::to_string(place + 1);
    nodes_[place].address = "127.0.0.1:0";
    start(place);
  }
}

// A CA, and for each node a certificate that names it.
void Nodes::certify(const std::filesystem::path& directory) {
  auto& env = io::real_env();
  const auto now = env.wall();
  const auto file = [&](const std::string& name, const std::string& text) {
    std::ofstream out(directory / name);
    out << text;
    must(out.flush().good(), "a certificate's file");
    return directory / name;
  };
  const auto authority = must(net::issue_authority("bench", {now - 1h, now + 24h}), "ca");
  const auto ca = file("ca.pem", authority.certificate);
  for (std::size_t place = 0; place < nodes_.size(); ++place) {
    const auto issued =
        must(net::issue_node(authority, {.node = id(place), .addresses = {"127.0.0.1"}},
                             {now - 1h, now + 12h}),
             "certificate");
    const auto name = std::to_string(place + 1);
    const TlsFiles files{ca, file(name + ".pem", issued.pem.certificate),
                         file(name + ".key", issued.pem.key)};
    nodes_[place].tls = must(
        net::TlsTransport::open(env, tcp_, log_, metrics_, {.files = files, .self = id(place)}),
        "tls");
  }
}

Nodes::~Nodes() {
  for (std::size_t place = 0; place < nodes_.size(); ++place) kill(place);
}

void Nodes::start(std::size_t place) {
  auto& one = nodes_[place];
  auto& env = io::real_env();
  ++one.life;
  one.loop = env.make_loop();
  log::EngineOptions engine;
  engine.user.root = one.directory;
  one.engine = must(log::Engine::open(env, engine), "engine");
  net::RpcOptions rpc;
  rpc.self = {{1, 1}, {place + 1}, {one.life}};
  rpc.listen = one.address;
  net::Transport& wire = one.tls ? static_cast<net::Transport&>(*one.tls) : tcp_;
  one.rpc = must(net::Rpc::start(env, *one.loop, wire, rpc), "rpc");
  one.address = one.rpc->address();
  raft::HostOptions host{.self = id(place)};
  one.host = must(raft::Host::start(env, *one.loop, *one.engine, *one.rpc, host), "host");
  one.thread = env.start_worker("node", [loop = one.loop.get()] {
    loop->run();
    return io::Worker::kForever;
  });
}

void Nodes::kill(std::size_t place) {
  auto& one = nodes_[place];
  if (!one.host) return;
  one.loop->stop();
  one.thread.reset();
  one.host.reset();
  one.rpc.reset();
  one.engine.reset();
  one.loop.reset();
}

raft::Membership Nodes::members(std::size_t count) const {
  raft::Membership members;
  for (std::size_t place = 0; place < count; ++place)
    members.members.push_back({.id = id(place), .address = address(place), .voter = true});
  return members;
}

void Nodes::open(std::size_t place, raft::GroupId group, raft::NodeOptions options,
                 std::unique_ptr<raft::Machine> machine) {
  std::promise<Result<raft::Node*>> opened;
  auto task = [](raft::Host& host, raft::GroupId id, raft::NodeOptions with,
                 std::unique_ptr<raft::Machine> state,
                 std::promise<Result<raft::Node*>>& to) -> boost::asio::awaitable<void> {
    to.set_value(co_await host.open(id, std::move(with), std::move(state)));
  };
  nodes_[place].loop->spawn(
      task(*nodes_[place].host, group, std::move(options), std::move(machine), opened));
  must(opened.get_future().get(), "open a group");
}

raft::Proposal Nodes::propose(std::size_t place, std::string command, io::Nanos timeout) {
  std::promise<raft::Proposal> answer;
  ask(place, [&](raft::Host& host) {
    host.find(kGroup)->propose(std::move(command), timeout, [&](raft::Proposal proposal) {
      answer.set_value(std::move(proposal));
    });
  });
  return answer.get_future().get();
}

raft::Proposal Nodes::change(std::size_t place, std::vector<raft::MemberChange> changes) {
  std::promise<raft::Proposal> answer;
  ask(place, [&](raft::Host& host) {
    host.find(kGroup)->change_members(std::move(changes), kPatience, [&](raft::Proposal proposal) {
      answer.set_value(std::move(proposal));
    });
  });
  return answer.get_future().get();
}

std::size_t Nodes::leader() {
  for (auto end = Clock::now() + kPatience; Clock::now() < end;) {
    for (std::size_t place = 0; place < nodes_.size(); ++place) {
      if (!runs(place) ||
          !ask(place, [](raft::Host& host) { return host.find(kGroup) != nullptr; }))
        continue;
      if (status(place).core.role != raft::Role::kLeader) continue;
      if (propose(place, "x", kPatience).end == raft::Proposal::End::kApplied) return place;
    }
    std::this_thread::sleep_for(1ms);
  }
  must(false, "nobody leads");
  return 0;
}

std::unique_ptr<raft::Machine> counting_machine(std::uint64_t state_bytes) {
  return std::make_unique<CountingMachine>(state_bytes);
}

LoadResult load(Nodes& nodes, std::size_t leader, int in_flight, double seconds) {
  using Seconds = std::chrono::duration<double>;
  auto from = Clock::now() + std::chrono::duration_cast<Clock::duration>(Seconds(seconds / 4));
  auto end = from + std::chrono::duration_cast<Clock::duration>(Seconds(seconds));
  ClosedLoop loop{*nodes.ask(leader, [](raft::Host& host) { return host.find(kGroup); }), from,
                  end};
  nodes.ask(leader, [&](raft::Host&) {
    for (int i = 0; i < in_flight; ++i) loop.start();
  });
  loop.over.get_future().get();
  return {static_cast<double>(loop.done) / seconds, loop.latency};
}

double seconds_of(const Bench& bench, double whole) { return bench.brief ? 1 : whole; }

}  // namespace walrus::bench
