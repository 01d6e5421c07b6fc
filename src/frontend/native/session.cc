#include "frontend/native/session.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/check.h"
#include "base/coding.h"
#include "frontend/native/error_text.h"
#include "frontend/native/target.h"
#include "wire/native/errors.h"
#include "wire/native/reply.h"

namespace walrus::frontend::native {
namespace {

using wire::native::FrameSplitter;
namespace text = wire::native::text;

constexpr std::size_t kSlotsMax = 4096;        // requests of one connection that wait
constexpr std::size_t kWriteBytes = 64 << 10;  // replies are gathered up to this
constexpr Bytes kHttpHint =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    "Content-Length: 64\r\n\r\n"
    "This is Walrus's native port; HTTP is served on the admin port.\n";

}  // namespace

Session::Session(broker::Local& local, std::unique_ptr<io::Connection> connection,
                 const SessionOptions& options)
    : local_(local),
      connection_(std::move(connection)),
      options_(options),
      authentication_(options_.security, local.engine().env(), connection_->peer()),
      proof_deadline_(local.engine().env().mono() + options_.security.proof_timeout),
      splitter_({.frame_bytes_max = options.frame_bytes_max}),
      room_(local.loop().make_gate()),
      work_(local.loop().make_gate()) {
  if (!authentication_.done())
    splitter_.set_limits({.frame_bytes_max = broker::kStrangerBytesMax, .drain_bytes_max = 0});
}

Session::~Session() = default;

void Session::start(std::function<void()> ended, std::function<void()> admitted) {
  ended_ = std::move(ended);
  admitted_ = std::move(admitted);
  coroutines_ = 2;
  local_.loop().spawn(run_reader(shared_from_this()));
  local_.loop().spawn(run_writer(shared_from_this()));
}

void Session::stop() {
  stopping_ = true;
  if (writer_idle_ && slots_.empty()) connection_->close();
  room_->open();
  work_->open();
}

boost::asio::awaitable<void> Session::run_reader(std::shared_ptr<Session> self) {
  (void)co_await self->read_frames();  // how the peer ended is of no consequence
  self->reading_ = false;
  self->work_->open();
  self->end_coroutine();
}

boost::asio::awaitable<void> Session::run_writer(std::shared_ptr<Session> self) {
  auto result = co_await self->write_replies();
  if (!result) self->broken_ = true;
  else self->connection_->shutdown_write();  // all that was taken is answered
  self->connection_->close();
  self->room_->open();
  self->end_coroutine();
}

// The last of the two gives back the claims that nobody received.
void Session::end_coroutine() {
  if (--coroutines_ > 0) return;
  slots_.clear();
  out_.clear();
  upstreams_.clear();
  slot_bytes_ = flushing_ = 0;
  account();
  std::map<broker::TopicRef, std::vector<broker::Claim>> claims;
  for (auto& unsent : unsent_)
    if (unsent.node == NodeId{}) claims[unsent.topic].push_back(std::move(unsent.claim));
  unsent_.clear();
  for (auto& [topic, returned] : claims) local_.restore(topic, std::move(returned));
  if (ended_) std::exchange(ended_, nullptr)();
}

io::Task<void> Session::read_frames() {
  while (!broken_ && !stopping_) {
    WALRUS_CO_TRY(co_await wait_for_room());
    auto received = co_await connection_->read_some(splitter_.space(), time_left());
    if (!received && received.error().code == Code::kTimeout && !slots_.empty()) continue;
    if (!received) co_return std::unexpected(std::move(received).error());
    if (*received == 0) co_return Result<void>();  // what was asked is still answered
    splitter_.received(*received);
    count(*received, 0);
    if (first_bytes_ && foreign_protocol()) co_return Result<void>();
    while (auto event = splitter_.next()) {
      first_bytes_ = false;
      WALRUS_CO_TRY(co_await take_event(*event));
      if (event->kind == FrameSplitter::Kind::kClose) co_return Result<void>();
      WALRUS_CO_TRY(co_await wait_for_room());
    }
  }
  co_return Result<void>();
}

// A stranger's first bytes: HTTP gets a sentence, TLS and Kafka a clean end. None of them is a
// command.
bool Session::foreign_protocol() {
  auto bytes = splitter_.pending();
  if (bytes.size() < 4) return false;
  for (Bytes method : {"GET ", "POST", "HEAD", "PUT ", "DELE", "OPTI", "PRI "}) {
    if (!bytes.starts_with(method)) continue;
    push({.kind = Slot::kReply, .bytes = std::string(kHttpHint)});
    return true;
  }
  if (bytes.size() < 6) return false;
  // A ClientHello in a handshake record, which no command looks like; a Kafka request: a big-endian
  // length below 16 MiB, then an API key below 256.
  bool tls = bytes.starts_with("\x16\x03") && bytes[5] == '\x01';
  bool kafka = load_le<std::uint32_t>(bytes.data()) > options_.frame_bytes_max &&
               bytes[0] == '\0' && bytes[4] == '\0';
  if (tls || kafka)
    broker::note_stranger(
        options_.security, local_.engine().env(), connection_->peer(),
        tls ? "TLS, on the native port, which is plain text" : "Kafka, on the native port");
  return tls || kafka;
}

io::Task<void> Session::take_event(FrameSplitter::Event event) {
  if (event.kind != FrameSplitter::Kind::kFrame) {
    push_error(text::kInvalidFrameLength);
    co_return Result<void>();
  }
  if (options_.forwarded && event.body == kDelivered) {
    take_delivered();
    co_return Result<void>();
  }
  ++requests_;
  auto request = wire::native::parse_request(event.body);
  if (!authentication_.done() || authentication_.expired())
    co_return co_await take_proof(request, event.body);
  if (!request) {
    push_error(request.error().message);
    co_return Result<void>();
  }
  if (clustered()) {
    push_clustered(std::move(*request), event.body);
    co_return Result<void>();
  }
  if (unexecuted_ == 0 && is_append(*request)) {
    WALRUS_CO_ASSIGN(auto slot, co_await append_request(*request, {}));
    push(std::move(slot));
    co_return Result<void>();
  }
  push({.kind = Slot::kRequest, .bytes = std::string(event.body)});
  co_return Result<void>();
}

// Of a stranger: only AUTH, and the next request is looked at when it is answered.
io::Task<void> Session::take_proof(const Result<wire::native::Request>& request, Bytes body) {
  if (!request || !std::holds_alternative<wire::native::Auth>(*request)) {
    push_error(text::kAuthenticationRequired);
    co_return fail(Code::kInvalid, "not authenticated");
  }
  push({.kind = Slot::kRequest, .bytes = std::string(body)});
  WALRUS_CO_TRY(co_await wait_for_answers());
  if (!authentication_.done()) co_return Result<void>();
  splitter_.set_limits({.frame_bytes_max = options_.frame_bytes_max});
  if (admitted_) std::exchange(admitted_, nullptr)();
  co_return Result<void>();
}

io::Task<void> Session::wait_for_answers() {
  while (!broken_ && !slots_.empty()) co_await room_->wait(io::Nanos::max());
  if (broken_) co_return fail(Code::kClosed, "connection broken");
  co_return Result<void>();
}

io::Nanos Session::time_left() const {
  if (authentication_.done()) return options_.idle_timeout;
  return std::clamp(proof_deadline_ - local_.engine().env().mono(), io::Nanos(0),
                    options_.idle_timeout);
}

std::string Session::user() const {
  return authentication_.asked() ? authentication_.user() : connection_->principal();
}

io::Task<void> Session::wait_for_room() {
  while (!broken_ && !has_room()) co_await room_->wait(io::Nanos::max());
  if (broken_) co_return fail(Code::kClosed, "connection broken");
  co_return Result<void>();
}

bool Session::has_room() {
  account();
  if (slots_.empty() && out_.empty()) return true;
  if (options_.memory != nullptr && options_.memory->full()) return false;
  return slots_.size() < kSlotsMax && slot_bytes_ + out_.size() < options_.output_bytes_max;
}

void Session::account() {
  if (options_.memory == nullptr) return;
  auto now = static_cast<std::int64_t>(slot_bytes_ + out_.size() + flushing_);
  options_.memory->bytes.fetch_add(now - accounted_, std::memory_order_relaxed);
  accounted_ = now;
}

void Session::push(Slot slot) {
  slot_bytes_ += slot.bytes.size() + kSlotOverheadBytes;
  if (slot.unexecuted()) ++unexecuted_;
  slots_.push_back(std::move(slot));
  work_->open();
}

void Session::push_error(Bytes error) {
  ++errors_;
  Slot slot;
  wire::native::append_error(slot.bytes, error);
  push(std::move(slot));
}

Session::Slot Session::pop() {
  auto slot = std::move(slots_.front());
  slots_.pop_front();
  ++popped_;
  slot_bytes_ -= slot.bytes.size() + kSlotOverheadBytes;
  if (slot.unexecuted()) --unexecuted_;
  if (placed_ > 0) --placed_;
  return slot;
}

io::Task<void> Session::write_replies() {
  while (true) {
    while (!slots_.empty()) {
      if (out_.size() >= kWriteBytes) WALRUS_CO_TRY(co_await flush());
      if (clustered()) WALRUS_CO_TRY(co_await place_appends());
      if (slots_.front().kind == Slot::kReply) out_ += pop().bytes;
      else if (slots_.front().kind == Slot::kAppended) WALRUS_CO_TRY(co_await answer_appends());
      else if (slots_.front().kind == Slot::kForwarded) WALRUS_CO_TRY(co_await answer_forwarded());
      else WALRUS_CO_TRY(co_await answer_request());
    }
    WALRUS_CO_TRY(co_await flush());
    if (!slots_.empty()) continue;
    if (!reading_ || stopping_) co_return Result<void>();
    room_->open();
    writer_idle_ = true;
    co_await work_->wait(io::Nanos::max());
    writer_idle_ = false;
  }
}

// A run of appends is waited for together; but where each has a leader to wait for, the first one,
// and then all behind it that are answered by then. What is answered already does not wait for it.
io::Task<void> Session::answer_appends() {
  const auto& owed = slots_.front().appending.owed;
  bool waits = owed ? !owed->settled() : !local_.engine().is_done(slots_.front().appending.pending);
  if (waits) WALRUS_CO_TRY(co_await flush());
  WALRUS_CO_TRY(co_await acknowledged(slots_.front()));
  std::size_t run = 0;
  broker::AppendRun appends;
  for (; run < slots_.size() && slots_[run].kind == Slot::kAppended; ++run) {
    const auto& appending = slots_[run].appending;
    if (appending.owed && !appending.owed->settled()) break;
    appends.add(appending);
  }
  WALRUS_CO_TRY(co_await appends.wait(local_.engine(), local_.loop()));
  for (std::size_t i = 0; i < run; ++i) {
    auto placed = appends.outcome(slots_.front().appending);
    if (is_refusal(slots_.front(), placed)) {
      co_await settle_here();
      break;
    }
    auto slot = pop();
    answered(slot.log);
    if (!placed) {
      auto origin = slot.origin ? std::move(*slot.origin) : Origin{};
      wire::native::append_error(out_, describe_refusal(placed.error(), origin, slot.shape));
    } else if (slot.shape == Shape::kOk) {
      wire::native::append_ok(out_);
    } else if (slot.shape == Shape::kOffset) {
      wire::native::append_offset(out_, placed->first);
    } else {
      wire::native::append_pair(out_, placed->first.value,
                                placed->next.value - placed->first.value);
    }
  }
  co_return Result<void>();
}

io::Task<void> Session::answer_request() {
  // Views into the body live until the request is answered: the slot stays where it is until then,
  // and a deque does not move its elements when others are added behind.
  const auto& body = slots_.front().bytes;
  auto request = wire::native::parse_request(body);
  if (!request) {  // was parsed when it came
    pop();
    co_return std::unexpected(std::move(request).error());
  }
  if (clustered()) {
    WALRUS_CO_ASSIGN(bool elsewhere, co_await forward_front(*request));
    if (elsewhere) co_return Result<void>();
  }
  if (is_append(*request)) co_return co_await append_run();
  if (auto* get_request = std::get_if<wire::native::Get>(&*request)) {
    std::size_t run = 1;
    while (run < slots_.size() && run < kSlotsMax && slots_[run].bytes == body &&
           slots_[run].kind == Slot::kRequest)
      ++run;
    co_return co_await get(*get_request, run);
  }
  WALRUS_CO_TRY(co_await execute(std::move(*request)));
  if (std::exchange(again_, false)) co_return Result<void>();
  pop();
  if (!authentication_.failed()) co_return Result<void>();
  WALRUS_CO_TRY(co_await flush());
  co_return fail(Code::kInvalid, "not authenticated");
}

// Encodes the appends at the front, so that they join one group commit. Each stays what it was, and
// at its place, until it is encoded.
io::Task<void> Session::append_run() {
  for (std::size_t i = 0; i < slots_.size() && slots_[i].kind == Slot::kRequest; ++i) {
    auto request = wire::native::parse_request(slots_[i].bytes);
    if (!request || !is_append(*request)) break;
    WALRUS_CO_ASSIGN(auto appended, co_await append_request(*request, {}));
    slot_bytes_ = slot_bytes_ - slots_[i].bytes.size() + appended.bytes.size();
    --unexecuted_;
    slots_[i] = std::move(appended);
  }
  co_return Result<void>();
}

io::Task<void> Session::flush() {
  if (out_.empty()) co_return Result<void>();
  if (broken_) co_return fail(Code::kClosed, "connection broken");
  auto bytes = std::exchange(out_, {});
  flushing_ = bytes.size();
  account();
  auto result = co_await connection_->write(bytes, options_.write_timeout);
  flushing_ = 0;
  count(0, bytes.size());
  written_ = result ? written_ + std::ssize(bytes) : connection_->written();
  std::map<broker::TopicRef, std::vector<broker::ClaimId>> delivered;
  std::set<NodeId> elsewhere;
  std::size_t count = 0;
  // Where the peer hands on, it says itself what its client has.
  for (; !options_.forwarded && count < unsent_.size() && unsent_[count].end <= written_; ++count) {
    const auto& unsent = unsent_[count];
    if (unsent.node != NodeId{}) elsewhere.insert(unsent.node);
    else delivered[unsent.topic].push_back({unsent.claim.partition, unsent.claim.offset});
  }
  unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(count));
  for (auto& [topic, claims] : delivered) local_.delivered(topic, std::move(claims));
  if (!elsewhere.empty()) co_await tell_delivered(std::move(elsewhere));
  room_->open();
  if (result && out_.empty()) {  // keeps the buffer, unless it grew large
    bytes.clear();
    if (bytes.capacity() <= 2 * kWriteBytes) out_ = std::move(bytes);
  }
  co_return result;
}

