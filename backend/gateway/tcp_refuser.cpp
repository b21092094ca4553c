// SPDX-License-Identifier: MIT
#include "backend/gateway/tcp_refuser.h"

#include "backend/gateway/frame_sanitiser.h"
#include "backend/gateway/nat_reply.h"

namespace lanyard {

void TcpRefuser::set_network(const NetworkConfig& config) {
  subnet_ = config.subnet;
  subnet6_ = config.subnet6;
}

std::vector<std::uint8_t> TcpRefuser::reset(std::span<std::uint8_t> frame, const Offload& offload,
                                            MacAddress mac, Time now) {
  const auto segment = FrameSanitiser(subnet_, subnet6_, ignored_).check(frame, offload);
  if (!segment || !segment->is_tcp() || (segment->flags & kTcpRst) != 0) return {};
  if (!resets_.allow(now)) return {};
  return tcp_to_guest(segment->key, segment->v6, mac, segment->mac, reset_of(*segment));
}

}  // namespace lanyard
