// Snapshots on their way to a member of a service (fuzz/snapshot_form.h says what the input is):
// two leaders, who may send anything, and the Host, the Store and the Fold that ship, on a
// simulated disk and network that is cut, killed and restarted. What becomes the node's has the
// checksum that its id names, and the bytes of who sent it; what does not is refused with a reason,
// and the group opens as it was. A transfer that goes on where another one ended gives the same as
// one that was never cut. Afterwards an honest leader gets its snapshot across.

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>

#include "io/sim/sim_world.h"
#include "log/engine.h"
#include "net/rpc.h"
#include "raft/host.h"
#include "snapshot_form.h"
#include "steps.h"
#include "wire/peer/raft_bundle.h"

namespace {

using namespace walrus;
using namespace std::chrono_literals;
using fuzz::Sent, fuzz::Step;
using raft::SnapshotMeta;

constexpr raft::GroupId kGroup{7};
constexpr net::Method kBundle{wire::peer::kRaftBundleMethod};
constexpr std::size_t kStepsMax = 60, kRestartsMax = 3, kPiecesMax = 300;
constexpr raft::Term kTermMax = raft::Term{1} << 40;
constexpr raft::Index kIndexMax = raft::Index{1} << 40;

// The Fold, and what it was restored from.
class Machine final : public raft::Machine {
 public:
  struct Restored {
    raft::EntryId last{};
    std::string bytes{};
    bool whole = false;  // the fold took it
  };
  explicit Machine(std::shared_ptr<Restored> restored) : restored_(std::move(restored)) {}
  Result<void> apply(std::span<const raft::Command> commands,
                     std::vector<std::string>& replies) override {
    return fold_->apply(commands, replies);
  }
  Result<std::unique_ptr<raft::Frozen>> freeze() override { return fold_->freeze(); }
  Result<void> restore(raft::EntryId last, raft::SnapshotSource& source) override {
    *restored_ = {.last = last};
    Tap tap(source, restored_->bytes);
    WALRUS_TRY(fold_->restore(last, tap));
    restored_->whole = true;
    return {};
  }

 private:
  struct Tap final : raft::SnapshotSource {
    Tap(raft::SnapshotSource& from, std::string& into) : source(from), bytes(into) {}
    Result<std::size_t> read(std::span<char> to) override {
      auto size = source.read(to);
      if (size) bytes.append(to.data(), *size);
      return size;
    }
    raft::SnapshotSource& source;
    std::string& bytes;
  };
  const std::unique_ptr<service::Fold> fold_ = fuzz::make_fold();
  const std::shared_ptr<Restored> restored_;  // shared with the test
};

log::EngineOptions engine_options() {
  log::EngineOptions options;
  options.user.root = "/data";
  options.user.shards = 1;
  options.user.batch_bytes_max = 8 << 10;
  options.user.journal_bytes_max = 2 << 20;
  options.user.cache_bytes_max = 4 << 10;
  options.journal_file_bytes_min = options.journal_file_bytes_max = 256 << 10;
  options.checkpoint_interval = options.maintenance_interval = std::chrono::hours(1);
  return options;
}

raft::NodeOptions node_options() {
  raft::NodeOptions options;
  options.founders = fuzz::three_members();
  options.core.election_timeout_min = std::chrono::hours(24);  // it never stands for election
  options.core.election_timeout_max = std::chrono::hours(48);
  options.core.append_bytes_max = options.core.proposal_bytes_max = 2 << 10;
  options.core.snapshot_chunk_bytes = 1 << 10;
  options.core.log_bytes_kept = 100;
  options.runs = raft::Runs::kLoop;
  return options;
}

net::RpcOptions rpc_options(std::uint64_t node, std::uint64_t life) {
  net::RpcOptions options;
  options.self = {{1, 1}, {node}, {life}};
  options.message_bytes_max = 64 << 10;
  options.keepalive_interval = 50ms;
  options.silence_max = 200ms;
  return options;
}

raft::SnapshotChunk chunk_of(const Sent& of, std::size_t position, std::size_t size) {
  return {.meta = of.meta,
          .position = position,
          .bytes = raft::Payload::copy_of(Bytes(of.bytes).substr(position, size))};
}

// The member that snapshots are sent to.
class Receiver {
 public:
  explicit Receiver(io::World& world) : world_(world) { start(); }
  ~Receiver() { end(); }

