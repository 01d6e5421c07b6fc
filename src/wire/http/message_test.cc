#include "wire/http/message.h"

#include <gtest/gtest.h>

namespace walrus::wire::http {
namespace {

int status(Bytes received) {
  auto request = parse_request(received);
  return request ? (*request ? 200 : 0) : request.error().status;
}

TEST(HttpTest, head_is_taken_whole_at_every_border) {
  Bytes whole = "GET /metrics?x=1 HTTP/1.1\r\nHost: localhost\r\nAccept:  */* \r\n\r\nGET /";
  auto head = whole.size() - 5;
  for (std::size_t size = 0; size < head; ++size) EXPECT_EQ(status(whole.substr(0, size)), 0);
  auto request = parse_request(whole);
  ASSERT_TRUE(request.has_value() && request->has_value());
  EXPECT_EQ((*request)->method, "GET");
  EXPECT_EQ((*request)->path, "/metrics");
  EXPECT_TRUE((*request)->keep_alive);
  EXPECT_EQ((*request)->head_bytes, head);
}

TEST(HttpTest, connection_header_and_version_decide_on_keep_alive) {
  EXPECT_FALSE((*parse_request("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n"))->keep_alive);
  EXPECT_FALSE((*parse_request("GET / HTTP/1.0\r\n\r\n"))->keep_alive);
  EXPECT_TRUE((*parse_request("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n"))->keep_alive);
}

TEST(HttpTest, malformed_heads_are_refused) {
  for (Bytes head : {"\r\n\r\n", "GET\r\n\r\n", "GET /\r\n\r\n", "GET / HTTX/1.1\r\n\r\n",
                     "G(T / HTTP/1.1\r\n\r\n", "GET x HTTP/1.1\r\n\r\n",
                     "GET /a b HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n",
                     "GET / HTTP/1.1\r\n folded: x\r\n\r\n", "GET / HTTP/1.1\r\na: b\rc\r\n\r\n"})
    EXPECT_EQ(status(head), 400) << head;
  EXPECT_EQ(status("GET / HTTP/2.0\r\n\r\n"), 505);
  EXPECT_EQ(status("POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"), 413);
  EXPECT_EQ(status("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), 413);
  EXPECT_EQ(status("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"), 200);
}

TEST(HttpTest, head_above_the_limit_is_refused) {
  EXPECT_EQ(status(std::string(kHeadBytesMax - 1, 'x')), 0);
  EXPECT_EQ(status(std::string(kHeadBytesMax, 'x')), 431);
}

TEST(HttpTest, response_bytes) {
  EXPECT_EQ(encode({.body = "ok\n"}),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n"
            "Connection: keep-alive\r\nX-Content-Type-Options: nosniff\r\n\r\nok\n");
  auto head =
      encode({.status = 405, .body = "x", .allow = "GET", .keep_alive = false, .head = true});
  EXPECT_TRUE(head.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
  EXPECT_NE(head.find("\r\nAllow: GET\r\n"), std::string::npos);
  EXPECT_TRUE(head.ends_with("\r\n\r\n"));
}

}  // namespace
}  // namespace walrus::wire::http
