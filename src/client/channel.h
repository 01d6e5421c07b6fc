#pragma once
// Channel: one connection of the native protocol on one loop. Requests are written in the order in
// which they were submitted, any number in flight; replies come back in that order.
//
// Lives on its loop. Shared by whoever submits and by its own two coroutines, which end when the
// connection does.

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/runner.h"
#include "walrus/client.h"
#include "wire/native/frame.h"

namespace walrus::client {

using io::Done;

struct ChannelOptions {
  std::vector<std::string> addresses;  // tried in their order, from `first` on
  std::size_t first = 0;
  io::Nanos timeout;
  std::size_t reply_bytes_max;
  std::optional<TlsFiles> tls{};
  std::string user{}, password{}, mechanism{};
};
ChannelOptions channel_options(const ClientOptions&);

class Channel : public std::enable_shared_from_this<Channel> {
 public:
  // Connected, secured and logged in, as the options say. An address where nobody answers makes way
  // for the next; any other refusal is final.
  static io::Task<std::shared_ptr<Channel>> connect(io::Env&, io::Loop&, ChannelOptions);

  Channel(io::Env&, io::Loop&, ChannelOptions, std::unique_ptr<io::Connection>);

  // `frame`: one request as wire::native::append_frame wrote it. The reply's body, or why there is
  // none: kTimeout, or the error that ended the connection. `wait` is added to the time allowed.
  void submit(Bytes frame, io::Nanos wait, Done<std::string>);
  // A body, for what is not a Request.
  io::Task<std::string> request(std::string body);
  void close();
  void fail(Error);  // ends the connection for this reason
  const std::optional<Error>& error() const { return error_; }
  // Called once, when the connection ends. At most one.
  void when_broken(Done<void> callback);

 private:
  struct Waiting {
    io::Nanos deadline;
    Done<std::string> done;
  };

  static io::Task<std::shared_ptr<Channel>> connect_to(io::Env&, io::Loop&, std::string address,
                                                       ChannelOptions);
  static io::Task<std::unique_ptr<io::Connection>> open(io::Env&, io::Loop&, std::string address,
                                                        ChannelOptions);
  static io::Task<void> log_in(std::shared_ptr<Channel>);
  static io::Task<std::string> ask(std::shared_ptr<Channel>, std::string mechanism,
                                   std::string token);
  static boost::asio::awaitable<void> read_replies(std::shared_ptr<Channel>);
  static boost::asio::awaitable<void> write_out(std::shared_ptr<Channel>);
  void take_replies();

  io::Env& env_;
  io::Loop& loop_;
  ChannelOptions options_;
  std::unique_ptr<io::Connection> connection_;
  wire::native::FrameSplitter splitter_;
  std::string out_;  // not yet given to the connection
  bool writing_ = false;
  std::deque<Waiting> waiting_;  // submitted, not answered
  std::optional<Error> error_;   // why the connection ended
  Done<void> when_broken_;
};

}  // namespace walrus::client
