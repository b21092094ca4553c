// SPDX-License-Identifier: MIT
#include "switch/daemon/host_leg.h"

#include <cerrno>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr Duration kTakeOverPause = std::chrono::milliseconds(200);

}  // namespace

HostLeg::~HostLeg() {
  if (take_over_timer_) lane_.loop().run([this] { take_over(); });
  // While the TAP is still there: what was added to it is taken off.
  if (claimed_) lane_.loop().run([this] { spawner_.close_host(network_.host->name); });
  tap_.reset();
}

Result<std::unique_ptr<HostLeg>> HostLeg::open(const NetworkConfig& network,
                                               const BackendRegistry& backends, Spawner& spawner,
                                               Lane& lane) {
  std::unique_ptr<HostLeg> leg(new HostLeg(network, spawner, lane));
  // Before it is: without memory for the answer nobody would give it back.
  leg->claimed_ = true;
  if (Result<void> claimed = spawner.claim_host(network); !claimed) {
    leg->claimed_ = false;
    return claimed.error();
  }
  BackendOptions tap("tap", network.host->name);
  tap.set("port", std::to_string(kPort));
  if (Result<void> opened = backends.open(tap, *leg->tap_); !opened) return opened.error();
  if (Result<void> up = spawner.set_up_host(network); !up) return up.error();
  return leg;
}

// What is set up in the kernel still holds. It is made our spawner's a little later: it takes some
// time, frames wait already, and a predecessor that has made room must be gone before it can be.
Result<std::unique_ptr<HostLeg>> HostLeg::resume(const NetworkConfig& network,
                                                 const BackendRegistry& backends, Spawner& spawner,
                                                 Lane& lane, const HandoverPart& part) {
  std::unique_ptr<HostLeg> leg(new HostLeg(network, spawner, lane));
  if (Result<void> adopted = backends.adopt(part, *leg->tap_); !adopted) return adopted.error();
  leg->take_over_timer_ =
      lane.loop().every(kTakeOverPause, [self = leg.get()] { self->take_over(); });
  return leg;
}

void HostLeg::take_over() {
  const Result<void> resumed = spawner_.resume_host(network_);
  if (!resumed && resumed.error().code == EBUSY) return;
  take_over_timer_.reset();
  claimed_ = resumed.ok();
  if (!resumed) lane_.log().error("network {}: {}", network_.name, resumed.error().text);
}

}  // namespace lanyard
