// SPDX-License-Identifier: MIT
//
// How long the turns of a loop have been: from a wake-up until it waits again. A frame that comes
// meanwhile waits for the end, so the longest are what a reload, a list or a capture costs others.
//
// What makes it hard: it is noted at every turn, some hundred thousand times a second. So it is a
// count in one of a fixed number of classes, each an eighth to a fourth of its value wide. Values
// only; one thread.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "switch/base/time.h"

namespace lanyard {

class TurnTimes {
 public:
  void add(Duration turn) {
    const std::uint64_t us = microseconds(std::max(turn, Duration{0}));
    ++counts_[class_of(us)];
    ++turns_;
    longest_us_ = std::max(longest_us_, us);
  }

  std::uint64_t turns() const { return turns_; }
  std::uint64_t longest_us() const { return longest_us_; }

  // What this share of the turns (0 to 1) did not exceed, rounded up to the end of a class, in us.
  std::uint64_t quantile_us(double share) const {
    const double wanted = share * static_cast<double>(turns_);
    std::uint64_t seen = 0;
    for (std::size_t at = 0; at < kClasses; ++at) {
      seen += counts_[at];
      if (seen != 0 && static_cast<double>(seen) >= wanted) {
        return std::min(end_of(at), longest_us_);
      }
    }
    return 0;
  }

 private:
  // Four to each power of two, and all that is longer than some minutes in the last.
  static constexpr std::size_t kClasses = 112;

  static std::uint64_t microseconds(Duration duration) {
    return static_cast<std::uint64_t>(duration.count()) / 1000;
  }
  static std::size_t class_of(std::uint64_t us) {
    if (us < 4) return us;
    const auto shift = static_cast<std::size_t>(std::bit_width(us)) - 3;
    return std::min(4 * shift + (us >> shift), kClasses - 1);
  }
  // The largest value of a class.
  static std::uint64_t end_of(std::size_t at) {
    if (at < 4) return at;
    const std::size_t shift = at / 4 - 1;
    return ((at % 4 + 5) << shift) - 1;
  }

  std::array<std::uint64_t, kClasses> counts_{};
  std::uint64_t turns_ = 0;
  std::uint64_t longest_us_ = 0;
};

}  // namespace lanyard