void Session::count(std::size_t received, std::size_t sent) {
  if (options_.counters == nullptr) return;
  auto& counters = *options_.counters;
  counters.requests.add(std::exchange(requests_, 0));
  counters.errors.add(std::exchange(errors_, 0));
  counters.received_bytes.add(received);
  counters.sent_bytes.add(sent);
}

bool Session::is_append(const wire::native::Request& request) {
  using namespace wire::native;
  return std::holds_alternative<Put>(request) || std::holds_alternative<Append>(request) ||
         std::holds_alternative<AppendAt>(request) || std::holds_alternative<Batch>(request);
}

io::Task<Session::Slot> Session::append_request(const wire::native::Request& request,
                                                PipelineRef pipeline) {
  using namespace wire::native;
  broker::AppendRules rules{.pipeline = std::move(pipeline)};
  if (auto* put = std::get_if<Put>(&request))
    return append(put->target, Shape::kOk, put->payload, std::move(rules));
  if (auto* plain = std::get_if<Append>(&request))
    return append(plain->target, Shape::kOffset, plain->payload, std::move(rules));
  if (auto* at = std::get_if<AppendAt>(&request)) {
    rules.expected_next = Offset{at->offset};
    return append(at->target, Shape::kOffset, at->payload, std::move(rules));
  }
  auto* batch = std::get_if<Batch>(&request);
  CHECK(batch != nullptr);
  rules.in_sequence = true;
  return append_batch(batch->target, batch->batch, std::move(rules));
}

