#include "frontend/kafka/session.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/coding.h"
#include "frontend/kafka/errors.h"
#include "wire/kafka/codec.h"
#include "wire/native/reply.h"

namespace walrus::frontend::kafka {
namespace {

constexpr std::size_t kBufferBytes = 64 << 10;
constexpr std::size_t kSlotsMax = 1024;           // requests of one connection that wait
constexpr std::size_t kWriteBytes = 64 << 10;     // responses are gathered up to this
constexpr std::size_t kFirstBodyBytes = 1 << 20;  // memory follows what really arrives
constexpr io::Nanos kMemoryPause = std::chrono::milliseconds(10);
// As large as what keeps groups together, and asks for records: these go on whatever others hold.
constexpr std::size_t kSmallBytes = 4 << 10;
constexpr std::int16_t kApiVersionsKey = 18;
constexpr Bytes kHttpHint =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    "Content-Length: 63\r\n\r\n"
    "This is Walrus's Kafka port; HTTP is served on the admin port.\n";
constexpr Bytes kNativeHint = "this is the Kafka port; the native protocol has its own";

void resize_raw(std::string& bytes, std::size_t size) {
  // libstdc++ 12 passes the capacity as the second argument, which may be more than `size`.
  bytes.resize_and_overwrite(size, [size](char*, std::size_t) { return size; });
}

}  // namespace

Session::Session(broker::Local& local, SessionLoop& loop,
                 std::unique_ptr<io::Connection> connection, const SessionOptions& options)
    : local_(local),
      loop_(loop),
      connection_(std::move(connection)),
      options_(options),
      authentication_(options_.security, local.engine().env(), connection_->peer()),
      proof_deadline_(local.engine().env().mono() + options_.security.proof_timeout),
      room_(local.loop().make_gate()),
      work_(local.loop().make_gate()) {}

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
  (void)co_await self->read_requests();  // how the peer ended is of no consequence
  self->reading_ = false;
  self->local_.interrupt(self->interrupt_);
  self->work_->open();
  self->end_coroutine();
}

boost::asio::awaitable<void> Session::run_writer(std::shared_ptr<Session> self) {
  auto result = co_await self->write_responses();
  if (!result) self->broken_ = true;
  self->connection_->close();
  self->room_->open();
  self->end_coroutine();
}

void Session::end_coroutine() {
  if (--coroutines_ > 0) return;
  for (auto& slot : slots_) settle(slot.overdraws);
  settle(overdraws_);
  slots_.clear();
  hold(-held_);
  if (ended_) std::exchange(ended_, nullptr)();
}

void Session::hold(std::int64_t change) {
  held_ += change;
  if (options_.memory != nullptr)
    options_.memory->bytes.fetch_add(change, std::memory_order_relaxed);
}

io::Task<void> Session::read_requests() {
  resize_raw(buffer_, kBufferBytes);
  while (!broken_ && !stopping_) {
    if (!authentication_.done()) {
      WALRUS_CO_TRY(co_await wait_for_answers());
      if (authentication_.done() && admitted_) std::exchange(admitted_, nullptr)();
    }
    auto more = co_await fill(wire::kafka::kLengthBytes, time_left(options_.idle_timeout));
    // Idle is who asks nothing and waits for nothing.
    if (!more && more.error().code == Code::kTimeout && !slots_.empty()) continue;
    if (!more) co_return std::unexpected(std::move(more).error());
    if (!*more) co_return Result<void>();
    auto start = Bytes(buffer_).substr(buffer_start_, buffer_end_ - buffer_start_);
    if (first_ && foreign_protocol(start)) co_return Result<void>();
    auto size = load_be<std::int32_t>(start.data());
    if (!valid_size(size)) co_return fail(Code::kInvalid, "a request of {} bytes", size);
    first_ = false;
    buffer_start_ += wire::kafka::kLengthBytes;
    WALRUS_CO_TRY(co_await wait_for_room(static_cast<std::size_t>(size)));
    WALRUS_CO_ASSIGN(auto frame, co_await read_body(static_cast<std::size_t>(size)));
    WALRUS_CO_TRY(co_await take_request(std::move(frame)));
  }
  co_return Result<void>();
}

// Until the buffer holds so many bytes; false: the peer has ended. At most kBufferBytes.
io::Task<bool> Session::fill(std::size_t size, io::Nanos timeout) {
  while (buffer_end_ - buffer_start_ < size) {
    if (buffer_start_ == buffer_end_) buffer_start_ = buffer_end_ = 0;
    if (buffer_.size() - buffer_start_ < size) {
      std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(buffer_start_),
                buffer_.begin() + static_cast<std::ptrdiff_t>(buffer_end_), buffer_.begin());
      buffer_end_ -= buffer_start_;
      buffer_start_ = 0;
    }
    auto to = std::span(buffer_).subspan(buffer_end_);
    WALRUS_CO_ASSIGN(auto got, co_await connection_->read_some(to, timeout));
    if (got == 0) co_return false;
    buffer_end_ += got;
    if (options_.counters != nullptr) options_.counters->received_bytes.add(got);
  }
  co_return true;
}

