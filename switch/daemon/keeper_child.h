// SPDX-License-Identifier: MIT
//
// A switch process as its keeper has it: started, talked to, waited for. What finds no room on the
// way to it is kept and sent later, so that nobody waits for it. Keeper's thread only.
#pragma once

#include <sys/types.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "switch/daemon/keeper_message.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

class KeeperChild {
 public:
  struct Callbacks {
    std::function<void(KeeperChild& from, KeeperLink::Received& received)> message;
    // With the status of waitpid(2). The object may be destroyed by it.
    std::function<void(KeeperChild& which, int status)> ended;
  };

  // Starts `path` with these arguments.
  static Result<std::unique_ptr<KeeperChild>> start(EventLoop& loop, const std::string& path,
                                                    const std::vector<std::string>& arguments,
                                                    Callbacks callbacks);
  // Kills it if it has not ended.
  ~KeeperChild();
  KeeperChild(const KeeperChild&) = delete;
  KeeperChild& operator=(const KeeperChild&) = delete;

  pid_t pid() const { return pid_; }
  void send(KeeperMessage message, int descriptor = -1);
  void signal(int number) const;

  bool ready = false;   // it has said so
  bool ending = false;  // it has said so
  std::string version;  // as it says

 private:
  struct Waiting {
    KeeperMessage message;
    UniqueFd descriptor;
  };

  KeeperChild(EventLoop& loop, Callbacks callbacks)
      : loop_(loop), callbacks_(std::move(callbacks)) {}

  Result<void> spawn(const std::string& path, const std::vector<std::string>& arguments,
                     int theirs);
  Result<void> watch();
  bool read_messages();
  void send_waiting();
  void on_exit();

  EventLoop& loop_;
  Callbacks callbacks_;
  pid_t pid_ = 0;
  bool ended_ = false;
  UniqueFd pidfd_;
  KeeperLink link_;
  EventLoop::Watch link_watch_;
  EventLoop::Watch exit_watch_;
  EventLoop::Timer retry_timer_;
  std::deque<Waiting> waiting_;
};

// "was killed by signal 9", "ended with code 1"
std::string how_it_ended(int status);

}  // namespace lanyard