io::Task<Session::Slot> Session::append(wire::native::Target target, Shape shape, Bytes payload,
                                        broker::AppendRules rules) {
  auto topic = local_.find(target.topic, partition_of(target));
  if (!topic) co_return error_slot(topic.error(), name_of(target));
  if (std::ssize(payload) > (*topic)->config.batch_bytes_max)
    co_return error_slot({Code::kTooLarge, "above batch_bytes_max"}, "");
  // An append at an offset that names no partition means partition 0, like READ.
  auto partition = rules.expected_next
                       ? partition_of(target).value_or(0)
                       : broker::Local::put_partition(**topic, partition_of(target));
  Origin origin{
      .target = {}, .log = (*topic)->partitions[partition], .expected = rules.expected_next};
  walrus::Record record{.value = payload};
  while (true) {
    auto appending = local_.append(*origin.log, {&record, 1}, rules);
    if (appending) {
      if (appending->owed) origin.target = name_of(target);
      co_return appended_slot(std::move(*appending), shape, std::move(origin));
    }
    if (appending.error().code != Code::kBusy) {
      origin.target = name_of(target);
      co_return refusal_slot(appending.error(), origin, shape);
    }
    auto room = co_await local_.room(origin.log);
    if (!room) co_return error_slot(room.error(), name_of(target));
  }
}

