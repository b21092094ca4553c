// SPDX-License-Identifier: MIT
//
// The spawner's gateways: starts `lanyard-gateway` with a socket pair for frames, one for control
// and one for the sockets it listens at, gives the other ends away, and sees to the end of what it
// has started. It touches no process but these. The process is started with posix_spawn, which does
// not copy this process's memory. Spawner's thread only.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>

#include "switch/base/fd.h"
#include "switch/daemon/process_reaper.h"
#include "switch/daemon/spawner_message.h"

namespace lanyard {

struct GatewayProgram {
  std::string path;
  std::uint32_t busy_poll_us = 0;
};

class SpawnerGateways {
 public:
  SpawnerGateways(EventLoop& loop, GatewayProgram program)
      : program_(std::move(program)), reaper_(loop) {}
  SpawnerGateways(const SpawnerGateways&) = delete;
  SpawnerGateways& operator=(const SpawnerGateways&) = delete;

  // The process number, and descriptors in this order: of the process, of frames, of control, of
  // sockets to listen at.
  Result<SpawnerAnswer> start(const std::string& network);
  // What a predecessor has started.
  Result<void> adopt(pid_t pid);
  Result<void> signal(pid_t pid, int signal) const;
  // And it is killed when it does not hear.
  Result<void> end(pid_t pid, int signal);
  // How one has ended, which is then forgotten. ECHILD: it is a predecessor's.
  Result<int> status(pid_t pid);
  bool all_have_ended() const { return reaper_.size() == 0; }

 private:
  static constexpr std::size_t kRunningMax = 1024;

  struct Running {
    UniqueFd process;
    std::string network;  // empty: a predecessor has started it
  };
  using Entry = std::map<pid_t, Running>::node_type;

  Result<pid_t> execute(const std::string& network, int frames, int control, int listeners) const;
  void forget_ended(const std::string& network);
  static Entry make_entry(const std::string& network);
  const UniqueFd* watch(pid_t pid, Entry entry);

  GatewayProgram program_;
  ProcessReaper reaper_;
  std::map<pid_t, Running> running_;
};

}  // namespace lanyard
