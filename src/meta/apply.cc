#include <algorithm>

#include "meta/applier.h"

namespace walrus::meta {
namespace {

constexpr std::size_t kNameBytesMax = 255, kValueBytesMax = 4096, kSecretBytesMax = 64;
constexpr std::uint32_t kProducerBlockMax = 1'000'000;

// The feature level from which on a kind of change may be sent; before founding it is 0.
std::uint32_t level_of(const Change& change) {
  if (std::holds_alternative<Found>(change)) return 0;
  bool second = std::holds_alternative<BeginCompaction>(change) ||
                std::holds_alternative<HoldCompacted>(change) ||
                std::holds_alternative<EndCompaction>(change) ||
                std::holds_alternative<HandOver>(change);
  return second ? 2 : 1;
}

}  // namespace

std::vector<Outcome> apply(State& state, const Command& command) {
  std::vector<Outcome> outcomes;
  outcomes.reserve(command.changes.size());
  Applier applier(state, command.time);
  for (const auto& change : command.changes) outcomes.push_back(applier.apply(change));
  return outcomes;
}

std::string apply_encoded(State& state, Bytes bytes) {
  auto command = parse_command(bytes);
  if (!command) return encode_reply({{.refusal = Refusal::kMalformed}});
  return encode_reply(apply(state, *command));
}

Applier::Applier(State& state, Time time) : state_(state) {
  state_.time = std::max(state_.time, time);
}

Applier::~Applier() {
  if (!loads_) return;
  std::erase_if(*loads_, [](const auto& load) { return load.second.empty(); });
  state_.loads = std::make_shared<const Loads>(*std::move(loads_));
}

Outcome Applier::apply(const Change& change) {
  if (level_of(change) > state_.cluster.feature_level) return refuse(Refusal::kUnknown);
  return std::visit([this](const auto& what) { return this->change(what); }, change);
}

Load& Applier::load(NodeId node) {
  if (!loads_) loads_ = *state_.loads;
  auto found = std::ranges::lower_bound(*loads_, node, {}, &Loads::value_type::first);
  if (found == loads_->end() || found->first != node) found = loads_->insert(found, {node, {}});
  return found->second;
}

void Applier::count(const Segment& segment, bool there) {
  bool sealed = segment.state == SegmentState::kSealed;
  auto add = [&](auto& to, auto by) { there ? to += by : to -= by; };
  if (!sealed) add(load(segment.leader).leads, 1u);
  for (auto node : segment.replicas) {
    auto& of = load(node);
    if (!sealed) add(of.tails, 1u);
    if (sealed) add(of.sealed, std::uint64_t{1});
    if (sealed) add(of.sealed_bytes, segment.bytes);
  }
}

Outcome Applier::change(const Unreadable& change) {
  return refuse(change.why == Unreadable::Why::kUnknown ? Refusal::kUnknown : Refusal::kMalformed);
}

Outcome Applier::change(const Found& change) {
  auto& cluster = state_.cluster;
  if (!cluster.id.is_zero()) return refuse(Refusal::kExists, cluster.version);
  if (change.cluster.is_zero() || change.feature_level < 1 ||
      change.users_secret.size() > kSecretBytesMax)
    return refuse(Refusal::kInvalid);
  cluster = {.version = next_version(),
             .id = change.cluster,
             .feature_level = change.feature_level,
             .users_secret = change.users_secret};
  return done(cluster.version);
}

Outcome Applier::change(const RaiseLevel& change) {
  auto& cluster = state_.cluster;
  if (cluster.version != change.expected) return refuse(Refusal::kMismatch, cluster.version);
  if (change.level <= cluster.feature_level) return refuse(Refusal::kInvalid, cluster.version);
  bool known = true;
  state_.nodes.each([&](NodeId, const Node& node) {
    if (node.state != NodeState::kRemoved && node.feature_level_max < change.level) known = false;
  });
  if (!known) return refuse(Refusal::kState, cluster.version);
  cluster.feature_level = change.level;
  return done(cluster.version = next_version());
}

Outcome Applier::change(const ConfigureCluster& change) {
  auto& cluster = state_.cluster;
  if (cluster.version != change.expected) return refuse(Refusal::kMismatch, cluster.version);
  auto settings = changed(cluster.settings, change.set, change.unset);
  if (!settings) return refuse(Refusal::kInvalid, cluster.version);
  cluster.settings = *std::move(settings);
  return done(cluster.version = next_version());
}

Outcome Applier::change(const SetUser& change) {
  const auto* user = state_.users.find(change.name);
  auto present = user ? user->version : Version{};
  if (present != change.expected)
    return refuse(!user                          ? Refusal::kNotFound
                  : change.expected == Version{} ? Refusal::kExists
                                                 : Refusal::kMismatch,
                  present);
  for (const auto& [mechanism, credential] : change.credentials)
    if (!wire::sasl::valid_credential(mechanism, credential))
      return refuse(Refusal::kInvalid, present);
  if (change.name.empty() || change.name.size() > kNameBytesMax)
    return refuse(Refusal::kInvalid, present);
  if (!user && change.credentials.empty()) return refuse(Refusal::kNotFound);
  if (!user && state_.users.size() >= kUsersMax) return refuse(Refusal::kLimit);
  state_.users_version = next_version();
  if (change.credentials.empty()) {
    state_.users.erase(change.name);
    return done({});
  }
  state_.users.set(change.name, {state_.users_version, change.credentials});
  return done(state_.users_version);
}

Outcome Applier::change(const TakeProducerIds& change) {
  auto next = state_.next_producer;
  if (change.expected_next != next)
    return {Refusal::kMismatch, {}, static_cast<std::uint64_t>(next)};
  if (change.count < 1 || change.count > kProducerBlockMax) return refuse(Refusal::kInvalid);
  if (change.count > INT64_MAX - next) return refuse(Refusal::kLimit);
  state_.next_producer += change.count;
  next_version();
  return done({}, static_cast<std::uint64_t>(next));
}

// What was issued behind `by`'s back may be known to others: to writers, to copies, to clients.
Outcome Applier::change(const RecoverMetadata& change) {
  auto& cluster = state_.cluster;
  const auto* by = state_.nodes.find(change.by);
  if (cluster.id != change.from) return refuse(Refusal::kMismatch, cluster.version);
  if (!by || by->state == NodeState::kRemoved || change.cluster.is_zero() ||
      change.cluster == change.from)
    return refuse(Refusal::kInvalid, cluster.version);
  if (state_.recoveries.size() >= kRecoveriesMax ||
      state_.next_producer > INT64_MAX - kSkippedProducers)
    return refuse(Refusal::kLimit, cluster.version);
  state_.version.value += kSkippedVersions;
  state_.next_segment.value += kSkippedSegments;
  state_.next_producer += kSkippedProducers;
  cluster.id = change.cluster;
  cluster.version = next_version();
  state_.recoveries.push_back({change.cluster, change.by, change.term, change.index, state_.time});
  expire_leases();
  fence_all(change.by);
  return done(cluster.version);
}

bool valid_settings(const Settings& settings) {
  if (settings.size() > kSettingsMax) return false;
  return std::ranges::all_of(settings, [](const auto& setting) {
    return !setting.first.empty() && setting.first.size() <= kNameBytesMax &&
           setting.second.size() <= kValueBytesMax;
  });
}

std::optional<Settings> changed(Settings settings, const Settings& set,
                                const std::vector<std::string>& unset) {
  for (const auto& name : unset) settings.erase(name);
  for (const auto& [name, value] : set) settings.insert_or_assign(name, value);
  if (!valid_settings(settings)) return std::nullopt;
  return settings;
}

}  // namespace walrus::meta
