// SPDX-License-Identifier: MIT
//
// How much of something may pass in a time: `per_second` on average, `burst` at once. What passes
// is taken whole, so a bucket may end up in debt and then lets nothing pass until that is paid: a
// frame larger than the burst is late, not impossible, and the average holds.
// Time is a parameter. Lane thread only.
#pragma once

#include <algorithm>
#include <cstdint>

#include "switch/base/time.h"

namespace lanyard {

class TokenBucket {
 public:
  TokenBucket() = default;  // without a limit
  TokenBucket(std::uint64_t per_second, std::uint64_t burst)
      : per_second_(static_cast<double>(per_second)),
        burst_(static_cast<double>(std::max<std::uint64_t>(burst, 1))),
        tokens_(burst_) {}

  bool limits() const { return per_second_ != 0; }

  // Whether `amount` may pass now; if so it is taken.
  bool take(std::uint64_t amount, Time now) {
    if (!limits()) return true;
    if (now != filled_) fill(now);
    if (tokens_ <= 0) return false;
    tokens_ -= static_cast<double>(amount);
    return true;
  }

  // What it holds goes into a bucket with other limits, as far as there is room.
  void set_limits(std::uint64_t per_second, std::uint64_t burst) {
    const bool was_limiting = limits();
    const double had = tokens_;
    const Time filled = filled_;
    *this = TokenBucket(per_second, burst);
    if (!was_limiting) return;
    tokens_ = std::min(had, burst_);
    filled_ = filled;
  }

 private:
  void fill(Time now) {
    // Full at first, whatever the clock says; a clock never goes back.
    if (filled_ != kNever) {
      const std::chrono::duration<double> passed = now - filled_;
      tokens_ = std::min(burst_, tokens_ + per_second_ * passed.count());
    }
    filled_ = now;
  }

  static constexpr Time kNever = Time::min();

  double per_second_ = 0;
  double burst_ = 0;
  double tokens_ = 0;
  Time filled_ = kNever;
};

}  // namespace lanyard
