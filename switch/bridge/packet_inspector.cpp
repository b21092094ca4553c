// SPDX-License-Identifier: MIT
#include "switch/bridge/packet_inspector.h"

#include <algorithm>

#include "switch/bridge/byte_reader.h"
#include "switch/frame/ethernet.h"

namespace lanyard {
namespace {

constexpr std::uint16_t kTypeIpv4 = 0x0800;
constexpr std::uint16_t kTypeArp = 0x0806;
constexpr std::uint16_t kTypeIpv6 = 0x86dd;
constexpr std::uint16_t kTypesFrom = 0x0600;  // less is a length, and LLC follows (IEEE 802.3)

// Next headers of IPv6, with the numbers of protocols.
constexpr std::uint8_t kHopByHop = 0;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kRouting = 43;
constexpr std::uint8_t kFragment = 44;
constexpr std::uint8_t kAuthentication = 51;
constexpr std::uint8_t kIcmp6 = 58;
constexpr std::uint8_t kDestination = 60;
constexpr std::uint8_t kMobility = 135;
constexpr std::uint8_t kHostIdentity = 139;
constexpr std::uint8_t kShim6 = 140;
constexpr std::uint8_t kUnassignedFrom = 146;
constexpr std::uint8_t kExperiment1 = 253;
constexpr std::uint8_t kExperiment2 = 254;
constexpr std::uint8_t kReserved = 255;

bool is_tag(std::uint16_t type) {
  return type == 0x8100 || type == 0x88a8 || type == 0x9100 || type == 0x9200;
}

bool is_extension(std::uint8_t next) {
  return next == kHopByHop || next == kRouting || next == kDestination || next == kMobility ||
         next == kHostIdentity || next == kShim6 || next == kExperiment1 || next == kExperiment2;
}

InspectedPacket hidden(InspectedPacket packet) {
  packet.kind = PacketKind::hidden;
  return packet;
}

Ipv6Address ipv6(ByteReader& reader) {
  Ipv6Address::Bytes bytes{};
  const auto taken = reader.fixed<16>();
  std::copy(taken.begin(), taken.end(), bytes.begin());
  return Ipv6Address(bytes);
}

Ipv4Address ipv4(ByteReader& reader) {
  return Ipv4Address::from_bytes(reader.fixed<4>());
}

// RFC 826, for IPv4 over Ethernet. Anything else under this type claims nothing that anybody reads.
InspectedPacket arp(ByteReader reader) {
  InspectedPacket packet;
  const std::uint16_t hardware = reader.u16();
  const std::uint16_t protocol = reader.u16();
  const std::uint16_t lengths = reader.u16();
  reader.skip(2);  // request or reply: both are believed
  const MacAddress sender = MacAddress::from_bytes(reader.fixed<6>());
  const Ipv4Address address = ipv4(reader);
  packet.kind = PacketKind::arp;
  if (!reader.ok() || hardware != 1 || protocol != kTypeIpv4 || lengths != 0x0604) return packet;
  packet.claimed = address;
  packet.claimed_mac = sender;
  return packet;
}

// RFC 2131. What goes to a client's port is a server's whatever it says; what goes to a server's
// port may be for a relay.
InspectedPacket dhcp(ByteReader reader, std::uint16_t to, InspectedPacket packet) {
  constexpr std::uint16_t kServerPort = 67;
  constexpr std::uint16_t kClientPort = 68;
  constexpr std::uint8_t kBootReply = 2;
  if (to != kServerPort && to != kClientPort) return packet;
  packet.message = reader.rest();
  packet.kind = to == kClientPort ? PacketKind::dhcp_reply : PacketKind::dhcp_request;
  if (to == kClientPort) return packet;
  if (packet.message.empty()) return packet.fragment ? hidden(packet) : packet;
  if (packet.message[0] == kBootReply) packet.kind = PacketKind::dhcp_reply;
  return packet;
}

// RFC 8415.
InspectedPacket dhcpv6(ByteReader reader, std::uint16_t to, InspectedPacket packet) {
  constexpr std::uint16_t kClientPort = 546;
  constexpr std::uint16_t kServerPort = 547;
  constexpr std::uint8_t kRelayReply = 13;
  if (to != kServerPort && to != kClientPort) return packet;
  packet.message = reader.rest();
  packet.kind = to == kClientPort ? PacketKind::dhcpv6_reply : PacketKind::dhcpv6_request;
  if (to == kClientPort) return packet;
  if (packet.message.empty()) return packet.fragment ? hidden(packet) : packet;
  if (packet.message[0] == kRelayReply) packet.kind = PacketKind::dhcpv6_reply;
  return packet;
}

InspectedPacket udp(ByteReader reader, InspectedPacket packet) {
  reader.skip(2);  // a client takes it from any port
  const std::uint16_t to = reader.u16();
  reader.skip(4);
  if (!reader.ok()) return packet.fragment ? hidden(packet) : packet;
  return packet.source && packet.source->is_v6() ? dhcpv6(reader, to, packet)
                                                 : dhcp(reader, to, packet);
}

InspectedPacket inspect_ipv4(ByteReader reader) {
  InspectedPacket packet;
  const std::uint8_t version_length = reader.u8();
  reader.skip(5);
  const std::uint16_t fragment = reader.u16();
  reader.skip(1);
  const std::uint8_t protocol = reader.u8();
  reader.skip(2);
  const Ipv4Address source = ipv4(reader);
  reader.skip(4);
  const std::size_t header = std::size_t{version_length & 15U} * 4;
  if (!reader.ok() || version_length >> 4 != 4 || header < 20) return packet;
  packet.source = source;
  constexpr std::uint16_t kMore = 0x2000;
  constexpr std::uint16_t kOffset = 0x1fff;
  packet.fragment = (fragment & (kMore | kOffset)) != 0;
  if ((fragment & kOffset) != 0 || protocol != kUdp) return packet;
  reader.skip(header - 20);
  if (!reader.ok()) return packet.fragment ? hidden(packet) : packet;
  return udp(reader, packet);
}

// The link-layer address among the options of neighbour discovery (RFC 4861 4.6.1).
void find_link_address(ByteReader reader, std::uint8_t wanted, InspectedPacket& packet) {
  while (reader.left() >= 8) {
    const std::uint8_t type = reader.u8();
    const std::size_t size = std::size_t{reader.u8()} * 8;
    if (size == 0) return;
    ByteReader option(reader.take(size - 2));
    if (!reader.ok()) return;
    if (type == wanted && !packet.claimed_mac) {
      packet.claimed_mac = MacAddress::from_bytes(option.fixed<6>());
    }
  }
}

InspectedPacket icmp6(ByteReader reader, InspectedPacket packet) {
  constexpr std::uint8_t kSourceLinkAddress = 1;
  constexpr std::uint8_t kTargetLinkAddress = 2;
  const std::uint8_t type = reader.u8();
  if (!reader.ok()) return hidden(packet);
  switch (type) {
    case 134: packet.kind = PacketKind::router_advertisement; return packet;
    case 135: packet.kind = PacketKind::neighbour_solicitation; break;
    case 136: packet.kind = PacketKind::neighbour_advertisement; break;
    case 137: packet.kind = PacketKind::redirect; return packet;
    default: return packet;
  }
  reader.skip(7);
  const Ipv6Address target = ipv6(reader);
  if (!reader.ok()) return packet.fragment ? hidden(packet) : packet;
  packet.claimed = target;
  find_link_address(reader, type == 135 ? kSourceLinkAddress : kTargetLinkAddress, packet);
  return packet;
}

// RFC 8200 4. A chain that ends before its end is hidden, in fragments and else.
InspectedPacket inspect_ipv6(ByteReader reader) {
  InspectedPacket packet;
  const std::uint8_t version = reader.u8() >> 4;
  reader.skip(5);
  std::uint8_t next = reader.u8();
  reader.skip(1);
  const Ipv6Address source = ipv6(reader);
  reader.skip(16);
  if (!reader.ok() || version != 6) return packet;
  packet.source = source;
  while (reader.ok()) {
    if (next == kUdp) return udp(reader, packet);
    if (next == kIcmp6) return icmp6(reader, packet);
    if (next == kFragment) {
      next = reader.u8();
      reader.skip(1);
      const std::uint16_t offset = reader.u16();
      reader.skip(4);
      packet.fragment = true;
      if (reader.ok() && offset >> 3 != 0) return packet;
    } else if (next == kAuthentication || is_extension(next)) {
      const bool words = next == kAuthentication;
      next = reader.u8();
      const std::size_t length = reader.u8();
      reader.skip(words ? (length + 2) * 4 - 2 : (length + 1) * 8 - 2);
    } else {
      const bool unknown = (next >= kUnassignedFrom && next < kExperiment1) || next == kReserved;
      return unknown ? hidden(packet) : packet;
    }
  }
  return hidden(packet);
}

// LLC with a SNAP header (IEEE 802 9.2): the EtherType behind it, or nullopt for other LLC.
std::optional<std::uint16_t> snap_type(ByteReader& reader) {
  const std::uint16_t service_points = reader.u16();
  const std::uint8_t control = reader.u8();
  reader.skip(3);  // receivers differ in the organisations they take
  const std::uint16_t type = reader.u16();
  if (!reader.ok() || (service_points & 0xfefe) != 0xaaaa || control != 3) return std::nullopt;
  return type;
}

}  // namespace

InspectedPacket inspect_packet(std::span<const std::uint8_t> frame) {
  constexpr int kLayersMax = 8;
  ByteReader reader(frame);
  reader.skip(kAddressesSize);
  std::uint16_t type = reader.u16();
  for (int layers = 0; reader.ok(); ++layers) {
    if (type == kTypeIpv4) return inspect_ipv4(reader);
    if (type == kTypeIpv6) return inspect_ipv6(reader);
    if (type == kTypeArp) return arp(reader);
    if (layers == kLayersMax) return hidden({});
    if (is_tag(type)) {
      reader.skip(2);
      type = reader.u16();
    } else if (type < kTypesFrom) {
      const std::optional<std::uint16_t> inner = snap_type(reader);
      if (!inner) return {};
      type = *inner;
    } else {
      return {};
    }
  }
  return {};
}

}  // namespace lanyard
