// SPDX-License-Identifier: MIT
//
// The host's own place in a network: the TAP that is plugged into the switch, its address, and for
// a routed network the kernel's forwarding. Made in that order, undone in reverse, also when a step
// fails. Lane thread only.
#pragma once

#include <memory>
#include <string>

#include "switch/daemon/attachment.h"
#include "switch/daemon/ruleset_watch.h"
#include "switch/host/host_interface.h"
#include "switch/host/routing.h"
#include "switch/runtime/backend.h"

namespace lanyard {

class HostLeg {
 public:
  // The port that host interfaces have in every network.
  static constexpr PortId kPort = 2;

  // The network must have a `host`.
  static Result<std::unique_ptr<HostLeg>> open(const NetworkConfig& network,
                                               const BackendRegistry& backends,
                                               const std::string& state_directory, Lane& lane);

  // Goes on with what handover() told.
  static Result<std::unique_ptr<HostLeg>> resume(const NetworkConfig& network,
                                                 const BackendRegistry& backends,
                                                 const std::string& state_directory, Lane& lane,
                                                 const HandoverPart& part);
  std::vector<HandoverPart> handover(HandoverReason why, const std::string& place) const {
    return tap_->handover(why, place);
  }

 private:
  HostLeg() = default;

  Result<void> start_routing(const NetworkConfig& network, const std::string& state_directory,
                             Lane& lane);

  EventLoop::Timer routing_timer_;
  std::unique_ptr<HostInterface> interface_;
  std::unique_ptr<Attachment> tap_;
  std::unique_ptr<Routing> routing_;
  std::unique_ptr<RulesetWatch> ruleset_;  // tells routing_

 public:
  ~HostLeg();
  HostLeg(const HostLeg&) = delete;
  HostLeg& operator=(const HostLeg&) = delete;
};

}  // namespace lanyard
