// How incarnations of the engine begin and end in the log world: faults, crashes, recovery, and the
// comparison of what was recovered with the model.

#include <algorithm>

#include "log_run.h"

namespace walrus::sim {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t kUnlimited = std::int64_t{1} << 40;
constexpr int kAttemptsWithFaults = 3, kAttemptsMax = 12;

std::int64_t in_ms(io::Nanos time) {
  return std::chrono::duration_cast<milliseconds>(time).count();
}

// Operations that make something durable, and how many of them come in a while.
struct Step {
  const char *operation, *file, *name;
  int many;
};
constexpr Step kSteps[] = {{"sync directory", "", "directory_sync", 4},
                           {"sync", ".wal", "journal_sync", 20},
                           {"sync", "/manifest-", "manifest_sync", 4},
                           {"sync", "/segments/", "segment_sync", 4},
                           {"rename", "", "rename", 2},
                           {"remove", "", "remove", 4}};

// The family of a crash at one of them: "before_segment_sync" for "before sync .../1-0.seg". Empty:
// it came elsewhere.
std::string durable_step(const std::string& place) {
  auto space = place.find(' ');
  auto what = place.substr(space == std::string::npos ? place.size() : space + 1);
  for (const auto& step : kSteps) {
    if (what.starts_with(std::string(step.operation) + " /") && what.contains(step.file)) {
      return place.substr(0, space) + "_" + step.name;
    }
  }
  return "";
}

// Of each journal the first file that was not there before: where recovery copies to, if it does.
std::vector<io::Path> first_journals(std::vector<io::Path> files,
                                     const std::vector<io::Path>& before) {
  std::erase_if(files, [&](const io::Path& path) {
    return path.extension() != ".wal" || std::ranges::binary_search(before, path);
  });
  auto same = std::ranges::unique(files, {}, &io::Path::parent_path);
  files.erase(same.begin(), same.end());
  return files;
}

}  // namespace

void LogRun::begin_life() {
  plan_.engine.user.root = fmt::format("/data{}", ++life_);
  names_.clear();
  for (int i = 0; i < plan_.names; ++i) names_.emplace_back().name = fmt::format("name{}", i);
  loss_ = {};
  lost_something_ = damaged_ = cut_next_ = was_open_ = was_closed_ = false;
  cut_off_.reset();
  healable_.reset();
}

void LogRun::open() {
  bool at_once = std::exchange(ended_at_once_, false);
  if (plan_.bit_rot && lost_something_ && !damaged_ && random_.chance(at_once ? 0.6 : 0.15)) {
    plant_damage(true, at_once);
    if (damaged_ && at_once) ++tally_.hits["rot_after_recovery"];
  }
  const auto before = disk().files();
  for (int attempt = 0; attempt < kAttemptsMax && !violation_; ++attempt) {
    if (!try_open(attempt)) continue;
    recovered_ = first_journals(disk().files(), before);
    return;
  }
  if (!violation_) flag("open", "no attempt came to an end");
}

bool LogRun::try_open(int attempt) {
  auto& node = world_->node(0);
  auto& faults = disk().options().faults;
  bool rough = attempt < kAttemptsWithFaults;
  bool errors = false;
  if (rough && plan_.crash_in_recovery && random_.chance(0.4)) {
    arm_crash(60);
  }
  if (rough && plan_.open_errors && random_.chance(0.3)) errors = faults.open_error = 0.03;
  if (rough && plan_.io_errors && random_.chance(0.3)) errors = faults.read_error = 0.03;
  bool full = rough && plan_.disk_full && random_.chance(0.3);
  if (full) fill_disk();
  if (plan_.change_shards && random_.chance(0.3)) {
    plan_.engine.user.shards = static_cast<int>(random_.between(1, 3));
    ++tally_.hits["shards_changed"];
  }
  if (random_.chance(0.2)) plan_.engine.mapped = !plan_.engine.mapped;
  sync_errors_before_ = hits("sync_error");
  disk_errors_before_ = disk_errors();
  check_boot_id();
  auto opened = log::Engine::open(node.env(), plan_.engine);
  faults.open_error = faults.read_error = 0;
  if (node.crashed()) {
    count_crash(armed_, "crash_in_recovery");
    if (opened) opened->reset();
    close_windows();
    note_loss(armed_);
    node.restart();
    return false;
  }
  node.crash_after_ops(0, io::CrashKind::kKill);
  say(fmt::format("open with {} shards: {}", plan_.engine.user.shards,
                  opened ? "done" : opened.error().message));
  if (!opened) {
    close_windows();
    open_failed(opened.error(), errors || (full && opened.error().code == Code::kNoSpace));
    return false;
  }
  if (full) ++tally_.hits["opened_on_full_disk"];
  engine_ = std::move(*opened);
  ++tally_.reopenings;
  if (was_open_) ++tally_.restarts;
  was_open_ = true;
  reconcile(*engine_, names_, loss_now());
  if (violation_) return true;
  loss_ = {};
  lost_something_ = false;
  last_synced_ms_ = last_alive_ms_ = true_ms();
  if (damaged_) damage_until_ = done_ + random_.between(0, 20);
  return true;
}

