// PUT over loopback against a real server, and the same against nats-server: 16 connections, 32
// requests in flight each, one thread that loads.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "harness.h"

namespace walrus::bench {

namespace fs = std::filesystem;

namespace {

constexpr int kConnections = 16, kDepth = 32;

int connect_to(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  must(fd >= 0, "socket");
  must(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "connect");
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

void send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    auto sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    must(sent > 0, "send");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

struct Child {
  pid_t id = 0;
  int out = -1;  // its standard output
};

Child start(std::vector<std::string> words) {
  int ends[2];
  must(pipe2(ends, O_CLOEXEC) == 0, "pipe");
  auto id = fork();
  must(id >= 0, "fork");
  if (id != 0) {
    close(ends[1]);
    return {id, ends[0]};
  }
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  dup2(ends[1], 1);
  dup2(null, 2);
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  _exit(127);
}

void stop(const Child& child) {
  kill(child.id, SIGTERM);
  waitpid(child.id, nullptr, 0);
  close(child.out);
}

// The number behind `mark` in what the child says; it says it when it is ready.
int port_after(const Child& child, const std::string& mark) {
  std::string said;
  for (;;) {
    char byte = 0;
    must(read(child.out, &byte, 1) == 1, "ready line");
    if (byte != '\n') {
      said += byte;
      continue;
    }
    if (auto at = said.find(mark); at != said.npos) return std::atoi(&said[at + mark.size()]);
    said.clear();
  }
}

// nats-server writes a file with its ports once it listens; how long that takes is bounded.
int port_of_nats(const fs::path& directory) {
  constexpr int kAttempts = 2000;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    for (const auto& entry : fs::directory_iterator(directory)) {
      std::ifstream file(entry.path());
      std::string ports((std::istreambuf_iterator<char>(file)), {});
      const std::string mark = "nats://127.0.0.1:";
      if (auto at = ports.find(mark); at != ports.npos) {
        return std::atoi(&ports[at + mark.size()]);
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  must(false, "nats-server does not listen");
  return 0;
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

double walrus_puts(const fs::path& binary, const fs::path& directory, double seconds) {
  auto server = start({binary.string(), "serve", "--data-dir", directory.string(), "--listen",
                       "127.0.0.1:0", "--kafka-listen", "", "--admin-listen", "127.0.0.1:0"});
  auto connections = connect_all(port_after(server, "native=127.0.0.1:"));
  send_all(connections[0], frame("REGISTER bench"));
  char reply[64];
  must(recv(connections[0], reply, sizeof reply, 0) == 6, "REGISTER");
  const auto put = frame("PUT bench " + std::string(kRecordBytes, 'x'));
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
  fs::remove_all(directory);
  return rate;
}

double nats_puts(const fs::path& directory, double seconds) {
  const auto ports = directory / "ports";
  fs::create_directories(ports);
  auto server = start({"nats-server", "-a", "127.0.0.1", "-p", "-1", "-js", "-sd",
                       (directory / "store").string(), "--ports_file_dir", ports.string()});
  auto connections = connect_all(port_of_nats(ports));
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
  auto got = recv(connections[0], info, sizeof info, 0);
  must(got > 0 && std::string_view(info, static_cast<std::size_t>(got)).find("\"error\"") ==
                      std::string_view::npos,
       "STREAM.CREATE");
  Protocol protocol;
  const std::string payload(kRecordBytes, 'x');
  protocol.request = [&](int connection) {
    return "PUB bench _INBOX." + std::to_string(connection) + " " + std::to_string(kRecordBytes) +
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
      must(bytes.compare(line + 2, 10, "{\"stream\":") == 0, "JetStream refused a message");
      at = line + 2 + size + 2;
      ++count;
    }
    bytes.erase(0, at);
    return count;
  };
  auto rate = load(connections, protocol, seconds);
  stop(server);
  fs::remove_all(directory);
  return rate;
}

}  // namespace

void server(Bench& bench) {
  constexpr double kSeconds = 10;
  Row row{.name = "server.put",
          .unit = "requests/s",
          .peer = "nats-server JetStream",
          .target = 1,
          .target_of_ratio = true,
          .conditions =
              "16 connections x 32 deep over loopback, 740 bytes, 10 s; walrus syncs "
              "before it answers, NATS with file storage does not by default"};
  for (int round = 0; round < bench.rounds; ++round) {
    row.rounds.push_back(walrus_puts(bench.binary, bench.fresh("server"), kSeconds));
    row.peer_rounds.push_back(nats_puts(bench.fresh("nats"), kSeconds));
  }
  bench.add(row);
}

}  // namespace walrus::bench
