#include <algorithm>
#include <utility>

#include "base/check.h"
#include "net/lane.h"
#include "net/lane_message.h"
#include "net/timers.h"

namespace walrus::net {
namespace {

constexpr std::int64_t kPieceBytes = 256 << 10;  // read, and written to the stream, at once
constexpr io::Nanos kRetryMin = std::chrono::milliseconds(50), kRetryMax = std::chrono::seconds(2);
constexpr io::Nanos kOpenTimeout = std::chrono::seconds(5);
constexpr io::Nanos kTick = std::chrono::milliseconds(100);  // how often who waits looks up

class FileSource final : public LaneSource {
 public:
  FileSource(std::unique_ptr<io::File> file, std::int64_t position, std::int64_t size)
      : file_(std::move(file)), position_(position), size_(size) {}
  std::int64_t size() const override { return size_; }
  Result<void> read(std::int64_t position, std::span<char> to) override {
    WALRUS_ASSIGN(const auto size, file_->read(position_ + position, to));
    if (size < to.size())
      return fail(Code::kOutOfRange, "the file became shorter while it was sent");
    return {};
  }

 private:
  const std::unique_ptr<io::File> file_;
  const std::int64_t position_, size_;
};

class BytesSource final : public LaneSource {
 public:
  explicit BytesSource(std::string bytes) : bytes_(std::move(bytes)) {}
  std::int64_t size() const override { return std::ssize(bytes_); }
  Result<void> read(std::int64_t position, std::span<char> to) override {
    bytes_.copy(to.data(), to.size(), static_cast<std::size_t>(position));
    return {};
  }

 private:
  const std::string bytes_;
};

// What goes from one piece to the next; shared with the jobs, which come one after the other.
struct Reading {
  std::shared_ptr<LaneSource> source;
  Sha256 sha{};
  std::int64_t position = 0;
};

FileWorker::Job<std::string> read_piece(FileWorker& worker, std::shared_ptr<Reading> reading,
                                        std::int64_t end, std::int64_t most = kPieceBytes) {
  return worker.start<std::string>(
      [reading = std::move(reading), end, most]() -> Result<std::string> {
        const auto size = std::min(most, end - reading->position);
        std::string piece(static_cast<std::size_t>(size), '\0');
        WALRUS_TRY(reading->source->read(reading->position, piece));
        reading->sha.update(piece);
        reading->position += size;
        return piece;
      });
}

// One attempt: the stream, and what the receiver has said on it. Shared with the coroutine that
// listens to it.
struct Attempt {
  std::unique_ptr<Stream> stream;
  std::unique_ptr<io::Gate> over;
  std::optional<Result<LaneReport>> end{};
};

class Sender {
 public:
  Sender(io::Env& env, io::Loop& loop, Rpc& rpc, FileWorker& worker, LaneSend what)
      : env_(env),
        loop_(loop),
        rpc_(rpc),
        worker_(worker),
        what_(std::move(what)),
        deadline_(moment_after(env.mono(), what_.timeout)),
        last_progress_(env.mono()) {}

  io::Task<LaneResult> send() {
    auto wait = kRetryMin;
    while (true) {
      const auto durable = durable_;
      auto result = co_await attempt();
      if (result || !may_retry(result.error().code)) co_return result;
      if (cancelled()) co_return fail(Code::kClosed, "cancelled");
      wait = durable_ > durable ? kRetryMin : std::min(2 * wait, kRetryMax);
      const auto half = static_cast<std::uint64_t>(wait.count() / 2);
      const auto pause = io::Nanos(static_cast<std::int64_t>(half + env_.random() % (half + 1)));
      const auto patience = moment_after(last_progress_, what_.silence_max);
      if (env_.mono() + pause >= std::min(deadline_, patience))
        co_return fail(Code::kTimeout, "not sent in time; {}", result.error().message);
      co_await loop_.sleep(pause);
    }
  }

 private:
  static bool may_retry(Code code) {
    return code == Code::kIo || code == Code::kTimeout || code == Code::kBusy;
  }
  bool cancelled() const { return what_.cancelled && *what_.cancelled; }

  io::Task<LaneResult> attempt() {
    const auto size = what_.source->size();
    const auto opening = std::min(deadline_ - env_.mono(), kOpenTimeout);
    auto stream = co_await rpc_.open(what_.to, kLaneMethod, encode(LaneOffer{size, what_.name}),
                                     {.timeout = opening});
    if (!stream) co_return std::unexpected(std::move(stream).error());
    auto attempt = std::make_shared<Attempt>(*std::move(stream), loop_.make_gate());
    std::string said;
    while (said.size() < kLaneStartBytes) {
      WALRUS_CO_ASSIGN(const auto piece, co_await attempt->stream->read(what_.silence_max));
      if (piece.empty()) co_return fail(Code::kCorrupt, "the receiver ended before it began");
      said += piece;
    }
    WALRUS_CO_ASSIGN(const auto start, parse_lane_start(Bytes(said).substr(0, kLaneStartBytes)));
    said.erase(0, kLaneStartBytes);
    if (start.have > size) co_return fail(Code::kCorrupt, "the receiver has more than there is");
    auto reading = std::make_shared<Reading>(what_.source);
    while (reading->position < start.have)
      WALRUS_CO_TRY(co_await read_piece(worker_, reading, start.have).wait());
    if (start.have > 0 && reading->sha.digest() != start.digest)
      *reading = {.source = what_.source};
    loop_.spawn(listen(*this, attempt, std::move(said)));
    pour_ended_.reset();
    auto poured = co_await pour(*attempt->stream, reading);
    pour_ended_ = env_.mono();
    // The listener uses this object: it ends before the attempt does.
    if (!poured) attempt->stream->cancel(poured.error());
    while (!attempt->end) co_await attempt->over->wait(io::Nanos::max());
    if (!poured) co_return std::unexpected(std::move(poured).error());
    if (!*attempt->end) co_return std::unexpected(attempt->end->error());
    if ((*attempt->end)->digest != reading->sha.digest() || (*attempt->end)->durable != size)
      co_return fail(Code::kCorrupt, "the receiver has something else");
    co_return LaneResult{.size = size, .sent = sent_, .digest = (*attempt->end)->digest};
  }

