#include "service_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <sstream>
#include <utility>

#include "linearizable.h"
#include "service/world.h"

namespace walrus::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr auto kLength = seconds(15), kProgressWithin = seconds(60);

}  // namespace

const std::vector<std::string>& service_families() {
  static const std::vector<std::string> families{
      "kill",          "power-cut",  "isolate",       "cut",      "heal",
      "pause",         "loss",       "clock",         "timeout",  "resumed",
      "burst",         "stale-read", "session-read",  "snapshot", "outside-answer",
      "reader-answer", "slow-start", "asked-at-start"};
  return families;
}

// put K V, cas K OLD NEW, delete K, add N; get K, sum. Every answer begins with the index that it
// belongs to.
class ServiceRun::Store final : public StateMachine {
 public:
  Store(ServiceRun& run, NodeId node) : run_(run), node_(node) {}

  std::string apply(Bytes command, const ApplyContext& context) override {
    index_ = context.index;
    std::istringstream words{std::string(command)};
    std::string verb, key, first, second;
    words >> verb >> key >> first >> second;
    std::string answer = "yes";
    if (verb == "add") answer = std::to_string(++sum_);
    else if (verb == "put") values_[key] = first;
    else if (verb == "delete") answer = values_.erase(key) > 0 ? "yes" : "no";
    else if (const auto found = values_.find(key); found != values_.end() && found->second == first)
      found->second = second;
    else answer = "no";
    const auto reply = fmt::format("{} {}", index_, answer);
    run_.check_same(node_, context, reply);
    return reply;
  }
  std::string query(Bytes question) const override {
    if (question == "sum") return fmt::format("{} {}", index_, sum_);
    const auto found = values_.find(std::string(question));
    return fmt::format("{} {}", index_, found == values_.end() ? "-" : found->second);
  }
  std::unique_ptr<Snapshot> snapshot() const override {
    run_.hit("snapshot");
    auto saved = std::make_unique<Saved>();
    saved->text = fmt::format("{} {}", index_, sum_);
    for (const auto& [key, value] : values_) saved->text += " " + key + " " + value;
    return saved;
  }
  Result<void> restore(SnapshotReader& from) override {
    std::string text;
    char piece[100];
    while (true) {
      auto size = from.read(piece);
      if (!size) return std::unexpected(size.error());
      if (*size == 0) break;
      text.append(piece, *size);
    }
    std::istringstream words(text);
    values_.clear();
    words >> index_ >> sum_;
    for (std::string key, value; words >> key >> value;) values_[key] = value;
    return {};
  }

 private:
  struct Saved : Snapshot {
    std::string text{};
    Result<void> write(SnapshotWriter& to) const override { return to.write(text); }
  };
  ServiceRun& run_;
  const NodeId node_;
  std::map<std::string, std::string> values_{};
  std::uint64_t index_ = 0, sum_ = 0;
};

ServiceRun::ServiceRun(std::uint64_t seed, std::int64_t)
    : world_(walrus::World::simulated(seed, kNodes)), random_(mix64(seed ^ 0x5e41)) {
  for (auto& options : founders_of("store", world_.peers(kNodes), "/data")) {
    options.world = &world_;
    options.snapshot_after_bytes = random_.chance(0.5) ? 2'000 : 8'000;
    options_[options.id] = options;
  }
  for (std::size_t i = 0; i < kOutside; ++i) clients_[i].outside = true;
  for (const auto& [id, options] : options_)
    world_.impl().node(id).at_crash_points([this, id](std::string_view name) {
      if (name == "fetch-before-copy") before_reading(id);
    });
}

// Sessions first: their answers come back to this.
ServiceRun::~ServiceRun() {
  for (auto& reader : readers_) reader.asking.reset();
  for (auto& client : clients_) client.session.reset();
  services_.clear();
}

