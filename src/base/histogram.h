#pragma once
// A histogram of non-negative 64-bit values, for latencies in nanoseconds: three significant digits
// over the whole range, recorded in a few nanoseconds. Log-linear buckets after HdrHistogram
// (http://hdrhistogram.org): values below 2,048 have a bucket each; every further power of two is
// cut into 1,024 buckets, so that no bucket is wider than a thousandth of the values it holds.
//
// Owned and used by one thread; merge() brings several together. Memory follows the largest value
// seen: 8 bytes a bucket, 16 KiB up to 2 microseconds, 8 KiB more for every power of two above
// (180 KiB up to a second).

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace walrus {

class Histogram {
 public:
  // Negative values, which a clock that steps back can give, count as 0.
  void record(std::int64_t value, std::uint64_t times = 1) {
    if (times == 0) return;
    value = std::max<std::int64_t>(value, 0);
    auto index = bucket_of(value);
    if (index >= buckets_.size()) buckets_.resize(grown_size(index));
    buckets_[index] += times;
    min_ = count_ == 0 ? value : std::min(min_, value);
    max_ = std::max(max_, value);
    count_ += times;
    sum_ += static_cast<double>(value) * static_cast<double>(times);
  }

  void merge(const Histogram& other) {
    if (other.count_ == 0) return;
    if (buckets_.size() < other.buckets_.size()) buckets_.resize(other.buckets_.size());
    for (std::size_t i = 0; i < other.buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    min_ = count_ == 0 ? other.min_ : std::min(min_, other.min_);
    max_ = std::max(max_, other.max_);
    count_ += other.count_;
    sum_ += other.sum_;
  }

  void clear() { *this = Histogram(); }

  std::uint64_t count() const { return count_; }
  std::int64_t min() const { return min_; }  // exact; 0 when empty, as all of these
  std::int64_t max() const { return max_; }  // exact
  double mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

  // The value that `percent` percent of all values do not exceed, within a thousandth above it and
  // never above max(). percent is cut to 0..100; 50 is the median, 100 the maximum.
  std::int64_t percentile(double percent) const {
    if (count_ == 0) return 0;
    // 99.9 is no binary fraction: what it makes too much must not reach the next whole rank.
    constexpr double kTolerance = 1 - 1e-12;
    auto rank = std::clamp(percent, 0.0, 100.0) / 100 * static_cast<double>(count_);
    auto wanted = static_cast<std::uint64_t>(std::ceil(rank * kTolerance));
    wanted = std::clamp<std::uint64_t>(wanted, 1, count_);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen >= wanted) return std::min(bucket_last(i), max_);
    }
    return max_;
  }

  // Calls visit(last value of the bucket, count) for each bucket that is not empty, in order.
  template <class Visit>
  void for_each(Visit visit) const {
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      if (buckets_[i] != 0) visit(bucket_last(i), buckets_[i]);
    }
  }

 private:
  static constexpr int kExactBits = 11;  // values of so many bits have a bucket each
  static constexpr std::size_t kExact = std::size_t{1} << kExactBits;
  static constexpr std::size_t kHalf = kExact / 2;  // buckets for each further bit
  static_assert(kHalf >= 1000, "three significant digits");

  // How many low bits a value's bucket leaves out.
  static constexpr int shift_of(std::int64_t value) {
    return std::max(
        0, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(value))) - kExactBits);
  }
  static constexpr std::size_t bucket_of(std::int64_t value) {
    auto shift = shift_of(value);
    return static_cast<std::size_t>(shift) * kHalf + static_cast<std::size_t>(value >> shift);
  }
  static constexpr std::int64_t bucket_last(std::size_t index) {
    if (index < kExact) return static_cast<std::int64_t>(index);
    auto shift = index / kHalf - 1;
    auto top = static_cast<std::uint64_t>(index - shift * kHalf);
    return static_cast<std::int64_t>(((top + 1) << shift) - 1);
  }
  // Whole powers of two at a time, so that a rising series of values seldom grows it.
  static constexpr std::size_t grown_size(std::size_t index) {
    return std::max(kExact, (index / kHalf + 1) * kHalf);
  }

  std::vector<std::uint64_t> buckets_;
  std::uint64_t count_ = 0;
  std::int64_t min_ = 0, max_ = 0;
  double sum_ = 0;  // exact up to 2^53, a rounding error beyond
};

}  // namespace walrus