io::Task<Session::Slot> Session::append_batch(wire::native::Target target, Bytes batch,
                                              broker::AppendRules rules) {
  auto topic = local_.find(target.topic, partition_of(target));
  if (!topic) co_return error_slot(topic.error(), name_of(target));
  auto partition = broker::Local::put_partition(**topic, partition_of(target));
  Origin origin{.target = {}, .log = (*topic)->partitions[partition], .expected = {}};
  while (true) {
    auto stored = local_.produce(**topic, partition, batch, {.append = rules});
    if (stored) {
      if (stored->appending.owed) origin.target = name_of(target);
      co_return appended_slot(std::move(stored->appending), Shape::kPair, std::move(origin));
    }
    if (stored.error().code != Code::kBusy) {
      origin.target = name_of(target);
      co_return refusal_slot(stored.error(), origin, Shape::kPair);
    }
    auto room = co_await local_.room(origin.log);
    if (!room) co_return error_slot(room.error(), name_of(target));
  }
}

Session::Slot Session::appended_slot(broker::Appending appending, Shape shape, Origin origin) {
  Slot slot{.kind = Slot::kAppended, .shape = shape};
  if (appending.owed) slot.origin = std::make_unique<Origin>(std::move(origin));
  slot.appending = std::move(appending);
  return slot;
}

