// SPDX-License-Identifier: MIT
//
// A gateway as its daemon sees it: requests on the control socket, events and log lines back, and
// the end when either socket is closed. The requests are a table (control.cpp):
//
//   configure {network, state_directory}   first, and again when the configuration has changed
//   status, forward.list
//   lease.list, flow.list {limit, next}    whole without a limit, else a page (list_pages.h)
//   lease.delete {address}, forward.add {forward}, forward.delete {name}
//
// What makes it hard: nobody but the daemon talks here, but what it passes on comes from people;
// and log lines are written while parts are made and unmade. So the log never waits, loses lines
// when the daemon does not read, and says how many. Gateway thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "backend/gateway/daemon_listeners.h"
#include "backend/gateway/frame_channel.h"
#include "backend/gateway/gateway.h"
#include "backend/gateway/list_pages.h"
#include "switch/base/fd.h"
#include "switch/base/log.h"
#include "switch/network/json_rpc.h"
#include "switch/runtime/event_loop.h"
#include "switch/runtime/line_channel.h"

namespace lanyard {

class GatewayControl {
 public:
  // Called once, with the first configuration and before anything is made of it; an error refuses
  // the configuration.
  using Confine = std::function<Result<void>(const NetworkConfig& network,
                                             const std::string& state_directory, Log& log)>;

  // Takes the sockets.
  static Result<std::unique_ptr<GatewayControl>> open(EventLoop& loop, UniqueFd frames,
                                                      UniqueFd control, UniqueFd listeners,
                                                      Confine confine = {});
  ~GatewayControl();
  GatewayControl(const GatewayControl&) = delete;
  GatewayControl& operator=(const GatewayControl&) = delete;

  // One round of everything.
  void turn();
  void shut_down();

  const Gateway* gateway() const { return gateway_.get(); }

 private:
  // Log lines as notifications.
  class ControlLog final : public Log {
   public:
    explicit ControlLog(GatewayControl& control) : control_(control) {}
    void write(LogLevel level, std::string_view line) override;

   private:
    GatewayControl& control_;
    std::uint64_t lost_ = 0;
  };
  using Handler = Result<Json> (GatewayControl::*)(const Json& params);
  struct Row {
    std::string_view method;
    Handler handler;
  };
  static const Row kRows[];

  GatewayControl(EventLoop& loop, UniqueFd listeners, Confine confine)
      : loop_(loop), confine_(std::move(confine)), log_(*this), listeners_(std::move(listeners)) {}

  void on_line(std::string_view line);
  void answer(const RpcRequest& request);
  bool notify(std::string_view method, const Json& params);

  Result<Json> configure(const Json& params);
  Result<Json> status(const Json& params);
  Result<Json> lease_list(const Json& params);
  Result<Json> lease_delete(const Json& params);
  Result<Json> forward_list(const Json& params);
  Result<Json> forward_add(const Json& params);
  Result<Json> forward_delete(const Json& params);
  Result<Json> flow_list(const Json& params);

  EventLoop& loop_;
  Confine confine_;  // until it is done
  ControlLog log_;
  std::unique_ptr<LineChannel> channel_;
  std::unique_ptr<FrameChannel> frames_;
  DaemonListeners listeners_;
  std::unique_ptr<Gateway> gateway_;
  ListPages pages_;
};

}  // namespace lanyard
