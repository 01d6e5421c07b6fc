#include "cli/time_text.h"

#include <fmt/format.h>

#include <charconv>

namespace walrus::cli {
namespace {

// Takes exactly `digits` digits.
std::optional<int> take_number(Bytes& text, std::size_t digits) {
  auto word = text.substr(0, digits);
  int value = 0;
  auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (word.size() != digits || word.front() == '-' || error != std::errc() ||
      end != word.data() + digits)
    return std::nullopt;
  text.remove_prefix(digits);
  return value;
}

bool take(Bytes& text, Bytes any_of) {
  if (text.empty() || any_of.find(text.front()) == Bytes::npos) return false;
  text.remove_prefix(1);
  return true;
}

// Milliseconds; further digits are cut off.
std::optional<Millis> take_fraction(Bytes& text) {
  if (!take(text, ".")) return Millis(0);
  int millis = 0, digits = 0;
  for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; ++digits) {
    if (digits < 3) millis = millis * 10 + (text.front() - '0');
    text.remove_prefix(1);
  }
  if (digits == 0) return std::nullopt;
  for (; digits < 3; ++digits) millis *= 10;
  return Millis(millis);
}

std::optional<std::chrono::minutes> take_zone(Bytes& text) {
  if (take(text, "Zz")) return std::chrono::minutes(0);
  int sign = take(text, "+") ? 1 : take(text, "-") ? -1 : 0;
  if (sign == 0) return std::nullopt;
  auto hours = take_number(text, 2);
  if (!hours || *hours > 23 || !take(text, ":")) return std::nullopt;
  auto minutes = take_number(text, 2);
  if (!minutes || *minutes > 59) return std::nullopt;
  return std::chrono::minutes(sign * (*hours * 60 + *minutes));
}

}  // namespace

std::optional<Time> parse_time(Bytes text) {
  namespace chrono = std::chrono;
  auto year = take_number(text, 4);
  if (!year || !take(text, "-")) return std::nullopt;
  auto month = take_number(text, 2);
  if (!month || !take(text, "-")) return std::nullopt;
  auto day = take_number(text, 2);
  if (!day || !take(text, "Tt ")) return std::nullopt;
  chrono::year_month_day date{chrono::year(*year), chrono::month(static_cast<unsigned>(*month)),
                              chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  auto hour = take_number(text, 2);
  if (!hour || *hour > 23 || !take(text, ":")) return std::nullopt;
  auto minute = take_number(text, 2);
  if (!minute || *minute > 59 || !take(text, ":")) return std::nullopt;
  auto second = take_number(text, 2);
  if (!second || *second > 60) return std::nullopt;
  auto fraction = take_fraction(text);
  if (!fraction) return std::nullopt;
  auto zone = take_zone(text);
  if (!zone || !text.empty()) return std::nullopt;
  return Time(chrono::sys_days(date)) + chrono::hours(*hour) + chrono::minutes(*minute) +
         chrono::seconds(*second) + *fraction - *zone;
}

std::string format_time(Time time) {
  namespace chrono = std::chrono;
  const auto day = chrono::floor<chrono::days>(time);
  const chrono::year_month_day date{day};
  const chrono::hh_mm_ss clock{chrono::floor<chrono::seconds>(time - day)};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

}  // namespace walrus::cli