void LogRun::open_failed(const Error& error, bool errors_were_on) {
  if (errors_were_on) {
    // The process goes and leaves the page cache as it is.
    note_loss(io::CrashKind::kKill);
    world_->node(0).restart();
    return;
  }
  if (!damaged_) return flag("open-refused", error.message);
  if (error.code != Code::kCorrupt && error.code != Code::kVersion) {
    return flag("damage-misnamed", error.message);
  }
  ++tally_.hits["damage_refused"];
  if (!healable_) return begin_life();
  // Refusing must not have changed anything: with the damage undone everything is there.
  (void)disk().plant(healable_->first, healable_->second);
  say(fmt::format("healed {}", healable_->first.string()));
  healable_.reset();
  damaged_ = false;
  ++tally_.hits["healed"];
  world_->node(0).restart();
}

// The boot id changes at a power cut and at nothing else.
void LogRun::check_boot_id() {
  auto now = world_->node(0).env().disk().boot_id();
  if (now == boot_id_) return;
  if (!boot_id_.empty()) ++tally_.hits["boot_id_changed"];
  boot_id_ = now;
}

// What happened to what was not synced; the first of several crashes dates it.
void LogRun::note_loss(io::CrashKind kind) {
  watch_syncs();
  if (!lost_something_) loss_.at_ms = true_ms();
  lost_something_ = true;
  if (kind == io::CrashKind::kPowerCut) loss_.page_cache_lost = true;
  if (failed_ms_) loss_.at_ms = std::min(loss_.at_ms, *failed_ms_);
  if (sync_failed_ms_) {
    loss_.page_cache_lost = true;
    loss_.at_ms = std::min(loss_.at_ms, *sync_failed_ms_);
  }
}

Loss LogRun::loss_now() {
  auto loss = loss_;
  if (!lost_something_) loss.at_ms = true_ms();
  loss.seen_ms = true_ms();
  loss.interval_slack_ms = in_ms(sync_slack(plan_));
  if (damaged_) loss.marked_ms = loss.at_ms - in_ms(plan_.engine.mark_delay + sync_slack(plan_));
  return loss;
}

void LogRun::count_crash(io::CrashKind kind, const char* how) {
  ++tally_.crashes;
  ++tally_.hits[kind == io::CrashKind::kKill ? "kill" : "power_cut"];
  if (how) ++tally_.hits[how];
  const auto& place = world_->node(0).crash_place();
  if (auto step = durable_step(place); !step.empty()) ++tally_.hits[step];
  bool cut = kind == io::CrashKind::kPowerCut;
  if (cut && after_cut_ && appended_) ++tally_.hits["cut_append_cut"];
  after_cut_ = cut;
  appended_ = false;
  say(fmt::format("{}: {} at {}", how ? how : "crash", cut ? "power cut" : "kill", place));
}

std::int64_t LogRun::disk_errors() {
  std::int64_t errors = 0;
  for (const char* family : {"sync_error", "write_error", "read_error", "open_error", "no_space"}) {
    errors += hits(family);
  }
  return errors;
}

void LogRun::leave_incarnation() {
  ++incarnation_;
  unanswered_ = 0;
  failed_for_ = 0;
  waits_.clear();
  for (auto& name : names_) {
    name.stream.reset();
    name.creating = false;
  }
  engine_.reset();
  crash_armed_ = false;
  sync_failed_ms_.reset();
  failed_ms_.reset();
  close_windows();
}