  io::Task<void> pour(Stream& stream, std::shared_ptr<Reading> reading) {
    const auto size = what_.source->size();
    WALRUS_CO_TRY(co_await stream.write(encode_from(reading->position), what_.silence_max));
    const auto begun = env_.mono();
    std::int64_t poured = 0;
    const auto most = piece_bytes();
    std::optional<FileWorker::Job<std::string>> next;
    if (reading->position < size) next = read_piece(worker_, reading, size, most);
    while (next) {
      WALRUS_CO_ASSIGN(auto piece, co_await std::move(*next).wait());
      next.reset();
      if (reading->position < size) next = read_piece(worker_, reading, size, most);
      if (cancelled()) co_return fail(Code::kClosed, "cancelled");
      if (env_.mono() >= deadline_) co_return fail(Code::kTimeout, "not sent in time");
      poured += std::ssize(piece);
      sent_ += std::ssize(piece);
      co_await throttle(begun, poured);
      WALRUS_CO_TRY(co_await stream.write(std::move(piece), what_.silence_max));
      last_progress_ = env_.mono();
    }
    const auto digest = reading->sha.digest();
    WALRUS_CO_TRY(
        co_await stream.write(std::string(digest.data(), digest.size()), what_.silence_max));
    stream.end();
    co_return Result<void>();
  }

  // At a low rate a few pieces a second, or the receiver would hear nothing for too long.
  std::int64_t piece_bytes() const {
    if (what_.bytes_per_s <= 0) return kPieceBytes;
    return std::clamp<std::int64_t>(what_.bytes_per_s / 4, 1, kPieceBytes);
  }

  // Sleeps until so many bytes may have been sent.
  boost::asio::awaitable<void> throttle(io::Nanos begun, std::int64_t poured) {
    if (what_.bytes_per_s <= 0) co_return;
    const auto seconds = static_cast<double>(poured) / static_cast<double>(what_.bytes_per_s);
    const auto due = begun + io::Nanos(static_cast<std::int64_t>(seconds * 1e9));
    while (!cancelled() && env_.mono() < std::min(due, deadline_))
      co_await loop_.sleep(std::min(std::min(due, deadline_) - env_.mono(), kTick));
  }

  static boost::asio::awaitable<void> listen(Sender& self, std::shared_ptr<Attempt> attempt,
                                             std::string said) {
    attempt->end = co_await self.hear(*attempt->stream, std::move(said));
    attempt->over->open();
  }

  io::Task<LaneReport> hear(Stream& stream, std::string said) {
    while (true) {
      WALRUS_CO_ASSIGN(const auto report, parse_lane_report(said));
      if (report) {
        said.erase(0, report->bytes);
        durable_ = std::max(durable_, report->durable);
        last_progress_ = env_.mono();
        if (what_.progress) what_.progress({report->durable, what_.source->size()});
        if (report->done) co_return *report;
        continue;
      }
      auto piece = co_await stream.read(what_.silence_max);
      if (!piece && piece.error().code == Code::kTimeout && !silent()) continue;
      if (!piece) co_return std::unexpected(std::move(piece).error());
      if (piece->empty()) co_return fail(Code::kCorrupt, "the receiver ended before it was done");
      said += *piece;
    }
  }

  // While bytes are taken a receiver may say nothing; that they are is seen where they are written.
  bool silent() const { return pour_ended_ && env_.mono() - *pour_ended_ >= what_.silence_max; }

  io::Env& env_;
  io::Loop& loop_;
  Rpc& rpc_;
  FileWorker& worker_;
  const LaneSend what_;
  const io::Nanos deadline_;
  std::int64_t durable_ = 0, sent_ = 0;
  io::Nanos last_progress_;
  std::optional<io::Nanos> pour_ended_{};
};

}  // namespace

Result<std::shared_ptr<LaneSource>> open_lane_file(io::Disk& disk, const io::Path& path,
                                                   LaneRange range) {
  WALRUS_ASSIGN(auto file, disk.open(path, io::Open::kRead));
  WALRUS_ASSIGN(const auto size, file->size());
  const auto length = range.length < 0 ? size - range.position : range.length;
  if (range.position < 0 || length < 0 || range.position > size || length > size - range.position)
    return fail(Code::kOutOfRange, "{} has {} bytes", path.string(), size);
  return std::make_shared<FileSource>(std::move(file), range.position, length);
}

std::shared_ptr<LaneSource> lane_bytes(std::string bytes) {
  return std::make_shared<BytesSource>(std::move(bytes));
}

io::Task<LaneResult> send_lane(io::Env& env, io::Loop& loop, Rpc& rpc, FileWorker& worker,
                               LaneSend what) {
  if (!valid_lane_name(what.name))
    co_return fail(Code::kInvalid, "a lane's name is 1 to {} of [A-Za-z0-9._-], with no dot first",
                   kLaneNameBytesMax);
  Sender sender(env, loop, rpc, worker, std::move(what));
  co_return co_await sender.send();
}

}  // namespace walrus::net
