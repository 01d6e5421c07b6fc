#include "cli/progress.h"

#include <algorithm>
#include <cstdio>

#include "cli/output.h"

namespace walrus::cli {
namespace {

constexpr io::Nanos kInterval = std::chrono::milliseconds(100);
constexpr int kBarWidth = 30;

std::string bar(double share) {
  if (share < 0) return "";
  share = std::min(share, 1.0);
  auto full = static_cast<std::size_t>(share * kBarWidth);
  return fmt::format("[{}{}] {:>3}%  ", std::string(full, '#'),
                     std::string(static_cast<std::size_t>(kBarWidth) - full, '.'),
                     static_cast<int>(share * 100));
}

double megabytes(std::int64_t bytes) { return static_cast<double>(bytes) / 1e6; }

}  // namespace

Progress::Progress(io::Env& env, const Globals& globals)
    : env_(env),
      shown_(!globals.quiet && !globals.json && stderr_is_terminal()),
      started_(env.mono()),
      next_(started_ + kInterval) {}

bool Progress::due() {
  auto now = env_.mono();
  if (!shown_ || now < next_) return false;
  next_ = now + kInterval;
  return true;
}

void Progress::draw(const std::string& text) {
  drawn_ = true;
  fmt::print(stderr, "\r\033[K{}", text);
  std::fflush(stderr);
}

void Progress::update(std::int64_t records, std::int64_t bytes, double share) {
  if (!due()) return;
  auto seconds = std::chrono::duration<double>(env_.mono() - started_).count();
  draw(fmt::format("{}{} records  {:.1f} MB  {:.0f} records/s", bar(share), records,
                   megabytes(bytes), static_cast<double>(records) / seconds));
}

void Progress::update(std::int64_t bytes, double share) {
  if (!due()) return;
  auto seconds = std::chrono::duration<double>(env_.mono() - started_).count();
  draw(fmt::format("{}{:.1f} MB  {:.1f} MB/s", bar(share), megabytes(bytes),
                   megabytes(bytes) / seconds));
}

void Progress::note(const std::string& what) {
  if (shown_) draw(what);
}

void Progress::clear() {
  if (!drawn_) return;
  drawn_ = false;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
}

}  // namespace walrus::cli