void LogRun::after_crash() {
  auto how = crash_armed_ ? "crash_at_op" : nullptr;
  count_crash(armed_, how);
  note_loss(armed_);
  leave_incarnation();
  world_->node(0).restart();
}

void LogRun::end(End kind) {
  if (kind == End::kClose) return end_by_close();
  crash_armed_ = false;
  armed_ = kind == End::kKill ? io::CrashKind::kKill : io::CrashKind::kPowerCut;
  world_->node(0).crash(armed_);
  after_crash();
}

void LogRun::end_by_close() {
  if (random_.chance(0.5)) {
    quiesce();
    if (violation_ || crashed() || engine_failed()) return;
  }
  auto closed = engine_->close();
  if (crashed()) return;  // the caller sees to it
  ++tally_.hits["clean_close"];
  say(fmt::format("close: {}", closed ? "done" : closed.error().message));
  bool excused = sync_failed_ms_ || hits("sync_error") != sync_errors_before_ || damaged_ ||
                 errors_on_ || disk_full_ || (failed_ms_ && disk_errors() != disk_errors_before_);
  if (!closed && !excused) return flag("close", closed.error().message);
  was_closed_ = closed.has_value();
  if (closed) {
    if (unanswered_ != 0) {
      return flag("answer-missing", fmt::format("{} after close", unanswered_));
    }
    for (auto& name : names_) {
      for (auto& [id, model] : name.streams) model.acknowledge_sync(model.issued());
      for (auto i = std::uint64_t{0}; i < name.naming.issued(); ++i) {
        name.naming.acknowledge(i, true_ms());
      }
    }
  }
  bool cut = plan_.power_cuts && random_.chance(0.5);
  armed_ = cut ? io::CrashKind::kPowerCut : io::CrashKind::kKill;
  if (cut) world_->node(0).crash(armed_);
  note_loss(armed_);
  leave_incarnation();
  world_->node(0).restart();
}

// Ends the incarnation in one of the ways that the plan knows.
void LogRun::draw_end() {
  if (cut_next_) {
    cut_next_ = false;
    ++tally_.hits["cut_after_sync_error"];
    return end(End::kPowerCut);
  }
  if (plan_.sync_errors && random_.chance(0.4)) {
    disk().options().faults.sync_error = 0.5;
    errors_on_ = true;
    window_until_ = done_ + 40;
    return;
  }
  if (may_cut_beginning() && random_.chance(0.25)) return end(End::kClose);
  if (crash_armed_) return end(armed_ == io::CrashKind::kKill ? End::kKill : End::kPowerCut);
  if (plan_.crash_at_op && random_.chance(0.5)) {
    crash_armed_ = true;
    return arm_crash(80);
  }
  std::vector<End> ends{End::kClose};
  if (plan_.kills) ends.insert(ends.end(), 2, End::kKill);
  if (plan_.power_cuts) ends.insert(ends.end(), 3, End::kPowerCut);
  end(ends[random_.below(ends.size())]);
}

// Before any of the workers had its turn.
void LogRun::end_early() {
  bool closed = std::exchange(was_closed_, false);
  if (auto before = std::exchange(cut_off_, std::nullopt)) return begin_again(*before);
  // Where nothing is mapped, nothing reaches a journal before its sync.
  if (closed && may_cut_beginning() && random_.chance(0.9)) return cut_beginning();
  if (plan_.bit_rot && random_.chance(0.25)) end_at_once();
}

bool LogRun::may_cut_beginning() { return plan_.power_cuts && plan_.engine.mapped; }

// The first appends behind a clean end meet a power cut before they are synced.
void LogRun::cut_beginning() {
  auto* name = any_stream();
  if (!name) return;
  // All files of a journal that are free become spares, so that the first of them is the first
  // again.
  pass(milliseconds(random_.between(0, 50)));
  if (crashed() || engine_failed()) return;
  CutOff cut{name->id, history(*name).now().next, random_.between(4, 16)};
  append_evenly(*name, cut.appends);
  if (violation_ || crashed() || engine_failed()) return;
  cut_off_ = cut;
  if (!restart_at_.empty()) restart_at_.erase(std::prev(restart_at_.end()));  // this is one of them
  end(End::kPowerCut);
}

