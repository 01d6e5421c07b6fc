#pragma once
// walrus/lane.h: move files to another process or machine, whole or not at all.
//
//   send_lane      one file, or a range of one. Returns when the receiver has all of it on its
//   disk,
//                  with the SHA-256 of what is there.
//   LaneReceiver   takes files into one directory, within limits, until it is stopped.
//
// What arrives is written to NAME.part, synced piece by piece, compared by its SHA-256, synced,
// renamed to NAME, and only then acknowledged (docs/peer-protocol.md). A lane that is cut goes on
// by itself; one that was given up goes on when it is sent again under its name, behind what is
// known to be on the receiver's disk. What is there already is acknowledged without being sent.
//
// Without TLS both ends must be on loopback: nothing is encrypted then and nobody asked who it is.
// With it each end has a certificate that names a node of one cluster (docs/security.md), and the
// files are read again when they change.
//
// Every call blocks, may be made from any thread, and never throws. Callbacks run on a thread of
// the lane: hand over, never block, and make no call of this header. They must not throw.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "walrus/log.h"
#include "walrus/node_id.h"
#include "walrus/tls.h"

namespace walrus {

struct LaneProgress {
  std::int64_t durable = 0, size = 0;  // bytes; durable: on the receiver's disk
};

struct LaneOptions {
  std::string address = "127.0.0.1:9095";  // of the receiver
  std::optional<TlsFiles> tls{};           // all three files
  NodeId
      receiver{};  // with TLS: which node it must be; 0: any whose certificate is for the address
  std::int64_t position = 0, length = -1;   // bytes of the file; -1: up to its end
  std::int64_t bytes_per_s = 0;             // 0: no limit
  std::int64_t bytes_max = 0;               // a larger file is not sent: kTooLarge; 0: no limit
  Millis deadline{std::chrono::hours(24)};  // from the call on, for all attempts together
  Millis silence_max{30'000};  // without a byte taken, then it is given up; also for the first one
  std::function<void(const LaneProgress&)> progress{};
  std::stop_token stop{};  // asks the lane to end: kClosed
};

struct LaneSent {
  std::int64_t bytes = 0, sent = 0;  // of the file, and those that had to be sent
  std::string sha256{};              // of what the receiver has synced: 64 hexadecimal digits
};

// `name` is what the file is called there: 1 to 200 of [A-Za-z0-9._-], with no dot first and no
// ".part" last; empty: as it is called here. Errors: kInvalid: the name, the address, the
// certificates of either side; kMismatch: another node is there; kNotFound, kOutOfRange, kIo: the
// file; kTooLarge, kNoSpace, kExists (another file has the name), kReadOnly: of the receiver;
// kCorrupt: what arrived was not what was read; kTimeout; kClosed: stopped.
Result<LaneSent> send_lane(const std::filesystem::path& file, Bytes name, const LaneOptions& = {});

struct LaneReceived {
  NodeId from{};  // which node, by its certificate; 0: without TLS
  std::string name{};
  std::filesystem::path path{};
  std::int64_t bytes = 0;
  std::string sha256{};
};

struct LaneReceiverOptions {
  std::string listen = "127.0.0.1:9095";  // port 0 takes a free one
  std::filesystem::path directory{};      // made if need be; nothing outside of it is touched
  std::optional<TlsFiles> tls{};          // all three files
  std::int64_t bytes_max = std::int64_t{64} << 30;  // of one file
  std::int64_t directory_bytes_max = 0;  // of all files in the directory, whoever put them there;
                                         // 0: no limit
  std::int64_t free_bytes_min = 256 << 20;              // left on the disk besides the file
  int transfers_max = 8, connections_max = 64;          // at once
  Millis silence_max{30'000};                           // of a sender
  std::function<void(const LaneReceived&)> received{};  // after the file is durable
  std::function<void(Bytes line)> log{};  // for operators: who was refused, certificates reloaded
};

class LaneReceiver {  // move only; the destructor stops it
 public:
  // Accepts when it returns. kExists: the port is in use; kInvalid: the options or certificates.
  static Result<LaneReceiver> start(const LaneReceiverOptions&);
  LaneReceiver(LaneReceiver&&) noexcept;
  LaneReceiver& operator=(LaneReceiver&&) noexcept;
  ~LaneReceiver();

  const std::string& address() const;  // with the port that was really bound
  // Transfers under way are cut: their senders may go on with another receiver of the directory. No
  // callback runs after it. kTimeout: the disk still holds one up, which then is waited for.
  Result<void> stop(Millis timeout = Millis(10'000));

  struct Impl;
  explicit LaneReceiver(std::unique_ptr<Impl>);

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace walrus
