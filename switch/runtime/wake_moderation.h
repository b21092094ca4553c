// SPDX-License-Identifier: MIT
//
// How long a thread that carries many frames sleeps before it looks for the next ones: what
// adaptive interrupt moderation is to a network card.
//
// A sender that goes as fast as it can is read as fast as it writes, a few frames a time, and each
// of these times costs a system call or three here and a wake-up there. A short sleep on purpose
// lets batches form, and leaves the processor to the peers meanwhile: on two cores a flood of
// frames of 64 B costs a third less time each, and more of them arrive. What makes it hard: it is
// time for which everybody's frames wait. So it is short beside what a socket's buffer holds at
// any rate seen (the sender must not be held up), and done only while frames come faster than
// question and answer, or a connection's window, could bring them. Values only; one thread.
#pragma once

#include <cstddef>

#include "switch/base/time.h"

namespace lanyard {

class WakeModeration {
 public:
  // 92 frames of 1,514 B fill the send buffer that Linux gives a socket: 300,000 a second, more
  // than was ever seen of one client, do it in 300 us.
  static constexpr Duration kPause = std::chrono::microseconds(100);

  // A round ended that began at `began` and carried so many frames. Returns for how long to sleep
  // before the next one whatever comes, or 0.
  Duration round(Time began, std::size_t frames) {
    frames_ += frames;
    if (began - window_begin_ >= kWindow) {
      fast_ = frames_ >= kFramesMin &&
              began - window_begin_ <= kFrameTimeMax * static_cast<Duration::rep>(frames_);
      window_begin_ = began;
      frames_ = 0;
    }
    return fast_ && frames != 0 ? kPause : Duration{0};
  }

 private:
  static constexpr Duration kWindow = std::chrono::microseconds(200);
  static constexpr Duration kFrameTimeMax = std::chrono::microseconds(10);
  static constexpr std::size_t kFramesMin = 8;  // one burst of a few is no flood

  Time window_begin_{0};
  std::size_t frames_ = 0;  // since then
  bool fast_ = false;
};

}  // namespace lanyard