void ServiceRun::run() {
  for (const auto& [id, options] : options_) start(id);
  const auto end = world_.within(kLength);
  const double trouble = random_.chance(0.2) ? 0.05 : 0.2;
  while (world_.within(Millis(0)) < end && !violation_) {
    if (random_.chance(trouble)) disturb();
    for (const auto& [id, options] : options_)
      if (!services_.contains(id) && world_.within(Millis(0)) >= starts_[id]) start(id);
    for (auto& client : clients_) drive(client);
    for (auto& reader : readers_) drive(reader);
    world_.run_for(Millis(random_.between(1, 50)));
  }
  if (!violation_) check_end();
  tally_.trace = world_.trace_hash();
}

// ---- Clients ----

void ServiceRun::drive(Client& client) {
  if (client.waits > 0 || violation_ || (!client.session && !connect(client))) return;
  if (client.outside && client.command.empty() && random_.chance(0.4)) return burst(client);
  if (client.command.empty()) begin(client);
  if (!client.command.empty() && client.waits == 0) propose(client);
}

bool ServiceRun::connect(Client& client) {
  const auto deadline = world_.within(milliseconds(500));
  std::optional<Result<Session>> session;
  if (client.outside) {
    std::vector<std::string> addresses;
    for (const auto& peer : world_.peers(kNodes)) addresses.push_back(peer.address);
    session = world_.connect(addresses, deadline);
  } else {
    const auto node = services_.find(any_node());
    if (node == services_.end()) return false;
    const bool anew = client.place.id == 0;
    if (!anew) hit("resumed");
    session = anew ? node->second->session(deadline)
                   : node->second->resume(client.place.id, client.place.next_sequence, deadline);
  }
  if (!*session) {
    const auto& error = session->error();
    const bool usual = error.code == Code::kTimeout || error.code == Code::kClosed;
    if (!usual) fail("session", fmt::format("session {}: {}", client.place.id, error.message));
    return false;
  }
  client.session = **std::move(session);
  client.place.id = client.session->id();
  return true;
}

void ServiceRun::begin(Client& client) {
  KvOperation operation{.session = client.place.id};
  operation.key = std::string(1, static_cast<char>('a' + random_.below(kKeys)));
  const auto value = [&] { return std::to_string(random_.below(5)); };
  using Kind = KvOperation::Kind;
  switch (random_.below(8)) {
    case 0: operation.kind = Kind::kDelete; break;
    case 1:
      operation.kind = Kind::kCas;
      operation.expected = value();
      operation.value = value();
      break;
    case 2:
    case 3:
      operation.kind = Kind::kPut;
      operation.value = value();
      break;
    case 4:
    case 5:
      client.command = "add 1";
      client.operation.reset();
      return;
    default: return read(client, std::move(operation));
  }
  client.command = operation.kind == Kind::kDelete ? "delete"
                   : operation.kind == Kind::kCas  ? "cas"
                                                   : "put";
  client.command += " " + operation.key;
  if (operation.expected) client.command += " " + *operation.expected;
  if (operation.value) client.command += " " + *operation.value;
  client.operation = history_.invoke(std::move(operation), now());
}

void ServiceRun::propose(Client& client) {
  const auto next = client.session->next_sequence();
  if (next == 0) return gone(client);
  client.place.next_sequence = next;
  ++client.waits;
  ++tally_.operations;
  client.session->propose_async(client.command, world_.within(seconds(2)),
                                [this, &client](Result<std::string> reply) {
                                  --client.waits;
                                  answered(client, std::move(reply));
                                });
}

void ServiceRun::answered(Client& client, Result<std::string> reply) {
  if (!reply) return lost(client, reply.error());
  client.in_doubt = false;
  ++client.place.next_sequence;
  ++client.answers;
  ++tally_.acknowledged;
  if (client.outside) hit("outside-answer");
  take(client, *reply);
  client.command.clear();
}

void ServiceRun::take(Client& client, const std::string& reply) {
  std::istringstream words(reply);
  std::uint64_t index = 0;
  std::string answer;
  words >> index >> answer;
  say(fmt::format("session {}: {} -> {}", client.place.id, client.command, reply));
  if (client.operation) {
    auto& done = history_.done(*client.operation, now(), index);
    if (done.kind != KvOperation::Kind::kPut) done.changed = answer == "yes";
    return;
  }
  const auto sum = take_sum(reply);
  if (sum <= client.last_sum)
    fail("once",
         fmt::format("session {} was answered {} after {}", client.place.id, sum, client.last_sum));
  client.last_sum = sum;
}

