// SPDX-License-Identifier: MIT
//
// Datagrams for guests: headers put in front of a payload where it lies, and the joining of equal
// datagrams to one frame that owes its segmentation (Offload::Segmentation::udp). Any thread.
#pragma once

#include <cstdint>
#include <span>

#include "backend/gateway/nat_packet.h"
#include "switch/frame/mac_address.h"
#include "switch/frame/offload.h"

namespace lanyard {

constexpr std::size_t udp_header_size(bool v6) {
  return kIpOffset + (v6 ? kIpv6HeaderSize : kIpv4HeaderSize) + kUdpHeaderSize;
}
// What fits behind the headers.
constexpr std::size_t udp_payload_max(bool v6) {
  return v6 ? std::size_t{65535} - kUdpHeaderSize
            : std::size_t{65535} - kIpv4HeaderSize - kUdpHeaderSize;
}

struct UdpFrameFields {
  const FlowKey& key;  // the frame goes from its target to its guest
  bool v6 = false;
  MacAddress to;
  MacAddress from;
  // Of each datagram but the last, when the payload is of many; 0: it is one.
  std::size_t segment_size = 0;
  // Longer packets are going to be fragmented, so nothing can be owed.
  std::size_t mtu = 1500;
  std::uint16_t identification = 0;  // for fragments
};

// Writes headers into the udp_header_size() first bytes of `frame`, behind which the payload is,
// and says what the frame owes: its checksum unless it is to be fragmented, and its segmentation.
Offload write_udp_headers(std::span<std::uint8_t> frame, const UdpFrameFields& fields);

}  // namespace lanyard
