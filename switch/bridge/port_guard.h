// SPDX-License-Identifier: MIT
//
// The guard of one port as it runs: what was set, and what it remembers from frame to frame. A port
// without one costs the frame path a single branch; one with the guards that new networks have
// costs a look at the EtherType and the protocol (concerns()). Lane thread only.
#pragma once

#include <array>
#include <memory>

#include "switch/bridge/drop.h"
#include "switch/bridge/packet_inspector.h"
#include "switch/bridge/token_bucket.h"
#include "switch/frame/ethernet.h"
#include "switch/network/guard_settings.h"

namespace lanyard {

struct PortGuard {
  explicit PortGuard(GuardSettings wanted);

  // Whether a frame has to be looked at more closely.
  bool concerns(std::span<const std::uint8_t> head) const {
    return every_frame || (inspects && may_be_control(head));
  }

  GuardSettings settings;
  bool every_frame = false;  // something is asked of each frame
  bool inspects = false;     // something is asked of control messages

  std::vector<MacAddress> stuck;  // what sticky has seen, ascending by number

  TokenBucket in;
  TokenBucket out;
  TokenBucket broadcast;
  TokenBucket multicast;
  TokenBucket unknown;
  std::shared_ptr<TokenBucket> group;  // shared with other ports; null: none

  bool shut_wanted = false;

  // When each kind of violation was last told, and how many came since.
  struct Told {
    Time at{Time::min()};
    std::uint64_t untold = 0;
  };
  std::array<Told, kDropReasons> told{};
};

}  // namespace lanyard