std::uint64_t ServiceRun::take_sum(const std::string& reply) {
  const auto sum = std::strtoull(reply.c_str() + reply.find(' ') + 1, nullptr, 10);
  ++added_;
  if (!sums_.insert(sum).second) fail("once", fmt::format("two additions were answered {}", sum));
  return sum;
}

// Several additions of one session are under way: they are applied in the order of their making.
void ServiceRun::burst(Client& client) {
  const auto count = static_cast<std::size_t>(random_.between(2, 6));
  const auto sums = std::make_shared<std::vector<std::uint64_t>>(count);  // 0: not known
  client.waits += static_cast<int>(count);
  for (std::size_t i = 0; i < count; ++i) {
    ++tally_.operations;
    client.session->propose_async("add 1", world_.within(seconds(2)),
                                  [this, &client, sums, i](Result<std::string> reply) {
                                    --client.waits;
                                    if (!reply) return lost(client, reply.error());
                                    ++client.answers;
                                    ++tally_.acknowledged;
                                    (*sums)[i] = take_sum(*reply);
                                    if (client.waits == 0) burst_answered(client, *sums);
                                  });
  }
}

void ServiceRun::burst_answered(Client& client, const std::vector<std::uint64_t>& sums) {
  hit("burst");
  for (const auto sum : sums) {
    if (sum == 0) continue;
    if (sum <= client.last_sum)
      fail("once", fmt::format("session {}: an addition was answered {}, one before it {}",
                               client.place.id, sum, client.last_sum));
    client.last_sum = std::max(client.last_sum, sum);
  }
}

void ServiceRun::lost(Client& client, const Error& error) {
  const bool timeout = error.code == Code::kTimeout;
  if (!timeout && error.code != Code::kClosed)
    return fail("session",
                fmt::format("session {}: {}: {}", client.place.id, client.command, error.message));
  if (timeout) hit("timeout");
  if (timeout || client.in_doubt) {  // its outcome stays unknown
    ++tally_.refused;
    unknown_ += client.command.empty() || !client.operation;
    client.command.clear();
  }
  if (timeout) client.in_doubt = true;
  else gone(client);
}

// The session's node has crashed.
void ServiceRun::gone(Client& client) {
  if (std::exchange(client.in_doubt, false)) client.place = {};
  client.session.reset();
}

void ServiceRun::read(Client& client, KvOperation operation) {
  const Read levels[] = {Read::kLinearizable, Read::kLinearizable, Read::kSession, Read::kStale};
  const auto level = levels[random_.below(4)];
  if (level == Read::kStale) hit("stale-read");
  if (level == Read::kSession) hit("session-read");
  operation.level = static_cast<KvOperation::Level>(level);
  const auto key = operation.key;
  const auto place = history_.invoke(std::move(operation), now());
  ++tally_.operations;
  const auto answer = client.session->query(key, level, world_.within(seconds(1)));
  if (!answer && answer.error().code == Code::kClosed) gone(client);
  say(fmt::format("session {}: get {}, level {} -> {}", client.place.id, key,
                  static_cast<int>(level), answer ? *answer : answer.error().message));
  read_done(place, key, answer);
}

void ServiceRun::read_done(std::size_t place, const std::string& key, Result<std::string> answer) {
  if (!answer) {
    history_.failed(place, now());
    if (answer.error().code == Code::kClosed || answer.error().code == Code::kTimeout) return;
    return fail("session", fmt::format("get {}: {}", key, answer.error().message));
  }
  std::istringstream words(*answer);
  std::uint64_t index = 0;
  std::string value;
  words >> index >> value;
  auto& done = history_.done(place, now(), index);
  if (value != "-") done.value = value;
  ++tally_.reads;
}

// ---- Readers ----

