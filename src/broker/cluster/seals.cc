#include "broker/cluster/seals.h"

namespace walrus::broker {
namespace {

constexpr io::Nanos kSealTimeout = std::chrono::seconds(5);
constexpr io::Nanos kSealInterval = std::chrono::milliseconds(20);

// The segment as metadata has it now, if it is being sealed.
io::Task<meta::Segment> sealing_tail(Bridge& bridge, PartitionId id) {
  WALRUS_CO_ASSIGN(auto* metadata, bridge.metadata());
  WALRUS_CO_ASSIGN(auto image, co_await metadata->current());
  const auto* partition = image->partitions.find(id);
  if (!partition) co_return fail(Code::kNotFound, "no such partition");
  bool sealing = partition->tail && partition->tail->state == meta::SegmentState::kSealing;
  if (!sealing) co_return fail(Code::kInvalid, "nothing of it is being sealed now");
  co_return *partition->tail;
}

}  // namespace

io::Task<SealView> look_at_seal(std::shared_ptr<Bridge> bridge, std::uint32_t partition,
                                meta::Segment tail) {
  SealView view{.partition = partition, .tail = tail};
  WALRUS_CO_ASSIGN(auto* node, bridge->node());
  if (tail.state == meta::SegmentState::kSealing)
    view.survey = co_await node->survey(tail.recoverer, tail.id);
  else view.survey = fail(Code::kBusy, "none of its nodes is there to seal it");
  co_return view;
}

io::Task<void> accept_loss(std::shared_ptr<Bridge> bridge, PartitionId id, SegmentId segment,
                           replica::AcceptedEnd accepted) {
  WALRUS_CO_ASSIGN(auto tail, co_await sealing_tail(*bridge, id));
  if (tail.id != segment)
    co_return fail(Code::kInvalid, "segment {} is not being sealed any more", segment.value);
  WALRUS_CO_ASSIGN(auto* node, bridge->node());
  auto done = co_await node->accept_loss(tail.recoverer, segment, std::move(accepted));
  if (!done) co_return fail(Code::kInvalid, "{}", done.error().message);
  for (auto deadline = bridge->env().mono() + kSealTimeout; bridge->env().mono() < deadline;) {
    const auto image = bridge->image();
    const auto* now = image->partitions.find(id);
    if (!now || !now->tail || now->tail->id != segment) co_return Result<void>();
    co_await bridge->loop().sleep(kSealInterval);
  }
  co_return fail(Code::kTimeout, "segment {} is not sealed yet", segment.value);
}

io::Task<void> accept_any_loss(std::shared_ptr<Bridge> bridge, PartitionId id, std::string by) {
  WALRUS_CO_ASSIGN(auto tail, co_await sealing_tail(*bridge, id));
  WALRUS_CO_ASSIGN(auto* node, bridge->node());
  WALRUS_CO_ASSIGN(auto survey, co_await node->survey(tail.recoverer, tail.id));
  if (!survey.waits) co_return fail(Code::kBusy, "segment {} is being sealed", tail.id.value);
  co_return co_await accept_loss(bridge, id, tail.id,
                                 {.epoch = survey.epoch, .end = survey.end, .by = std::move(by)});
}

}  // namespace walrus::broker
