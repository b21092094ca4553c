// SPDX-License-Identifier: MIT
//
// Guards that look into packets: whose messages a port may send, and which addresses it may claim.
#include <array>
#include <cstring>

#include "switch/bridge/dhcp_snooping.h"
#include "switch/bridge/guards.h"

namespace lanyard {
namespace {

constexpr std::uint64_t kBridgeGroup = 0x0180c2000000;  // IEEE 802.1D 7.12.3
constexpr std::uint64_t kPerVlanBridgeGroup = 0x01000ccccccd;

// More than any chain of headers that is not made to be followed, and a DHCP message behind it.
using Scratch = std::array<std::uint8_t, 2048>;

// The bytes of a frame in one piece, as many as there are room for.
std::span<const std::uint8_t> in_one_piece(const Frame& frame, Scratch& scratch) {
  if (frame.segment_count <= 1) return frame.head();
  std::size_t used = 0;
  for (std::size_t i = 0; i < frame.segment_count && used < scratch.size(); ++i) {
    const Segment& segment = frame.segments[i];
    const std::size_t count = std::min<std::size_t>(segment.size, scratch.size() - used);
    if (count != 0) std::memcpy(scratch.data() + used, segment.data, count);
    used += count;
  }
  return std::span(scratch).first(used);
}

bool is_discovery(PacketKind kind) {
  return kind == PacketKind::neighbour_solicitation ||
         kind == PacketKind::neighbour_advertisement || kind == PacketKind::redirect ||
         kind == PacketKind::router_advertisement;
}

}  // namespace

Drop Guards::inspect(Port& in, const Frame& frame, Time now) {
  const EthernetView ethernet(frame.head());
  const GuardSettings& settings = in.guard->settings;
  const MacAddress source = ethernet.source();
  const std::uint64_t destination = ethernet.destination().number();
  if (settings.bpdu_guard && !settings.trusted &&
      (destination == kBridgeGroup || destination == kPerVlanBridgeGroup)) {
    return Drop::guarded_bpdu;
  }
  Scratch scratch;
  const InspectedPacket packet = inspect_packet(in_one_piece(frame, scratch));
  if (!settings.trusted) {
    if (const Drop why = forbidden(settings, packet); why != Drop::none) return why;
    Drop why = Drop::none;
    if (settings.arp_inspection) {
      why = packet.kind == PacketKind::arp
                ? check_arp(packet, source, frame.vlan, in.id(), now)
                : check_discovery(packet, source, frame.vlan, in.id(), now);
    }
    if (why == Drop::none && settings.ip_source_guard && packet.source) {
      why = check_ip_source(packet, source, frame.vlan, in.id(), now);
    }
    if (why != Drop::none) return why;
  }
  if (uses_bindings_) snoop(packet, ethernet, frame.vlan, in.id(), now);
  return Drop::none;
}

// What a guest may not say, whoever it is.
Drop Guards::forbidden(const GuardSettings& settings, const InspectedPacket& packet) {
  switch (packet.kind) {
    case PacketKind::dhcp_reply: return settings.dhcp_guard ? Drop::rogue_dhcp : Drop::none;
    case PacketKind::dhcpv6_reply: return settings.dhcpv6_guard ? Drop::rogue_dhcpv6 : Drop::none;
    case PacketKind::router_advertisement:
    case PacketKind::redirect: return settings.ra_guard ? Drop::rogue_ra : Drop::none;
    case PacketKind::hidden: {
      const bool asked = settings.dhcp_guard || settings.dhcpv6_guard || settings.ra_guard ||
                         settings.arp_inspection;
      return asked ? Drop::unprovable : Drop::none;
    }
    default: return Drop::none;
  }
}

Drop Guards::check_arp(const InspectedPacket& packet, MacAddress source, VlanId vlan, PortId in,
                       Time now) {
  // ARP that is not about IPv4, or ends early, tells nobody anything true.
  if (!packet.claimed || packet.claimed_mac != source) return Drop::arp_spoofed;
  if (packet.claimed->v4().is_unspecified()) return Drop::none;  // a probe (RFC 5227)
  return bindings_.allows(*packet.claimed, vlan, source, in, now) ? Drop::none : Drop::arp_spoofed;
}

// RFC 4861; who asks whether an address is free (RFC 4862) may have it when nobody else does.
Drop Guards::check_discovery(const InspectedPacket& packet, MacAddress source, VlanId vlan,
                             PortId in, Time now) {
  if (!is_discovery(packet.kind)) return Drop::none;
  if (packet.kind == PacketKind::router_advertisement) return Drop::none;  // RA guard's
  // RFC 6980: neighbour discovery is not to be fragmented.
  if (packet.kind == PacketKind::redirect || packet.fragment) return Drop::nd_spoofed;
  if (packet.claimed_mac && packet.claimed_mac != source) return Drop::nd_spoofed;
  if (!packet.claimed) return Drop::nd_spoofed;
  const bool asks = packet.kind == PacketKind::neighbour_solicitation;
  const bool is_probe = asks && packet.source->v6().is_unspecified();
  const IpAddress& address = asks && !is_probe ? *packet.source : *packet.claimed;
  const bool may_claim = is_probe || address.v6().is_link_local();
  const bool theirs = may_claim ? bindings_.claim(address, vlan, source, in, now)
                                : bindings_.allows(address, vlan, source, in, now);
  return theirs ? Drop::none : Drop::nd_spoofed;
}

Drop Guards::check_ip_source(const InspectedPacket& packet, MacAddress source, VlanId vlan,
                             PortId in, Time now) {
  const IpAddress& address = *packet.source;
  if (address.is_v4()) {
    // Who has no address yet may ask for one.
    const bool asks = address.v4().is_unspecified() && packet.kind == PacketKind::dhcp_request;
    return asks || bindings_.allows(address, vlan, source, in, now) ? Drop::none : Drop::ip_spoofed;
  }
  if (address.v6().is_unspecified()) return Drop::none;  // nobody can be answered there
  const bool theirs = address.v6().is_link_local()
                          ? bindings_.claim(address, vlan, source, in, now)
                          : bindings_.allows(address, vlan, source, in, now);
  return theirs ? Drop::none : Drop::ip_spoofed;
}

// What servers and guests say about whose address is whose. It has passed the guards of its port.
void Guards::snoop(const InspectedPacket& packet, const EthernetView& ethernet, VlanId vlan,
                   PortId in, Time now) {
  if (packet.fragment) return;
  const auto bind = [&](MacAddress client, const SnoopedLease& lease) {
    constexpr std::uint32_t kForEver = 0xffffffff;
    Binding binding;
    binding.address = lease.address;
    binding.vlan = vlan;
    binding.mac = client;
    binding.port = macs_.find(client, vlan);
    binding.origin = Binding::Origin::dhcp;
    if (lease.lifetime_s != kForEver) {
      binding.expires = now + std::chrono::seconds(lease.lifetime_s);
    }
    if (binding.port != kPortNone) bindings_.lease(binding, now);
  };
  if (packet.kind == PacketKind::dhcp_reply) {
    if (const auto ack = snoop_dhcp_ack(packet.message)) bind(ack->client, ack->lease);
  } else if (packet.kind == PacketKind::dhcpv6_reply) {
    for (const SnoopedLease& lease : snoop_dhcpv6_reply(packet.message)) {
      bind(ethernet.destination(), lease);
    }
  } else if (packet.kind == PacketKind::dhcp_request) {
    if (const auto gone = snoop_dhcp_return(packet.message);
        gone && gone->client == ethernet.source()) {
      bindings_.give_back(gone->lease.address, vlan, gone->client, in);
    }
  } else if (packet.kind == PacketKind::neighbour_solicitation && packet.claimed &&
             packet.source->v6().is_unspecified() && !trusted_.has(in)) {
    bindings_.claim(*packet.claimed, vlan, ethernet.source(), in, now);
  }
}

}  // namespace lanyard
