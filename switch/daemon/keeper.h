// SPDX-License-Identifier: MIT
//
// The keeper: the parent of the switch process, which holds a copy of every descriptor that clients
// depend on, and the last state that was committed, as bytes it does not look into.
//
// When the switch process dies, another, which stands by, begins with both and goes on with the
// same clients; when it is silent, the keeper reads its clients' sockets, and throws away what
// comes, so that no VM stands still; when it stays silent, it is ended; when it dies again and
// again, everybody is cut off and told why. For an upgrade a process of the new program looks at a
// copy of the state first, and gets the descriptors; only then does the old one say its last and
// wait:
//
//   checking --verdict--> giving --verdict--> sealing --sealed--> taking over --ready--> the end
//
// and until that last arrow the old one goes on, whatever happens to the new one.
//
// What makes it hard is to stay so small that there is nothing in it to crash: no frame, no request
// and no console line is ever looked at here. Its own thread, which is its process's only one.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "switch/daemon/background.h"
#include "switch/daemon/daemon_log.h"
#include "switch/daemon/keeper_child.h"
#include "switch/daemon/keeper_watch.h"
#include "switch/daemon/service_manager.h"

namespace lanyard {

class Keeper {
 public:
  static constexpr int kExitCrashLoop = 70;  // EX_SOFTWARE of sysexits.h

  struct Settings {
    std::vector<std::string> arguments;  // of the switch process, argv[0] first
    std::string program;                 // where an upgrade finds the new one
    Background* background = nullptr;    // told when everybody is served; null: in the foreground
  };

  Keeper(Settings settings, ServiceManager manager, DaemonLog& log)
      : settings_(std::move(settings)), log_(log), manager_(std::move(manager)) {}
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  // Until the switch process has ended as it was told to; its exit code.
  int run();
  // The signal that ended it and should be seen to have done so, or 0.
  int fatal_signal() const { return fatal_signal_; }

 private:
  struct Held {
    UniqueFd descriptor;
    Time since{0};
    bool drain = false;
    bool exclusive = false;
    bool candidate_has = false;
    EventLoop::Watch drained;  // while we read it
  };
  enum class Stage : std::uint8_t { none, checking, giving, sealing, taking_over };

  Result<void> prepare();
  Result<void> start_first();
  void take_stored();
  Result<std::unique_ptr<KeeperChild>> start_child(const std::string& path);
  void give_held(KeeperChild& child);
  void begin(KeeperChild& child);
  void on_signal();
  void reap_orphans();
  void on_message(KeeperChild& from, KeeperLink::Received& received);
  void on_store(KeeperLink::Received& received);
  void let_go(int number);
  void tell_manager();
  void on_candidate(const KeeperMessage& message);
  void on_ready(KeeperChild& child, const KeeperMessage& message);
  void on_ended(KeeperChild& which, int status);
  void bury(std::unique_ptr<KeeperChild> child);
  void finish(const KeeperChild& last, int status);
  void crashed(const KeeperChild& last, int status);
  void restart();
  void prepare_standby();
  void give_up(const std::string& how);

  void upgrade();
  void set_stage(Stage stage, Duration patience, std::string_view late);
  void refuse_upgrade(std::string why);
  void hand_over();

  void heard(std::uint32_t period_ms);
  void watch_silence();
  void start_draining();
  void stop_draining();
  void drain(int fd);

  Settings settings_;
  DaemonLog& log_;
  ServiceManager manager_;           // it holds all that we do, in case of our own end
  std::unique_ptr<EventLoop> loop_;  // before all that has a place in it
  EventLoop::Timer manager_timer_;
  EventLoop::Timer unsaid_timer_;
  UniqueFd signals_;
  EventLoop::Watch signal_watch_;
  UniqueFd executable_;  // of the process that runs: a crash is no upgrade

  std::vector<UniqueFd> given_;  // listening sockets of the service manager, for who begins first
  std::map<int, Held> held_;
  UniqueFd state_;

  std::unique_ptr<KeeperChild> current_;
  std::unique_ptr<KeeperChild> leaving_;   // an old one on its way out
  std::unique_ptr<KeeperChild> standby_;   // started, and waiting for something to begin with
  std::unique_ptr<KeeperChild> outdated_;  // stood by for a program that is no longer used
  EventLoop::Timer standby_timer_;
  bool served_ = false;  // some process has been ready
  bool end_wanted_ = false;
  int exit_code_ = 0;
  int fatal_signal_ = 0;

  std::unique_ptr<KeeperChild> candidate_;
  Stage stage_ = Stage::none;
  EventLoop::Timer stage_timer_;

  KeeperWatch watch_;
  EventLoop::Timer silence_timer_;
  EventLoop::Timer restart_timer_;
  EventLoop::Timer bury_timer_;
  std::vector<std::unique_ptr<KeeperChild>> buried_;  // whose callbacks may be those that run
  bool draining_ = false;
  Time silent_since_{0};
  std::uint64_t drained_frames_ = 0;
};

}  // namespace lanyard
