#include <algorithm>
#include <utility>

#include "base/check.h"
#include "net/lane.h"
#include "net/lane_message.h"

namespace walrus::net {
namespace {

constexpr std::int64_t kWriteBytes = 1 << 20;  // gathered for one write
constexpr std::int64_t kHashBytes = 1 << 20;   // read at once to hash what is there
constexpr Bytes kPart = ".part";               // of the name of an object that is not whole

io::Path parent_of(const io::Path& path) {
  return path.has_parent_path() ? path.parent_path() : io::Path(".");
}

// With its parents, and all their names durable.
Result<void> make_directory(io::Disk& disk, const io::Path& path) {
  std::vector<io::Path> named{path};
  for (auto parent = parent_of(path);; parent = parent_of(parent)) {
    WALRUS_ASSIGN(const bool there, disk.exists(parent));
    if (there) break;
    named.push_back(parent);
  }
  WALRUS_TRY(disk.make_directory(path));
  for (const auto& one : named) WALRUS_TRY(disk.sync_directory(parent_of(one)));
  return {};
}

// Objects under way besides the one that asks, with the sizes that they will have.
using Others = std::map<std::string, std::int64_t>;

// The object on this node's disk. Used by jobs of the FileWorker, one after the other.
class Target {
 public:
  Target(io::Disk& disk, const LaneReceiverOptions& options, LaneOffer offer, Others others)
      : disk_(disk),
        options_(options),
        offer_(std::move(offer)),
        others_(std::move(others)),
        path_(options.directory / offer_.name),
        part_(options.directory / fmt::format("{}{}", offer_.name, kPart)) {}

  // What is there already of the object: all of it, a durable beginning, or nothing.
  Result<LaneStart> open() {
    WALRUS_TRY(make_directory(disk_, options_.directory));
    WALRUS_ASSIGN(const bool whole, disk_.exists(path_));
    if (whole) return open_whole();
    WALRUS_ASSIGN(const bool begun, disk_.exists(part_));
    WALRUS_TRY(check_directory());
    if (begun) WALRUS_TRY(open_part());
    WALRUS_ASSIGN(const auto free, disk_.free_bytes(options_.directory));
    if (free - (offer_.size - position_) < options_.free_bytes_min)
      return fail(Code::kNoSpace, "{} bytes are free, {} to come, {} are to stay free", free,
                  offer_.size - position_, options_.free_bytes_min);
    if (!file_) WALRUS_TRY(make_part());
    return LaneStart{position_, sha_.digest()};
  }

  bool whole() const { return whole_; }
  std::int64_t position() const { return position_; }
  std::int64_t size() const { return offer_.size; }

  // Those bytes are not the beginning of what the sender has.
  Result<void> start_again() {
    if (whole_) return fail(Code::kExists, "{}: another object has this name", offer_.name);
    file_.reset();
    WALRUS_TRY(disk_.remove(part_));
    return make_part();
  }

  // Ends at a multiple of sync_bytes at most, and is synced there before anything is written
  // behind it. True: it was.
  Result<bool> append(Bytes bytes) {
    CHECK(std::ssize(bytes) <= room());
    auto written = file_->write(position_, bytes);
    if (!written) return std::unexpected(given_up(std::move(written).error()));
    sha_.update(bytes);
    position_ += std::ssize(bytes);
    if (position_ % options_.sync_bytes != 0) return false;
    auto synced = file_->sync();
    if (!synced) return std::unexpected(given_up(std::move(synced).error()));
    return true;
  }
  // Bytes up to the next place of a sync.
  std::int64_t room() const {
    return std::min(options_.sync_bytes - position_ % options_.sync_bytes, offer_.size - position_);
  }

  Result<Sha256Digest> finish(const Sha256Digest& expected) {
    const auto digest = sha_.digest();
    if (whole_) {
      if (digest == expected) return digest;
      return fail(Code::kExists, "{}: another object has this name", offer_.name);
    }
    if (digest != expected)
      return std::unexpected(
          given_up({Code::kCorrupt, offer_.name + ": what arrived has another "
                                                  "SHA-256 than what was sent"}));
    auto synced = file_->sync();
    if (!synced) return std::unexpected(given_up(std::move(synced).error()));
    file_.reset();
    WALRUS_TRY(disk_.rename(part_, path_));
    WALRUS_TRY(disk_.sync_directory(options_.directory));
    return digest;
  }
  const io::Path& path() const { return path_; }

