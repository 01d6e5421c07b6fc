#include "wire/peer/segment_message.h"

#include "base/check.h"
#include "base/coding.h"
#include "record/batch.h"
#include "wire/peer/spoiling_decoder.h"

namespace walrus::wire::peer {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kMessageBytesMin = 5;  // kind, segment, epoch, and two of the smallest body
constexpr std::uint64_t kOffsetMax = std::uint64_t{1} << 62;

void append_byte(std::string& to, unsigned value) { to.push_back(static_cast<char>(value)); }
template <class Enum>
void append_enum(std::string& to, Enum value) {
  append_byte(to, static_cast<unsigned>(value));
}
void append_offset(std::string& to, std::int64_t offset) {
  append_uvarint(to, static_cast<std::uint64_t>(offset));
}

void append_run(std::string& to, const Run& run) {
  append_offset(to, run.from);
  append_byte(to, run.producers ? 1 : 0);
  if (run.producers) append_string(to, run.producers->bytes());
  std::size_t size = 0;
  for (const auto& batch : run.batches) size += batch.bytes.size();
  append_uvarint(to, size);
  for (const auto& batch : run.batches) to.append(batch.bytes.bytes());
}

void append_body(std::string& to, const Replicate& body) {
  append_byte(to, (body.recovery ? 1u : 0u) | (body.sync ? 2u : 0u) | (body.quiet ? 4u : 0u));
  append_enum(to, body.durability);
  append_offset(to, body.start);
  append_offset(to, body.watermark);
  append_uvarint(to, body.round);
  append_run(to, body.run);
}
void append_body(std::string& to, const ReplicateReply& body) {
  append_enum(to, body.answer);
  append_uvarint(to, body.promised.value);
  append_uvarint(to, body.round);
  append_offset(to, body.durable);
  append_offset(to, body.accepted);
}
void append_body(std::string& to, const Fence& body) {
  append_enum(to, body.durability);
  append_offset(to, body.start);
  append_offset(to, body.from);
  append_uvarint(to, body.bytes_max);
}
void append_body(std::string& to, const FenceReply& body) {
  append_enum(to, body.answer);
  append_uvarint(to, body.promised.value);
  append_enum(to, body.knowledge);
  append_offset(to, body.watermark);
  append_offset(to, body.durable);
  append_run(to, body.run);
}
void append_body(std::string& to, const Fetch& body) {
  append_offset(to, body.from);
  append_uvarint(to, body.bytes_max);
}
void append_body(std::string& to, const FetchReply& body) {
  append_enum(to, body.answer);
  append_run(to, body.run);
}

class Parser : public SpoilingDecoder {
 public:
  Parser(Bytes bytes, const std::shared_ptr<const void>& owner)
      : SpoilingDecoder(bytes), owner_(owner) {}

  SegmentId segment() {
    SegmentId id{number()};
    if (id == SegmentId{}) spoil();
    return id;
  }
  Epoch epoch() {
    auto value = number();
    if (value > kEpochMax) spoil();
    return {static_cast<std::uint32_t>(value)};
  }
  std::int64_t offset() {
    auto value = number();
    if (value > kOffsetMax) spoil();
    return ok() ? static_cast<std::int64_t>(value) : 0;
  }
  Run run() {
    Run run;
    run.from = offset();
    if (byte(1) == 1) {
      auto bytes = from_.string().value_or(Bytes{});
      if (bytes.size() > kProducersBytesMax) spoil();
      else run.producers = owner_ ? Payload(bytes, owner_) : Payload::copy_of(bytes);
    }
    auto batches = parse_batches(from_.string().value_or(Bytes{}), run.from, owner_);
    if (batches) run.batches = *std::move(batches);
    else spoil();
    return run;
  }

