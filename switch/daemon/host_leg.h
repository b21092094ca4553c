// SPDX-License-Identifier: MIT
//
// The host's own place in a network: the TAP that is plugged into the switch, its address, and for
// a routed network the kernel's forwarding. All but the TAP's frames is the spawner's to do
// (spawner_hosts.h); here it is made in the right order, and undone in reverse, also when a step
// fails. Lane thread only.
#pragma once

#include <memory>
#include <string>

#include "switch/daemon/attachment.h"
#include "switch/daemon/spawner.h"
#include "switch/runtime/backend.h"

namespace lanyard {

class HostLeg {
 public:
  // The port that host interfaces have in every network.
  static constexpr PortId kPort = 2;

  // The network must have a `host`.
  static Result<std::unique_ptr<HostLeg>> open(const NetworkConfig& network,
                                               const BackendRegistry& backends, Spawner& spawner,
                                               Lane& lane);

  // Goes on with what handover() told.
  static Result<std::unique_ptr<HostLeg>> resume(const NetworkConfig& network,
                                                 const BackendRegistry& backends, Spawner& spawner,
                                                 Lane& lane, const HandoverPart& part);
  ~HostLeg();
  HostLeg(const HostLeg&) = delete;
  HostLeg& operator=(const HostLeg&) = delete;

  std::vector<HandoverPart> handover(HandoverReason why, const std::string& place) const {
    return tap_->handover(why, place);
  }

 private:
  HostLeg(const NetworkConfig& network, Spawner& spawner, Lane& lane)
      : network_(network),
        spawner_(spawner),
        lane_(lane),
        tap_(std::make_unique<Attachment>(lane, nullptr)) {}

  void take_over();

  NetworkConfig network_;
  Spawner& spawner_;
  Lane& lane_;
  EventLoop::Timer take_over_timer_;  // until the spawner has it from our predecessor's
  bool claimed_ = false;
  std::unique_ptr<Attachment> tap_;
};

}  // namespace lanyard
