// Writes fuzz/corpus/lane_stream: corpus_lane_stream DIRECTORY.

#include <fmt/format.h>

#include <vector>

#include "corpus.h"
#include "lane_form.h"

using namespace walrus;
using fuzz::LaneStep;

int main(int count, char** arguments) {
  if (count != 2) return 2;
  fuzz::Corpus corpus(arguments[1]);
  using Steps = std::vector<LaneStep>;
  auto add = [&, seed = char{1}](const std::string& name, const Steps& steps) mutable {
    std::string bytes(1, seed++);
    for (const auto& step : steps) fuzz::append_lane_step(bytes, step);
    corpus.add(name, bytes);
  };
  add("nothing", {});
  for (unsigned char object = 0; object < fuzz::kLaneObjects; ++object) {
    auto offer = LaneStep{LaneStep::kOffer, object};
    auto from = LaneStep{LaneStep::kFrom, object};
    auto all = LaneStep{LaneStep::kBytes, object, 0, 600};
    auto some = LaneStep{LaneStep::kBytes, object, 0, 45};
    auto altered = LaneStep{LaneStep::kAltered, object, 0, 45};
    auto end = LaneStep{LaneStep::kEnd, object};
    auto trailer = [&](std::uint16_t which) { return LaneStep{LaneStep::kTrailer, object, which}; };
    auto restart = [&](std::uint16_t how) { return LaneStep{LaneStep::kRestart, object, how}; };
    auto name = [&](const char* what) { return fmt::format("{}_{}", what, object); };
    add(name("whole"), {offer, from, all, trailer(0), end});
    add(name("twice"), {offer, from, all, trailer(0), end, offer, from, trailer(0), end});
    add(name("pieces"), {offer, from, some, some, some, all, trailer(0), end});
    add(name("killed"), {offer, from, all, restart(0), offer, from, all, trailer(0), end});
    add(name("power_cut"), {offer, from, all, restart(1), offer, from, all, trailer(0), end});
    add(name("acknowledged"), {offer, from, all, trailer(0), end, restart(1)});
    add(name("cancelled"),
        {offer, from, some, {LaneStep::kCancel, object}, offer, from, all, trailer(0), end});
    add(name("altered"), {offer, from, altered, all, trailer(0), end});
    add(name("altered_mended"), {offer, from, altered, all, trailer(1), end});
    add(name("another_digest"), {offer, from, all, trailer(2), end});
    add(name("cut"), {offer, from, some, end});
    add(name("no_trailer"), {offer, from, all, end});
    add(name("longer"), {{LaneStep::kOffer, object, 0, 80}, from, all, all, trailer(1), end});
    add(name("shorter"), {{LaneStep::kOffer, object, 1, 20}, from, all, trailer(1), end});
    add(name("too_large"), {{LaneStep::kOffer, object, 0, 60'000}, from, all, trailer(1), end});
    add(name("from_elsewhere"), {offer, {LaneStep::kFrom, object, 2, 40}, all, trailer(0), end});
    add(name("damaged"), {offer,
                          from,
                          all,
                          restart(0),
                          {LaneStep::kDamage, object, 3, 0},
                          offer,
                          from,
                          all,
                          trailer(0),
                          end});
  }
  add("three_at_once", {{LaneStep::kOffer, 0},
                        {LaneStep::kOffer, 1},
                        {LaneStep::kOffer, 2},
                        {LaneStep::kFrom, 0},
                        {LaneStep::kFrom, 1},
                        {LaneStep::kBytes, 0, 0, 60}});
  return 0;
}
