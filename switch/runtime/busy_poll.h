// SPDX-License-Identifier: MIT
//
// Whether a thread looks on for a moment before it goes to sleep.
//
// To be put to sleep and woken costs more than to carry a frame, and most of it is paid by the
// peer, whose system call wakes us. Where question and answer alternate, the next frame comes
// within some tens of microseconds, and who still looks then has it at once. What makes it hard:
// looking on takes a processor from those that have something to do, perhaps from the very peer
// that is waited for. So it is done only where it pays: while waits have lately been short and
// rounds carry few frames (in bulk, sleep is what makes batches, and batches are what is cheap).
// The caller gives the processor away between two looks (sched_yield), and never looks longer than
// `look_max`. Values only; one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "switch/base/time.h"

namespace lanyard {

class BusyPoll {
 public:
  static constexpr std::uint32_t kMaxUs = 1000;
  // Of a switch alone: about what it costs to sleep and be woken. Where a gateway takes part in
  // each question as well, two processes would look on, and gain nothing on two processors.
  static constexpr std::uint32_t kSwitchUs = 50;

  // 0: never looks on.
  explicit BusyPoll(Duration look_max = Duration{0}) : look_max_(look_max) {}
  static BusyPoll of_microseconds(std::uint32_t us) {
    return BusyPoll(std::chrono::microseconds(us));
  }

  // How long to look on this time; 0: sleep at once.
  Duration look() const {
    return score_ >= kScoreEnough && frames_ <= kFramesMax ? look_max_ : Duration{0};
  }
  bool enabled() const { return look_max_ != Duration{0}; }

  // A wait ended, with or without sleep, because there was something to do.
  void waited(Duration wait) {
    score_ = wait <= look_max_ ? std::min(score_ + 1, kScoreMax) : std::max(score_ - kScoreLoss, 0);
  }
  // What was done in the round that a wait led to; a large frame counts as what is in it.
  void carried(std::size_t frames) { frames_ = frames; }

 private:
  static constexpr int kScoreMax = 16;
  static constexpr int kScoreEnough = 4;
  static constexpr int kScoreLoss = 4;  // a look in vain costs as much as several good ones save
  static constexpr std::size_t kFramesMax = 2;

  Duration look_max_;
  int score_ = 0;
  std::size_t frames_ = 0;
};

}  // namespace lanyard