void ServiceRun::drive(Reader& reader) {
  if (violation_ || reader.waits > 0) return;
  if (reader.session == 0) open(reader);
  else ask(reader);
}

void ServiceRun::open(Reader& reader) {
  std::vector<Peer> peers = world_.peers(kNodes);
  for (std::size_t i = peers.size(); i > 1; --i) std::swap(peers[i - 1], peers[random_.below(i)]);
  peers.resize(static_cast<std::size_t>(random_.between(1, kNodes)));
  std::vector<std::string> addresses;
  reader.nodes.clear();
  for (const auto& peer : peers) {
    addresses.push_back(peer.address);
    reader.nodes.insert(peer.id);
  }
  reader.asking =
      std::make_unique<ServiceReader>(world_.impl().env(NodeId{}), std::move(addresses));
  ++reader.waits;
  reader.asking->open(
      world_.within(seconds(1)).time_since_epoch(), [this, &reader](Result<std::uint64_t> session) {
        --reader.waits;
        if (session) reader.session = *session;
        else if (session.error().code != Code::kTimeout && session.error().code != Code::kClosed)
          fail("session", "a reader's: " + session.error().message);
      });
}

void ServiceRun::ask(Reader& reader) {
  KvOperation operation{.session = reader.session};
  operation.key = std::string(1, static_cast<char>('a' + random_.below(kKeys)));
  const Read levels[] = {Read::kLinearizable, Read::kSession, Read::kSession, Read::kStale};
  const auto level = levels[random_.below(4)];
  operation.level = static_cast<KvOperation::Level>(level);
  const auto key = operation.key;
  const auto place = history_.invoke(std::move(operation), now());
  ++tally_.operations;
  ++reader.waits;
  reader.asking->ask(
      key, level, world_.within(seconds(1)).time_since_epoch(),
      [this, &reader, place, key, level](Result<std::string> answer) {
        --reader.waits;
        if (answer) hit("reader-answer");
        reader.answers += answer.has_value();
        say(fmt::format("reader {}: get {}, level {} -> {}", reader.session, key,
                        static_cast<int>(level), answer ? *answer : answer.error().message));
        read_done(place, key, std::move(answer));
      });
}

// ---- Nodes ----