Session::Slot Session::refusal_slot(const Error& error, const Origin& origin, Shape shape) {
  Slot slot;
  wire::native::append_error(slot.bytes, describe_refusal(error, origin, shape));
  return slot;
}

namespace {

// What is wrong with the batch itself is one error here.
Error batch_error(const Error& error) {
  switch (error.code) {
    case Code::kCorrupt:
    case Code::kInvalid:
    case Code::kOutOfRange:
    case Code::kVersion: return {Code::kInvalid, "invalid batch: " + error.message};
    default: return error;
  }
}

}  // namespace

std::string Session::describe_refusal(const Error& error, const Origin& origin, Shape shape) {
  if (error.code == Code::kMismatch && origin.expected) {
    auto bounds = origin.log->bounds();
    if (!bounds) return describe_error(bounds.error(), "");
    ++errors_;
    return text::expected_offset(origin.expected->value, bounds->log_end.value);
  }
  return describe_error(shape == Shape::kPair ? batch_error(error) : error, origin.target);
}

std::string Session::describe_error(const Error& error, Bytes target) {
  ++errors_;
  return error_text(error, target, !local_.engine().failure());
}

Session::Slot Session::error_slot(const Error& error, Bytes target) {
  Slot slot;
  wire::native::append_error(slot.bytes, describe_error(error, target));
  return slot;
}

// Answers `run` requests GET with one claim of so many records; those that found none are asked
// again one by one.
io::Task<void> Session::get(wire::native::Get request, std::size_t run) {
  auto name = name_of(request.target);
  auto partition = partition_of(request.target);
  auto deadline = local_.engine().env().mono() + std::chrono::milliseconds(request.wait_ms);
  auto topic = local_.find(request.target.topic, partition);
  if (!topic) {
    wire::native::append_error(out_, describe_error(topic.error(), name));
    pop();
    co_return Result<void>();
  }
  while (true) {
    auto claims = co_await local_.take(
        *topic, partition, {.records_max = run, .bytes_max = options_.output_bytes_max / 16});
    if (claims && !claims->empty()) {
      for (auto& claim : *claims) {
        wire::native::append_payload(out_, claim.payload);
        unsent_.push_back({.end = written_ + std::ssize(out_), .topic = *topic, .claim = claim});
        pop();
      }
      co_return Result<void>();
    }
    if (claims) {
      // The own claims must be delivered before the cursor can stand at the end.
      WALRUS_CO_TRY(co_await flush());
      auto empty = co_await get_empty(*topic, partition, deadline);
      if (empty && !*empty) continue;
      if (empty) wire::native::append_empty(out_);
      else claims = std::unexpected(std::move(empty).error());
    }
    if (!claims && co_await worth_again(claims.error())) co_return Result<void>();
    if (!claims) wire::native::append_error(out_, describe_lost(claims.error(), name));
    pop();
    co_return Result<void>();
  }
}

// True: EMPTY may be answered. False: there is a record to be had.
io::Task<bool> Session::get_empty(broker::TopicRef topic, broker::Partition partition,
                                  io::Nanos deadline) {
  auto left = deadline - local_.engine().env().mono();
  if (left > io::Nanos(0)) {
    WALRUS_CO_ASSIGN(bool available, co_await local_.wait_available(topic, partition, left));
    if (available) co_return false;
  }
  co_return co_await local_.settle(topic, partition);
}

}  // namespace walrus::frontend::native
