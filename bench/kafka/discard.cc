#include "discard.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/coding.h"
#include "wire/kafka/cluster.h"
#include "wire/kafka/codec.h"
#include "wire/kafka/data.h"
#include "wire/kafka/header.h"

namespace walrus::bench {
namespace {

using namespace wire::kafka;

struct Place {
  int port = 0, partitions = 1;
};

bool read_exactly(int fd, char* to, std::size_t size) {
  while (size > 0) {
    auto got = recv(fd, to, size, 0);
    if (got <= 0) return false;
    to += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

bool write_all(int fd, Bytes bytes) {
  while (!bytes.empty()) {
    auto sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

ApiVersionsResponse api_versions() {
  ApiVersionsResponse response;
  for (auto [key, from, to] : {std::tuple{0, 0, 9}, {1, 4, 11}, {3, 0, 9}, {18, 0, 3}})
    response.apis.push_back({.key = static_cast<std::int16_t>(key),
                             .min = static_cast<std::int16_t>(from),
                             .max = static_cast<std::int16_t>(to)});
  return response;
}

MetadataResponse metadata(const MetadataRequest& request, Place place) {
  MetadataResponse response;
  response.brokers.push_back({.node_id = 1, .host = "127.0.0.1", .port = place.port});
  response.controller_id = 1;
  if (!request.topics) return response;
  for (const auto& asked : *request.topics) {
    auto& topic = response.topics.emplace_back();
    if (asked.name) topic.name = std::string(*asked.name);
    for (int i = 0; i < place.partitions; ++i) {
      auto& partition = topic.partitions.emplace_back();
      partition.index = i;
      partition.leader_id = 1;
      partition.replicas = partition.in_sync_replicas = {1};
    }
  }
  return response;
}

ProduceResponse produced(const ProduceRequest& request) {
  ProduceResponse response;
  for (const auto& asked : request.topics) {
    auto& topic = response.topics.emplace_back();
    topic.name = asked.name;
    for (const auto& part : asked.partitions) topic.partitions.push_back({.index = part.index});
  }
  return response;
}

// False: not a request that this broker knows.
bool answer(const RequestFrame& request, Place place, std::string& to) {
  auto version = request.header.version;
  switch (request.header.key) {
    case ApiVersionsRequest::kKey: encode(to, api_versions(), version); return true;
    case MetadataRequest::kKey: {
      auto asked = decode<MetadataRequest>(request.body, version);
      if (asked) encode(to, metadata(*asked, place), version);
      return asked.has_value();
    }
    case ProduceRequest::kKey: {
      auto asked = decode<ProduceRequest>(request.body, version);
      if (asked) encode(to, produced(*asked), version);
      return asked.has_value();
    }
    default: return false;
  }
}

void serve_connection(int fd, Place place) {
  std::string frame, out;
  char length[kLengthBytes];
  while (read_exactly(fd, length, sizeof length)) {
    frame.resize(load_be<std::uint32_t>(length));
    if (!read_exactly(fd, frame.data(), frame.size())) break;
    auto request = parse_request(frame);
    if (!request || request->api == nullptr) break;
    out.clear();
    append_response_header(out, *request->api, request->header.version,
                           request->header.correlation_id);
    if (!answer(*request, place, out)) break;
    finish_frame(out, 0);
    if (!write_all(fd, out)) break;
  }
  close(fd);
}

}  // namespace

void serve_nothing(int partitions) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener, 64) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::perror("discard");
    std::exit(1);
  }
  Place place{.port = ntohs(address.sin_port), .partitions = partitions};
  std::printf("ready 127.0.0.1:%d\n", place.port);
  std::fflush(stdout);
  std::thread([listener, place] {
    while (true) {
      int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      std::thread(serve_connection, fd, place).detach();
    }
  }).detach();
  char byte = 0;
  while (read(0, &byte, 1) > 0) {
  }
  std::_Exit(0);
}

}  // namespace walrus::bench
