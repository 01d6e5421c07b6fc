#include "broker/group/coordinators.h"

#include <algorithm>

#include "base/check.h"
#include "base/utf8.h"

namespace walrus::broker {
namespace {

constexpr io::Nanos kLoadRetry = std::chrono::milliseconds(100);

const Error kElsewhere{Code::kFenced, "the group has its coordinator elsewhere"};

// Of valid UTF-8, one character.
char32_t code_point(Bytes character) {
  auto first = static_cast<std::uint8_t>(character[0]);
  char32_t point = character.size() == 1 ? first : first & (0x7f >> character.size());
  for (char c : character.substr(1)) point = point << 6 | (static_cast<std::uint8_t>(c) & 0x3f);
  return point;
}

}  // namespace

std::size_t group_partition(Bytes group, std::size_t partitions) {
  CHECK(partitions > 0);
  constexpr char32_t kReplacement = 0xfffd;
  std::uint32_t hash = 0;
  auto add = [&hash](char32_t unit) { hash = 31 * hash + static_cast<std::uint32_t>(unit); };
  while (!group.empty()) {
    auto size = utf8_character(group);
    auto point = size == 0 ? kReplacement : code_point(group.substr(0, size));
    group.remove_prefix(std::max<std::size_t>(size, 1));
    if (point < 0x10000) {
      add(point);
    } else {  // a pair of surrogates
      add(0xd800 + ((point - 0x10000) >> 10));
      add(0xdc00 + ((point - 0x10000) & 0x3ff));
    }
  }
  // The absolute value of a Java int; of the least one, which has none, 0.
  if (hash == 0x8000'0000) hash = 0;
  if (hash > 0x8000'0000) hash = 0 - hash;
  return hash % partitions;
}

Coordinators::Coordinators(io::Env& env, io::Loop& loop, const GroupOptions& options,
                           std::size_t partitions)
    : env_(env), loop_(loop), options_(options), coordinators_(partitions) {}

void Coordinators::set_partitions(std::size_t partitions) {
  CHECK(std::ranges::none_of(coordinators_, [](const auto& one) { return one != nullptr; }));
  coordinators_.resize(partitions);
}

void Coordinators::begin(std::size_t partition, std::unique_ptr<Journal> journal, Load load) {
  end(partition);
  auto groups = std::make_shared<Groups>(env_, loop_, options_, std::move(journal));
  if (stopped_) return;
  coordinators_[partition] = std::make_unique<Coordinator>(groups, load);
  if (load == Load::kAtOnce) loop_.spawn(Coordinators::load(groups, loop_));
}

// What fails now may go when the node is so far.
boost::asio::awaitable<void> Coordinators::load(std::shared_ptr<Groups> groups, io::Loop& loop) {
  while (!co_await groups->open() && !groups->stopped()) co_await loop.sleep(kLoadRetry);
}

void Coordinators::end(std::size_t partition) {
  auto ended = std::move(coordinators_[partition]);
  if (ended) ended->groups->stop(kElsewhere);
}

void Coordinators::stop() {
  stopped_ = true;
  for (auto& one : coordinators_)
    if (one) one->groups->stop({Code::kClosed, "shutting down"});
}

Result<std::shared_ptr<Groups>> Coordinators::find(Bytes group) const {
  if (coordinators_.empty()) return std::unexpected(kElsewhere);
  const auto& found = coordinators_[group_partition(group, coordinators_.size())];
  if (!found) return std::unexpected(kElsewhere);
  if (found->load == Load::kAtOnce && found->groups->opening())
    return fail(Code::kBusy, "the coordinator reads what is durable");
  return found->groups;
}

io::Task<std::vector<GroupSummary>> Coordinators::list(io::Loop& here) {
  return run_on<std::vector<GroupSummary>>(
      here, loop_, [self = shared_from_this()] { return self->list_here(); });
}

io::Task<std::vector<GroupSummary>> Coordinators::list_here() {
  auto self = shared_from_this();
  std::vector<GroupSummary> all;
  for (std::size_t i = 0; i < coordinators_.size(); ++i) {
    if (!coordinators_[i]) continue;
    if (coordinators_[i]->load == Load::kAtOnce && coordinators_[i]->groups->opening())
      co_return fail(Code::kBusy, "the coordinator reads what is durable");
    auto groups = coordinators_[i]->groups;
    auto listed = co_await groups->list();
    // Lost meanwhile: its groups are listed elsewhere.
    if (!listed && listed.error().code == Code::kFenced) continue;
    if (!listed) co_return std::unexpected(std::move(listed).error());
    std::ranges::move(*listed, std::back_inserter(all));
  }
  std::ranges::sort(all, {}, &GroupSummary::id);
  co_return all;
}

}  // namespace walrus::broker
