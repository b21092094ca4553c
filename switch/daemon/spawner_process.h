// SPDX-License-Identifier: MIT
//
// The spawner: the small process beside the daemon of networks that keeps the privileges which that
// one gives up. It starts gateways, attaches TAPs, sets up the host's interfaces, routes and rules,
// and makes the sockets at which forwards listen, and the directories in which those of VDE
// switches are; it sees no frame, no console line and no file of anybody else's.
//
// Why it is not the keeper, which is privileged and has no guest's byte either: the keeper outlives
// upgrades, so its code would be of another version than what asks it; and it has to read silent
// guests' sockets within 100 ms, while the host's packet filter may take seconds. So a spawner
// belongs to one daemon process: started by it, of the same program, before it confines itself, and
// gone without undoing anything when that one dies. Its successor's spawner goes on from what is in
// the kernel, as the daemon itself did before there were two processes.
//
// What makes it hard: whoever asks may have been taken over by a guest. Then it may have what a
// configuration could ask for, on ranges that the host does not use, and nothing else: see
// spawner_message.h for what a request can say. What is only known from a predecessor is adopted
// before the daemon has read a frame, and not afterwards (settle). One thread, its process's only.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "switch/daemon/spawner_directories.h"
#include "switch/daemon/spawner_gateways.h"
#include "switch/daemon/spawner_hosts.h"
#include "switch/daemon/spawner_link.h"

namespace lanyard {

// What it is told at its start, by whoever is not confined yet.
struct SpawnerSettings {
  GatewayProgram gateway;
  std::string state_directory;

  std::vector<std::string> arguments() const;
  static std::optional<SpawnerSettings> parse(int argc, char* const argv[]);
};

// The environment variable with the number of the link's descriptor.
constexpr const char* kSpawnerLinkVariable = "LANYARD_SPAWNER_LINK";
constexpr const char* kSpawnerName = "lanyard-spawner";

// Does what it is asked for over a link, until the other end is gone.
class SpawnerProcess {
 public:
  SpawnerProcess(EventLoop& loop, UniqueFd link, const SpawnerSettings& settings);
  SpawnerProcess(const SpawnerProcess&) = delete;
  SpawnerProcess& operator=(const SpawnerProcess&) = delete;

  Result<void> start();
  // The daemon has said that it ends; else it has died, and a successor wants what there is.
  bool finished() const { return finished_; }

 private:
  // Lines go to the daemon's log.
  class Lines final : public Log {
   public:
    explicit Lines(const SpawnerLink& link) : link_(link) {}
    void write(LogLevel level, std::string_view line) override;

   private:
    const SpawnerLink& link_;
  };

  void on_readable();
  void serve_next();
  void answer(const SpawnerLink::Asked& asked);
  Result<SpawnerAnswer> perform(const SpawnerRequest& request);
  Result<SpawnerAnswer> attach(const SpawnerRequest& request);
  Result<SpawnerAnswer> listen(const std::string& path);
  Result<SpawnerAnswer> read_configuration(const std::string& path) const;
  Result<void> adopt(const SpawnerRequest& request);
  void remove_name(const std::string& path);

  EventLoop& loop_;
  SpawnerLink link_;
  Lines log_;
  SpawnerGateways gateways_;
  SpawnerHosts hosts_;
  SpawnerDirectories directories_;
  std::set<std::string> names_;  // of sockets that were made here
  EventLoop::Watch watch_;
  bool settled_ = false;
  bool finished_ = false;
};

// The exit code of the process, when this one is to be a spawner.
std::optional<int> run_spawner(int argc, char* const argv[]);

}  // namespace lanyard
