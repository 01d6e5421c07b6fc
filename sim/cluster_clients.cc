// The clients of the cluster world: idempotent producers that send again what was not answered,
// readers of every copy, and who asks for the latest offset.

#include <fmt/format.h>

#include "base/crc32c.h"
#include "cluster_run.h"
#include "record/batch.h"

namespace walrus::sim {

using replica::Follower;
using replica::Leader;
using replica::Refusal;
using replica::Segment;
using replica::SegmentState;
using std::chrono::milliseconds;

namespace {

constexpr std::int64_t kAnswerWithin = 400'000'000;  // then a producer sends again

RecordValue value_of(std::uint32_t producer, std::uint32_t number) {
  return RecordValue{producer} << 32 | number;
}

// The values of a batch.
std::vector<RecordValue> values_in(const wire::peer::Batch& batch) {
  std::vector<RecordValue> values;
  auto records = record::RecordIterator::open(record::BatchView(batch.bytes.bytes()));
  if (!records) return values;
  for (auto one = records->next(); one && *one; one = records->next())
    values.push_back((*one)->value && (*one)->value->size() >= 8
                         ? load_le<std::uint64_t>((*one)->value->data())
                         : 0);
  return values;
}

}  // namespace

// ---- Producers ----

void ClusterRun::make_batch(Producer& producer) {
  SentBatch batch{.first_sequence = producer.next_sequence,
                  .count = static_cast<std::int32_t>(random_.between(1, 3)),
                  .padding = random_.below(plan_.padding_max + 1),
                  .history = sent_[producer.partition].size()};
  auto number = static_cast<std::uint32_t>(&producer - producers_.data());
  for (int i = 0; i < batch.count; ++i)
    sent_[producer.partition].push_back(
        {.producer = number, .value = value_of(number + 1, ++producer.made), .invoked_at = now()});
  producer.next_sequence += batch.count;
  producer.batches.push_back(batch);
}

void ClusterRun::produce(std::size_t index) {
  auto& producer = producers_[index];
  if (!quiet_ && producer.batches.size() < plan_.in_flight) make_batch(producer);
  for (auto& batch : producer.batches)
    if (!batch.done && (!batch.waiting || now() - batch.sent_at > kAnswerWithin))
      send(index, batch);
}

void ClusterRun::send(std::size_t index, SentBatch& batch) {
  auto& producer = producers_[index];
  auto [node, segment] = writer_of(producer.partition);
  if (!node) return;
  std::vector<std::string> values;
  std::vector<Record> records;
  const auto* first = &sent_[producer.partition][batch.history];
  for (int i = 0; i < batch.count; ++i) {
    std::string bytes;
    append_le(bytes, first[i].value);
    values.push_back(bytes + std::string(batch.padding, 'x'));
  }
  for (const auto& value : values) records.push_back({.value = value});
  auto bytes = record::encode(records, {.now = Time(Millis(1000)),
                                        .producer_id = producer.id,
                                        .producer_epoch = 0,
                                        .base_sequence = batch.first_sequence});
  // Of a transaction, or its end: to the segment protocol like any other (R39).
  if (batch.first_sequence % 7 == 3) {
    bytes[22] = static_cast<char>(bytes[22] | (batch.first_sequence % 2 == 0 ? 16 : 32));
    store_be(bytes.data() + 17, crc32c(Bytes(bytes).substr(record::kBatchHeadBytes)));
  }
  batch.ticket = ++last_ticket_;
  batch.waiting = true;
  batch.sent_at = now();
  ++batch.tries;
  tries_[batch.ticket] = {index, batch.first_sequence};
  // Nothing is missing in front of its oldest batch; what comes behind waits for that one, also
  // where the producer is unknown.
  bool oldest = &batch == &producer.batches.front();
  step_writer(
      *node, segment,
      Leader::Append{.ticket = batch.ticket, .batch = std::move(bytes), .any_sequence = oldest});
  flush(*node);
}

void ClusterRun::appended(Node&, Writer& writer, const Leader::Appended& answer) {
  auto found = tries_.find(answer.ticket);
  if (found == tries_.end()) return;
  auto [index, sequence] = found->second;
  tries_.erase(found);
  auto& producer = producers_[index];
  if (narrate_)
    note(fmt::format("producer {} sequence {}: {} at {}, segment {}", producer.id, sequence,
                     replica::refusal_name(answer.refusal), answer.offset,
                     writer.core->segment().id.value));
  for (auto& batch : producer.batches) {
    if (batch.first_sequence != sequence || batch.done) continue;
    if (answer.refusal == Refusal::kNone) return acknowledge(index, batch, writer, answer.offset);
    if (answer.refusal == Refusal::kNoLease) hit(ClusterFamily::kNoLease);
    if (batch.ticket == answer.ticket) batch.waiting = false;
    // A writer that is none any more may not know the newest batches. But it does not stay so.
    const auto* tail = metadata_.now().partitions[producer.partition].tail();
    bool head = &batch == &producer.batches.front() && writer.core->segment().id == tail->id;
    if (answer.refusal != Refusal::kOutOfOrder || !head || ++producer.refused < 50) return;
    if (truth_.lost_records(producer.partition)) return start_anew(producer);
    truth_.fail("R38 producers are known",
                fmt::format("producer {}: sequence {} is refused", producer.id, sequence));
    return;
  }
}

void ClusterRun::acknowledge(std::size_t index, SentBatch& batch, Writer& writer,
                             std::int64_t offset) {
  auto& producer = producers_[index];
  auto end = offset + batch.count;
  const auto& segment = writer.core->segment();
  if (batch.tries == 1) truth_.check_acknowledged(*writer.core, writer.acknowledged_end, end);
  else hit(ClusterFamily::kDuplicateAnswered);
  if (batch.answered && *batch.answered != offset && !truth_.lost_records(producer.partition))
    return truth_.fail(
        "R38 producers are known",
        fmt::format("a batch at {} is at {} when sent again", *batch.answered, offset));
  batch.answered = offset;
  if (!calm_ && random_.chance(0.05)) return;  // the answer is lost
  // A batch of an earlier segment is answered by its successor.
  const auto& chain = metadata_.now().partitions[producer.partition];
  auto place = segment.id;
  if (offset < segment.start)
    for (const auto& one : chain.segments)
      if (one.start <= offset && offset < one.end) place = one.id;
  auto* records = &sent_[producer.partition][batch.history];
  for (int i = 0; i < batch.count; ++i) {
    records[i].completed_at = now();
    records[i].place = {place.value, offset + i};
  }
  tally_.acknowledged += batch.count;
  producer.refused = 0;
  producer.acknowledged_at = now();
  batch.done = true;
  while (!producer.batches.empty() && producer.batches.front().done) producer.batches.pop_front();
}

// Where records were lost, a producer's last ones may be among them; it begins again, and what was
// under way may be there twice.
void ClusterRun::start_anew(Producer& producer) {
  producer.id = ++next_producer_;
  producer.refused = 0;
  producer.next_sequence = 0;
  std::erase_if(producer.batches, [](const SentBatch& batch) { return batch.done; });
  for (auto& batch : producer.batches) {
    batch.first_sequence = producer.next_sequence;
    producer.next_sequence += batch.count;
    batch.waiting = false;
    batch.tries = 1;
    batch.answered.reset();
    auto* records = &sent_[producer.partition][batch.history];
    for (int i = 0; i < batch.count; ++i) records[i].resent_anew = true;
  }
}

std::pair<ClusterRun::Node*, SegmentId> ClusterRun::writer_of(std::size_t partition) {
  Node* best = nullptr;
  SegmentId segment{};
  bool any = random_.chance(0.1);
  for (auto& node : nodes_) {
    if (!works(*node)) continue;
    for (auto& [id, writer] : node->writers) {
      if (metadata_.partition_of(id) != partition) continue;
      if (best && !(any ? random_.chance(0.5) : segment < id)) continue;
      best = node.get();
      segment = id;
    }
  }
  return {best, segment};
}

// ---- Readers ----

void ClusterRun::read(Reader& reader, std::uint32_t number) {
  const auto& chain = metadata_.now().partitions[reader.partition];
  if (reader.segment >= chain.segments.size()) return;
  const auto& segment = chain.segments[reader.segment];
  auto place = segment.replicas[random_.below(segment.replicas.size())].value - 1;
  auto& node = *nodes_[place];
  for (int batches = 0; batches < 8; ++batches)
    if (!works(node) || !poll(reader, number, node, segment)) break;
  if (segment.state != SegmentState::kSealed || reader.position < segment.end) return;
  if (reader.position > segment.end && !truth_.lost_records(reader.partition))
    return truth_.fail("I10 readable is there",
                       fmt::format("a reader is at {}, segment {} was sealed at {}",
                                   reader.position, segment.id.value, segment.end));
  reader.position = segment.end;
  ++reader.segment;
  hit(ClusterFamily::kReadAcrossSegments);
}

bool ClusterRun::poll(Reader& reader, std::uint32_t number, Node& node, const Segment& segment) {
  auto stored = node.disk.cached.find(segment.id);
  if (stored == node.disk.cached.end()) return false;
  const auto& core = *copy_of(node, segment.id, segment.start, segment.durability).core;
  auto end = core.readable();
  if (reader.position < core.start() || reader.position >= end) return false;
  replica::Attach what{reader.position, end, 1};
  auto run = stored->second.read(what, false);
  if (run.batches.empty()) {  // rotten: found out by reading
    if (stored->second.rotten.empty())
      truth_.fail("I10 readable is there",
                  fmt::format("segment {}: nothing at {} on node {}", segment.id.value,
                              reader.position, node.place + 1));
    step_copy(node, segment.id, Follower::Damaged{reader.position});
    flush(node);
    return false;
  }
  const auto& batch = run.batches.front();
  truth_.check_read(segment.id, reader.position, batch);
  auto offset = batch.base;
  for (auto value : values_in(batch))
    polled_[reader.partition].push_back({number, {segment.id.value, offset++}, value});
  ++tally_.reads;
  reader.position = batch.next;
  return true;
}

// ---- Answers that have to be current ----

void ClusterRun::ask_latest() {
  auto partition = random_.below(plan_.partitions);
  auto [node, segment] = writer_of(partition);
  if (!node) return;
  auto ticket = ++last_ticket_;
  questions_[ticket] = {partition, truth_.acknowledged_of(partition)};
  step_writer(*node, segment, Leader::Confirm{ticket});
  flush(*node);
}

void ClusterRun::confirmed(Node&, const Leader::Confirmed& answer) {
  auto found = questions_.find(answer.ticket);
  if (found == questions_.end()) return;
  auto question = found->second;
  questions_.erase(found);
  if (answer.refusal != Refusal::kNone) return hit(ClusterFamily::kConfirmRefused);
  hit(ClusterFamily::kConfirmed);
  ++tally_.confirms;
  if (answer.watermark < question.floor && !truth_.lost_records(question.partition))
    truth_.fail("I7 watermark never falls",
                fmt::format("the latest offset of partition {} is told as {}, {} was acknowledged",
                            question.partition, answer.watermark, question.floor));
}

// ---- What is left in the end ----

PartitionHistory ClusterRun::history_of(std::size_t partition) {
  PartitionHistory history{.sent = sent_[partition], .polled = polled_[partition]};
  const auto& chain = metadata_.now().partitions[partition];
  for (const auto& segment : chain.segments) {
    auto end =
        segment.state == SegmentState::kSealed ? segment.end : truth_.acknowledged(segment.id);
    const auto& copy = nodes_[segment.replicas.front().value - 1]->disk.cached[segment.id];
    for (const auto& [base, batch] : copy.batches) {
      if (batch.next > std::max(end, segment.start)) break;
      auto offset = base;
      for (auto value : values_in(batch))
        history.log.push_back({{segment.id.value, offset++}, value});
    }
  }
  for (const auto& loss : chain.losses) history.losses.push_back({loss.segment.value, loss.end});
  return history;
}

}  // namespace walrus::sim
