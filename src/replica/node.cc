#include "replica/node.h"

#include "replica/node_state.h"

namespace walrus::replica {

Result<std::unique_ptr<Node>> Node::start(io::Env& env, io::Loop& loop, log::Engine& engine,
                                          net::Rpc& rpc, Metadata& metadata,
                                          const NodeOptions& options) {
  auto state = std::make_shared<NodeState>(env, loop, engine, rpc, metadata, options);
  WALRUS_TRY(state->start());
  return std::unique_ptr<Node>(new Node(std::move(state)));
}

Node::Node(std::shared_ptr<NodeState> state) : state_(std::move(state)) {}
Node::~Node() { state_->shut(); }

io::Task<void> Node::give_away(Nanos timeout) { return NodeState::give_away(state_, timeout); }
io::Task<void> Node::stop(Nanos timeout) { return NodeState::stop(state_, timeout); }

void Node::learned(ImageRef image) { state_->learned(std::move(image)); }
bool Node::begun() const { return state_->begun(); }
void Node::lease_granted(Nanos asked_at) { state_->lease_granted(asked_at); }
void Node::recover(const std::vector<meta::Recover>& work) { state_->recover(work); }
void Node::roll(const std::vector<meta::Roll>& work) { state_->roll(work); }
void Node::copy(const std::vector<meta::Copy>& work) { state_->copy(work); }
std::vector<PartitionId> Node::wanted() const { return state_->wanted(); }
std::vector<meta::Copy> Node::copying() const { return state_->copying(); }
std::vector<meta::SlowCopy> Node::slow() const { return state_->slow(); }
std::vector<meta::DamagedCopy> Node::damaged() const { return state_->damaged(); }
void Node::learn_full(std::set<NodeId> full) { state_->learn_full(std::move(full)); }
io::Task<SealSurvey> Node::survey(NodeId sealer, SegmentId segment) {
  return NodeState::survey(state_, sealer, segment);
}
io::Task<void> Node::accept_loss(NodeId sealer, SegmentId segment, AcceptedEnd accepted) {
  return NodeState::accept_loss(state_, sealer, segment, std::move(accepted));
}

void Node::append(PartitionId id, std::string batch, const AppendRequest& request,
                  std::move_only_function<void(Appended)> done) {
  state_->append(id, std::move(batch), request, std::move(done));
}
void Node::confirm(PartitionId id, std::move_only_function<void(Result<Offset>)> done) {
  state_->confirm(id, std::move(done));
}
io::Task<log::Fetched> Node::fetch(PartitionId id, Offset from, log::FetchOptions options) {
  return NodeState::fetch(state_, id, from, options);
}
Result<log::Bounds> Node::bounds(PartitionId id) const { return state_->bounds(id); }
std::vector<log::SegmentInfo> Node::segments(PartitionId id) const { return state_->segments(id); }
io::Task<Offset> Node::find_time(PartitionId id, Time time) {
  return NodeState::find_time(state_, id, time);
}
std::uint64_t Node::when_readable(PartitionId id, Offset offset, log::Done<void> done) {
  return state_->when_readable(id, offset, std::move(done));
}
void Node::cancel(std::uint64_t id) { state_->cancel(id); }
io::Task<void> Node::trim(PartitionId id, Offset first_kept) {
  return NodeState::trim(state_, id, first_kept);
}
LeaderHint Node::leader_of(PartitionId id) const { return state_->leader_of(id); }
io::Task<void> Node::ask_reach(io::Nanos at_most) { return NodeState::ask_reach(state_, at_most); }
void Node::on_reach(std::function<void(const std::set<NodeId>&)> call) {
  state_->on_reach(std::move(call));
}
std::pair<Epoch, Offset> Node::end_of_epoch(PartitionId id, Epoch epoch) const {
  return state_->end_of_epoch(id, epoch);
}
NodeStats Node::stats() const { return state_->stats(); }

}  // namespace walrus::replica
