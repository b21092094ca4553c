// SPDX-License-Identifier: MIT
//
// Frames as a guest may send them past its guards: what they are found to be lies in the frame,
// does not depend on what follows it, and a router's advertisement is never taken for something
// harmless because a tag or an extension header was put in front of it.
#include "switch/bridge/packet_inspector.h"

#include <vector>

#include "switch/bridge/dhcp_snooping.h"
#include "switch/frame/ethernet.h"
#include "tests/fuzz/input.h"

namespace lanyard::fuzz {
namespace {

using Bytes = std::vector<std::uint8_t>;

bool within(std::span<const std::uint8_t> inner, std::span<const std::uint8_t> outer) {
  return inner.empty() || (inner.data() >= outer.data() &&
                           inner.data() + inner.size() <= outer.data() + outer.size());
}

void check(const InspectedPacket& packet, std::span<const std::uint8_t> frame) {
  require(within(packet.message, frame), "a message lies in its frame");
  const bool is_discovery = packet.kind == PacketKind::neighbour_solicitation ||
                            packet.kind == PacketKind::neighbour_advertisement;
  if (is_discovery) require(packet.source && packet.source->is_v6(), "discovery is IPv6");
  if (is_discovery && packet.claimed) require(packet.claimed->is_v6(), "and claims IPv6");
  if (packet.kind == PacketKind::arp && packet.claimed) {
    require(packet.claimed->is_v4() && packet.claimed_mac.has_value(), "ARP claims IPv4");
  }
}

// The same frame behind one more tag is the same, or too deep to see.
void check_tagged(const InspectedPacket& plain, const Bytes& frame) {
  if (frame.size() < kEthernetHeaderSize) return;
  Bytes tagged(frame.begin(), frame.begin() + kAddressesSize);
  tagged.insert(tagged.end(), {0x81, 0x00, 0x00, 0x07});
  tagged.insert(tagged.end(), frame.begin() + kAddressesSize, frame.end());
  const InspectedPacket behind = inspect_packet(tagged);
  require(behind.kind == plain.kind || behind.kind == PacketKind::hidden, "a tag hides nothing");
}

// Behind destination options an IPv6 packet is the same.
void check_extended(const InspectedPacket& plain, const Bytes& frame) {
  constexpr std::size_t kNextHeader = kEthernetHeaderSize + 6;
  constexpr std::size_t kPayload = kEthernetHeaderSize + 40;
  const bool is_ipv6 = frame.size() >= kPayload && frame[12] == 0x86 && frame[13] == 0xdd &&
                       frame[kEthernetHeaderSize] >> 4 == 6;
  if (!is_ipv6) return;
  Bytes extended(frame.begin(), frame.begin() + kPayload);
  extended[kNextHeader] = 60;
  extended.insert(extended.end(), {frame[kNextHeader], 0, 1, 4, 0, 0, 0, 0});
  extended.insert(extended.end(), frame.begin() + kPayload, frame.end());
  require(inspect_packet(extended).kind == plain.kind, "options hide nothing");
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard;
  using namespace lanyard::fuzz;
  // A copy of exactly this size: a read past its end is caught.
  const Bytes frame(data, data + size);
  const InspectedPacket packet = inspect_packet(frame);
  check(packet, frame);
  if (!may_be_control(frame)) {
    require(packet.kind == PacketKind::other || packet.kind == PacketKind::arp,
            "a quick look misses nothing");
  }
  check_tagged(packet, frame);
  check_extended(packet, frame);
  const Bytes message(packet.message.begin(), packet.message.end());
  if (const auto ack = snoop_dhcp_ack(message))
    require(ack->lease.address.is_v4(), "DHCP gives IPv4");
  snoop_dhcp_return(message);
  for (const SnoopedLease& lease : snoop_dhcpv6_reply(message)) {
    require(lease.address.is_v6(), "DHCPv6 gives IPv6");
  }
  // The snoopers are reached by frames only; let them see any bytes, too.
  snoop_dhcp_ack(frame);
  snoop_dhcp_return(frame);
  require(snoop_dhcpv6_reply(frame).size() <= 16, "a reply has a bound");
  return 0;
}
