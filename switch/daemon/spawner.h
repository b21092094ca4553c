// SPDX-License-Identifier: MIT
//
// The daemon's side of its spawner (spawner_process.h): started here, asked here. A call waits for
// its answer, as it would for the kernel's if this process did it itself; meanwhile lines for the
// log come out. One that has no answer for long, or never will, fails with a sentence. What has
// nothing to say waits for nothing, above all when this process takes a predecessor's place: frames
// wait then, and the spawner is still being started.
// Lane thread only.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include "switch/base/socket_directory.h"
#include "switch/daemon/path_sockets.h"
#include "switch/daemon/spawner_link.h"
#include "switch/daemon/spawner_process.h"
#include "switch/runtime/event_loop.h"
#include "switch/runtime/tap_device.h"

namespace lanyard {

struct StartedGateway {
  pid_t pid = 0;
  UniqueFd process;
  UniqueFd frames;
  UniqueFd control;
  UniqueFd listeners;
};

class Spawner final : public PathSockets, public SocketDirectories {
 public:
  // Of this program, as it is on disk now or was. With `silent` it and its gateways have no
  // standard output and error: those are of whoever waits for the daemon to go to the background,
  // and a pipe that a gateway holds open never ends.
  static Result<std::unique_ptr<Spawner>> start(EventLoop& loop, Log& log,
                                                const SpawnerSettings& settings, bool silent);
  // Over a link whose other end serves.
  Spawner(EventLoop& loop, Log& log, SpawnerLink link)
      : loop_(loop), log_(log), link_(std::move(link)) {}
  // Waits until everything is undone.
  ~Spawner() override;
  Spawner(const Spawner&) = delete;
  Spawner& operator=(const Spawner&) = delete;

  pid_t pid() const { return pid_; }
  // It is gone, and nothing can be set up any more.
  std::function<void()> lost;

  // ---- see SpawnerRequest::Kind ----
  Result<void> clean_up();
  Result<void> check_host(const NetworkConfig& network);
  Result<void> claim_host(const NetworkConfig& network);
  Result<void> set_up_host(const NetworkConfig& network);
  Result<void> resume_host(const NetworkConfig& network);
  void close_host(const std::string& interface);
  Result<AttachedTap> attach_tap(const std::string& name, bool offload);
  Result<StartedGateway> start_gateway(const std::string& network);
  void adopt_gateway(pid_t pid);
  void signal_gateway(pid_t pid, int signal);
  void end_gateway(pid_t pid, int signal);
  Result<int> gateway_status(pid_t pid);
  // The text of a file of configuration, when it is one.
  Result<std::string> read_configuration(const std::string& path);
  void settle();

  // ---- PathSockets ----
  Result<UniqueFd> listen_at(const std::string& path) override;
  void remove_name(const std::string& path) override;
  void adopt_name(const std::string& path) override;

  // ---- SocketDirectories ----
  Result<ClaimedDirectory> claim_directory(const std::string& path) override;
  void adopt_directory(const std::string& path) override;
  Result<UniqueFd> listen_in_directory(const std::string& path,
                                       const DirectorySocket& socket) override;
  Result<void> clean_directory(const std::string& path, bool all) override;
  // Where they may be once this process is settled; "/": anywhere.
  void allow_directories(const std::string& path);
  Result<void> may_claim_directory(const std::string& path);

 private:
  static constexpr std::size_t kUnansweredMax = 32;

  using Kind = SpawnerRequest::Kind;

  Result<void> watch();
  Result<SpawnerAnswer> call(SpawnerRequest request);
  Result<void> ask_for(Kind kind, const NetworkConfig& network);
  void tell(const SpawnerRequest& request);
  void post(SpawnerRequest request);
  void note_answer(const SpawnerMessage& message);
  Result<std::optional<SpawnerLink::Received>> wait_for_message(Time end);
  void write_line(const SpawnerMessage& message);
  void on_readable();
  void on_lost();

  EventLoop& loop_;
  Log& log_;
  SpawnerLink link_;
  pid_t pid_ = 0;
  UniqueFd pidfd_;
  EventLoop::Watch watch_;
  std::uint64_t last_id_ = 0;
  std::size_t unanswered_ = 0;  // of those that nobody waits for
};

}  // namespace lanyard
