// SPDX-License-Identifier: MIT
//
// When a keeper has to act on a silent or dying switch process, decided by the clock alone: pure,
// time is a parameter.
//
// A client's VM stands still as soon as its socket is full, so a process that has said nothing for
// a moment is helped by reading its clients' sockets for it; one that stays silent is ended. One
// that dies again and again is given up: clients that are cut off are better than frozen ones.
#pragma once

#include <deque>

#include "switch/base/time.h"

namespace lanyard {

class KeeperWatch {
 public:
  enum class Need : std::uint8_t { nothing, drain, kill };

  // Of 100 ms until clients are read for it, less what it takes to do so.
  static constexpr Duration kDrainAfter = std::chrono::milliseconds(90);
  static constexpr Duration kKillAfter = std::chrono::seconds(5);
  // Who asks so much later than was told was stopped itself, by a signal or with its machine, and
  // the process perhaps with it: that it was silent in this time says nothing.
  static constexpr Duration kStoppedAfter = std::chrono::milliseconds(500);
  static constexpr std::size_t kCrashesMax = 5;
  static constexpr Duration kCrashWindow = std::chrono::seconds(10);

  // Somebody has begun who is to serve soon.
  void begin(Time now) { hear(now, Duration{0}); }
  // A sign of life; the next is due within `period`. True: need() has to be asked before the time
  // that next() told last, as who promised one sign a second now promises one every few
  // milliseconds, or has been drained until now.
  bool hear(Time now, Duration period) {
    heard_ = now;
    period_ = period;
    return drain_time() < told_;
  }
  Need need(Time now) {
    if (told_ != Time{0} && now - told_ >= kStoppedAfter) heard_ = now;
    if (now >= kill_time()) return Need::kill;
    return now >= drain_time() ? Need::drain : Need::nothing;
  }
  // When need() may have another answer, if nothing is heard.
  Time next(Time now) {
    told_ = now < drain_time() ? drain_time() : kill_time();
    return told_;
  }

  // A process has ended that should not have. True: that was once too often.
  bool crash(Time now) {
    crashes_.push_back(now);
    while (crashes_.front() + kCrashWindow <= now) crashes_.pop_front();
    return crashes_.size() >= kCrashesMax;
  }
  std::size_t crashes() const { return crashes_.size(); }

 private:
  // A period of a second is no promise that anybody is read within 100 ms; nobody is waiting then.
  Time drain_time() const { return heard_ + (period_ > kDrainAfter ? 3 * period_ : kDrainAfter); }
  Time kill_time() const { return heard_ + kKillAfter; }

  Time heard_{0};
  Duration period_{0};
  Time told_{0};
  std::deque<Time> crashes_;
};

}  // namespace lanyard