 private:
  Result<LaneStart> open_whole() {
    whole_ = true;
    WALRUS_ASSIGN(file_, disk_.open(path_, io::Open::kRead));
    WALRUS_ASSIGN(const auto size, file_->size());
    if (size != offer_.size)
      return fail(Code::kExists, "{}: another object has this name", offer_.name);
    WALRUS_TRY(hash_up_to(size));
    // It may have been renamed right before a crash.
    WALRUS_TRY(disk_.sync_directory(options_.directory));
    return LaneStart{position_, sha_.digest()};
  }

  // Of the objects under way counts what they will be, of the others what they are.
  Result<void> check_directory() const {
    if (options_.directory_bytes_max == 0) return {};
    auto left = options_.directory_bytes_max;
    for (const auto& [name, size] : others_) left -= std::min(left, size);
    WALRUS_ASSIGN(const auto entries, disk_.list(options_.directory));
    for (const auto& entry : entries) {
      auto name = entry.name;
      if (name.ends_with(kPart)) name.resize(name.size() - kPart.size());
      if (name != offer_.name && !others_.contains(name)) left -= std::min(left, entry.size);
    }
    if (offer_.size <= left) return {};
    return fail(Code::kNoSpace, "{}: {} bytes, {} are left of the directory's {}", offer_.name,
                offer_.size, left, options_.directory_bytes_max);
  }

  Result<void> open_part() {
    WALRUS_ASSIGN(file_, disk_.open(part_, io::Open::kWrite));
    WALRUS_ASSIGN(const auto size, file_->size());
    const auto durable = size == 0 ? 0 : (size - 1) / options_.sync_bytes * options_.sync_bytes;
    if (size > offer_.size) return restart_part();
    WALRUS_TRY(hash_up_to(durable));
    return file_->truncate(durable);
  }
  Result<void> restart_part() {
    file_.reset();
    return disk_.remove(part_);
  }

  Result<void> make_part() {
    position_ = 0;
    sha_ = {};
    WALRUS_ASSIGN(file_, disk_.open(part_, io::Open::kCreate));
    return disk_.sync_directory(options_.directory);
  }

  Result<void> hash_up_to(std::int64_t end) {
    std::string piece;
    while (position_ < end) {
      piece.resize(static_cast<std::size_t>(std::min(kHashBytes, end - position_)));
      WALRUS_ASSIGN(const auto size, file_->read(position_, piece));
      if (size < piece.size()) return fail(Code::kIo, "{} became shorter", path_.string());
      sha_.update(piece);
      position_ += std::ssize(piece);
    }
    return {};
  }

  // Nothing may be made of it any more, or the disk is full: it goes.
  Error given_up(Error why) {
    file_.reset();
    if (!whole_) (void)disk_.remove(part_);  // what cannot be removed is found by the next offer
    return why;
  }

  io::Disk& disk_;
  const LaneReceiverOptions options_;
  const LaneOffer offer_;
  const Others others_;
  const io::Path path_, part_;
  std::unique_ptr<io::File> file_;
  bool whole_ = false;
  std::int64_t position_ = 0;
  Sha256 sha_;
};

// Bytes of a stream, as many as are asked for.
class Incoming {
 public:
  Incoming(Stream& stream, io::Nanos silence_max) : stream_(stream), silence_max_(silence_max) {}
  io::Task<std::string> take(std::size_t size) {
    while (held_.size() < size) {
      WALRUS_CO_ASSIGN(auto piece, co_await stream_.read(silence_max_));
      if (piece.empty()) co_return fail(Code::kCorrupt, "the sender ended in the middle");
      if (held_.empty()) held_ = std::move(piece);
      else held_ += piece;
    }
    if (held_.size() == size) co_return std::exchange(held_, {});
    auto taken = held_.substr(0, size);
    held_.erase(0, size);
    co_return taken;
  }
  io::Task<void> end() {
    WALRUS_CO_ASSIGN(const auto piece, co_await stream_.read(silence_max_));
    if (!held_.empty() || !piece.empty()) co_return fail(Code::kCorrupt, "bytes behind the end");
    co_return Result<void>();
  }

 private:
  Stream& stream_;
  const io::Nanos silence_max_;
  std::string held_;
};

}  // namespace

struct LaneReceiver::State {
  io::Env& env;
  FileWorker& worker;
  const LaneReceiverOptions options;
  Others active{};  // all that are under way