  std::string address() const { return world_.node(0).host() + ":9093"; }
  raft::NodeStatus status() const { return node_->status(); }
  bool failed() const { return *failed_; }
  raft::Node& node() { return *node_; }
  const Machine::Restored& restored() const { return *restored_; }
  void restart(unsigned how) {
    auto& node = world_.node(0);
    if (how == 0) node.crash(io::CrashKind::kKill);
    if (how == 1) node.crash(io::CrashKind::kPowerCut);
    end();
    node.restart();
    start();
  }

 private:
  // Whatever was sent: what is on the disk can be opened.
  void start() {
    auto& env = world_.node(0).env();
    loop_ = env.make_loop();
    engine_ = *log::Engine::open(env, engine_options());
    auto options = rpc_options(1, ++life_);
    options.listen = address();
    rpc_ = *net::Rpc::start(env, *loop_, transport_, options);
    host_ = *raft::Host::start(env, *loop_, *engine_, *rpc_,
                               {.self = NodeId{1}, .seed = 1, .tick = 50ms});
    restored_ = std::make_shared<Machine::Restored>();
    failed_ = std::make_shared<bool>(false);
    node_ = nullptr;
    loop_->spawn(open(*this));
    CHECK(world_.run_until([&] { return node_ != nullptr; }, 10s));
    CHECK(world_.run_until([&] { return !status().restoring; }, 10s));
  }
  static boost::asio::awaitable<void> open(Receiver& self) {
    auto options = node_options();
    options.on_change = [failed = self.failed_](const raft::NodeStatus& status) {
      *failed = !status.failure.empty();
    };
    auto opened = co_await self.host_->open(kGroup, std::move(options),
                                            std::make_unique<Machine>(self.restored_));
    CHECK(opened.has_value());
    self.node_ = *opened;
  }
  void end() {
    host_.reset();
    rpc_.reset();
    engine_.reset();
    loop_.reset();
  }

  io::World& world_;
  std::uint64_t life_ = 0;
  net::TcpTransport transport_;
  std::unique_ptr<io::Loop> loop_;
  std::unique_ptr<log::Engine> engine_;
  std::unique_ptr<net::Rpc> rpc_;
  std::unique_ptr<raft::Host> host_;
  std::shared_ptr<Machine::Restored> restored_;  // shared with the Machine
  std::shared_ptr<bool> failed_;                 // shared with the Node
  raft::Node* node_ = nullptr;
};

// A leader, who says what it is told to and hears the answers.
class Leader {
 public:
  Leader(io::World& world, std::uint64_t id, std::string receiver)
      : id_(id), loop_(world.node(1).env().make_loop()) {
    rpc_ = *net::Rpc::start(world.node(1).env(), *loop_, transport_, rpc_options(id, 1));
    rpc_->handle_send(kBundle, [this](net::Request request) { hear(request.body); });
    rpc_->add_peer({1}, std::move(receiver));
  }

  void say(raft::Term term, wire::peer::RaftBody body) {
    std::string bundle;
    wire::peer::begin_bundle(bundle);
    wire::peer::append_bundled(
        bundle, kGroup.value,
        {.from = NodeId{id_}, .to = NodeId{1}, .term = term, .body = std::move(body)});
    (void)rpc_->send({1}, kBundle, std::move(bundle));
  }
  // A chunk whose body is these bytes.
  void say_raw(raft::Term term, Bytes body) {
    std::string message("\x01\x05", 2), bundle;
    append_uvarint(message, id_);
    append_uvarint(message, 1);
    append_uvarint(message, term);
    message += body;
    wire::peer::begin_bundle(bundle);
    append_le(bundle, kGroup.value);
    append_string(bundle, message);
    (void)rpc_->send({1}, kBundle, std::move(bundle));
  }

  std::vector<wire::peer::SnapshotReply> replies{};  // since who looks at them cleared them
  raft::Index match = 0;                             // the highest that was acknowledged

 private:
  void hear(Bytes bundle) {
    auto reader = wire::peer::BundleReader::open(bundle);
    wire::peer::Bundled one;
    while (reader) {
      auto more = reader->next(one);
      if (!more || !*more) return;
      auto message = wire::peer::parse_raft_message(one.message);
      CHECK(message && message->from == NodeId{1});
      if (const auto* reply = std::get_if<wire::peer::SnapshotReply>(&message->body))
        replies.push_back(*reply);
      if (const auto* reply = std::get_if<wire::peer::AppendReply>(&message->body))
        if (!reply->rejected) match = std::max(match, reply->match);
    }
  }

