#pragma once
// EngineJournal: a compacted stream of this node's engine, made by the first load(). Its one owner
// is this process, for as long as the engine is open.

#include <string>

#include "broker/journal.h"

namespace walrus::broker {

class EngineJournal final : public Journal {
 public:
  // `stream` begins with "__". Engine and loop outlive this.
  EngineJournal(log::Engine&, io::Loop&, std::string stream);

  io::Task<void> load(Apply) override;
  Result<void> append(std::span<const JournalRecord>, log::Done<void> done) override;
  void when_room(log::Done<void>) override;
  io::Task<void> confirm() override;
  std::int64_t now_ms() override { return engine_.trusted_ms(); }

 private:
  Result<void> read(Apply&);

  log::Engine& engine_;
  io::Loop& loop_;
  const std::string name_;
  std::optional<log::StreamRef> stream_{};  // once loaded
};

}  // namespace walrus::broker
