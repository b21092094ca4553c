// SPDX-License-Identifier: MIT
//
// The process that runs several networks: one thread, one loop, a lane for each network, and the
// JSON-RPC server. Starting is the first reload; ending takes every network down.
// Lane thread only.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "switch/base/given_sockets.h"
#include "switch/control/rpc_server.h"
#include "switch/daemon/background.h"
#include "switch/daemon/daemon_log.h"
#include "switch/daemon/kept_process.h"
#include "switch/daemon/network.h"
#include "switch/daemon/networks_confinement.h"
#include "switch/daemon/networks_options.h"
#include "switch/daemon/reload.h"
#include "switch/frame/frame_pool.h"
#include "switch/runtime/memory_reserve.h"

namespace lanyard {

class NetworkDaemon final : public RpcHost {
 public:
  // With what a predecessor was, if there was one: then it goes on as that.
  NetworkDaemon(NetworksOptions options, DaemonLog& log, KeptProcess& kept, FramePool& pool,
                std::optional<HandoverState> before, GivenSockets given);
  ~NetworkDaemon() override;
  NetworkDaemon(const NetworkDaemon&) = delete;
  NetworkDaemon& operator=(const NetworkDaemon&) = delete;

  // Until every network is ready. The exit code when one cannot be.
  std::optional<int> start();
  // Until somebody ends it; the exit code.
  int run();
  // The signal that ended it and should be seen to have done so, or 0.
  int fatal_signal() const { return fatal_signal_; }

  // ---- RpcHost ----
  std::vector<RpcNetwork*> networks() override;
  RpcNetwork* find(std::string_view name) override;
  Configuration running() const override;
  const std::string& config_file() const override { return options_.config_file; }
  ConfigOutcome read_configuration_file(const std::string& file) override;
  void reload(const std::string& file, ReloadDone done) override;
  void stop() override { loop_->stop(); }
  void upgrade(std::function<void(const Result<void>&)> done) override {
    kept_.upgrade(std::move(done));
  }
  int landlock() const override { return landlock_; }
  pid_t spawner() const override { return spawner_->pid(); }
  pid_t lasting_process() const override { return kept_.kept() ? kept_.keeper() : ::getpid(); }
  std::vector<std::string> obstacles_to_sandbox() const override { return obstacles_to_sandbox_; }
  void commit() override { kept_.commit(); }
  LogRing& log() override { return log_; }
  EventLoop& loop() override { return *loop_; }
  Time started() const override { return started_; }

 private:
  struct Wish {
    std::string file;
    ReloadDone done;
    std::optional<Configuration> wanted;  // once it has been read
  };

  Result<void> make_parts();
  Result<void> start_spawner();
  std::optional<int> start_first();
  Result<void> confine();
  Result<void> enter_sandbox(std::unique_ptr<NetworksConfinement> confinement);
  Result<void> resume();
  HandoverState handover(HandoverReason why);
  Result<void> make_directories() const;
  Result<void> watch_signals();
  void on_signal();
  Result<Configuration> read_configuration(const std::string& file);
  Result<RpcRoles> roles_of(const Configuration& configuration) const;
  void next_reload();
  void begin(Configuration wanted, ReloadDone done);

  NetworksOptions options_;
  LogRing log_;
  KeptProcess& kept_;
  std::optional<HandoverState> before_;
  GivenSockets given_;
  int fatal_signal_ = 0;
  Time started_{0};

  const int landlock_ = landlock_version();
  SandboxMode sandbox_mode_ = SandboxMode::off;
  std::unique_ptr<NetworksConfinement> confinement_;  // since it is confined
  std::vector<std::string> obstacles_to_sandbox_;

  FramePool& pool_;
  LaneGroup lanes_;
  BackendRegistry backends_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Spawner> spawner_;
  std::optional<RandomNumbers> random_;
  std::optional<MemoryReserve> reserve_;
  std::unique_ptr<NetworkEnvironment> environment_;
  Configuration configuration_;  // groups; the networks have theirs themselves
  Networks networks_;
  std::unique_ptr<RpcServer> server_;
  std::shared_ptr<Reload> reload_;
  std::deque<Wish> wishes_;
  EventLoop::Timer reload_timer_;
  std::optional<PidFile> pid_file_;
  UniqueFd signals_;
  EventLoop::Watch signal_watch_;
};

}  // namespace lanyard
