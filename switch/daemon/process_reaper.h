// SPDX-License-Identifier: MIT
//
// Where processes go that are to end: asked politely, killed after a while, waited for, without
// anybody standing still meanwhile. Only its own end waits: so that no gateway outlives the daemon
// and every lease is written. Lane thread only.
#pragma once

#include <sys/types.h>

#include <memory>
#include <vector>

#include "switch/base/fd.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

// By its descriptor: a number may be another process's by now.
void send_signal(const UniqueFd& pidfd, int signal);

class ProcessReaper {
 public:
  explicit ProcessReaper(EventLoop& loop) : loop_(loop) {}
  ~ProcessReaper();
  ProcessReaper(const ProcessReaper&) = delete;
  ProcessReaper& operator=(const ProcessReaper&) = delete;

  // Sends `signal` to a child of ours, or of a predecessor's, and sees to its end. `pidfd` is its
  // descriptor, and stays the caller's at std::bad_alloc.
  void end(pid_t pid, UniqueFd&& pidfd, int signal);
  std::size_t size() const { return dying_.size(); }

 private:
  static constexpr Duration kPatience = std::chrono::seconds(1);

  struct Dying {
    pid_t pid = 0;
    UniqueFd pidfd;
    EventLoop::Watch watch;
    EventLoop::Timer deadline;
  };

  void ended(const Dying& dying);
  static bool wait(const Dying& dying, int options);

  EventLoop& loop_;
  std::vector<std::unique_ptr<Dying>> dying_;
};

}  // namespace lanyard