io::Task<std::string> Session::read_body(std::size_t size) {
  std::string body(buffer_, buffer_start_, std::min(size, buffer_end_ - buffer_start_));
  buffer_start_ += body.size();
  auto filled = body.size();
  while (filled < size) {
    if (filled == body.size())
      resize_raw(body, std::min(size, std::max(kFirstBodyBytes, 2 * body.size())));
    WALRUS_CO_ASSIGN(auto got, co_await connection_->read_some(std::span(body).subspan(filled),
                                                               time_left(options_.body_timeout)));
    if (got == 0) co_return fail(Code::kClosed, "the peer has ended within a request");
    filled += got;
    if (options_.counters != nullptr) options_.counters->received_bytes.add(got);
  }
  co_return body;
}

// Of a stranger one request is looked at when those before it are answered.
io::Task<void> Session::wait_for_answers() {
  while (!broken_ && !slots_.empty()) (void)co_await room_->wait(io::Nanos::max());
  if (broken_) co_return fail(Code::kClosed, "connection broken");
  co_return Result<void>();
}

io::Nanos Session::time_left(io::Nanos usual) const {
  if (authentication_.done()) return usual;
  return std::clamp(proof_deadline_ - local_.engine().env().mono(), io::Nanos(0), usual);
}

bool Session::valid_size(std::int32_t size) const {
  auto least = raw_tokens_ ? 0 : wire::kafka::kRequestHeaderBytesMin;
  auto most = authentication_.done() ? options_.request_bytes_max : broker::kStrangerBytesMax;
  return size >= 0 && static_cast<std::size_t>(size) >= least &&
         static_cast<std::size_t>(size) <= most;
}

bool Session::is_served(const wire::kafka::RequestHeader& header) const {
  return (authentication_.done() && !authentication_.expired()) || open_to_strangers(header.key);
}

// Until the request may be read; it is held then.
io::Task<void> Session::wait_for_room(std::size_t size) {
  auto bytes = static_cast<std::int64_t>(size);
  while (!broken_ && slots_.size() >= kSlotsMax) (void)co_await room_->wait(io::Nanos::max());
  if (slots_.empty() && size <= kSmallBytes) {
    hold(bytes);
    co_return Result<void>();
  }
  WALRUS_CO_ASSIGN(bool admitted, co_await wait_for_memory(
                                      *room_, [this, bytes] { return admit(bytes, overdraws_); }));
  if (!admitted) co_return fail(Code::kClosed, "stopping");
  co_return Result<void>();
}

// In turn with the others of this loop. False: not admitted, the session is being stopped.
io::Task<bool> Session::wait_for_memory(io::Gate& gate, std::function<bool()> admit) {
  auto& queue = loop_.memory_queue;
  if (queue.empty() && admit()) co_return true;
  auto place = queue.insert(queue.end(), &gate);
  bool admitted = false;
  while (!broken_ && !stopping_ && !admitted) {
    // Only the first one looks, and looks again soon: what others give back is not told here.
    bool first = place == queue.begin();
    admitted = first && admit();
    if (!admitted) (void)co_await gate.wait(first ? kMemoryPause : io::Nanos::max());
  }
  queue.erase(place);
  if (!queue.empty()) queue.front()->open();
  if (broken_) co_return fail(Code::kClosed, "connection broken");
  co_return admitted;
}

bool Session::admit(std::int64_t size, bool& overdraws) {
  auto* memory = options_.memory;
  if (memory != nullptr && memory->left() < size && !overdraws) {
    if (memory->overdrawn.exchange(true, std::memory_order_relaxed)) return false;
    overdraws = true;
  }
  hold(size);
  return true;
}

// Another may go beyond the limit.
void Session::settle(bool& overdraws) {
  if (std::exchange(overdraws, false))
    options_.memory->overdrawn.store(false, std::memory_order_relaxed);
}

// A stranger's first bytes: HTTP gets a sentence, a client of the native protocol an error in its
// own words. Neither is a request within any limit, or a known API.
bool Session::foreign_protocol(Bytes start) {
  for (Bytes method : {"GET ", "POST", "HEAD", "PUT ", "DELE", "OPTI", "PRI "}) {
    if (!start.starts_with(method)) continue;
    out_.text += kHttpHint;
    return true;
  }
  if (start.starts_with("\x16\x03")) {  // a handshake record
    broker::note_stranger(options_.security, local_.engine().env(), connection_->peer(),
                          "TLS, on the Kafka port, which is plain text");
    return true;
  }
  // A native frame: a little-endian length, then a word in capitals.
  constexpr std::uint32_t kNativeFrameMax = 64 << 20;
  bool capitals = start.size() >= 7 && std::ranges::all_of(start.substr(4, 3), [](char c) {
                    return c >= 'A' && c <= 'Z';
                  });
  if (!capitals || load_le<std::uint32_t>(start.data()) > kNativeFrameMax) return false;
  wire::native::append_error(out_.text, kNativeHint);
  return true;
}

