// SPDX-License-Identifier: MIT
//
// What is said to the service manager that started us, systemd or whoever speaks its protocol
// (sd_notify(3), sd_listen_fds(3)): that we are ready, that we live, and descriptors that it keeps
// for us in case we do not. Without one every call does nothing. Nothing here waits; what finds no
// room is kept, in its order, until flush() finds some. One thread.
#pragma once

#include <sys/un.h>

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/fd.h"
#include "switch/base/time.h"

namespace lanyard {

class ServiceManager {
 public:
  struct Stored {
    std::string name;
    UniqueFd descriptor;
  };

  // Takes what it finds out of the environment, so that no child believes it is meant.
  static ServiceManager from_environment();
  ServiceManager() = default;

  void ready() { say("READY=1"); }
  void stopping() { say("STOPPING=1"); }
  void alive() { say("WATCHDOG=1"); }
  // How often it wants to hear that; 0: not at all.
  Duration watchdog_period() const { return watchdog_period_; }

  // Keeps a copy under this name, beside what has it already.
  void store(std::string_view name, int descriptor);
  void forget(std::string_view name);
  // True when all has been said.
  bool flush();
  // What it has kept of a predecessor that has ended, or opened for us.
  std::vector<Stored> take_stored() { return std::move(stored_); }

 private:
  struct Word {
    std::string text;
    UniqueFd descriptor;
  };

  void say(std::string text, int descriptor = -1);
  bool send(const Word& word) const;

  UniqueFd socket_;
  sockaddr_un address_{};
  socklen_t address_size_ = 0;
  Duration watchdog_period_{0};
  std::deque<Word> unsaid_;
  std::vector<Stored> stored_;
};

}  // namespace lanyard
