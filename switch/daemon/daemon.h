// SPDX-License-Identifier: MIT
//
// The process: builds the parts in order, runs the lane, takes them down in reverse. What its
// caller sees (messages, exit codes, when it returns) is vde_switch's, less its faults.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "switch/base/given_sockets.h"
#include "switch/control/console.h"
#include "switch/control/plugin_host.h"
#include "switch/daemon/background.h"
#include "switch/daemon/daemon_log.h"
#include "switch/daemon/kept_process.h"
#include "switch/daemon/options.h"
#include "switch/frame/frame_pool.h"
#include "switch/runtime/memory_reserve.h"

namespace lanyard {

class Daemon {
 public:
  // With what a predecessor was, if there was one: then it goes on as that.
  Daemon(DaemonOptions options, DaemonLog& log, KeptProcess& kept, FramePool& pool,
         std::optional<HandoverState> before, GivenSockets given);
  ~Daemon();

  // Opens everything. The exit code when something that must not fail did.
  std::optional<int> start();
  // Until somebody ends it; the exit code.
  int run();
  // The signal that ended it and should be seen to have done so, or 0.
  int fatal_signal() const { return fatal_signal_; }

 private:
  Result<void> make_parts();
  std::optional<int> resume();
  HandoverState handover(HandoverReason why);
  void start_spanning_tree();
  std::optional<int> open_directory();
  void describe_directory();
  std::optional<int> write_pid_file();
  void make_console();
  std::optional<int> open_console();
  void open_terminal();
  void open_taps_and_plugs();
  void run_rc_file();
  Result<void> enter_sandbox();
  Result<void> watch_signals();
  void on_signal();

  DaemonOptions options_;
  DaemonLog& log_;
  KeptProcess& kept_;
  std::optional<HandoverState> before_;
  GivenSockets given_;
  int fatal_signal_ = 0;

  FramePool& pool_;
  std::unique_ptr<EventLoop> loop_;
  std::optional<MemoryReserve> reserve_;
  std::unique_ptr<DebugHub> hub_;
  std::unique_ptr<Switch> switch_;
  std::unique_ptr<Lane> lane_;
  BackendRegistry backends_;
  CommandTable commands_;
  DaemonInfo info_;
  std::unique_ptr<PluginHost> plugins_;
  std::unique_ptr<Console> console_;
  std::optional<PidFile> pid_file_;
  UniqueFd signals_;
  EventLoop::Watch signal_watch_;
};

}  // namespace lanyard
