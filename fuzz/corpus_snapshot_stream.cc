// Writes fuzz/corpus/snapshot_stream: corpus_snapshot_stream DIRECTORY.

#include <fmt/format.h>

#include <functional>

#include "corpus.h"
#include "snapshot_form.h"

using namespace walrus;
using fuzz::Step;

namespace {

struct Script {
  std::string bytes{};
  Script& add(Step step) {
    fuzz::append_step(bytes, step);
    return *this;
  }
  Script& piece(unsigned char which, std::uint16_t at, std::uint16_t size) {
    return add({Step::kPiece, which, at, size});
  }
  Script& rest(unsigned char which, std::uint16_t at, std::uint16_t size) {
    return add({Step::kRest, which, at, size});
  }
  Script& wait() { return add({.what = Step::kWait}); }
  Script& restart(std::uint16_t how) { return add({.what = Step::kRestart, .at = how}); }
  Script& term() { return add({.what = Step::kTerm}); }
  Script& append(std::uint16_t previous, std::uint16_t count) {
    return add({Step::kAppend, 0, previous, count});
  }
  Script& make(Bytes state, std::uint16_t mended) {
    return add({.what = Step::kMake, .at = mended, .bytes = state});
  }
  Script& meta(unsigned char which, std::uint16_t field, std::uint16_t by) {
    return add({Step::kMeta, which, field, by});
  }
};

using Scripts = std::map<std::string, std::function<void(Script&)>>;

Scripts of_transfers() {
  return {
      {"nothing", [](Script&) {}},
      {"one_piece", [](Script& to) { to.piece(0, 0, 500).wait(); }},
      {"pieces", [](Script& to) { to.rest(1, 0, 150).wait(); }},
      {"large", [](Script& to) { to.rest(2, 0, 1'000).wait(); }},
      {"larger_than_a_batch", [](Script& to) { to.piece(2, 0, 65'535).wait(); }},
      {"empty", [](Script& to) { to.piece(3, 0, 0).wait().restart(1); }},
      {"offered", [](Script& to) { to.piece(1, 0, 0).wait(); }},
      {"cut", [](Script& to) { to.piece(1, 0, 200).wait(); }},
      {"cut_killed", [](Script& to) { to.piece(1, 0, 200).wait().restart(0); }},
      {"cut_power", [](Script& to) { to.piece(1, 0, 200).piece(1, 200, 200).restart(1); }},
      {"cut_before_the_end", [](Script& to) { to.piece(0, 0, 60).wait().restart(2); }},
      {"gap", [](Script& to) { to.piece(1, 0, 200).piece(1, 300, 200).wait(); }},
      {"twice", [](Script& to) { to.piece(1, 0, 200).piece(1, 0, 200).rest(1, 200, 100).wait(); }},
      {"backwards", [](Script& to) { to.piece(1, 400, 200).piece(1, 200, 200).piece(1, 0, 200); }},
      {"two_at_once",
       [](Script& to) { to.piece(1, 0, 200).piece(2, 0, 1'000).piece(1, 200, 200).wait(); }},
      {"two_leaders",
       [](Script& to) {
         to.piece(1, 0, 200).wait().term().rest(1 | fuzz::kOther, 200, 300).wait();
       }},
      {"old_leader", [](Script& to) { to.piece(1, 0, 200).wait().term().wait(); }},
      {"newer_in_between",
       [](Script& to) { to.piece(1, 0, 200).rest(2, 0, 2'000).rest(1, 200, 200).wait(); }},
      {"overtaken", [](Script& to) { to.piece(0, 0, 50).append(0, 30).wait().rest(0, 50, 100); }},
      {"behind_the_log", [](Script& to) { to.append(0, 40).wait().rest(1, 0, 200).wait(); }},
      {"log_behind_it",
       [](Script& to) { to.rest(0, 0, 100).wait().append(20, 9).wait().restart(1); }},
      {"own_meanwhile",
       [](Script& to) {
         to.append(0, 9).wait().piece(1, 0, 200).add({.what = Step::kOwn}).wait().rest(1, 200, 99);
       }},
      {"one_after_the_other",
       [](Script& to) { to.rest(0, 0, 100).wait().rest(1, 0, 300).wait().rest(2, 0, 3'000); }}};
}

Scripts of_forgers() {
  auto raw = [](Script& to, Bytes bytes) { to.add({.what = Step::kRaw, .bytes = bytes}); };
  return {
      {"altered", [](Script& to) { to.add({Step::kAltered, 0, 30, 500}).wait(); }},
      {"altered_piece",
       [](Script& to) {
         to.piece(1, 0, 200).add({Step::kAltered, 1, 200, 200}).rest(1, 400, 300);
       }},
      {"altered_then_cut",
       [](Script& to) { to.add({Step::kAltered, 1, 0, 200}).wait().restart(1); }},
      {"size_more", [](Script& to) { to.meta(0, 0, 5).piece(0, 0, 500).wait().restart(0); }},
      {"size_less", [](Script& to) { to.meta(0, 1, 5).piece(0, 0, 500).wait(); }},
      {"size_less_mended",
       [](Script& to) { to.meta(0, 1 | fuzz::kMend, 5).piece(0, 0, 500).wait(); }},
      {"size_giant", [](Script& to) { to.meta(1, 2, 1).rest(1, 0, 200).wait().restart(1); }},
      {"id", [](Script& to) { to.meta(0, 3, 1).piece(0, 0, 500).wait().restart(1); }},
      {"id_of_nothing", [](Script& to) { to.meta(3, 3, 1).piece(3, 0, 0).wait().restart(1); }},
      {"term_to_come", [](Script& to) { to.meta(0, 4, 6).piece(0, 0, 500).wait(); }},
      {"term_new",
       [](Script& to) { to.term().meta(0, 4 | fuzz::kMend, 3).piece(0, 0, 500).wait(); }},
      {"term_none", [](Script& to) { to.meta(0, 4 | fuzz::kMend, 1).piece(0, 0, 500).wait(); }},
      {"index_none", [](Script& to) { to.meta(0, 5 | fuzz::kMend, 0).piece(0, 0, 500).wait(); }},
      {"index_other", [](Script& to) { to.meta(0, 5, 99).piece(0, 0, 500).wait(); }},
      {"index_giant", [](Script& to) { to.meta(0, 6 | fuzz::kMend, 1).piece(0, 0, 500).wait(); }},
      {"joint", [](Script& to) { to.meta(0, 7, 1).piece(0, 0, 500).wait(); }},
      {"no_voters", [](Script& to) { to.meta(0, 8, 0).piece(0, 0, 500).wait(); }},
      {"one_voter", [](Script& to) { to.meta(0, 8, 1).piece(0, 0, 500).wait().restart(1); }},
      {"of_an_older_term",
       [](Script& to) {
         to.term().meta(0, 4 | fuzz::kMend, 3).piece(0, 0, 500).wait();
         to.append(19, 4).wait().rest(1, 0, 300).wait().restart(1);
       }},
      {"terms_fall",
       [](Script& to) {
         to.term().meta(0, 4 | fuzz::kMend, 3).piece(0, 0, 500).wait();
         to.append(19, 4).wait().restart(1);
       }},
      {"raw_empty", [=](Script& to) { raw(to, ""); }},
      {"raw_cut", [=](Script& to) { raw(to, Bytes("\x01\x14\0\0\0\0\0\0\0\0\x05", 11)); }},
      {"raw_far", [=](Script& to) {
         std::string bytes;
         wire::peer::append_snapshot_meta(
             bytes, {.last = {1, 20}, .membership = fuzz::three_members(), .size = 1});
         append_uvarint(bytes, ~std::uint64_t{0});
         append_string(bytes, "x");
         raw(to, bytes);
       }}};
}

// What a service keeps in a snapshot, with checksums that are right.
Scripts of_states() {
  auto whole = std::make_shared<const std::string>(fuzz::state_bytes(2, 30));
  Scripts all;
  auto add = [&](const std::string& name, const std::string& bytes, std::uint16_t mended) {
    all[name] = [=](Script& to) {
      to.make(bytes, mended).rest(fuzz::kMade, 0, 100).wait().append(60, 4).wait().restart(1);
    };
  };
  add("state", *whole, 0);
  add("state_empty", "", 0);
  for (std::size_t size : {1, 8, 13, 20, 40})
    add(fmt::format("state_cut_{}", size), whole->substr(0, size), 0);
  for (std::size_t at = 0; at < 40; at += 3) {
    auto bad = *whole;
    bad[at] ^= 0x05;
    add(fmt::format("state_bad_{:02}", at), bad, at < 13 ? 0 : 1);
  }
  auto early = fuzz::state_bytes(1, 30);
  early[13 + 8] = 62;  // the id of its session, which a command is to open
  add("state_of_a_session_to_come", early, 1);
  return all;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  auto scripts = of_transfers();
  scripts.merge(of_forgers());
  scripts.merge(of_states());
  char seed = 1;
  for (const auto& [name, write] : scripts) {
    Script script{.bytes = std::string(1, seed++)};
    write(script);
    corpus.add(name, script.bytes);
  }
  return 0;
}
