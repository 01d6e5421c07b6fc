#include "client/channel.h"

#include <utility>

#include "net/tls_server.h"
#include "wire/native/reply.h"
#include "wire/native/request.h"
#include "wire/sasl/mechanism.h"
#include "wire/sasl/scram.h"

namespace walrus::client {
namespace {

// How often an unanswered connection looks at the clock.
constexpr io::Nanos kTick = std::chrono::milliseconds(200);

io::Nanos later(io::Nanos now, io::Nanos by) {
  return by > io::Nanos::max() - now ? io::Nanos::max() : now + by;
}

std::int64_t whole_millis(io::Nanos nanos) {
  return std::chrono::duration_cast<Millis>(nanos).count();
}

std::vector<std::string> split_addresses(Bytes list) {
  std::vector<std::string> addresses;
  while (true) {
    auto comma = list.find(',');
    addresses.emplace_back(list.substr(0, comma));
    if (comma == Bytes::npos) return addresses;
    list.remove_prefix(comma + 1);
  }
}

bool nobody_answers(const Error& error) {
  return error.code == Code::kIo || error.code == Code::kClosed || error.code == Code::kTimeout;
}

}  // namespace

ChannelOptions channel_options(const ClientOptions& options) {
  return {.addresses = split_addresses(options.address),
          .timeout = options.timeout,
          .reply_bytes_max = static_cast<std::size_t>(options.reply_bytes_max),
          .tls = options.tls,
          .user = options.user,
          .password = options.password,
          .mechanism = options.mechanism};
}

io::Task<std::shared_ptr<Channel>> Channel::connect(io::Env& env, io::Loop& loop,
                                                    ChannelOptions options) {
  auto count = options.addresses.size();
  for (std::size_t tried = 1;; ++tried) {
    auto address = options.addresses[options.first++ % count];
    auto channel = co_await connect_to(env, loop, std::move(address), options);
    if (channel || tried == count || !nobody_answers(channel.error())) co_return channel;
  }
}

io::Task<std::shared_ptr<Channel>> Channel::connect_to(io::Env& env, io::Loop& loop,
                                                       std::string address,
                                                       ChannelOptions options) {
  auto connection = co_await open(env, loop, std::move(address), options);
  if (!connection) co_return std::unexpected(std::move(connection).error());
  auto channel = std::make_shared<Channel>(env, loop, std::move(options), *std::move(connection));
  loop.spawn(read_replies(channel));
  if (!channel->options_.user.empty()) {
    auto logged_in = co_await log_in(channel);
    channel->options_.password.clear();
    if (!logged_in) {
      channel->close();
      co_return std::unexpected(std::move(logged_in).error());
    }
  }
  co_return channel;
}

io::Task<std::unique_ptr<io::Connection>> Channel::open(io::Env& env, io::Loop& loop,
                                                        std::string address,
                                                        ChannelOptions options) {
  auto deadline = later(env.mono(), options.timeout);
  auto plain = co_await loop.connect(address, options.timeout);
  if (!plain || !options.tls) co_return plain;
  auto tls = net::TlsClient::open(env, {.files = *options.tls});
  if (!tls) co_return std::unexpected(std::move(tls).error());
  auto secured = co_await (*tls)->secure(loop, *std::move(plain), address,
                                         std::max(io::Nanos(0), deadline - env.mono()));
  if (!secured && (secured.error().code == Code::kIo || secured.error().code == Code::kClosed))
    secured.error().message += " (does this port speak TLS?)";
  co_return secured;
}

// One message of the exchange, and the server's answer to it.
io::Task<std::string> Channel::ask(std::shared_ptr<Channel> self, std::string mechanism,
                                   std::string token) {
  auto body = mechanism.empty() ? "AUTH" : fmt::format("AUTH {} {}", mechanism, token);
  auto reply = co_await self->request(std::move(body));
  if (!reply) co_return std::unexpected(std::move(reply).error());
  auto answer = wire::native::parse_payload(*reply);
  if (!answer) co_return std::unexpected(std::move(answer).error());
  co_return std::string(answer->value_or(Bytes()));
}

namespace {

// SCRAM before PLAIN, which shows the password to the server.
Result<wire::sasl::Mechanism> choose(const ChannelOptions& options, Bytes offered) {
  for (auto mechanism : wire::sasl::kMechanisms) {
    auto name = mechanism_name(mechanism);
    bool wanted = options.mechanism.empty()
                      ? fmt::format(" {} ", offered).contains(fmt::format(" {} ", name))
                      : options.mechanism == name;
    if (!wanted) continue;
    if (mechanism == wire::sasl::Mechanism::kPlain && !options.tls)
      return walrus::fail(Code::kInvalid, "PLAIN would show the password to the network: use TLS");
    return mechanism;
  }
  if (!options.mechanism.empty())
    return walrus::fail(Code::kInvalid, "unknown mechanism {}", options.mechanism);
  if (offered.empty())
    return walrus::fail(Code::kInvalid, "authentication is not asked for here: give no user");
  return walrus::fail(Code::kInvalid, "no mechanism in common; the server offers {}", offered);
}

}  // namespace

io::Task<void> Channel::log_in(std::shared_ptr<Channel> self) {
  const auto& options = self->options_;
  auto offered = co_await ask(self, "", "");
  if (!offered) co_return std::unexpected(std::move(offered).error());
  auto mechanism = choose(options, *offered);
  if (!mechanism) co_return std::unexpected(std::move(mechanism).error());
  std::string name(mechanism_name(*mechanism));
  if (*mechanism == wire::sasl::Mechanism::kPlain) {
    auto done = co_await ask(self, name, wire::sasl::plain_message(options.user, options.password));
    co_return done ? Result<void>() : std::unexpected(std::move(done).error());
  }
  auto scram = *mechanism == wire::sasl::Mechanism::kScramSha256
                   ? wire::sasl::ScramMechanism::kSha256
                   : wire::sasl::ScramMechanism::kSha512;
  wire::sasl::ScramClient client(
      scram, options.user, options.password,
      fmt::format("{:016x}{:016x}", self->env_.random(), self->env_.random()));
  auto first = co_await ask(self, name, client.first());
  if (!first) co_return std::unexpected(std::move(first).error());
  auto proof = client.answer(*first);
  if (!proof) co_return std::unexpected(std::move(proof).error());
  auto last = co_await ask(self, name, *proof);
  if (!last) co_return std::unexpected(std::move(last).error());
  co_return client.verify(*last);
}

Channel::Channel(io::Env& env, io::Loop& loop, ChannelOptions options,
                 std::unique_ptr<io::Connection> connection)
    : env_(env),
      loop_(loop),
      options_(std::move(options)),
      connection_(std::move(connection)),
      splitter_({.frame_bytes_max = options_.reply_bytes_max, .drain_bytes_max = 0}) {}

void Channel::submit(Bytes frame, io::Nanos wait, Done<std::string> done) {
  if (error_) return done(std::unexpected(Error{Code::kClosed, error_->message}));
  out_.append(frame);
  waiting_.push_back({later(later(env_.mono(), options_.timeout), wait), std::move(done)});
  if (writing_) return;
  writing_ = true;
  loop_.spawn(write_out(shared_from_this()));
}

io::Task<std::string> Channel::request(std::string body) {
  struct Reply {
    Result<std::string> result = walrus::fail(Code::kClosed, "not answered");
  };
  auto reply = std::make_shared<Reply>();  // outlives whichever of the two goes first
  io::Signal answered(loop_);
  std::string frame;
  wire::native::append_frame(frame, body);
  submit(frame, io::Nanos(0), [reply, set = answered.setter()](Result<std::string> result) mutable {
    reply->result = std::move(result);
    set({});
  });
  auto waited = co_await answered.wait();
  if (!waited) co_return std::unexpected(std::move(waited).error());
  co_return std::move(reply->result);
}

void Channel::close() { fail({Code::kClosed, "the connection was closed"}); }

void Channel::when_broken(Done<void> callback) {
  if (error_) return callback(std::unexpected(*error_));
  when_broken_ = std::move(callback);
}

boost::asio::awaitable<void> Channel::read_replies(std::shared_ptr<Channel> self) {
  while (!self->error_) {
    auto size = co_await self->connection_->read_some(self->splitter_.space(), kTick);
    if (self->error_) break;
    if (size && *size > 0) {
      self->splitter_.received(*size);
      self->take_replies();
    } else if (size) {
      self->fail({Code::kClosed, "the server closed the connection"});
    } else if (size.error().code != Code::kTimeout) {
      self->fail(std::move(size).error());
    }
    if (!self->error_ && !self->waiting_.empty() &&
        self->waiting_.front().deadline <= self->env_.mono()) {
      self->fail({Code::kTimeout,
                  fmt::format("no answer within {} ms", whole_millis(self->options_.timeout))});
    }
  }
}

void Channel::take_replies() {
  while (!error_) {
    auto event = splitter_.next();
    if (!event) return;
    if (event->kind != wire::native::FrameSplitter::Kind::kFrame)
      return fail({Code::kCorrupt, "not a reply of this protocol: a frame of no valid length"});
    if (waiting_.empty()) {
      // Nothing was asked: a server says so why it is about to hang up.
      auto refused = wire::native::parse_ok(event->body);
      return fail(refused ? Error{Code::kCorrupt, "a reply to no request"} : refused.error());
    }
    auto done = std::move(waiting_.front().done);
    waiting_.pop_front();
    done(std::string(event->body));
  }
}

// A failed write ends only the writing: what the server said before it hung up is still to be
// read, and the reader sees the end of the connection too.
boost::asio::awaitable<void> Channel::write_out(std::shared_ptr<Channel> self) {
  while (!self->error_ && !self->out_.empty()) {
    auto bytes = std::exchange(self->out_, {});
    auto written = co_await self->connection_->write(bytes, io::Nanos::max());
    if (!written) co_return;
  }
  self->writing_ = false;
}

void Channel::fail(Error error) {
  if (error_) return;
  error_ = error;
  connection_->close();
  auto self = shared_from_this();  // a callback may drop the last other reference
  for (auto& waiting : std::exchange(waiting_, {})) waiting.done(std::unexpected(error));
  if (when_broken_) std::exchange(when_broken_, {})(std::unexpected(error));
}

}  // namespace walrus::client
