// SPDX-License-Identifier: MIT
#include "switch/daemon/host_leg.h"

#include <cerrno>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr Duration kRoutingPause = std::chrono::milliseconds(200);

}  // namespace

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
    if (Result<void> routed = leg->start_routing(network, state_directory, lane); !routed) {
      return routed.error();
    }
  }
  return leg;
}

Result<void> HostLeg::start_routing(const NetworkConfig& network,
                                    const std::string& state_directory, Lane& lane) {
  Result<std::unique_ptr<Routing>> routing = Routing::start(network, state_directory, lane.log());
  if (!routing) return routing.error();
  routing_ = routing.take();
  Result<std::unique_ptr<RulesetWatch>> watch = RulesetWatch::create(
      lane.loop(), [routing = routing_.get()] { routing->look_again(); },
      [routing = routing_.get()] { routing->look_at_legacy_tables(); });
  if (watch) ruleset_ = watch.take();
  if (!watch) lane.log().warning("network {}: {}", network.name, watch.error().text);
  return {};
}

// The rules in the kernel still hold. They are made ours a little later: it takes some time, frames
// wait already, and a predecessor that has made room must be gone before they can be.
Result<std::unique_ptr<HostLeg>> HostLeg::resume(const NetworkConfig& network,
                                                 const BackendRegistry& backends,
                                                 const std::string& state_directory, Lane& lane,
                                                 const HandoverPart& part) {
  std::unique_ptr<HostLeg> leg(new HostLeg);
  leg->tap_ = std::make_unique<Attachment>(lane, nullptr);
  if (Result<void> adopted = backends.adopt(part, *leg->tap_); !adopted) return adopted.error();
  Result<std::unique_ptr<HostInterface>> interface = HostInterface::resume(network, lane.log());
  if (!interface) return interface.error();
  leg->interface_ = interface.take();
  if (network.kind != NetworkKind::routed) return leg;
  leg->routing_timer_ =
      lane.loop().every(kRoutingPause, [self = leg.get(), network, state_directory, &lane] {
        const Result<void> routed = self->start_routing(network, state_directory, lane);
        if (!routed && routed.error().code == EBUSY) return;
        if (!routed) lane.log().error("{}", routed.error().text);
        self->routing_timer_.reset();
      });
  return leg;
}

}  // namespace lanyard
