// SPDX-License-Identifier: MIT
//
// A loop's timer that follows the nearest of its owner's deadlines, and cannot be lost.
//
// What makes it hard: deadlines move all the time, and memory runs out at any time. A timer that
// could not be set, or whose work ended half-way for want of memory, would leave behind whatever
// was waiting for it, for good. So it is made once; to set it anew needs no memory; and work that
// has not come to its end, where it says what is next, is called again. One thread.
#pragma once

#include <algorithm>
#include <functional>
#include <utility>

#include "switch/runtime/event_loop.h"

namespace lanyard {

class DeadlineTimer {
 public:
  // Of an owner who does not say what is next.
  static constexpr Duration kRetryPause = std::chrono::milliseconds(10);

  // `due` looks at what is due and ends with follow().
  DeadlineTimer(EventLoop& loop, std::function<void()> due)
      : due_(std::move(due)), timer_(loop.prepare([this] { expire(); })) {}
  DeadlineTimer(const DeadlineTimer&) = delete;
  DeadlineTimer& operator=(const DeadlineTimer&) = delete;

  // Time::max(): there is none. `now` is of the clock that `nearest` is of. Costs nothing if it is
  // what it was.
  void follow(Time nearest, Time now) {
    if (nearest == deadline_) return;
    deadline_ = nearest;
    timer_.hurry(nearest == Time::max() ? EventLoop::kFarAway
                                        : std::max(nearest - now, Duration{0}));
  }

  // What it follows; Time::max() for none, and earlier than all while `due` is under way.
  Time deadline() const { return deadline_; }

 private:
  void expire() {
    deadline_ = Time::min();
    timer_.hurry(kRetryPause);
    due_();
  }

  std::function<void()> due_;
  Time deadline_ = Time::max();
  EventLoop::Timer timer_;
};

}  // namespace lanyard