// If none of them was found, those of this incarnation take the same places of the log, in the same
// file. There are fewer of them: what the disk still holds behind them is no part of it.
void LogRun::begin_again(const CutOff& before) {
  auto* name = any_stream();
  if (!name || name->id != before.stream || history(*name).now().next != before.from) return;
  append_evenly(*name, random_.between(1, before.appends - 1));
  if (violation_ || crashed() || engine_failed()) return;
  ++tally_.hits["begun_again"];
  end(random_.chance(0.7) ? End::kKill : End::kPowerCut);
}

// What recovery has copied is what the next one finds, or what is left of it.
void LogRun::end_at_once() {
  ended_at_once_ = true;
  end(plan_.power_cuts && random_.chance(0.7) ? End::kPowerCut : End::kKill);
}

// What somebody has read is there when the power goes at that very moment.
void LogRun::cut_at_once() {
  bool running = engine_ && !violation_ && !crashed() && !engine_failed();
  if (running && !damaged_ && plan_.power_cuts && random_.chance(0.2)) end(End::kPowerCut);
}

// At one of the next operations of the disk, whatever it is, or of those that make one thing
// durable.
void LogRun::arm_crash(std::int64_t operations) {
  armed_ =
      plan_.power_cuts && random_.chance(0.7) ? io::CrashKind::kPowerCut : io::CrashKind::kKill;
  io::Node::Place place;
  if (random_.chance(0.5)) {
    const auto& step = kSteps[random_.below(std::size(kSteps))];
    place = {step.operation, step.file};
    operations = step.many;
  }
  auto number = static_cast<std::uint64_t>(random_.between(1, operations));
  world_->node(0).crash_after_ops(number, armed_, place);
}

// Opens and closes the times in which the disk misbehaves.
void LogRun::fault_window() {
  if (window_until_ >= 0) {
    if (done_ >= window_until_) close_windows();
    return;
  }
  if (!random_.chance(0.03)) return;
  auto& options = disk().options();
  switch (random_.below(6)) {
    case 0:
      if (!plan_.disk_full) return;
      fill_disk();
      return;
    case 1:
      if (!plan_.io_errors) return;
      options.faults.read_error = 0.05;
      options.faults.write_error = random_.chance(0.5) ? 0.05 : 0;
      errors_on_ = true;
      break;
    case 2:
      if (!plan_.no_space_errors) return;
      options.faults.no_space = 0.1;
      errors_on_ = true;
      break;
    case 3:
      if (!plan_.open_errors) return;
      options.faults.open_error = 0.1;
      errors_on_ = true;
      break;
    case 4:
      if (!plan_.wall_jumps) return;
      jump_wall(Millis(random_.between(-3'000'000'000, 3'000'000'000)));
      break;
    case 5:
      if (damaged_ || disk_full_ || errors_on_) return;
      return plant_damage(false);
  }
  window_until_ = done_ + random_.between(3, 25);
}

void LogRun::fill_disk() {
  disk().options().capacity_bytes = disk().used_bytes() + random_.between(0, 64 << 10);
  disk_full_ = true;
  window_until_ = done_ + random_.between(3, 25);
  ++tally_.hits["disk_full"];
}

void LogRun::jump_wall(Millis by) {
  world_->node(0).jump_wall_clock(by);
  wall_jump_ = by;
  jumped_at_ = world_->now();
  ++tally_.hits["wall_jump"];
  say(fmt::format("the wall clock jumps by {} ms", by.count()));
}

void LogRun::close_windows() {
  if (window_until_ < 0) return;
  window_until_ = -1;
  auto& options = disk().options();
  options.capacity_bytes = kUnlimited;
  const auto calm = plan_.world.disk.faults;
  options.faults = calm;
  bool healed = disk_full_ || errors_on_;
  if (wall_jump_.count() != 0) {
    world_->node(0).jump_wall_clock(-wall_jump_);
    clock_lead_ms_ = clock_lead_ms();
    wall_jump_ = Millis(0);
  }
  // What failed in the background is reported until it was tried again.
  if (healed && engine_ && !crashed() && !engine_failed()) check_progress();
  disk_full_ = errors_on_ = false;
}