 private:
  const std::shared_ptr<const void>& owner_;
};

Durability::Kind durability_of(Parser& from) { return static_cast<Durability::Kind>(from.byte(2)); }
Answer answer_of(Parser& from) { return static_cast<Answer>(from.byte(5)); }

Replicate parse_replicate(Parser& from) {
  Replicate body;
  auto flags = from.byte(7);
  body.recovery = (flags & 1) != 0;
  body.sync = (flags & 2) != 0;
  body.quiet = (flags & 4) != 0;
  body.durability = durability_of(from);
  body.start = from.offset();
  body.watermark = from.offset();
  body.round = from.number();
  body.run = from.run();
  if (body.run.from < body.start) from.spoil();
  return body;
}
ReplicateReply parse_replicate_reply(Parser& from) {
  ReplicateReply body;
  body.answer = answer_of(from);
  body.promised = from.epoch();
  body.round = from.number();
  body.durable = from.offset();
  body.accepted = from.offset();
  return body;
}
Fence parse_fence(Parser& from) {
  Fence body;
  body.durability = durability_of(from);
  body.start = from.offset();
  body.from = from.offset();
  body.bytes_max = from.number();
  return body;
}
FenceReply parse_fence_reply(Parser& from) {
  FenceReply body;
  body.answer = answer_of(from);
  body.promised = from.epoch();
  body.knowledge = static_cast<Knowledge>(from.byte(2));
  body.watermark = from.offset();
  body.durable = from.offset();
  body.run = from.run();
  return body;
}
Fetch parse_fetch(Parser& from) {
  Fetch body;
  body.from = from.offset();
  body.bytes_max = from.number();
  return body;
}
FetchReply parse_fetch_reply(Parser& from) {
  FetchReply body;
  body.answer = answer_of(from);
  body.run = from.run();
  return body;
}

SegmentBody parse_body(unsigned kind, Parser& from) {
  switch (kind) {
    case 1: return parse_replicate(from);
    case 2: return parse_replicate_reply(from);
    case 3: return parse_fence(from);
    case 4: return parse_fence_reply(from);
    case 5: return parse_fetch(from);
    case 6: return parse_fetch_reply(from);
    default: from.spoil(); return Fetch{};
  }
}

}  // namespace

void append_parcel(std::string& to, std::span<const SegmentMessage> messages) {
  CHECK(!messages.empty());
  append_byte(to, kVersion);
  append_uvarint(to, messages.front().from.value);
  append_uvarint(to, messages.front().to.value);
  append_uvarint(to, messages.size());
  for (const auto& message : messages) {
    CHECK(message.from == messages.front().from && message.to == messages.front().to);
    append_byte(to, static_cast<unsigned>(message.body.index()) + 1);
    append_uvarint(to, message.segment.value);
    append_uvarint(to, message.epoch.value);
    std::visit([&](const auto& body) { append_body(to, body); }, message.body);
  }
}

Result<std::vector<SegmentMessage>> parse_parcel(Bytes bytes,
                                                 const std::shared_ptr<const void>& owner) {
  Parser from(bytes, owner);
  auto version = from.byte(255);
  if (from.ok() && version != kVersion)
    return fail(Code::kVersion, "parcel of version {}, this node knows {}", version, kVersion);
  auto sender = from.node(), receiver = from.node();
  auto left = from.count(kMessageBytesMin, kParcelMessagesMax);
  if (left == 0) from.spoil();
  std::vector<SegmentMessage> messages;
  for (; left > 0 && from.ok(); --left) {
    SegmentMessage message{.from = sender, .to = receiver};
    auto kind = from.byte(6);
    message.segment = from.segment();
    message.epoch = from.epoch();
    message.body = parse_body(kind, from);
    messages.push_back(std::move(message));
  }
  if (!from.whole()) return fail(Code::kCorrupt, "malformed parcel");
  return messages;
}

Result<std::vector<Batch>> parse_batches(Bytes bytes, std::int64_t from,
                                         const std::shared_ptr<const void>& owner) {
  std::vector<Batch> batches;
  for (auto next = from; !bytes.empty();) {
    WALRUS_ASSIGN(auto view, record::BatchView::parse(bytes));
    if (view.base_offset() != next)
      return fail(Code::kCorrupt, "batch at offset {} where {} is next", view.base_offset(), next);
    next = view.next_offset();
    auto whole = view.bytes();
    batches.push_back(
        {view.base_offset(), next, owner ? Payload(whole, owner) : Payload::copy_of(whole)});
    bytes.remove_prefix(whole.size());
  }
  return batches;
}

}  // namespace walrus::wire::peer
