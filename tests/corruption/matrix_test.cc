// The corruption matrix: every field of every structure in every file, by the layout tables: one
// bit and one 4 KiB block, at restart and while running. What must happen is known for each place
// before it is tried (see Fate). Never: other bytes, a missing record, a shorter log.

#include <gtest/gtest.h>

#include <iostream>

#include "layouts.h"
#include "log/directory.h"
#include "store_fixture.h"

namespace walrus::corruption {
namespace {

constexpr std::int64_t kBlock = 4096;
constexpr std::size_t kPlacesOfAField = 6;  // spread over all that there are

struct Damage {
  const Place* place;
  std::int64_t from = 0, to = 0;  // the bytes that change
  std::string how;
  std::string what() const {
    return fmt::format("{} in {}: {} of {}, at {}+{}", how, place->file.string(), place->field,
                       place->table, place->position, place->length);
  }
};

class Matrix : public testing::TestWithParam<StoreKind> {
 protected:
  void SetUp() override {
    files_ = make_store(GetParam(), content_);
    layout_.emplace(files_);
    std::map<std::pair<std::string, std::string>, std::vector<const Place*>> by_field;
    for (const auto& place : layout_->places()) {
      by_field[{place.table, place.field}].push_back(&place);
    }
    for (const auto& [field, places] : by_field) {
      auto step = std::max<std::size_t>(1, places.size() / kPlacesOfAField);
      for (std::size_t i = 0; i < places.size(); i += step) chosen_.push_back(places[i]);
    }
  }
  void TearDown() override {
    if (damaged_ == 0) return;
    std::cout << fmt::format("{} places damaged: {} refused, {} unreadable in part, {} served\n",
                             damaged_, refused_, unreadable_, damaged_ - refused_ - unreadable_);
  }

  Outcome inspect(const Files& files) {
    return Machine(files).inspect(GetParam().mapped, content_);
  }

  // Whether verify() tells of damage in this file.
  static bool verify_tells(Machine& machine, const io::Path& file) {
    auto findings = log::verify_directory(machine.env(), "/data");
    if (!findings) return findings.error().message.find(file.filename().string()) != Bytes::npos;
    return std::ranges::any_of(*findings, [&](const Finding& finding) {
      return finding.file.filename() == file.filename() ||
             finding.what.find(file.filename().string()) != std::string::npos;
    });
  }

  void expect_unreadable(const Judgement& judgement, const Outcome& outcome, const Damage& damage) {
    for (const auto& range : judgement.loses) {
      for (auto offset = range.from; offset < range.to; ++offset) {
        if (!is_served(range.stream, offset)) continue;
        EXPECT_TRUE(outcome.unreadable.contains({range.stream, offset}))
            << damage.what() << ": " << offset << " of stream " << range.stream << " is readable";
      }
    }
    for (const auto& [at, message] : outcome.unreadable) {
      bool may = std::ranges::any_of(judgement.may, [&](const Range& range) {
        return range.stream == at.first && range.from <= at.second && at.second < range.to;
      });
      EXPECT_TRUE(may) << damage.what() << ": " << at.second << " of stream " << at.first;
      EXPECT_NE(message.find(damage.place->file.filename().string()), Bytes::npos) << message;
    }
  }

  bool is_served(std::uint64_t id, std::int64_t offset) const {
    return std::ranges::any_of(content_.streams, [&](const auto& stream) {
      return stream.second.id == id && stream.second.values.contains(offset);
    });
  }

  // Exactly what the judgement says, of files that were damaged while nobody had them open.
  void expect_at_restart(const Files& files, const Damage& damage) {
    ++damaged_;
    auto judgement = layout_->judge(damage.place->file, damage.from, damage.to);
    Machine machine(files);
    EXPECT_EQ(verify_tells(machine, damage.place->file), judgement.fate != Fate::kServed)
        << damage.what();
    auto outcome = machine.inspect(GetParam().mapped, content_);
    refused_ += outcome.refused ? 1 : 0;
    unreadable_ += outcome.unreadable.empty() ? 0 : 1;
    ASSERT_EQ(outcome.wrong, "") << damage.what();
    bool refused = judgement.fate == Fate::kRefused;
    if (judgement.fate == Fate::kNewestSlot) {
      auto without = files_;
      without.erase(damage.place->file);
      refused = inspect(without).refused.has_value();
    }
    ASSERT_EQ(outcome.refused.has_value(), refused)
        << damage.what() << (outcome.refused ? ": " + outcome.refused->message : "");
    if (refused) {
      EXPECT_EQ(outcome.refused->code, Code::kCorrupt) << damage.what();
      if (judgement.fate == Fate::kRefused) {
        EXPECT_NE(outcome.refused->message.find(damage.place->file.filename().string()),
                  Bytes::npos)
            << damage.what() << ": " << outcome.refused->message;
      }
      return;
    }
    if (judgement.fate != Fate::kUnreadable) judgement.loses.clear();
    expect_unreadable(judgement, outcome, damage);
  }