io::Task<void> Session::take_request(std::string frame) {
  if (options_.counters != nullptr) options_.counters->requests.add();
  slots_.push_back({.frame = std::move(frame), .overdraws = std::exchange(overdraws_, false)});
  auto& slot = slots_.back();  // a deque does not move its elements when others are added
  if (raw_tokens_) {
    slot.token = true;
    ++unproduced_;
    work_->open();
    co_return Result<void>();
  }
  auto request = wire::kafka::parse_request(slot.frame);
  Result<void> result;
  if (!request) result = std::unexpected(std::move(request).error());
  else slot.request = *request;
  const auto& header = slot.request.header;
  const auto* handler = request ? find_handler(header.key) : nullptr;
  if (handler != nullptr && handler->served.contains(header.version)) slot.handler = handler;
  else if (request && header.key != kApiVersionsKey)
    result = fail(Code::kVersion, "API {} version {}", header.key, header.version);
  if (result && !is_served(header)) result = fail(Code::kInvalid, "API {} too early", header.key);
  ++unproduced_;
  if (result && unproduced_ == 1 && slot.is_produce()) {
    slot.encoding = true;  // the writer leaves it alone
    auto produced = co_await begin_produce(call_of(slot), slot.request.body);
    slot.encoding = false;
    if (produced) set_produced(slot, std::move(*produced));
    else result = std::unexpected(std::move(produced).error());
  }
  if (!result) drop_last();
  work_->open();
  co_return result;
}

// Malformed: those before it are answered, then the connection ends.
void Session::drop_last() {
  hold(-std::ssize(slots_.back().frame));
  settle(slots_.back().overdraws);
  slots_.pop_back();
  --unproduced_;
  if (options_.counters != nullptr) options_.counters->errors.add();
}

void Session::set_produced(Slot& slot, Produced produced) {
  --unproduced_;
  slot.produced = std::move(produced);
  // The records are in the journal.
  hold(-std::ssize(slot.frame));
  settle(slot.overdraws);
  slot.frame = {};
  slot.request.body = {};
}

Call Session::call_of(const Slot& slot) {
  return {.local = local_,
          .node = options_.node,
          .interrupt = interrupt_,
          .groups = options_.groups,
          .fetch_sessions = loop_.fetch_sessions,
          .memory = options_.memory,
          .security = options_.security,
          .authentication = authentication_,
          .arrears = arrears_,
          .moved = moved_,
          .version = slot.request.header.version,
          .client_id = slot.request.header.client_id.value_or(Bytes()),
          .client_host = connection_->peer(),
          .user = authentication_.asked() ? authentication_.user() : connection_->principal()};
}

void Session::pop() {
  hold(-std::ssize(slots_.front().frame));
  settle(slots_.front().overdraws);
  slots_.pop_front();
  room_->open();
}

io::Task<void> Session::write_responses() {
  while (true) {
    while (!slots_.empty() && !slots_.front().encoding) {
      if (out_.size() >= kWriteBytes) WALRUS_CO_TRY(co_await flush());
      if (slots_.front().produced) WALRUS_CO_TRY(co_await answer_produced());
      else if (slots_.front().is_produce()) WALRUS_CO_TRY(co_await produce_run());
      else if (slots_.front().token) WALRUS_CO_TRY(co_await answer_token());
      else WALRUS_CO_TRY(co_await answer_request());
    }
    WALRUS_CO_TRY(co_await flush());
    if (!slots_.empty() && !slots_.front().encoding) continue;
    if (slots_.empty() && (!reading_ || stopping_)) co_return Result<void>();
    writer_idle_ = true;
    co_await work_->wait(io::Nanos::max());
    writer_idle_ = false;
  }
}

// Encodes the run of Produce at the front, so that it joins one group commit.
io::Task<void> Session::produce_run() {
  for (std::size_t i = 0; i < slots_.size() && slots_[i].is_produce(); ++i) {
    auto& slot = slots_[i];
    if (slot.produced) continue;
    if (slot.encoding) break;
    WALRUS_CO_ASSIGN(auto produced, co_await begin_produce(call_of(slot), slot.request.body));
    set_produced(slot, std::move(produced));
  }
  co_return Result<void>();
}