  static io::Task<void> serve(std::shared_ptr<State>, Request, Stream&);
  io::Task<LaneReceived> receive(const Request&, LaneOffer, Stream&);
  io::Task<void> take_bytes(const std::shared_ptr<Target>&, Incoming&, Stream&);
};

LaneReceiver::LaneReceiver(io::Env& env, Rpc& rpc, FileWorker& worker,
                           const LaneReceiverOptions& options)
    : state_(std::make_shared<State>(State{env, worker, options})) {
  CHECK(options.sync_bytes > 0);
  rpc.handle_stream(kLaneMethod, [state = state_](Request request, Stream& stream) {
    return State::serve(state, std::move(request), stream);
  });
}
LaneReceiver::~LaneReceiver() = default;

io::Task<void> LaneReceiver::State::serve(std::shared_ptr<State> self, Request request,
                                          Stream& stream) {
  WALRUS_CO_ASSIGN(auto offer, parse_lane_offer(request.body));
  request.occupied.release();
  if (offer.size > self->options.bytes_max)
    co_return fail(Code::kTooLarge, "{}: {} bytes, the limit is {}", offer.name, offer.size,
                   self->options.bytes_max);
  if (self->active.size() >= self->options.transfers_max)
    co_return fail(Code::kBusy, "{} transfers are under way", self->active.size());
  const auto name = offer.name;
  if (!self->active.emplace(name, offer.size).second)
    co_return fail(Code::kBusy, "{}: its transfer is under way", name);
  auto received = co_await self->receive(request, std::move(offer), stream);
  self->active.erase(name);
  if (!received) co_return std::unexpected(std::move(received).error());
  if (self->options.received) self->options.received(*received);
  co_return co_await stream.write(encode_done(received->size, received->digest),
                                  self->options.silence_max);
}

io::Task<LaneReceived> LaneReceiver::State::receive(const Request& request, LaneOffer offer,
                                                    Stream& stream) {
  auto others = active;
  others.erase(offer.name);
  auto target = std::make_shared<Target>(env.disk(), options, offer, std::move(others));
  WALRUS_CO_ASSIGN(const auto start,
                   co_await worker.run<LaneStart>([target] { return target->open(); }));
  WALRUS_CO_TRY(co_await stream.write(encode(start), options.silence_max));
  Incoming incoming(stream, options.silence_max);
  WALRUS_CO_ASSIGN(const auto said, co_await incoming.take(kLaneFromBytes));
  WALRUS_CO_ASSIGN(const auto from, parse_lane_from(said));
  if (from != start.have) {
    if (from != 0) co_return fail(Code::kCorrupt, "the sender begins at neither place");
    WALRUS_CO_TRY(co_await worker.run<void>([target] { return target->start_again(); }));
  }
  WALRUS_CO_TRY(co_await take_bytes(target, incoming, stream));
  WALRUS_CO_ASSIGN(const auto trailer, co_await incoming.take(kLaneTrailerBytes));
  WALRUS_CO_ASSIGN(const auto expected, parse_lane_digest(trailer));
  WALRUS_CO_TRY(co_await incoming.end());
  WALRUS_CO_ASSIGN(const auto digest, co_await worker.run<Sha256Digest>(
                                          [target, expected] { return target->finish(expected); }));
  co_return LaneReceived{.from = request.proved.value_or(request.from),
                         .name = offer.name,
                         .path = target->path(),
                         .size = offer.size,
                         .digest = digest};
}

// While one piece is written the next one is received.
io::Task<void> LaneReceiver::State::take_bytes(const std::shared_ptr<Target>& target,
                                               Incoming& incoming, Stream& stream) {
  auto position = target->position();
  std::optional<FileWorker::Job<bool>> writing;
  while (position < target->size()) {
    const auto room =
        std::min(options.sync_bytes - position % options.sync_bytes, target->size() - position);
    auto taken = co_await incoming.take(static_cast<std::size_t>(std::min(kWriteBytes, room)));
    if (writing) {
      WALRUS_CO_ASSIGN(const auto synced,
                       co_await std::move(*std::exchange(writing, std::nullopt)).wait());
      if (synced)
        WALRUS_CO_TRY(co_await stream.write(encode_progress(position), options.silence_max));
    }
    if (!taken) co_return std::unexpected(std::move(taken).error());
    position += std::ssize(*taken);
    writing =
        worker.start<bool>([target, bytes = *std::move(taken)] { return target->append(bytes); });
  }
  if (writing) WALRUS_CO_TRY(co_await std::move(*std::exchange(writing, std::nullopt)).wait());
  co_return Result<void>();
}

}  // namespace walrus::net
