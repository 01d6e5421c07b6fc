// Producers and readers of the replica world.

#include <fmt/format.h>

#include <algorithm>

#include "record/batch.h"
#include "replica_run.h"

namespace walrus::sim {

using namespace std::chrono_literals;
using replica::Refusal;

void ReplicaRun::again(std::size_t producer, io::Nanos after) {
  auto attempt = producers_[producer].attempt = ++attempts_;
  nodes_->world().at(nodes_->world().now() + after, [this, producer, attempt] {
    if (producers_[producer].attempt == attempt) produce(producer, attempt);
  });
}

std::size_t ReplicaRun::find_leader(const PartitionId& id, std::size_t otherwise) {
  auto asked = draw(nodes_->processes().size());
  if (!up(asked)) return otherwise;
  auto hint = nodes_->node(asked).leader_of(id);
  return hint.leader == NodeId{} ? asked : hint.leader.value - 1;
}

void ReplicaRun::produce(std::size_t number, std::uint64_t attempt) {
  auto& producer = producers_[number];
  if (producer.values.empty() && quiet_) return;
  if (producer.values.empty()) {
    auto count = 1 + draw(3);
    for (std::uint64_t i = 0; i < count; ++i) {
      auto& one = producer.values.emplace_back();
      if (producer.keys > 0) one.key = fmt::format("key {}", draw(producer.keys));
      if (producer.keys > 0 && draw(5) == 0) continue;  // a tombstone
      one.value =
          fmt::format("{}-{}{}", producer.id, producer.sequence + i, std::string(draw(200), 'x'));
    }
    producer.at = wall();
    producer.first = count > 1 ? 1 + draw(count - 1) : count;
    producer.behind.reset();
    ++tally_.operations;
  }
  // Clients look anew now and then, also where all goes well; whom they ask may know less.
  if (producer.failures > 0 || draw(6) == 0)
    producer.target = find_leader(producer.partition, producer.target);
  if (!up(producer.target)) {
    ++producer.failures;
    return again(number, draw_ms(5, 50));
  }
  auto batches = std::make_shared<std::vector<std::string>>();
  std::vector<Record> records;
  for (std::size_t i = 0, from = 0; i < producer.values.size();) {
    records.push_back({.key = producer.values[i].key, .value = producer.values[i].value});
    if (++i != producer.first && i != producer.values.size()) continue;
    batches->push_back(record::encode(
        records, {.now = producer.at,
                  .producer_id = producer.id,
                  .producer_epoch = 0,
                  .base_sequence = producer.sequence + static_cast<std::int32_t>(from)}));
    records.clear();
    from = i;
  }
  producer.answers.assign(batches->size(), std::nullopt);
  // As librdkafka does it between two leaders: what was refused is not queued again yet.
  bool later = patient_ && producer.failures > 0 && producer.sequence > 0 && batches->size() > 1 &&
               nodes_->state().partitions.find(producer.partition)->log_start == Offset{} &&
               draw(4) == 0;
  if (later) {
    producer.answers.front() = {.refusal = Refusal::kNotLeader};
    ++tally_.hits["sent-early"];
  }
  // On its loop, as all that is asked of a node: one behind the other, as Kafka's clients do.
  auto life = nodes_->processes()[producer.target].life;
  nodes_->processes()[producer.target].loop->post(
      [this, number, attempt, target = producer.target, life, batches, later] {
        if (!nodes_->lives(target, life)) return;
        for (std::size_t place = later ? 1 : 0; place < batches->size(); ++place)
          nodes_->node(target).append(
              producers_[number].partition, std::move((*batches)[place]),
              {.wait = place == 0 ? 400ms : 500ms, .hand_on = true, .in_sequence = true},
              [this, number, attempt, place](replica::Appended answer) {
                appended(number, attempt, place, answer);
              });
      });
  // Who does not answer is asked no more.
  nodes_->world().at(nodes_->world().now() + 2s, [this, number, attempt] {
    if (producers_[number].attempt != attempt) return;
    ++producers_[number].failures;
    again(number, 1ms);
  });
}

void ReplicaRun::appended(std::size_t number, std::uint64_t attempt, std::size_t place,
                          const replica::Appended& answer) {
  auto& producer = producers_[number];
  bool late = producer.attempt != attempt;
  if (narrating_)
    say(fmt::format("producer {} sequence {}, batch {} at node {}: {} {}{}", producer.id,
                    producer.sequence, place, producer.target + 1,
                    replica::refusal_name(answer.refusal), answer.first.value,
                    late ? ", late" : ""));
  if (late) return;
  producer.answers[place] = answer;
  bool all = std::ranges::all_of(producer.answers, [](const auto& one) { return one.has_value(); });
  if (all) judge(number);
}

// All that were sent are answered. What was not taken is sent again, with what is behind it.
void ReplicaRun::judge(std::size_t number) {
  auto& producer = producers_[number];
  auto impossible = std::ranges::find_if(producer.answers, [](const auto& one) {
    return one->refusal == Refusal::kOutOfOrder || one->refusal == Refusal::kStaleProducer ||
           one->refusal == Refusal::kInvalid || one->refusal == Refusal::kMismatch;
  });
  bool lost = truth_.lost_anything(producer.partition);
  bool done = std::ranges::all_of(producer.answers, [](const auto& one) { return one->done(); });
  if (producer.answers.back()->done() && !done) producer.behind = producer.answers.back()->first;
  // Where all was deleted that it sent, its producer is not known any more.
  auto start = nodes_->state().partitions.find(producer.partition)->log_start;
  if (producer.behind && *producer.behind < start) producer.behind.reset();
  bool forgotten = producer.answers.back()->done() && !done && producer.newest < start;
  if (done) {
    if (producer.failures > 0) ++tally_.hits["sent-again"];
    if (producer.behind && producer.answers.front()->first >= *producer.behind && !lost)
      truth_.flag("a producer's order",
                  fmt::format("producer {} sequence {} at {}, what is behind it at {}", producer.id,
                              producer.sequence, producer.answers.front()->first.value,
                              producer.behind->value));
    for (std::size_t i = 0; i < producer.values.size(); ++i) {
      bool second = i >= producer.first;
      auto offset = producer.answers[second ? 1 : 0]->first.value +
                    static_cast<std::int64_t>(second ? i - producer.first : i);
      truth_.acknowledged(producer.partition, offset, producer.values[i], producer.at);
    }
    ++tally_.acknowledged;
    producer.newest = producer.answers.back()->first;
    ++producer.done;
    producer.failures = 0;
    producer.sequence += static_cast<std::int32_t>(producer.values.size());
    producer.values.clear();
    return again(number, draw_ms(1, 60));
  }
  ++tally_.refused;
  if (forgotten || (impossible != producer.answers.end() && lost)) {
    // Its batches are among what was lost, or deleted: it begins anew.
    producer.id += 1'000;
    producer.sequence = 0;
    producer.values.clear();
  } else if (impossible != producer.answers.end()) {
    truth_.flag("a producer goes on",
                fmt::format("producer {} sequence {}: {}", producer.id, producer.sequence,
                            replica::refusal_name((*impossible)->refusal)));
  }
  ++producer.failures;
  again(number, draw_ms(1, 60));
}

// ---- Reading ----

void ReplicaRun::read_somewhere() {
  auto place = draw(nodes_->processes().size());
  const auto& id = partitions_[draw(partitions_.size())];
  if (!up(place)) return;
  auto bounds = nodes_->node(place).bounds(id);
  if (!bounds || bounds->high_watermark <= bounds->log_start) return;
  auto span = static_cast<std::uint64_t>(bounds->high_watermark.value - bounds->log_start.value);
  auto from = bounds->log_start.value + static_cast<std::int64_t>(draw(span));
  auto& process = nodes_->processes()[place];
  process.loop->spawn(read_at(*this, place, process.life, id, from, true));
}

boost::asio::awaitable<void> ReplicaRun::read_at(ReplicaRun& run, std::size_t place,
                                                 std::uint64_t life, PartitionId id,
                                                 std::int64_t from, bool below) {
  ++run.tally_.reads;
  auto before = run.truth_.lost_anything(id);
  auto fetched = co_await run.nodes_->node(place).fetch(id, Offset{from}, {.bytes_max = 3'000});
  if (!run.nodes_->lives(place, life)) co_return;
  if (!fetched) {
    auto code = fetched.error().code;
    bool excused = code == Code::kBusy || code == Code::kIo || code == Code::kClosed ||
                   code == Code::kTimeout || code == Code::kNotFound;
    // It may have been trimmed away meanwhile.
    bool trimmed = code == Code::kOutOfRange &&
                   from < run.nodes_->state().partitions.find(id)->log_start.value;
    if (!excused && !trimmed) run.truth_.flag("a read", fetched.error().message);
    co_return;
  }
  bool lost = before != run.truth_.lost_anything(id);
  if (below && fetched->bytes.empty() && !lost)
    run.truth_.flag(
        "I10", fmt::format("node {} partition {} offset {}: nothing", place + 1, id.index, from));
  run.take_read(id, from, *fetched);
}

void ReplicaRun::take_read(const PartitionId& id, std::int64_t from, const log::Fetched& fetched,
                           std::set<std::int64_t>* shown) {
  for (Bytes rest = fetched.bytes; !rest.empty();) {
    auto batch = record::BatchView::parse(rest);
    if (!batch || !batch->crc_holds()) return truth_.flag("a read", "a batch that is none");
    rest.remove_prefix(batch->bytes().size());
    auto records = record::RecordIterator::open(*batch);
    for (auto one = records->next(); one && *one; one = records->next()) {
      if ((*one)->offset < from) continue;
      ++tally_.records_read;
      if (shown) shown->insert((*one)->offset);
      KeyedValue is;
      if ((*one)->key) is.key = std::string(*(*one)->key);
      if ((*one)->value) is.value = std::string(*(*one)->value);
      truth_.read(id, (*one)->offset, is);
    }
  }
}

// No node's high watermark goes back (I7).
void ReplicaRun::look_at_bounds() {
  for (auto& process : nodes_->processes()) {
    if (!up(process.place)) continue;
    for (const auto& id : partitions_) {
      auto bounds = process.node->bounds(id);
      if (!bounds) continue;
      auto& [life, before] = seen_[{process.place, id}];
      auto now = bounds->high_watermark.value;
      if (life == process.life && now < before && !truth_.lost_anything(id))
        truth_.flag("I7", fmt::format("node {} partition {}: {} after {}", process.place + 1,
                                      id.index, now, before));
      life = process.life;
      before = now;
    }
  }
}

void ReplicaRun::confirm_somewhere() {
  const auto& id = partitions_[draw(partitions_.size())];
  auto place = find_leader(id, 0);
  if (!up(place)) return;
  auto least = truth_.acknowledged_end(id);
  auto life = nodes_->processes()[place].life;
  nodes_->processes()[place].loop->post([this, place, life, id, least] {
    if (!nodes_->lives(place, life)) return;
    nodes_->node(place).confirm(id, [this, place, id, least](Result<Offset> end) {
      if (!end) return;
      ++tally_.hits["confirmed"];
      if (end->value < least && !truth_.lost_anything(id))
        truth_.flag("I7", fmt::format("node {} partition {}: {} is confirmed, {} acknowledged",
                                      place + 1, id.index, end->value, least));
    });
  });
}

void ReplicaRun::trim_somewhere() {
  auto place = draw(nodes_->processes().size());
  const auto& id = partitions_[draw(partitions_.size())];
  if (!up(place)) return;
  auto bounds = nodes_->node(place).bounds(id);
  if (!bounds) return;
  auto all = bounds->high_watermark.value - bounds->log_start.value;
  auto to = bounds->log_start.value + (draw(4) == 0 ? all : all / 2);
  truth_.asked_to_trim(id, to);
  nodes_->processes()[place].loop->spawn(trim_at(*this, place, id, Offset{to}));
}

boost::asio::awaitable<void> ReplicaRun::trim_at(ReplicaRun& run, std::size_t place, PartitionId id,
                                                 Offset to) {
  auto done = co_await run.nodes_->node(place).trim(id, to);
  if (done) ++run.tally_.hits["trim"];
}

}  // namespace walrus::sim