bool Session::is_settled(const Produced& produced) const {
  return std::ranges::all_of(produced.parts, [&](const auto& part) {
    const auto& [pending, placed, owed] = part.appending;
    if (!produced.waits_for(part.appending)) return true;
    return owed ? owed->settled() : local_.engine().is_done(pending);
  });
}

// A Produce that is taken, as soon as it is stored: what is answered already does not wait for it,
// and it does not wait for what came behind it.
io::Task<void> Session::answer_produced() {
  if (!is_settled(*slots_.front().produced)) WALRUS_CO_TRY(co_await flush());
  auto& slot = slots_.front();
  auto& produced = *slot.produced;
  broker::AppendRun appends;
  for (const auto& part : produced.parts)
    if (produced.waits_for(part.appending)) appends.add(part.appending, produced.deadline);
  WALRUS_CO_TRY(co_await appends.wait(local_.engine(), local_.loop()));
  end_produce(call_of(slot), produced, appends);
  if (produced.failed && options_.counters != nullptr) options_.counters->errors.add();
  if (produced.answered) {
    auto start = begin_response(slot);
    wire::kafka::encode(out_.text, produced.response, slot.request.header.version);
    wire::kafka::finish_frame(out_.text, start);
  } else if (produced.failed) {
    // Nobody waits for a response: this is how the client learns of it.
    WALRUS_CO_TRY(co_await flush());
    co_return fail(Code::kInvalid, "a refused request that wants no answer");
  }
  pop();
  co_return Result<void>();
}

// Waiting may take long: what is answered already goes out first.
io::Task<void> Session::answer_request() {
  WALRUS_CO_TRY(co_await flush());
  auto& slot = slots_.front();
  if (slot.handler != nullptr && slot.handler->wide)
    WALRUS_CO_TRY(co_await wait_for_memory(*work_, [&] { return admit(0, slot.overdraws); }));
  auto start = begin_response(slot);
  if (slot.handler == nullptr) {
    append_unsupported_version(out_.text);
  } else {
    auto call = call_of(slot);
    auto result = co_await slot.handler->handle(call, slot.request.body, out_);
    if (!result) {
      out_.text.resize(start);
      if (options_.counters != nullptr) options_.counters->errors.add();
      co_return result;
    }
  }
  wire::kafka::finish_frame(out_.text, start, out_.beside(start));
  if (slot.request.header.key == wire::kafka::SaslHandshakeRequest::kKey)
    raw_tokens_ = slot.request.header.version == 0 && authentication_.under_way();
  --unproduced_;
  pop();
  if (!authentication_.failed()) co_return Result<void>();
  WALRUS_CO_TRY(co_await flush());
  co_return fail(Code::kInvalid, "not authenticated");
}

// A token in a frame of its own, and the answer likewise; a failure has no words here.
io::Task<void> Session::answer_token() {
  auto token = authentication_.step(slots_.front().frame);
  if (!token) {
    co_await local_.loop().sleep(options_.security.failure_delay);
    co_return std::unexpected(std::move(token).error());
  }
  append_be(out_.text, static_cast<std::int32_t>(token->size()));
  out_.text += *token;
  raw_tokens_ = authentication_.under_way();
  --unproduced_;
  pop();
  co_return Result<void>();
}

std::size_t Session::begin_response(const Slot& slot) {
  auto start = out_.text.size();
  const auto& header = slot.request.header;
  auto version = slot.handler == nullptr ? std::int16_t{0} : header.version;
  wire::kafka::append_response_header(out_.text, *slot.request.api, version, header.correlation_id);
  return start;
}

io::Task<void> Session::flush() {
  if (out_.empty()) co_return Result<void>();
  if (broken_) co_return fail(Code::kClosed, "connection broken");
  auto out = std::exchange(out_, {});
  auto size = out.size();
  hold(static_cast<std::int64_t>(size));
  auto result = co_await write(out);
  hold(-static_cast<std::int64_t>(size));
  if (options_.counters != nullptr) options_.counters->sent_bytes.add(size);
  room_->open();
  if (result && out_.empty()) {  // keeps the buffer, unless it grew large
    out.text.clear();
    if (out.text.capacity() <= 2 * kWriteBytes) out_.text = std::move(out.text);
  }
  co_return result;
}

io::Task<void> Session::write(const Output& out) {
  auto& env = local_.engine().env();
  auto deadline = env.mono() + options_.write_timeout;
  auto left = [&] { return std::max(deadline - env.mono(), io::Nanos(0)); };
  std::size_t done = 0;
  for (const auto& [at, bytes] : out.pieces) {
    WALRUS_CO_TRY(co_await connection_->write(Bytes(out.text).substr(done, at - done), left()));
    WALRUS_CO_TRY(co_await connection_->write(bytes, left()));
    done = at;
  }
  co_return co_await connection_->write(Bytes(out.text).substr(done), left());
}

}  // namespace walrus::frontend::kafka
