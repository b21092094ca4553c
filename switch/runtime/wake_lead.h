// SPDX-License-Identifier: MIT
//
// How long before an exact timer is due its thread has to be woken, for it to be awake in time.
//
// What makes it hard: how late the kernel wakes a sleeper is the machine's, some microseconds on
// one and some hundred in a guest, and who is awake too early burns a processor. So the lead is
// learned: it grows at once when a wake-up was later than it covers, and shrinks so slowly that
// some 99 of 100 are covered. Values only; one thread.
#pragma once

#include <algorithm>

#include "switch/base/time.h"

namespace lanyard {

class WakeLead {
 public:
  static constexpr Duration kMin = std::chrono::microseconds(50);
  static constexpr Duration kMax = std::chrono::microseconds(500);

  Duration lead() const { return lead_; }

  // The thread, which was to be woken `lead()` before the timer is due, was so much late.
  void woken(Duration late) {
    lead_ += late > lead_ ? lead_ / kGrowth : -(lead_ / kShrinking);
    lead_ = std::clamp(lead_, kMin, kMax);
  }

 private:
  // In balance where one wake-up in 129 is later than the lead.
  static constexpr Duration::rep kGrowth = 4;
  static constexpr Duration::rep kShrinking = 512;

  Duration lead_ = std::chrono::microseconds(150);
};

}  // namespace lanyard