  Content content_;
  Files files_;
  std::optional<Layout> layout_;
  std::vector<const Place*> chosen_;
  int damaged_ = 0, refused_ = 0, unreadable_ = 0;
};

void flip_bit(std::string& bytes, std::int64_t position) {
  bytes[static_cast<std::size_t>(position)] ^= static_cast<char>(1 << position % 8);
}

// The block that holds the position, filled; false: it was like that.
bool fill_block(std::string& bytes, Damage& damage, char fill) {
  damage.from = damage.place->position / kBlock * kBlock;
  damage.to = std::min(damage.from + kBlock, static_cast<std::int64_t>(bytes.size()));
  auto from = static_cast<std::size_t>(damage.from);
  auto block = std::span(bytes).subspan(from, static_cast<std::size_t>(damage.to - damage.from));
  if (std::ranges::all_of(block, [&](char c) { return c == fill; })) return false;
  std::ranges::fill(block, fill);
  return true;
}

// A table or a field that the matrix does not reach is a hole in it.
TEST(MatrixTables, reaches_every_field_of_every_table) {
  std::set<std::pair<std::string, std::string>> reached, told;
  for (bool closed : {false, true}) {
    Content content;
    auto files = make_store({.mapped = true, .closed = closed}, content);
    for (const auto& place : Layout(files).places()) {
      if (place.length > 0) reached.emplace(place.table, place.field);
    }
  }
  reached.erase({"padding", "zeros"});
  for (const auto& table : read_tables()) {
    std::int64_t end = 0;  // no byte of a structure is left out or told twice
    for (const auto& field : table.fields) {
      EXPECT_EQ(field.position, end) << table.title << ": " << field.name;
      end = field.position + field.length;
      bool is_body = table.title == "manifest header" && field.length < 0;
      if (is_body) continue;
      EXPECT_TRUE(told.emplace(table.title, field.name).second) << table.title << field.name;
    }
  }
  for (const auto& field : read_body_grammar()) {
    EXPECT_TRUE(told.emplace("manifest body", field.name).second) << field.name;
  }
  for (const auto& field : told) EXPECT_TRUE(reached.contains(field)) << field.second;
  for (const auto& field : reached) EXPECT_TRUE(told.contains(field)) << field.second;
  std::cout << fmt::format("{} fields of {} tables\n", told.size(), read_tables().size() + 1);
}

TEST(MatrixTables, are_as_long_as_their_structures) {
  auto tables = read_tables();
  auto bytes_of = [&](const char* title) {
    const auto& last = table_of(tables, title).fields.back();
    return last.length < 0 ? last.position : last.position + last.length;
  };
  EXPECT_EQ(bytes_of("journal file header"), log::kJournalHeaderBytes);
  EXPECT_EQ(bytes_of("group header"), log::kGroupHeaderBytes);
  EXPECT_EQ(bytes_of("frame"), log::kFrameHeaderBytes);
  EXPECT_EQ(bytes_of("segment header"), 64);
  EXPECT_EQ(bytes_of("index entry"), 24);
  EXPECT_EQ(bytes_of("footer"), 64);
  EXPECT_EQ(bytes_of("manifest header"), 64);
  EXPECT_EQ(bytes_of("identity file WALRUS"), 64);
  EXPECT_EQ(bytes_of("record batch"), std::int64_t{record::kBatchHeaderBytes});
}

TEST_P(Matrix, without_damage_shows_everything) {
  Machine machine(files_);
  auto findings = log::verify_directory(machine.env(), "/data");
  ASSERT_TRUE(findings) << findings.error().message;
  for (const auto& finding : *findings) ADD_FAILURE() << finding.file << ": " << finding.what;
  auto outcome = machine.inspect(GetParam().mapped, content_);
  EXPECT_FALSE(outcome.refused) << outcome.refused->message;
  EXPECT_TRUE(outcome.unreadable.empty());
  EXPECT_EQ(outcome.wrong, "");
  // Nothing acknowledged looks torn: marks have told that all of it was synced.
  for (const auto& place : layout_->places()) {
    if (place.table != "frame" || !place.ends_log) continue;
    EXPECT_EQ(layout_->judge(place.file, place.position, place.position + 1).fate, Fate::kRefused)
        << place.file << " " << place.position;
  }
}

// First, middle and last byte of each field.
TEST_P(Matrix, one_bit_at_restart) {
  for (const auto* place : chosen_) {
    for (auto at : std::set<std::int64_t>{0, place->length / 2, place->length - 1}) {
      auto files = files_;
      auto position = place->position + at;
      flip_bit(files[place->file], position);
      expect_at_restart(files, {place, position, position + 1, "one bit"});
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(Matrix, one_block_at_restart) {
  std::set<std::tuple<io::Path, std::int64_t, char>> done;
  for (const auto* place : chosen_) {
    for (char fill : {'\0', '\x5a'}) {
      if (!done.emplace(place->file, place->position / kBlock, fill).second) continue;
      auto files = files_;
      Damage damage{place, 0, 0, fill == 0 ? "a block of zeros" : "a block of rubbish"};
      if (!fill_block(files[place->file], damage, fill)) continue;
      expect_at_restart(files, damage);
      if (HasFatalFailure()) return;
    }
  }
}

// Refusing to open changes nothing: with the damage undone everything is there.
TEST_P(Matrix, what_was_refused_opens_once_it_is_mended) {
  for (const auto* place : chosen_) {
    auto files = files_;
    flip_bit(files[place->file], place->position);
    Machine machine(files);
    if (!machine.inspect(GetParam().mapped, content_).refused) continue;
    ++damaged_, ++refused_;
    ASSERT_TRUE(machine.disk().plant(place->file, files_[place->file]));
    machine.restart();
    auto outcome = machine.inspect(GetParam().mapped, content_);
    EXPECT_FALSE(outcome.refused) << place->file << ": " << outcome.refused->message;
    EXPECT_EQ(outcome.wrong, "") << place->file;
    EXPECT_TRUE(outcome.unreadable.empty()) << place->file;
  }
}

// Opening has removed the older one of the two manifests.
bool superseded(Machine& machine, std::string path) {
  if (!path.contains("/manifest-")) return false;
  path.back() ^= 1;  // .0 or .1
  return machine.disk().cached(path).has_value();
}

// The engine is open when the bit or the bytes of the block go: what lies there is not served,
// verify() beside it tells, a checkpoint makes no truth of it, and neither does a restart.
TEST_P(Matrix, while_running) {
  int gone = 0;
  for (const auto* place : chosen_) {
    for (bool whole : {false, true}) {
      Machine machine(files_);
      auto engine = machine.open(GetParam().mapped);
      ASSERT_TRUE(engine) << engine.error().message;
      auto from = whole ? place->position / kBlock * kBlock : place->position;
      auto size = static_cast<std::int64_t>(files_[place->file].size());
      auto length = whole ? std::min(kBlock, size - from) : 1;
      auto bits = whole ? static_cast<int>(length * 4) : 1;  // half of them: noise
      Damage damage{place, from, from + length, fmt::format("{} bits while running", bits)};
      auto judgement = layout_->judge(place->file, from, from + length);
      if (!machine.disk().rot(place->file, from, bits, length)) {
        // Removed, since it was of no use any more.
        EXPECT_TRUE(judgement.fate == Fate::kServed || superseded(machine, place->file))
            << damage.what();
        ++gone;
        continue;
      }
      ++damaged_;
      Outcome running;
      Machine::read(**engine, content_, running);
      EXPECT_EQ(running.wrong, "") << damage.what();
      EXPECT_EQ(verify_tells(machine, place->file), judgement.fate != Fate::kServed)
          << damage.what();
      if (judgement.fate == Fate::kRefused) judgement.may = judgement.loses;  // in the journal
      // A frame is looked at by a recovery only, its batch by every reader.
      if (place->table == "frame" && !whole) judgement.loses.clear();
      expect_unreadable(judgement, running, damage);
      unreadable_ += running.unreadable.empty() ? 0 : 1;
      (void)(*engine)->checkpoint();  // may fail: nothing wrong may come of it
      Outcome later;
      Machine::read(**engine, content_, later);
      EXPECT_EQ(later.wrong, "") << damage.what() << ", after a checkpoint";
      machine.world().node(0).crash(io::CrashKind::kKill);
      engine->reset();
      machine.restart();
      auto reopened = machine.inspect(GetParam().mapped, content_);
      EXPECT_EQ(reopened.wrong, "") << damage.what() << ", reopened";
      if (reopened.refused) {
        ++refused_;
        EXPECT_EQ(reopened.refused->code, Code::kCorrupt) << reopened.refused->message;
      }
      if (HasFailure()) return;
    }
  }
  std::cout << gone << " places lay in files that opening had removed\n";
}

INSTANTIATE_TEST_SUITE_P(Stores, Matrix,
                         testing::Values(StoreKind{true, false}, StoreKind{false, false},
                                         StoreKind{true, true}, StoreKind{false, true}),
                         [](const auto& info) {
                           return fmt::format("{}_{}", info.param.mapped ? "mapped" : "written",
                                              info.param.closed ? "closed" : "killed");
                         });

}  // namespace
}  // namespace walrus::corruption
