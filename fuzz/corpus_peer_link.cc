// Writes fuzz/corpus/peer_link: corpus_peer_link DIRECTORY.

#include "corpus.h"
#include "net/message.h"
#include "peer_form.h"

namespace {

using namespace walrus;
using fuzz::small_frame;
using net::FrameType;

std::string credit(net::WindowKind window, std::uint32_t bytes) {
  std::string body;
  net::append_credit(body, {window, bytes});
  return body;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  const std::string prelude("\xe8\x03\0\0", 4);
  std::string error;
  net::append_error(error, {Code::kClosed, "given up"});
  const auto call = small_frame(FrameType::kCall, 0, 1, 1, prelude + "hello");
  const auto open = small_frame(FrameType::kOpen, 0, 3, 2, prelude);
  const auto data = small_frame(FrameType::kData, 0, 0, 2, std::string(600, 'x'));
  const auto end = small_frame(FrameType::kData, net::kEnd, 0, 2, "");
  const auto cancel = small_frame(FrameType::kCancel, 0, 0, 2, error);
  // Each as it is, cut, and with a call behind it that is to be answered if it is harmless.
  const auto add = [&](const std::string& name, const std::string& input) {
    corpus.add(name, input);
    corpus.add(name + "_cut", input.substr(0, input.size() - 1));
    corpus.add(name + "_then_call", input + call);
  };
  add("call", call);
  add("call_control", small_frame(FrameType::kCall, net::kControl, 1, 1, prelude + "hello"));
  add("call_twice", call + call);
  add("call_unknown", small_frame(FrameType::kCall, 0, 9, 1, prelude));
  add("send", small_frame(FrameType::kSend, 0, 2, 0, prelude + "news"));
  add("stream", open + data + end);
  add("stream_overrun", open + data + data + data);
  add("stream_cancelled", open + data + cancel + data);
  add("stream_after_its_end", open + end + data);
  add("stream_opened_twice", open + open);
  add("streams_too_many", open + small_frame(FrameType::kOpen, 0, 3, 3, prelude) +
                              small_frame(FrameType::kOpen, 0, 3, 4, prelude));
  add("credit",
      small_frame(FrameType::kCredit, 0, 0, 0, credit(net::WindowKind::kBulk, 0xffffffff)) + call);
  add("credit_stream", open + small_frame(FrameType::kCredit, 0, 0, 2,
                                          credit(net::WindowKind::kStream, 0xffffffff)));
  add("ping", small_frame(FrameType::kPing, 0, 0, 9, ""));
  add("pong", small_frame(FrameType::kPong, 0, 0, 9, ""));
  add("reply", small_frame(FrameType::kReply, net::kYours, 0, 1, "unasked"));
  add("accept", small_frame(FrameType::kAccept, net::kYours, 0, 1, ""));
  add("hello", small_frame(FrameType::kHello, 0, 0, 0, ""));
  add("refuse", small_frame(FrameType::kRefuse, 0, 0, 0, "\x01why"));
  std::string many;
  for (int i = 0; i < 12; ++i)
    many += small_frame(FrameType::kCall, 0, 1, static_cast<std::uint8_t>(i),
                        prelude + std::string(500, 'x'));
  add("beyond_the_window", many);
  return 0;
}
