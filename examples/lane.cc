// lane.cc: a file moves from one side to the other: whole, checked, on the disk when send_lane()
// returns. Both sides are in one process here; two machines use the same calls, with certificates.
//   lane DIRECTORY FILE [CERTIFICATES]     which `walrus cert` makes, of nodes 1 and 2
#include <walrus/lane.h>

#include <iostream>

namespace {

int failed(const walrus::Error& error) {
  std::cerr << "lane: " << error.message << "\n";
  return 1;
}

walrus::TlsFiles files_of(const std::filesystem::path& certificates, const std::string& node) {
  return {.ca = certificates / "ca.pem",
          .certificate = certificates / (node + ".pem"),
          .key = certificates / (node + ".key")};
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3)
    return failed({walrus::Code::kInvalid, "usage: lane DIRECTORY FILE [CERTIFICATES]"});
  walrus::LaneReceiverOptions limits;
  limits.listen = "127.0.0.1:0";
  limits.directory = arguments[1];
  limits.bytes_max = 1 << 30;              // of one file
  limits.directory_bytes_max = 4LL << 30;  // of all together
  walrus::LaneOptions how;
  if (count > 3) {
    limits.tls = files_of(arguments[3], "node-1");
    how.tls = files_of(arguments[3], "node-2");
  }
  auto receiver = walrus::LaneReceiver::start(limits);
  if (!receiver) return failed(receiver.error());

  how.address = receiver->address();
  how.progress = [](const walrus::LaneProgress& seen) {
    std::cerr << seen.durable << " of " << seen.size << " bytes\n";
  };
  // What was cut off goes on where it was, also by a later call; what is there is not sent again.
  for (int i = 0; i < 2; ++i) {
    auto sent = walrus::send_lane(arguments[2], "copy", how);
    if (!sent) return failed(sent.error());
    std::cout << sent->sha256 << " " << sent->bytes << " bytes, " << sent->sent << " sent\n";
  }
  if (auto stopped = receiver->stop(); !stopped) return failed(stopped.error());
}
