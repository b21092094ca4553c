// SPDX-License-Identifier: MIT
#include "backend/gateway/frame_sanitiser.h"

#include <algorithm>
#include <cstring>

#include "backend/gateway/tcp_segment.h"
#include "switch/frame/ethernet.h"

namespace lanyard {
namespace {

constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
constexpr std::uint16_t kEtherTypeIpv6 = 0x86dd;

// Fields that an honest TCP never sets together: SYN with FIN or RST, or none at all.
bool sensible(std::uint8_t flags) {
  if ((flags & kTcpSyn) != 0) return (flags & (kTcpFin | kTcpRst)) == 0;
  return (flags & (kTcpAck | kTcpRst)) != 0;
}

void sum_payload(NatPacket& packet) {
  if (packet.is_summed) return;
  InternetChecksum payload;
  payload.add(packet.payload());
  packet.payload_sum = payload.sum();
  packet.is_summed = true;
}

bool has_right_checksum(NatPacket& packet) {
  const auto transport = packet.frame.subspan(packet.transport_offset);
  // RFC 768: not summed.
  if (!packet.is_tcp() && !packet.v6 && load_u16(transport, 6) == 0) return true;
  sum_payload(packet);
  InternetChecksum sum =
      pseudo_header(packet.frame, packet.v6, packet.key.protocol, transport.size());
  sum.add(transport.first(packet.payload_offset - packet.transport_offset));
  sum.add_u16(packet.payload_sum);
  return sum.finish() == 0;
}

}  // namespace

std::optional<NatPacket> FrameSanitiser::drop(NatEvent reason) {
  counters_.count(reason);
  return std::nullopt;
}

std::optional<NatPacket> FrameSanitiser::read(std::span<std::uint8_t> frame,
                                              const Offload& offload) {
  const EthernetView ethernet(frame);
  if (!ethernet.valid()) return drop(NatEvent::too_short);
  NatPacket packet;
  packet.frame = frame;
  packet.mac = ethernet.source();
  packet.v6 = ethernet.type() == kEtherTypeIpv6;
  if (!packet.v6 && ethernet.type() != kEtherTypeIpv4) return drop(NatEvent::not_ip);

  NatEvent reason = NatEvent::bad_header;
  if (!(packet.v6 ? read_ipv6(packet, reason) : read_ipv4(packet, reason))) return drop(reason);
  if (!(packet.is_tcp() ? read_tcp(packet, reason) : read_udp(packet, reason))) {
    return drop(reason);
  }
  if (!offload.needs_checksum && !has_right_checksum(packet)) return drop(NatEvent::bad_checksum);
  counters_.count(NatEvent::packets_from_guests);
  return packet;
}

void FrameSanitiser::make_plain(NatPacket& packet) {
  sum_payload(packet);
  if (packet.is_tcp()) {
    // Only now, because the checksum covers what is taken off.
    const std::size_t options = packet.payload_offset - packet.transport_offset - kTcpHeaderSize;
    if (options != 0) {
      const std::size_t header = packet.transport_offset + kTcpHeaderSize;
      std::memmove(packet.frame.data() + options, packet.frame.data(), header);
      packet.frame = packet.frame.subspan(options);
      packet.payload_offset = header;
    }
    const std::size_t tcp = packet.transport_offset;
    packet.frame[tcp + 12] = kTcpHeaderSize / 4 << 4;
    packet.frame[tcp + 13] = packet.flags;
    store_u16(packet.frame, tcp + 18, 0);
  }
  finish_headers(packet);
}

bool FrameSanitiser::read_ipv4(NatPacket& packet, NatEvent& reason) const {
  const auto ip = packet.frame.subspan(kIpOffset);
  if (ip.size() < kIpv4HeaderSize || ip[0] >> 4 != 4) return false;
  const std::size_t header = (ip[0] & 0xfU) * 4U;
  const std::size_t total = load_u16(ip, 2);
  if (header < kIpv4HeaderSize) return false;
  reason = NatEvent::bad_length;
  if (total < header || total > ip.size()) return false;
  reason = NatEvent::ip_options;
  if (header != kIpv4HeaderSize) return false;
  reason = NatEvent::bad_checksum;
  if (internet_checksum(ip.first(kIpv4HeaderSize)) != 0) return false;
  reason = NatEvent::fragment;
  if ((load_u16(ip, 6) & 0x3fff) != 0) return false;
  const auto source = Ipv4Address::from_bytes(ip.subspan<12, 4>());
  const auto destination = Ipv4Address::from_bytes(ip.subspan<16, 4>());
  reason = NatEvent::foreign_source;
  if (!subnet_ || !subnet_->contains(source) || source == subnet_->network() ||
      source == subnet_->broadcast()) {
    return false;
  }
  packet.key.guest = address_key(source);
  packet.key.target = address_key(destination);
  packet.key.protocol = ip[9];
  packet.frame = packet.frame.first(kIpOffset + total);
  packet.transport_offset = kIpOffset + kIpv4HeaderSize;
  reason = NatEvent::protocol;
  return packet.key.protocol == kIpProtocolTcp || packet.key.protocol == kIpProtocolUdp;
}

bool FrameSanitiser::read_ipv6(NatPacket& packet, NatEvent& reason) const {
  const auto ip = packet.frame.subspan(kIpOffset);
  if (ip.size() < kIpv6HeaderSize || ip[0] >> 4 != 6) return false;
  reason = NatEvent::bad_length;
  const std::size_t payload = load_u16(ip, 4);
  if (payload > ip.size() - kIpv6HeaderSize) return false;
  Ipv6Address::Bytes source{};
  Ipv6Address::Bytes destination{};
  std::copy_n(ip.begin() + 8, 16, source.begin());
  std::copy_n(ip.begin() + 24, 16, destination.begin());
  reason = NatEvent::foreign_source;
  if (!subnet6_ || !subnet6_->contains(Ipv6Address(source))) return false;
  reason = NatEvent::policy_loopback;
  if (Ipv6Address(destination).mapped_v4() || Ipv6Address(source).mapped_v4()) return false;
  packet.key.guest = source;
  packet.key.target = destination;
  packet.key.protocol = ip[6];
  packet.frame = packet.frame.first(kIpOffset + kIpv6HeaderSize + payload);
  packet.transport_offset = kIpOffset + kIpv6HeaderSize;
  // Hop-by-hop, routing, fragment, destination options (RFC 8200 4).
  const bool extension = ip[6] == 0 || ip[6] == 43 || ip[6] == 44 || ip[6] == 60;
  reason = extension ? NatEvent::extension_header : NatEvent::protocol;
  return packet.key.protocol == kIpProtocolTcp || packet.key.protocol == kIpProtocolUdp;
}

bool FrameSanitiser::read_tcp(NatPacket& packet, NatEvent& reason) {
  const auto tcp = packet.frame.subspan(packet.transport_offset);
  reason = NatEvent::bad_header;
  if (tcp.size() < kTcpHeaderSize) return false;
  const std::size_t header = (tcp[12] >> 4) * 4U;
  reason = NatEvent::bad_length;
  if (header < kTcpHeaderSize || header > tcp.size()) return false;
  packet.payload_offset = packet.transport_offset + header;
  packet.key.guest_port = load_u16(tcp, 0);
  packet.key.target_port = load_u16(tcp, 2);
  packet.sequence = load_u32(tcp, 4);
  packet.acknowledgement = load_u32(tcp, 8);
  packet.window = load_u16(tcp, 14);
  // ECN bits (RFC 3168) are not for the engine either: it does not answer them.
  packet.flags = tcp[13] & (kTcpFin | kTcpSyn | kTcpRst | kTcpPsh | kTcpAck);
  reason = NatEvent::bad_flags;
  if (!sensible(packet.flags)) return false;
  if ((tcp[13] & kTcpUrg) != 0) counters_.count(NatEvent::urgent_cleared);
  if ((packet.flags & kTcpSyn) != 0) {
    const TcpOptions options =
        read_tcp_options(tcp.subspan(kTcpHeaderSize, header - kTcpHeaderSize));
    packet.segment_size = options.segment_size;
    packet.window_shift = options.window_shift;
    packet.sack_permitted = options.sack_permitted;
    // Data of a SYN (RFC 7413) is only taken early by those who asked for it; it comes again.
    reason = NatEvent::bad_length;
    if (header != tcp.size()) return false;
  }
  return true;
}

bool FrameSanitiser::read_udp(NatPacket& packet, NatEvent& reason) const {
  const auto udp = packet.frame.subspan(packet.transport_offset);
  reason = NatEvent::bad_header;
  if (udp.size() < kUdpHeaderSize) return false;
  reason = NatEvent::bad_length;
  // RFC 768; jumbograms with a length of 0 (RFC 2675) do not fit through a socket.
  if (load_u16(udp, 4) != udp.size()) return false;
  reason = NatEvent::bad_checksum;
  packet.payload_offset = packet.transport_offset + kUdpHeaderSize;
  packet.key.guest_port = load_u16(udp, 0);
  packet.key.target_port = load_u16(udp, 2);
  return true;
}

}  // namespace lanyard