  const std::uint64_t id_;
  net::TcpTransport transport_;
  std::unique_ptr<io::Loop> loop_;
  std::unique_ptr<net::Rpc> rpc_;
};

class Run {
 public:
  explicit Run(std::uint64_t seed)
      : world_(seed, {.nodes = 2}),
        receiver_(world_),
        leaders_{{world_, 2, receiver_.address()}, {world_, 3, receiver_.address()}} {}

  void take(const Step& step) {
    switch (step.what) {
      case Step::kPiece: send(step, chosen(step), step.at, step.size); break;
      case Step::kAltered: send(step, altered(step), step.at, step.size); break;
      case Step::kRest: send_rest(step); break;
      case Step::kMake: make(step); break;
      case Step::kMeta: change_meta(step); break;
      case Step::kRaw: raw(step); break;
      case Step::kAppend: append(step); break;
      case Step::kTerm: term_ += term_ < kTermMax; break;
      case Step::kOwn:
        own_ = true;
        receiver_.node().take_snapshot();
        break;
      case Step::kWait: settle(); break;
      case Step::kRestart:
        if (++restarts_ <= kRestartsMax) restart(step.at % 3);
        break;
      case Step::kStepEnd: break;
    }
  }
  void heal();

 private:
  struct Known {
    SnapshotMeta meta{};
    bool honest = true;  // all that was sent of it is what who has it would send
    bool named = false;  // there are bytes that its id names
  };

  Sent& chosen(const Step& step) { return snapshots_[(step.which & 0x7f) % fuzz::kSnapshots]; }
  Leader& leader(const Step& step) { return leaders_[(step.which & fuzz::kOther) ? 1 : 0]; }

  void send(const Step& step, const Sent& of, std::size_t at, std::size_t size) {
    if (++pieces_ > kPiecesMax) return;
    auto position = std::min(at, of.bytes.size());
    auto bytes = Bytes(of.bytes).substr(position, size);
    auto honest = honest_of(of.meta);
    note(of.meta, position <= honest.size() && bytes == honest.substr(position, size));
    leader(step).say(term_, chunk_of(of, position, size));
  }
  Sent altered(const Step& step) {
    auto other = chosen(step);
    if (step.at < other.bytes.size()) other.bytes[step.at] ^= 0x40;
    return other;
  }
  void send_rest(const Step& step) {
    const auto& of = chosen(step);
    std::size_t size = std::max<std::size_t>(step.size, 100);
    for (std::size_t at = step.at; at < of.bytes.size(); at += size) send(step, of, at, size);
  }
  void make(const Step& step);
  void change_meta(const Step& step);
  void raw(const Step& step);
  void append(const Step& step);

  static std::string key_of(const SnapshotMeta& meta) {
    std::string key;
    wire::peer::append_snapshot_meta(key, meta);
    return key;
  }
  // It was sent; honest: as who has it would.
  void note(const SnapshotMeta& meta, bool honest) {
    auto [known, added] = sent_.try_emplace(key_of(meta), Known{.meta = meta, .honest = honest});
    known->second.honest &= honest;
    known->second.named |= raft::snapshot_id(meta, crc32c(honest_of(meta))) == meta.id;
    if (meta.last.term > 1 || meta.membership != fuzz::three_members()) history_is_one_ = false;
  }
  // The bytes that its sender has; none: nobody has such a snapshot.
  Bytes honest_of(const SnapshotMeta& meta) const {
    auto is = [&](const Sent& one) { return one.meta == meta; };
    auto found = std::ranges::find_if(honest_, is);
    if (found != honest_.end()) return found->bytes;
    found = std::ranges::find_if(snapshots_, is);
    bool sound = found != snapshots_.end() && meta.size == found->bytes.size() &&
                 raft::snapshot_id(meta, crc32c(found->bytes)) == meta.id;
    return sound ? Bytes(found->bytes) : Bytes();
  }

