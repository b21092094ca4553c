// SPDX-License-Identifier: MIT
//
// Time is a parameter: whatever ages, expires or retries is told the time and never asks for it, so
// tests move it by hand. Only the event loop reads the clock. Any thread.
#pragma once

#include <chrono>
#include <ctime>

namespace lanyard {

// Since an arbitrary start, never set back, not counting suspend.
using Time = std::chrono::nanoseconds;
using Duration = std::chrono::nanoseconds;

inline Time monotonic_now() {
  timespec ts{};
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return std::chrono::seconds(ts.tv_sec) + std::chrono::nanoseconds(ts.tv_nsec);
}

inline std::uint32_t whole_seconds(Time t) {
  return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(t).count());
}

}  // namespace lanyard