void ServiceRun::disturb() {
  const auto node = any_node();
  switch (random_.below(9)) {
    case 0:
    case 1:
    case 2:
      if (services_.contains(node)) crash(node);
      return;
    case 3:
      hit("isolate");
      say(fmt::format("node {} is isolated", node.value));
      return world_.isolate(node);
    case 4: {
      const auto to = any_node();
      hit("cut");
      say(fmt::format("node {} does not hear node {}", to.value, node.value));
      return world_.cut(node, to);
    }
    case 5:
    case 6:
      hit("heal");
      say("all links are healed");
      return world_.heal();
    case 7: {
      const auto time = Millis(random_.between(1, 2'000));
      hit("pause");
      say(fmt::format("node {} is paused for {} ms", node.value, time.count()));
      return world_.pause(node, time);
    }
    default:
      hit("loss");
      hit("clock");
      world_.lose(random_.chance(0.5) ? 0 : 0.05);
      return world_.jump_clock(node, Millis(random_.between(-5'000, 5'000)));
  }
}

void ServiceRun::start(NodeId node) {
  if (services_.contains(node)) return;
  if (random_.chance(0.5)) slow_ = node;
  auto service = Service::start(options_.at(node), std::make_unique<Store>(*this, node));
  slow_ = {};
  if (!service)
    return fail("progress", fmt::format("node {}: {}", node.value, service.error().message));
  say(fmt::format("node {} starts", node.value));
  ++tally_.reopenings;
  services_[node] = std::make_unique<Service>(*std::move(service));
}

// What is on the disk of a node that starts takes its time to be read. By then the node takes
// connections, and is asked.
void ServiceRun::before_reading(NodeId node) {
  if (node != slow_) return;
  slow_ = {};
  hit("slow-start");
  for (const auto& reader : readers_)
    if (reader.waits > 0 && reader.nodes.contains(node)) hit("asked-at-start");
  world_.run_for(Millis(random_.between(1, 100)));
}

void ServiceRun::crash(NodeId node) {
  const bool kill = random_.chance(0.5);
  hit(kill ? "kill" : "power-cut");
  say(fmt::format("node {}: {}", node.value, kill ? "kill" : "power cut"));
  ++tally_.crashes;
  world_.crash(node, kill ? Crash::kKill : Crash::kPowerCut);
  starts_[node] = world_.within(Millis(random_.between(1, random_.chance(0.5) ? 100 : 3'000)));
  services_.erase(node);
}

// ---- The end ----

void ServiceRun::heal() {
  say("everything is healed");
  world_.heal();
  world_.lose(0);
  for (const auto& [id, options] : options_) start(id);
}

bool ServiceRun::all_answered(const std::vector<std::int64_t>& before) {
  bool all = true;
  auto was = before.begin();
  const auto look = [&](auto& one) {
    if (one.answers > *was++ && one.waits == 0) return;
    all = false;
    drive(one);
  };
  for (auto& client : clients_) look(client);
  for (auto& reader : readers_) look(reader);
  return all;
}

std::vector<std::int64_t> ServiceRun::answers() const {
  std::vector<std::int64_t> all;
  for (const auto& client : clients_) all.push_back(client.answers);
  for (const auto& reader : readers_) all.push_back(reader.answers);
  return all;
}

void ServiceRun::check_end() {
  heal();
  const auto before = answers();
  const auto deadline = world_.within(kProgressWithin);
  while (!violation_ && !all_answered(before)) {
    if (world_.within(Millis(0)) >= deadline)
      return fail("progress", "a client was not answered after everything was healed");
    world_.run_for(Millis(5));
  }
  const auto sum = asked_of(NodeId{1}, Read::kLinearizable);
  for (const auto& [id, service] : services_) {
    const auto seen = asked_of(id, Read::kLinearizable);
    if (seen != sum)
      fail("same", fmt::format("node {} has the sum {}, not {}", id.value, seen, sum));
    if (const auto status = service->status(); !status.failure.empty())
      fail("progress", fmt::format("node {} has failed: {}", id.value, status.failure));
  }
  const auto total = std::strtoull(sum.c_str(), nullptr, 10);
  if (total < added_ || total > added_ + unknown_)
    fail("once", fmt::format("the sum is {}; {} additions were answered, {} are unknown", total,
                             added_, unknown_));
  if (auto verdict = check_linearizable(history_)) fail(verdict->rule, verdict->detail);
}

std::string ServiceRun::asked_of(NodeId node, Read level) {
  auto session = services_.at(node)->session(world_.within(seconds(20)));
  if (!session) return session.error().message;
  const auto answer = session->query("sum", level, world_.within(seconds(20)));
  return answer ? answer->substr(answer->find(' ') + 1) : answer.error().message;
}

void ServiceRun::check_same(NodeId node, const ApplyContext& context, const std::string& reply) {
  const Applied here{reply, context.term, context.seed, context.session, context.leader_time};
  const auto [at, fresh] = applied_.emplace(context.index, here);
  if (at->second != here)
    fail("same", fmt::format("node {} makes '{}' of entry {}, term {}, another one '{}', term {}",
                             node.value, reply, context.index, context.term, at->second.reply,
                             at->second.term));
  if (at != applied_.begin() && std::prev(at)->second.leader_time > context.leader_time)
    fail("same", fmt::format("the leader's time goes back at entry {}", context.index));
}

void ServiceRun::fail(const std::string& rule, const std::string& detail) {
  say(fmt::format("VIOLATION {}: {}", rule, detail));
  if (!violation_) violation_ = Violation{rule, detail};
}

void ServiceRun::say(const std::string& line) {
  if (narrates_) std::printf("%10.3f ms  %s\n", static_cast<double>(now()) / 1e6, line.c_str());
}

std::int64_t ServiceRun::now() const { return world_.within(Millis(0)).time_since_epoch().count(); }

}  // namespace walrus::sim
