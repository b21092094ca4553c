// SPDX-License-Identifier: MIT
//
// How long to wait before the next try: from a tenth of a second, twice as long each time, up to
// five seconds. Each wait is up to a quarter longer, by chance, so that a hundred cables that broke
// together do not come back in one instant. A value without a clock; any thread.
#pragma once

#include <algorithm>
#include <random>

#include "switch/base/time.h"

namespace lanyard {

class Backoff {
 public:
  static constexpr Duration kFirst = std::chrono::milliseconds(100);
  static constexpr Duration kLongest = std::chrono::seconds(5);

  explicit Backoff(std::uint32_t seed) : random_(seed) {}

  Duration next() {
    const Duration delay = delay_;
    delay_ = std::min(delay_ * 2, kLongest);
    std::uniform_int_distribution<Duration::rep> extra(0, delay.count() / 4);
    return delay + Duration(extra(random_));
  }
  void reset() { delay_ = kFirst; }

 private:
  std::minstd_rand random_;
  Duration delay_ = kFirst;
};

}  // namespace lanyard
