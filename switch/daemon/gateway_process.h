// SPDX-License-Identifier: MIT
//
// The supervisor of one network's gateway: has the spawner start `lanyard-gateway` with a socket
// pair for frames, one for control and one for the sockets it listens at (gateway_listeners.h),
// tells it its configuration, asks it things, and starts it again when it ends.
//
// What makes it hard: the gateway talks to the outside and will crash one day. The switch must not
// notice: its guests keep their cables, only the gateway's port is empty for an instant. A gateway
// that is stopped or busy answers nothing, so every request has a deadline. One that has served is
// back at once; but one that crashes again and again, or cannot even start, must not be started in
// a tight circle, so after a few times the pause between attempts grows. And it is configured anew
// at every start, from the value as it is then.
//
//   starting --configured--> serving --process ends--> pausing --> starting
//
// Each of these steps may find no memory, here or in the spawner; that is one more way to fail, and
// the next start is near whatever has failed: its timers are there from the beginning.
//
// Lane thread only; nothing here waits for a gateway.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "switch/base/fd.h"
#include "switch/base/log.h"
#include "switch/control/rpc_host.h"
#include "switch/daemon/gateway_listeners.h"
#include "switch/daemon/spawner.h"
#include "switch/runtime/handover.h"
#include "switch/runtime/line_channel.h"

namespace lanyard {

class GatewayProcess {
 public:
  struct Callbacks {
    // Plugs the switch's end of the frame socket in, or whatever was plugged in out.
    std::function<Result<void>(UniqueFd frames)> plug;
    std::function<void()> unplug;
    // The parameters of `configure`, as they are now.
    std::function<Json()> configuration;
    std::function<void(const Json& event)> event;
    // It serves from now on, or no longer.
    std::function<void(bool serving, std::string_view why)> changed;
  };
  using Started = std::function<void(const Result<void>& started)>;

  static constexpr Duration kAnswerDeadline = std::chrono::seconds(2);
  static constexpr Duration kConfigureDeadline = std::chrono::seconds(5);
  static constexpr Duration kPauseMax = std::chrono::seconds(2);

  GatewayProcess(EventLoop& loop, Log& log, Spawner& spawner, std::string network,
                 Callbacks callbacks);
  ~GatewayProcess();
  GatewayProcess(const GatewayProcess&) = delete;
  GatewayProcess& operator=(const GatewayProcess&) = delete;

  // The first start. `started` is called once: when it serves, or with why it does not; after a
  // failure nothing is tried again.
  void start(Started started);

  // Goes on with the gateway of a predecessor of this process, or else with another one, which is
  // started as one that has ended would be.
  void resume(const HandoverPart* part);
  // Its control connection and the process, for a successor; nullopt while it does not serve. What
  // it was asked and has not answered is lost.
  std::optional<HandoverPart> handover() const;

  // Answered once, also when the gateway or this object ends.
  void ask(std::string_view method, const Json& params, GatewayReply reply);
  // The same for a new configuration. While none is serving, the answer is a success: the next
  // start takes what is then the configuration.
  void configure(const Json& params, GatewayReply reply);

  GatewayState state() const;

  // Beside our own executable, else found in PATH.
  static std::string find_program();
  // The pause before a start, by the one before and how long the gateway had lived.
  static Duration next_pause(Duration last, Duration lived);

 private:
  struct Pending {
    GatewayReply reply;
    EventLoop::Timer deadline;
  };

  Result<void> spawn();
  Result<void> go_on_with(const HandoverPart& part);
  Result<void> talk(UniqueFd control, UniqueFd listeners);
  void on_line(std::string_view line);
  void on_response(const RpcResponse& response);
  void on_notification(const RpcRequest& request);
  void send_configuration();
  void configured(const Json& sent, const RpcError* error);
  void request(std::string_view method, const Json& params, Duration deadline, GatewayReply reply);
  void on_exit();
  template <typename Work>
  void attempt(Work&& work);
  void plug();
  void start_again();
  void too_late(std::uint64_t id, Duration deadline);
  void restart_after_failure(std::string why);
  void fail_pending(std::string_view why);
  void end_process(int signal);

  static constexpr std::size_t kPendingMax = 512;

  EventLoop& loop_;
  Log& log_;
  Spawner& spawner_;
  std::string network_;
  Callbacks callbacks_;
  Started started_;  // of the first start, until it is over

  pid_t pid_ = 0;
  UniqueFd pidfd_;
  EventLoop::Watch exit_watch_;
  std::unique_ptr<LineChannel> control_;
  std::unique_ptr<GatewayListeners> listeners_;
  UniqueFd frames_;  // until they are plugged in
  EventLoop::Timer plug_timer_;
  EventLoop::Timer restart_timer_;
  bool is_restart_due_ = false;
  EventLoop::Timer bury_timer_;
  std::unique_ptr<LineChannel> buried_;
  std::map<std::uint64_t, Pending> pending_;
  // Not where a predecessor began: answers to what that one asked may still come.
  std::uint64_t next_id_ = static_cast<std::uint64_t>(monotonic_now().count());
  Time born_{0};
  Duration pause_{0};
  RateLimit prompt_{4, std::chrono::seconds(10)};  // starts without a pause
  std::uint32_t restarts_ = 0;
  bool serving_ = false;
  std::string trouble_;
  RateLimit lines_{50, std::chrono::seconds(10)};
};

}  // namespace lanyard
