// SPDX-License-Identifier: MIT
#include "switch/daemon/host_leg.h"

#include "switch/base/text.h"

namespace lanyard {

HostLeg::~HostLeg() {
  ruleset_.reset();
  routing_.reset();
  // While the TAP is still there: what was added to it is taken off.
  interface_.reset();
  tap_.reset();
}

Result<std::unique_ptr<HostLeg>> HostLeg::open(const NetworkConfig& network,
                                               const BackendRegistry& backends,
                                               const std::string& state_directory, Lane& lane) {
  std::unique_ptr<HostLeg> leg(new HostLeg);
  Result<std::unique_ptr<HostInterface>> interface = HostInterface::claim(network, lane.log());
  if (!interface) return interface.error();
  leg->interface_ = interface.take();
  leg->tap_ = std::make_unique<Attachment>(lane, nullptr);
  BackendOptions tap("tap", network.host->name);
  tap.set("port", std::to_string(kPort));
  if (Result<void> opened = backends.open(tap, *leg->tap_); !opened) return opened.error();
  if (Result<void> up = leg->interface_->set_up(); !up) return up.error();
  if (network.kind == NetworkKind::routed) {
    Result<std::unique_ptr<Routing>> routing = Routing::start(network, state_directory, lane.log());
    if (!routing) return routing.error();
    leg->routing_ = routing.take();
    Result<std::unique_ptr<RulesetWatch>> watch = RulesetWatch::create(
        lane.loop(), [routing = leg->routing_.get()] { routing->look_again(); },
        [routing = leg->routing_.get()] { routing->look_at_legacy_tables(); });
    if (watch) leg->ruleset_ = watch.take();
    if (!watch) lane.log().warning("network {}: {}", network.name, watch.error().text);
  }
  return leg;
}

}  // namespace lanyard