  void settle() {
    world_.run_for(50ms);
    check();
  }
  void check();
  void restart(unsigned how);
  bool bring(const Sent& snapshot);
  bool all_is_honest() const;
  bool has_what_was_named() const;
  const Sent* begun_above(raft::Index last) const;
  void finish(const Sent& snapshot);

  io::World world_;
  Receiver receiver_;
  Leader leaders_[2];
  const std::vector<Sent> honest_ = fuzz::snapshots_of();
  std::vector<Sent> snapshots_ = honest_;
  std::map<std::string, Known> sent_{};
  raft::Term term_ = 1;
  std::size_t pieces_ = 0, restarts_ = 0;
  bool history_is_one_ = true;  // no leader spoke of another term's entries, or other members
  bool own_ = false;            // it was told to take a snapshot
  raft::EntryId snapshot_{};    // the node's, and its commit index, when all was well
  raft::Index commit_ = 0;
};

void Run::make(const Step& step) {
  auto& made = snapshots_[fuzz::kMade];
  made.bytes = step.bytes;
  constexpr std::size_t kHead = 13;
  if ((step.at & 1) && made.bytes.size() >= kHead) {
    auto size = load_le<std::uint64_t>(made.bytes.data() + 1);
    size = std::min<std::uint64_t>(size, made.bytes.size() - kHead);
    store_le(made.bytes.data() + 1, size);
    store_le(made.bytes.data() + 9, crc32c(Bytes(made.bytes).substr(kHead, size)));
  }
  made.meta.size = made.bytes.size();
  fuzz::mend_id(made);
}

void Run::change_meta(const Step& step) {
  auto& one = chosen(step);
  auto& meta = one.meta;
  std::uint64_t by = step.size;
  switch ((step.at & ~fuzz::kMend) % 9) {
    case 0: meta.size += by; break;
    case 1: meta.size -= std::min(meta.size, by); break;
    case 2: meta.size ^= by << 47; break;
    case 3: meta.id ^= by; break;
    case 4: meta.last.term ^= by; break;
    case 5: meta.last.index = by; break;
    case 6: meta.last.index ^= by << 47; break;
    case 7: meta.membership.joint = by & 1; break;
    default:
      for (auto& member : meta.membership.members) {
        member.voter = by & 1;
        member.voter_before = by & 2;
        by >>= 2;
      }
  }
  if (step.at & fuzz::kMend) fuzz::mend_id(one);
}

void Run::raw(const Step& step) {
  std::string message("\x01\x05\x02\x01\x01", 5);
  message += step.bytes;
  if (auto parsed = wire::peer::parse_raft_message(message))
    note(std::get<raft::SnapshotChunk>(parsed->body).meta, false);
  leader(step).say_raw(term_, step.bytes);
}

// Of the one history that there is: entry i opens a session if i is even, else it changes the text.
void Run::append(const Step& step) {
  raft::Append append{.previous = {step.at == 0 ? 0u : 1u, step.at}};
  std::size_t count = step.size % 64;
  append.commit = step.at + count;
  for (std::size_t i = 1; i <= count; ++i) {
    auto command = (step.at + i) % 2 == 0
                       ? fuzz::command_text(wire::peer::OpenSession{3'600'000})
                       : fuzz::command_text(wire::peer::ProposeCommand{1, i, 0, "more "});
    append.entries.push_back({raft::EntryKind::kCommand, 1, raft::Payload::copy_of(command)});
  }
  leader(step).say(term_, std::move(append));
}

void Run::check() {
  auto status = receiver_.status();
  if (!status.failure.empty()) {
    CHECK(!all_is_honest());
    return;
  }
  const auto& restored = receiver_.restored();
  if (restored.whole && status.applied >= restored.last.index && !status.restoring) {
    // A snapshot of its own has metadata that nobody sent.
    auto crc = crc32c(restored.bytes);
    auto names = [&](const auto& one) {
      const auto& meta = one.second.meta;
      return meta.last == restored.last && meta.size == restored.bytes.size() &&
             raft::snapshot_id(meta, crc) == meta.id;
    };
    auto found = std::ranges::find_if(sent_, names);
    CHECK(found != sent_.end() || own_);
    if (found != sent_.end()) {
      auto bytes = honest_of(found->second.meta);
      CHECK(bytes.empty() || bytes == restored.bytes);
    }
  }
  CHECK(status.core.snapshot.index >= snapshot_.index && status.core.commit >= commit_);
  snapshot_ = status.core.snapshot;
  if (status.waits_for.empty()) commit_ = status.core.commit;
}

// What the group had when all was well it has again.
void Run::restart(unsigned how) {
  receiver_.restart(how);
  auto status = receiver_.status();
  CHECK(status.core.snapshot.index >= snapshot_.index && status.core.last >= commit_);
  commit_ = status.core.commit;
  world_.run_for(300ms);  // then the connections to the life before have been given up
  settle();
}

// As a leader does: an offer, then what the answer asks for. False: the group has failed.
bool Run::bring(const Sent& snapshot) {
  auto& leader = leaders_[0];
  leader.match = 0;
  note(snapshot.meta, true);
  auto over = [&] { return leader.match >= snapshot.meta.last.index || receiver_.failed(); };
  auto asked = [&] { return over() || (!leader.replies.empty() && leader.replies.back().resume); };
  for (int rounds = 0; rounds < 30 && !over(); ++rounds) {
    leader.replies.clear();
    leader.say(term_, raft::SnapshotChunk{.meta = snapshot.meta});
    if (!world_.run_until(asked, 1s) || over()) continue;
    auto from = leader.replies.back();
    CHECK(from.id == snapshot.meta.id && from.position < snapshot.meta.size);
    for (auto at = from.position; at < snapshot.meta.size; at += 1'000)
      leader.say(term_, chunk_of(snapshot, at, 1'000));
    (void)world_.run_until(over, 1s);
  }
  CHECK(over());
  for (int waits = 0; waits < 100 && receiver_.status().restoring; ++waits) world_.run_for(10ms);
  return receiver_.status().failure.empty();
}

// Nothing but snapshots that a machine has written, as they are.
bool Run::all_is_honest() const {
  return std::ranges::all_of(sent_, [&](const auto& one) {
    const auto& [meta, honest, named] = one.second;
    auto is = [&](const Sent& other) { return other.meta == meta && meta.size > 0; };
    return honest && std::ranges::any_of(honest_, is);
  });
}

bool Run::has_what_was_named() const {
  auto last = receiver_.status().core.snapshot;
  return std::ranges::any_of(
      sent_, [&](const auto& one) { return one.second.named && one.second.meta.last == last; });
}

// One of which something was sent, else another; none: they are of another history.
const Sent* Run::begun_above(raft::Index last) const {
  const Sent* found = nullptr;
  for (const auto& one : std::span(honest_).first(3)) {
    if (!history_is_one_ || one.meta.last.index <= last) continue;
    if (found == nullptr || sent_.contains(key_of(one.meta))) found = &one;
  }
  return found;
}

// It goes on where it ended. What somebody said to be of it, and is not, is found at its end.
void Run::finish(const Sent& snapshot) {
  auto known = sent_.find(key_of(snapshot.meta));
  bool honest = known == sent_.end() || known->second.honest;
  if (!bring(snapshot)) {
    CHECK(!honest);
    restart(2);
    ++term_;
    CHECK(bring(snapshot));
  }
  CHECK(receiver_.restored().bytes == snapshot.bytes);
  settle();
}

void Run::heal() {
  settle();
  if (!receiver_.status().failure.empty()) restart(2);
  if (!receiver_.status().failure.empty()) {
    // What its sender had, and no machine takes: nothing on the way could tell.
    CHECK(has_what_was_named());
    return;
  }
  term_ = receiver_.status().core.term + 1;
  auto last = std::max(receiver_.status().core.commit, receiver_.status().core.last);
  if (term_ > kTermMax || last > kIndexMax) return;
  if (const auto* begun = begun_above(last)) finish(*begun);
  auto newest = honest_[1];
  // Behind all that there is, and all that its state is of.
  last = std::max(receiver_.status().core.commit, receiver_.status().core.last);
  newest.meta.last = {++term_, std::max(last, newest.meta.last.index) + 5};
  fuzz::mend_id(newest);
  CHECK(bring(newest));
  CHECK(receiver_.restored().bytes == newest.bytes);
  CHECK(receiver_.restored().last == newest.meta.last);
  settle();
  restart(1);
  CHECK(receiver_.status().core.snapshot == newest.meta.last);
  CHECK(receiver_.restored().bytes == newest.bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return fuzz::run_steps<Run>(data, size, kStepsMax, fuzz::take_step);
}