// After the cause is gone everything works again by itself, without a restart.
void LogRun::check_progress() {
  constexpr auto kPatience = std::chrono::minutes(20);
  if (damaged_) return;
  auto deadline = world_->now() + kPatience;
  auto unusable = [&] { return violation_ || crashed() || engine_failed(); };
  while (!unusable() && !engine_->health()) {
    if (world_->now() > deadline) {
      return flag("no-progress",
                  "20 minutes after the disk healed: " + engine_->health().error().message);
    }
    pass(milliseconds(100));
  }
  auto* name = any_stream();
  while (name && !unusable()) {
    auto refused = tally_.refused;
    issue_append(*name, draw_records(1), std::nullopt, std::nullopt);
    if (tally_.refused == refused) return;
    if (world_->now() > deadline) {
      return flag("no-progress", name->name + ": refused 20 minutes after the disk healed");
    }
    pass(milliseconds(100));
  }
}

// Damages one place of one file, or arms a fault that makes the next sync do so.
void LogRun::plant_damage(bool at_restart, bool at_once) {
  std::vector<const char*> kinds;
  if (plan_.bit_rot) kinds.push_back("bit_rot");
  if (plan_.lost_writes && !at_restart) kinds.push_back("lost_write");
  if (plan_.misdirected_writes && !at_restart) kinds.push_back("misdirected_write");
  if (kinds.empty()) return;
  std::string_view kind = kinds[random_.below(kinds.size())];
  if (kind == "bit_rot") {
    if (!rot_somewhere(at_restart, at_once)) return;
    ++tally_.hits["bit_rot"];
  } else {
    auto& faults = disk().options().faults;
    (kind == "lost_write" ? faults.lost_write : faults.misdirected_write) = 1;
    auto before = hits(kind.data());
    world_->run_until([&] { return hits(kind.data()) != before || crashed(); },
                      std::chrono::seconds(3));
    faults.lost_write = faults.misdirected_write = 0;
    if (hits(kind.data()) == before) return;
  }
  damaged_ = true;
  damage_until_ = done_ + random_.between(1, 30);
  if (at_restart) return;
  for (auto& name : names_) {
    if (name.stream && !name.creating && !violation_ && !crashed()) read_damaged(name);
  }
}

// Right after a recovery most often in what it wrote.
bool LogRun::rot_somewhere(bool at_restart, bool at_once) {
  std::vector<io::Path> files;
  auto root = plan_.engine.user.root.string() + "/";
  for (const auto& path : disk().files()) {
    if (path.string().starts_with(root) && path.filename() != "LOCK") files.push_back(path);
  }
  if (at_once && !recovered_.empty() && random_.chance(0.7)) files = recovered_;
  constexpr std::size_t kBlock = 4096;
  for (int attempt = 0; attempt < 20 && !files.empty(); ++attempt) {
    const auto& path = files[random_.below(files.size())];
    auto content = disk().cached(path);
    if (!content || content->empty()) continue;
    auto position = random_.below(content->size()) / kBlock * kBlock;
    auto length = std::min(kBlock, content->size() - position);
    auto block = Bytes(*content).substr(position, length);
    if (block.find_first_not_of('\0') == Bytes::npos) continue;
    if (at_restart) healable_.emplace(path, *content);
    if (random_.chance(0.5)) {
      auto bit = block.find_last_not_of('\0');
      auto end = static_cast<std::int64_t>(random_.chance(0.5) ? bit + 1 : length);
      if (!disk().rot(path, static_cast<std::int64_t>(position), 1, end)) continue;
    } else if (at_restart) {
      content->replace(position, length, length, '\0');
      if (!disk().plant(path, *content)) continue;
    } else {
      auto bits = static_cast<int>(random_.between(2, 40));
      if (!disk().rot(path, static_cast<std::int64_t>(position), bits,
                      static_cast<std::int64_t>(length))) {
        continue;
      }
    }
    say(fmt::format("damaged {} at {}", path.string(), position));
    return true;
  }
  healable_.reset();
  return false;
}

// What can still be read was compared with the model when it was opened again; begin anew.
void LogRun::end_damaged_life() {
  if (!damage_seen_) {
    damage_seen_ = true;
    auto draw = random_.below(3);
    end(draw == 0 ? End::kClose : draw == 1 || !plan_.power_cuts ? End::kKill : End::kPowerCut);
    if (crashed()) after_crash();
    return;
  }
  damage_seen_ = false;
  armed_ = io::CrashKind::kKill;
  world_->node(0).crash(armed_);
  leave_incarnation();
  world_->node(0).restart();
  begin_life();
}

