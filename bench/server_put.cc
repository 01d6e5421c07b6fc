#include "server_put.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace walrus::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kConnections = 16, kDepth = 32;
constexpr std::size_t kPayload = 740;

void must(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  std::exit(1);
}

int connect_to(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int attempt = 0; attempt < 500; ++attempt) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0, "socket");
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
      int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      return fd;
    }
    close(fd);
    usleep(10'000);
  }
  must(false, "connect");
  return -1;
}

void send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    auto sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    must(sent > 0, "send");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

pid_t start(std::vector<std::string> words) {
  auto child = fork();
  if (child != 0) return child;
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  dup2(null, 1);
  dup2(null, 2);
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  _exit(127);
}

void stop(pid_t child) {
  kill(child, SIGTERM);
  waitpid(child, nullptr, 0);
}

struct Protocol {
  std::function<std::string(int connection)> request;
  // Takes whole answers off the front of the bytes; how many.
  std::function<int(std::string&)> answers;
};

double load(const std::vector<int>& connections, const Protocol& protocol, double seconds) {
  std::vector<pollfd> polls;
  std::vector<std::string> received(connections.size());
  for (std::size_t i = 0; i < connections.size(); ++i) {
    std::string burst;
    for (int k = 0; k < kDepth; ++k) burst += protocol.request(static_cast<int>(i));
    send_all(connections[i], burst);
    polls.push_back({connections[i], POLLIN, 0});
  }
  std::vector<char> buffer(1 << 16);
  std::int64_t answered = 0;
  auto begin = Clock::now();
  double passed = 0;
  while ((passed = std::chrono::duration<double>(Clock::now() - begin).count()) < seconds) {
    must(poll(polls.data(), polls.size(), 1000) > 0, "poll");
    for (std::size_t i = 0; i < polls.size(); ++i) {
      if ((polls[i].revents & POLLIN) == 0) continue;
      auto got = recv(connections[i], buffer.data(), buffer.size(), 0);
      must(got > 0, "recv");
      received[i].append(buffer.data(), static_cast<std::size_t>(got));
      int count = protocol.answers(received[i]);
      answered += count;
      std::string next;
      for (int k = 0; k < count; ++k) next += protocol.request(static_cast<int>(i));
      if (count > 0) send_all(connections[i], next);
    }
  }
  for (int fd : connections) close(fd);
  return static_cast<double>(answered) / passed;
}

std::vector<int> connect_all(int port) {
  std::vector<int> connections;
  for (int i = 0; i < kConnections; ++i) connections.push_back(connect_to(port));
  return connections;
}

std::string frame(const std::string& body) {
  auto size = static_cast<std::uint32_t>(body.size());
  std::string bytes(reinterpret_cast<const char*>(&size), sizeof size);
  return bytes + body;
}

}  // namespace

double walrus_puts(const std::filesystem::path& binary, const std::filesystem::path& directory,
                   double seconds) {
  constexpr int kPort = 19191;
  auto server = start({binary.string(), "serve", "--data-dir", directory.string(), "--listen",
                       "127.0.0.1:19191", "--admin-listen", "127.0.0.1:19194"});
  auto connections = connect_all(kPort);
  send_all(connections[0], frame("REGISTER bench"));
  char reply[64];
  must(recv(connections[0], reply, sizeof reply, 0) == 6, "REGISTER");
  const auto put = frame("PUT bench " + std::string(kPayload, 'x'));
  Protocol protocol;
  protocol.request = [&](int) { return put; };
  protocol.answers = [](std::string& bytes) {
    int count = 0;
    std::size_t at = 0;
    while (bytes.size() - at >= 4) {
      std::uint32_t size = 0;
      std::memcpy(&size, bytes.data() + at, sizeof size);
      if (bytes.size() - at < 4 + size) break;
      must(bytes.compare(at + 4, 2, "OK") == 0, "PUT");
      at += 4 + size;
      ++count;
    }
    bytes.erase(0, at);
    return count;
  };
  auto rate = load(connections, protocol, seconds);
  stop(server);
  std::filesystem::remove_all(directory);
  return rate;
}

double nats_puts(const std::filesystem::path& directory, double seconds) {
  constexpr int kPort = 19222;
  auto server =
      start({"nats-server", "-a", "127.0.0.1", "-p", "19222", "-js", "-sd", directory.string()});
  auto connections = connect_all(kPort);
  char info[4096];
  for (std::size_t i = 0; i < connections.size(); ++i) {
    must(recv(connections[i], info, sizeof info, 0) > 0, "INFO");
    auto inbox = "_INBOX." + std::to_string(i);
    send_all(connections[i],
             "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB " + inbox + " 1\r\n");
  }
  const std::string config = "{\"name\":\"bench\",\"subjects\":[\"bench\"],\"storage\":\"file\"}";
  send_all(connections[0], "PUB $JS.API.STREAM.CREATE.bench _INBOX.0 " +
                               std::to_string(config.size()) + "\r\n" + config + "\r\n");
  must(recv(connections[0], info, sizeof info, 0) > 0, "STREAM.CREATE");
  usleep(200'000);
  Protocol protocol;
  const std::string payload(kPayload, 'x');
  protocol.request = [&](int connection) {
    return "PUB bench _INBOX." + std::to_string(connection) + " " + std::to_string(kPayload) +
           "\r\n" + payload + "\r\n";
  };
  // MSG <subject> <sid> <size>\r\n<payload>\r\n; PING wants no answer for the time of a run.
  protocol.answers = [](std::string& bytes) {
    int count = 0;
    std::size_t at = 0;
    for (;;) {
      auto line = bytes.find("\r\n", at);
      if (line == std::string::npos) break;
      if (bytes.compare(at, 4, "MSG ") != 0) {
        at = line + 2;
        continue;
      }
      auto size = std::strtoul(bytes.c_str() + bytes.rfind(' ', line) + 1, nullptr, 10);
      if (bytes.size() < line + 2 + size + 2) break;
      at = line + 2 + size + 2;
      ++count;
    }
    bytes.erase(0, at);
    return count;
  };
  auto rate = load(connections, protocol, seconds);
  stop(server);
  std::filesystem::remove_all(directory);
  return rate;
}

}  // namespace walrus::bench
