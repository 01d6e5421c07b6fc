// Processes of the member world: how they begin, take part, and end; and their directories.

#include <fmt/format.h>

#include <algorithm>

#include "member_run.h"

namespace walrus::sim {

using namespace std::chrono_literals;

std::string MemberRun::address_of(std::size_t place) const {
  return world_->node(static_cast<int>(place)).host() + ":9093";
}

void MemberRun::start_due() {
  for (auto& process : processes_) {
    if (process.up || process.removed || process.start_at > world_->now()) continue;
    if (process.place != 0 && !founded_) continue;
    if (!start(process)) end(process, draw_ms(10, 300));  // a disk that is full, or a crash
  }
}

bool MemberRun::start(Process& process) {
  auto& simulated = world_->node(static_cast<int>(process.place));
  auto& env = simulated.restart();
  ++process.life;
  process.up = true;
  process.broken = process.counted = false;
  // Upgraded, or the other way round: where the level was raised that one is refused.
  if (healed_ || draw(4) == 0) process.level = kLaterLevel;
  else if (draw(20) == 0) process.level = meta::kFeatureLevel;
  const auto* known = truth_.newest().find_node(NodeId{process.place + 1});
  // It registered in a life that ended before anybody looked.
  if (process.lost && known && known->incarnation != process.before.incarnation) {
    if (process.before.incarnation != 0) truth_.registered(process.before, *known, true);
    process.lost = false;
  }
  process.before = known ? *known : meta::Node{};
  process.loop = env.make_loop();
  auto engine = log::Engine::open(env, engine_options_);
  if (!engine) {
    say(fmt::format("node {} does not start: {}", process.place + 1, engine.error().message));
    if (!simulated.crashed() && engine.error().code == Code::kCorrupt)
      flag("what is on the disk opens", engine.error().message);
    return false;
  }
  process.engine = *std::move(engine);
  process.transport = std::make_unique<net::TcpTransport>();
  ++tally_.reopenings;
  if (process.life > 1) ++tally_.restarts;
  say(fmt::format("node {} starts, life {}", process.place + 1, process.life));
  process.loop->spawn(begin(*this, process.place, process.life));
  return true;
}

boost::asio::awaitable<void> MemberRun::begin(MemberRun& run, std::size_t place,
                                              std::uint64_t life) {
  auto joined = co_await join(run, place, life);
  auto& process = run.processes_[place];
  if (!process.up || process.life != life || joined) co_return;
  run.say(fmt::format("node {} does not take part: {}", place + 1, joined.error().message));
  process.broken = true;
}

io::Task<void> MemberRun::join(MemberRun& run, std::size_t place, std::uint64_t life) {
  auto& process = run.processes_[place];
  auto& env = run.world_->node(static_cast<int>(place)).env();
  const NodeId id{place + 1};
  std::vector<std::string> others;
  for (std::size_t i = 0; i < run.processes_.size(); ++i)
    if (i != place) others.push_back(run.address_of(i));
  WALRUS_CO_ASSIGN(auto stored, meta::load_identity(*process.engine));
  if (!stored && !run.founded_) {
    WALRUS_CO_ASSIGN(stored, meta::found_cluster(env, *process.engine, id));
    run.founded_ = true;
  } else if (!stored) {
    WALRUS_CO_ASSIGN(stored, co_await meta::find_cluster(env, *process.loop, *process.transport,
                                                         *process.engine, id, others, 10s));
  }
  WALRUS_CO_ASSIGN(auto identity, meta::claim(env, *process.engine, *stored));
  net::RpcOptions rpc{.self = identity.peer(),
                      .listen = run.address_of(place),
                      .message_bytes_max = meta::kPeerMessageBytesMin};
  rpc.keepalive_interval = 500ms;
  rpc.silence_max = 2s;
  rpc.backoff_max = 300ms;
  WALRUS_CO_ASSIGN(process.rpc, net::Rpc::start(env, *process.loop, *process.transport, rpc));
  WALRUS_CO_ASSIGN(process.host, raft::Host::start(env, *process.loop, *process.engine,
                                                   *process.rpc, {.self = id}));
  auto options = run.member_options_;
  options.identity = identity;
  options.feature_level = process.level;
  options.listeners = {{"peer", run.address_of(place)}};
  options.rack = "r" + std::to_string(place % 3);
  options.join = std::move(others);
  WALRUS_CO_ASSIGN(auto member, co_await meta::Member::start(
                                    {env, *process.loop, *process.transport, *process.engine,
                                     *process.rpc, *process.host, *process.log},
                                    std::move(options)));
  if (!run.lives(place, life)) co_return Result<void>();
  const auto incarnation = identity.incarnation();
  member->subscribe([&run, id, incarnation](const std::shared_ptr<const meta::State>& image) {
    run.truth_.image(id, incarnation, *image, run.now());
  });
  if (member->image()->version > meta::Version{})
    run.truth_.image(id, incarnation, *member->image(), run.now());
  member->on_lease([&run, id, incarnation](io::Nanos asked_at) {
    ++run.tally_.hits["lease"];
    run.truth_.lease(id, incarnation, asked_at.count());
  });
  member->on_work([&run, place](meta::Work work) {
    if (std::holds_alternative<meta::Recover>(work)) ++run.tally_.hits["recover"];
    if (std::holds_alternative<meta::Roll>(work)) ++run.tally_.hits["roll"];
    run.processes_[place].loop->spawn(carry_out(run.processes_[place].member, std::move(work)));
  });
  process.member = std::move(member);
  co_return Result<void>();
}

// As if the segment were empty.
boost::asio::awaitable<void> MemberRun::carry_out(std::shared_ptr<meta::Member> member,
                                                  meta::Work work) {
  const auto id = std::visit([](const auto& one) { return one.partition; }, work);
  const auto* partition = member->image()->partitions.find(id);
  if (partition == nullptr || !partition->tail) co_return;
  const auto& tail = *partition->tail;
  meta::Seal seal{.partition = id,
                  .expected = partition->version,
                  .segment = tail.id,
                  .epoch = tail.epoch,
                  .end = tail.base};
  if (const auto* recover = std::get_if<meta::Recover>(&work)) {
    seal.epoch = recover->epoch;
    seal.next = recover->next;
  } else if (const auto* roll = std::get_if<meta::Roll>(&work)) {
    seal.next = roll->next;
  } else {
    co_return;
  }
  (void)co_await member->propose_one(std::move(seal));
}

// Crashed ones are gone; those whose engine failed end as a server would, and start anew.
void MemberRun::reap() {
  for (auto& process : processes_) {
    if (!process.up) continue;
    auto& simulated = world_->node(static_cast<int>(process.place));
    const bool failed = process.engine && !process.engine->failure();
    if (!simulated.crashed() && !failed && !process.broken) continue;
    if (!simulated.crashed()) simulated.crash(io::CrashKind::kKill);
    ++tally_.crashes;
    say(fmt::format("node {} is down", process.place + 1));
    end(process, healed_ ? io::Nanos(50ms) : draw_ms(1, 2'500));
  }
}

void MemberRun::end(Process& process, io::Nanos down_for) {
  auto& simulated = world_->node(static_cast<int>(process.place));
  if (!simulated.crashed()) simulated.crash(io::CrashKind::kKill);
  process.up = false;
  if (process.member) process.member->drop();
  process.member.reset();
  process.host.reset();
  process.rpc.reset();
  process.engine.reset();
  process.transport.reset();
  process.loop.reset();
  process.start_at = world_->now() + down_for;
}

bool MemberRun::lives(std::size_t place, std::uint64_t life) const {
  const auto& process = processes_[place];
  return process.up && process.life == life && !world_->node(static_cast<int>(place)).crashed();
}

// In good order: the cluster is told.
boost::asio::awaitable<void> MemberRun::stop(MemberRun& run, std::size_t place,
                                             std::uint64_t life) {
  const auto member = run.processes_[place].member;
  (void)co_await member->stop(run.world_->now() + 1s);
  if (run.lives(place, life)) run.processes_[place].broken = true;
}

meta::Member* MemberRun::member(std::size_t place) {
  return lives(place, processes_[place].life) ? processes_[place].member.get() : nullptr;
}

std::vector<std::size_t> MemberRun::members_up() {
  std::vector<std::size_t> all;
  for (std::size_t i = 0; i < processes_.size(); ++i)
    if (member(i) != nullptr) all.push_back(i);
  return all;
}

std::size_t MemberRun::leader() {
  std::size_t best = SIZE_MAX;
  raft::Term term = 0;
  for (const auto place : members_up()) {
    const auto status = member(place)->status();
    if (!status.leads || status.term < term) continue;
    best = place;
    term = status.term;
  }
  return best;
}

// ---- Directories ----

MemberRun::Files MemberRun::files_of(std::size_t place, const std::string& directory) {
  Files all;
  auto& disk = world_->node(static_cast<int>(place)).env().disk();
  for (const auto& entry : disk.list(directory).value_or(std::vector<io::Entry>{})) {
    const auto path = directory + "/" + entry.name;
    if (entry.directory) {
      for (auto& one : files_of(place, path)) all.push_back(std::move(one));
      continue;
    }
    auto file = disk.open(path, io::Open::kRead);
    std::string bytes(static_cast<std::size_t>(entry.size), '\0');
    if (!file || !(*file)->read(0, bytes)) return {};
    all.emplace_back(path, std::move(bytes));
  }
  return all;
}

void MemberRun::remove_files(std::size_t place, const std::string& directory) {
  auto& disk = world_->node(static_cast<int>(place)).env().disk();
  for (const auto& entry : disk.list(directory).value_or(std::vector<io::Entry>{})) {
    const auto path = directory + "/" + entry.name;
    if (entry.directory) remove_files(place, path);
    else (void)disk.remove(path);
  }
  (void)disk.sync_directory(directory);
}

bool MemberRun::put_back(std::size_t place, const Files& files) {
  auto& disk = world_->node(static_cast<int>(place)).env().disk();
  for (const auto& [path, bytes] : files) {
    auto file = disk.open(path, io::Open::kCreate);
    if (!file || !(*file)->write(0, bytes) || !(*file)->sync() ||
        !disk.sync_directory(io::Path(path).parent_path()))
      return false;
  }
  return true;
}

}  // namespace walrus::sim
