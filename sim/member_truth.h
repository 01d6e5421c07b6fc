#pragma once
// What is true of the metadata of a simulated cluster, whatever happened to its nodes:
//   acknowledged   what propose() acknowledged is in every image that current() gives afterwards
//   certain        what was refused, or not proposed for sure, is in no image
//   one history    images of one version are the same on all nodes, and break no rule of metadata
//   forward        a node's image never goes back within a life
//   lease          no lease is granted to a life, or under a lease epoch, that was over before it
//   was
//                  asked for
//   lives          a node whose directory is intact is known to be; one that is old or empty is not

#include <map>
#include <string>

#include "history.h"
#include "meta/state.h"

namespace walrus::sim {

class MemberTruth {
 public:
  // A client writes rising numbers under its name.
  static std::string key_of(std::size_t client) { return "client." + std::to_string(client); }
  void proposed(std::size_t client, std::uint64_t number);
  void acknowledged(std::size_t client, std::uint64_t number);
  void never(std::size_t client, std::uint64_t number);

  // What a read that begins now has to see.
  using Floors = std::map<std::size_t, std::uint64_t>;
  const Floors& floors() const { return acknowledged_; }
  void read(const meta::State&, const Floors&);

  // A node has adopted an image.
  void image(NodeId, std::uint64_t incarnation, const meta::State&, std::int64_t now);
  void lease(NodeId, std::uint64_t incarnation, std::int64_t asked_at);
  // A life was registered, of a directory that had lost something since the last one, or had not.
  void registered(const meta::Node& before, const meta::Node& now, bool lost);
  void voters(std::size_t);

  const meta::State& newest() const { return newest_; }
  const Verdict& violation() const { return violation_; }

 private:
  struct Since {
    std::int64_t at = 0;
    std::uint64_t incarnation = 0;
    std::uint32_t lease_epoch = 0;
  };
  void flag(const std::string& rule, std::string detail);
  void check_values(const meta::State&);

  std::map<std::size_t, std::map<std::uint64_t, bool>> proposed_{};  // false: never
  Floors acknowledged_{};
  std::map<std::uint64_t, std::uint64_t> fingerprints_{};             // of images, by version
  std::map<std::pair<NodeId, std::uint64_t>, std::uint64_t> seen_{};  // versions, by life
  std::map<NodeId, std::vector<Since>> known_{};  // anywhere: since when at the latest
  std::map<std::pair<NodeId, std::uint64_t>, std::vector<Since>> own_{};  // by that life itself
  meta::State newest_{};
  Verdict violation_{};
};

}  // namespace walrus::sim
