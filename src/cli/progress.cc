#include "cli/progress.h"

#include <algorithm>
#include <cstdio>

#include "cli/output.h"

namespace walrus::cli {
namespace {

constexpr io::Nanos kInterval = std::chrono::milliseconds(100);
constexpr std::int64_t kBarWidth = 30;

std::string bar(std::int64_t bytes, std::int64_t total) {
  auto full = std::clamp<std::int64_t>(total > 0 ? bytes * kBarWidth / total : 0, 0, kBarWidth);
  return fmt::format("[{}{}] {:>3}%  ", std::string(static_cast<std::size_t>(full), '#'),
                     std::string(static_cast<std::size_t>(kBarWidth - full), '.'),
                     total > 0 ? std::min<std::int64_t>(100, bytes * 100 / total) : 100);
}

}  // namespace

Progress::Progress(io::Env& env, const Globals& globals)
    : env_(env),
      shown_(!globals.quiet && !globals.json && stderr_is_terminal()),
      started_(env.mono()),
      next_(started_ + kInterval) {}

void Progress::update(std::int64_t records, std::int64_t bytes, std::int64_t total_bytes) {
  if (!shown_) return;
  auto now = env_.mono();
  if (now < next_) return;
  next_ = now + kInterval;
  drawn_ = true;
  auto seconds = std::chrono::duration<double>(now - started_).count();
  fmt::print(stderr, "\r\033[K{}{} records  {:.1f} MB  {:.0f} records/s",
             total_bytes >= 0 ? bar(bytes, total_bytes) : "", records,
             static_cast<double>(bytes) / 1e6, static_cast<double>(records) / seconds);
  std::fflush(stderr);
}

void Progress::clear() {
  if (!drawn_) return;
  drawn_ = false;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
}

}  // namespace walrus::cli