// Runs the world until everything is answered.
void LogRun::quiesce() {
  constexpr auto kPatience = std::chrono::minutes(20);
  auto quiet = [&] { return unanswered_ == 0 || crashed() || engine_failed() || violation_; };
  world_->run_until(quiet, kPatience);
  if (!quiet()) return flag("answer-missing", fmt::format("{} after 20 minutes", unanswered_));
  if (!crashed() && !engine_failed()) check_tail_waits();
}

void LogRun::check_tail_waits() {
  pass(milliseconds(1));
  for (const auto& wait : waits_) {
    if (wait->fired || wait->cancelled || crashed()) continue;
    auto info = engine_->info(wait->ref);
    if (!info) {
      if (info.error().code == Code::kNotFound) flag("tail-wait", "not answered after removal");
      continue;
    }
    auto end = wait->up_to == UpTo::kAppended ? info->log_end : info->high_watermark;
    if (end.value > wait->offset) {
      flag("tail-wait",
           fmt::format("not called for {} with the end at {}", wait->offset, end.value));
    }
  }
}

// A failed sync ends the instance: every later call fails, which the operations check; the
// process then ends and the next one starts in the same boot.
void LogRun::check_failed_instance() {
  bool explained = damaged_ || disk_errors() != disk_errors_before_;
  if (!explained) return flag("failed-without-cause", engine_->health().error().message);
  if (failed_for_ == 0) say("failed: " + engine_->health().error().message);
  constexpr std::int64_t kCallsAfterFailure = 5;
  if (++failed_for_ < kCallsAfterFailure) return;
  if (hits("sync_error") != sync_errors_before_ && plan_.power_cuts && random_.chance(0.6)) {
    cut_next_ = true;
    restart_at_.insert(done_ + random_.between(0, 6));
  }
  end(End::kKill);
}

// Compares everything that an engine shows right after it was opened with the model.
void LogRun::reconcile(log::Engine& engine, std::vector<Name>& names, const Loss& loss) {
  std::map<std::string, log::StreamRef> seen;
  for (const auto& ref : engine.list("")) seen[log::stream_name(ref)] = ref;
  for (auto& name : names) {
    auto found = seen.find(name.name);
    reconcile_name(engine, name, found == seen.end() ? nullptr : found->second, loss);
    if (violation_) return;
    if (found != seen.end()) seen.erase(found);
  }
  if (!seen.empty()) flag("foreign-stream", seen.begin()->first);
}

void LogRun::reconcile_name(log::Engine& engine, Name& name, const log::StreamRef& ref,
                            const Loss& loss) {
  for (const auto& [id, model] : name.streams) {
    if (model.required(loss) > 0) name.naming.require_creation(id);
  }
  std::optional<ObservedName> shown;
  if (ref) {
    auto info = engine.info(ref);
    if (crashed()) return;
    if (!info) return flag("info-refused", info.error().message);
    shown = ObservedName{log::stream_id(ref), info->options};
  }
  auto before = name.naming.now();
  bool removal_lost = damaged_ && shown && (!before || before->id != shown->id);
  flag(name.naming.reconcile(name.name, shown, loss.marked_ms));
  if (violation_) return;
  if (!shown) {
    name.streams.clear();
    return;
  }
  std::erase_if(name.streams, [&](const auto& one) { return one.first != shown->id; });
  auto place = name.streams.try_emplace(shown->id, shown->id, shown->options).first;
  place->second.set_options(shown->options);
  place->second.set_clock_lead(clock_lead_ms());
  ObservedStream stream;
  if (!read_all(engine, ref, stream)) {
    if (!violation_ && !crashed() && !damaged_) flag("recovered-unreadable", name.name);
    return;
  }
  // A disk that lies may take the removal from the catalogue's journal and leave the drop, which
  // followed it, in the stream's.
  bool dropped = removal_lost && stream.log_end == 0 && stream.cursors.empty();
  if (dropped) name.streams.insert_or_assign(shown->id, StreamHistory(shown->id, shown->options));
  place = name.streams.find(shown->id);
  auto verdict = place->second.reconcile(loss, stream);
  if (verdict) verdict->detail = fmt::format("{} ({}): {}", name.name, shown->id, verdict->detail);
  flag(verdict);
  name.stream = ref;
  name.id = shown->id;
}

}  // namespace walrus::sim
