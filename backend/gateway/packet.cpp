// SPDX-License-Identifier: MIT
#include "backend/gateway/packet.h"

#include <algorithm>
#include <array>

#include "switch/frame/ethernet.h"

namespace lanyard {
namespace {

using View = std::span<const std::uint8_t>;

constexpr std::size_t kArpSize = 28;
constexpr std::size_t kNeighbourSize = 24;
constexpr std::size_t kRouterSolicitationSize = 8;
constexpr std::uint16_t kArpHardwareEthernet = 1;
constexpr unsigned kExtensionsMax = 8;

constexpr std::uint8_t kHopByHop = 0;
constexpr std::uint8_t kRouting = 43;
constexpr std::uint8_t kDestinationOptions = 60;

constexpr std::uint8_t kOptionSourceLinkLayer = 1;
constexpr std::uint8_t kOptionTargetLinkLayer = 2;
constexpr std::uint8_t kOverrideFlag = 0x20;

// The callers have checked that there are so many bytes; subspan says so again when asserting.
std::uint16_t load_u16(View bytes, std::size_t at) {
  const View two = bytes.subspan(at, 2);
  return static_cast<std::uint16_t>(two[0] << 8 | two[1]);
}

Ipv4Address load_ipv4(View bytes, std::size_t at) {
  return Ipv4Address::from_bytes(bytes.subspan(at).first<4>());
}

Ipv6Address load_ipv6(View bytes, std::size_t at) {
  Ipv6Address::Bytes octets{};
  const View from = bytes.subspan(at, octets.size());
  std::copy(from.begin(), from.end(), octets.begin());
  return Ipv6Address(octets);
}

MacAddress load_mac(View bytes, std::size_t at) {
  return MacAddress::from_bytes(bytes.subspan(at).first<6>());
}

void put_u16(PacketBytes& to, std::size_t number) {
  to.push_back(static_cast<std::uint8_t>(number >> 8));
  to.push_back(static_cast<std::uint8_t>(number));
}

template <typename Octets>
void put(PacketBytes& to, const Octets& octets) {
  to.insert(to.end(), octets.begin(), octets.end());
}

void store_u16(std::span<std::uint8_t> bytes, std::size_t at, std::uint16_t number) {
  bytes[at] = static_cast<std::uint8_t>(number >> 8);
  bytes[at + 1] = static_cast<std::uint8_t>(number);
}

PacketFault read_arp(View bytes, ArpMessage& arp) {
  if (bytes.size() < kArpSize || load_u16(bytes, 0) != kArpHardwareEthernet ||
      load_u16(bytes, 2) != kEtherTypeIpv4 || bytes[4] != MacAddress::kSize || bytes[5] != 4) {
    return PacketFault::bad_arp;
  }
  arp.operation = load_u16(bytes, 6);
  if (arp.operation != ArpMessage::kRequest && arp.operation != ArpMessage::kReply) {
    return PacketFault::bad_arp;
  }
  arp.sender_mac = load_mac(bytes, 8);
  arp.sender = load_ipv4(bytes, 14);
  arp.target_mac = load_mac(bytes, 18);
  arp.target = load_ipv4(bytes, 24);
  return PacketFault::none;
}

PacketFault read_ipv4(View bytes, Packet& packet) {
  if (bytes.size() < kIpv4HeaderSize) return PacketFault::short_ipv4;
  const std::size_t header = std::size_t{4} * (bytes[0] & 0x0f);
  const std::size_t total = load_u16(bytes, 2);
  if (bytes[0] >> 4 != 4 || header < kIpv4HeaderSize || total < header) {
    return PacketFault::bad_ipv4_header;
  }
  if (total > bytes.size()) return PacketFault::bad_ipv4_length;
  if (internet_checksum(bytes.first(header)) != 0) return PacketFault::bad_ipv4_checksum;
  const std::uint16_t fragment = load_u16(bytes, 6);
  packet.is_fragment = (fragment & 0x3fff) != 0;  // more to come, or an offset
  packet.has_options = header > kIpv4HeaderSize;
  packet.hop_limit = bytes[8];
  packet.protocol = bytes[9];
  packet.from = load_ipv4(bytes, 12);
  packet.to = load_ipv4(bytes, 16);
  packet.network = bytes.first(total);
  packet.payload = packet.network.subspan(header);
  return PacketFault::none;
}

// Walks to the transport header; everything behind a first Fragment header counts as payload of
// the packet that it is part of.
PacketFault skip_extensions(Packet& packet) {
  View rest = packet.network.subspan(kIpv6HeaderSize);
  std::uint8_t next = packet.network[6];
  for (unsigned seen = 0;; ++seen) {
    const bool is_fragment = next == kProtocolFragment;
    if (!is_fragment && next != kHopByHop && next != kRouting && next != kDestinationOptions) break;
    if (seen == kExtensionsMax || rest.size() < 8) return PacketFault::bad_ipv6_extension;
    const std::size_t size = is_fragment ? 8 : 8 + std::size_t{8} * rest[1];
    if (size > rest.size()) return PacketFault::bad_ipv6_extension;
    if (is_fragment) {
      // An atomic fragment (RFC 6946) is a whole packet.
      const bool partial = (load_u16(rest, 2) & 0xfff9) != 0;
      packet.is_fragment = packet.is_fragment || partial;
    } else {
      packet.has_options = true;
    }
    next = rest[0];
    rest = rest.subspan(size);
    if (packet.is_fragment) break;
  }
  packet.protocol = next;
  packet.payload = rest;
  return PacketFault::none;
}

PacketFault read_ipv6(View bytes, Packet& packet) {
  if (bytes.size() < kIpv6HeaderSize) return PacketFault::short_ipv6;
  if (bytes[0] >> 4 != 6) return PacketFault::bad_ipv6_header;
  const std::size_t total = kIpv6HeaderSize + load_u16(bytes, 4);
  if (total > bytes.size()) return PacketFault::bad_ipv6_length;
  packet.hop_limit = bytes[7];
  packet.from = load_ipv6(bytes, 8);
  packet.to = load_ipv6(bytes, 24);
  packet.network = bytes.first(total);
  return skip_extensions(packet);
}

std::uint16_t transport_checksum(const Packet& packet, View message) {
  InternetChecksum checksum =
      pseudo_header(packet.from, packet.to, packet.protocol, message.size());
  checksum.add(message);
  return checksum.finish();
}

// Whether the options of a discovery message fill it exactly; shows the first of type `wanted`.
bool read_options(View options, std::uint8_t wanted, std::optional<MacAddress>& link_layer) {
  while (!options.empty()) {
    if (options.size() < 8) return false;
    const std::size_t size = std::size_t{8} * options[1];
    if (size == 0 || size > options.size()) return false;
    if (options[0] == wanted && size == 8 && !link_layer) link_layer = load_mac(options, 2);
    options = options.subspan(size);
  }
  return true;
}

bool is_solicited_node_of_any(const Ipv6Address& address) {
  const Ipv6Address::Bytes& b = address.bytes();
  constexpr std::array<std::uint8_t, 13> kPrefix{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
  return std::equal(kPrefix.begin(), kPrefix.end(), b.begin());
}

}  // namespace

std::string_view name_of(PacketFault fault) {
  switch (fault) {
    case PacketFault::none: return "none";
#define LANYARD_PACKET_FAULT_NAME(name, sentence) \
  case PacketFault::name: return #name;
      LANYARD_PACKET_FAULTS(LANYARD_PACKET_FAULT_NAME)
#undef LANYARD_PACKET_FAULT_NAME
  }
  return "unknown";
}

Packet read_packet(View frame) {
  Packet packet;
  const EthernetView ethernet(frame);
  if (!ethernet.valid()) {
    packet.fault = PacketFault::short_ethernet;
    return packet;
  }
  packet.destination = ethernet.destination();
  packet.source = ethernet.source();
  packet.ether_type = ethernet.type();
  const View rest = frame.subspan(kEthernetHeaderSize);
  switch (packet.ether_type) {
    case kEtherTypeArp:
      packet.kind = Packet::Kind::arp;
      packet.fault = read_arp(rest, packet.arp);
      break;
    case kEtherTypeIpv4:
      packet.kind = Packet::Kind::ipv4;
      packet.fault = read_ipv4(rest, packet);
      break;
    case kEtherTypeIpv6:
      packet.kind = Packet::Kind::ipv6;
      packet.fault = read_ipv6(rest, packet);
      break;
    default: break;
  }
  return packet;
}

Reading<UdpView> read_udp(const Packet& packet, bool checksum_owed) {
  const View bytes = packet.payload;
  if (bytes.size() < kUdpHeaderSize) return {{}, PacketFault::bad_udp_length};
  const std::size_t length = load_u16(bytes, 4);
  if (length < kUdpHeaderSize || length > bytes.size()) return {{}, PacketFault::bad_udp_length};
  const View datagram = bytes.first(length);
  const bool has_checksum = load_u16(bytes, 6) != 0;
  // RFC 768: zero means none; RFC 8200 8.1: not so over IPv6.
  if (!checksum_owed && (has_checksum ? transport_checksum(packet, datagram) != 0
                                      : packet.kind == Packet::Kind::ipv6)) {
    return {{}, PacketFault::bad_udp_checksum};
  }
  return {{load_u16(bytes, 0), load_u16(bytes, 2), datagram.subspan(kUdpHeaderSize)}};
}

Reading<IcmpView> read_icmp(const Packet& packet, bool checksum_owed) {
  const View message = packet.payload;
  if (message.size() < kIcmpHeaderSize) return {{}, PacketFault::short_icmp};
  if (!checksum_owed) {
    const std::uint16_t wrong = packet.kind == Packet::Kind::ipv6
                                    ? transport_checksum(packet, message)
                                    : internet_checksum(message);
    if (wrong != 0) return {{}, PacketFault::bad_icmp_checksum};
  }
  return {{message[0], message[1], load_u16(message, 4), load_u16(message, 6), message}};
}

Reading<NeighbourMessage> read_neighbour(const Packet& packet, const IcmpView& icmp) {
  const Reading<NeighbourMessage> refused{{}, PacketFault::bad_nd};
  if (packet.hop_limit != kNdHopLimit || icmp.code != 0 || icmp.message.size() < kNeighbourSize) {
    return refused;
  }
  NeighbourMessage nd;
  nd.is_solicitation = icmp.type == kIcmp6NeighbourSolicitation;
  nd.is_override = !nd.is_solicitation && (icmp.message[4] & kOverrideFlag) != 0;
  nd.target = load_ipv6(icmp.message, 8);
  if (nd.target.is_multicast()) return refused;
  const std::uint8_t wanted = nd.is_solicitation ? kOptionSourceLinkLayer : kOptionTargetLinkLayer;
  if (!read_options(icmp.message.subspan(kNeighbourSize), wanted, nd.link_layer)) return refused;
  // A guest that is looking whether an address is free has none to be answered at.
  if (nd.is_solicitation && packet.from.v6().is_unspecified() &&
      (nd.link_layer || !is_solicited_node_of_any(packet.to.v6()))) {
    return refused;
  }
  if (nd.link_layer && nd.link_layer->is_group()) return refused;
  return {nd};
}

bool is_router_solicitation(const Packet& packet, const IcmpView& icmp) {
  std::optional<MacAddress> link_layer;
  return icmp.type == kIcmp6RouterSolicitation && icmp.code == 0 &&
         packet.hop_limit == kNdHopLimit && icmp.message.size() >= kRouterSolicitationSize &&
         read_options(icmp.message.subspan(kRouterSolicitationSize), kOptionSourceLinkLayer,
                      link_layer) &&
         !(packet.from.v6().is_unspecified() && link_layer);
}

void append_ethernet(PacketBytes& to, MacAddress destination, MacAddress source,
                     std::uint16_t type) {
  put(to, destination.bytes());
  put(to, source.bytes());
  put_u16(to, type);
}

void append_arp(PacketBytes& to, const ArpMessage& message) {
  put_u16(to, kArpHardwareEthernet);
  put_u16(to, kEtherTypeIpv4);
  to.push_back(static_cast<std::uint8_t>(MacAddress::kSize));
  to.push_back(4);
  put_u16(to, message.operation);
  put(to, message.sender_mac.bytes());
  put(to, message.sender.bytes());
  put(to, message.target_mac.bytes());
  put(to, message.target.bytes());
}

void append_ipv4(PacketBytes& to, const Ipv4Fields& fields, std::size_t payload_size) {
  const std::size_t start = to.size();
  put_u16(to, 0x4500);
  put_u16(to, kIpv4HeaderSize + payload_size);
  put_u16(to, fields.identification);
  put_u16(to, std::size_t{fields.fragment_bytes} / 8 | (fields.more_fragments ? 0x2000U : 0U));
  to.push_back(fields.ttl);
  to.push_back(fields.protocol);
  put_u16(to, 0);
  put(to, fields.from.bytes());
  put(to, fields.to.bytes());
  const auto header = std::span(to).subspan(start);
  store_u16(header, 10, internet_checksum(header));
}

void append_ipv6(PacketBytes& to, const Ipv6Fields& fields, std::size_t payload_size) {
  put_u16(to, 0x6000);
  put_u16(to, 0);
  put_u16(to, payload_size);
  to.push_back(fields.next_header);
  to.push_back(fields.hop_limit);
  put(to, fields.from.bytes());
  put(to, fields.to.bytes());
}

void append_ipv6_fragment(PacketBytes& to, std::uint8_t next_header, std::uint32_t identification,
                          std::size_t offset, bool more_fragments) {
  to.push_back(next_header);
  to.push_back(0);
  put_u16(to, offset | (more_fragments ? 1U : 0U));
  put_u16(to, identification >> 16);
  put_u16(to, identification & 0xffff);
}

void append_udp(PacketBytes& to, const IpAddress& source, const IpAddress& destination,
                const UdpView& datagram) {
  const std::size_t start = to.size();
  const std::size_t length = kUdpHeaderSize + datagram.payload.size();
  put_u16(to, datagram.source_port);
  put_u16(to, datagram.destination_port);
  put_u16(to, length);
  put_u16(to, 0);
  put(to, datagram.payload);
  const auto whole = std::span(to).subspan(start);
  InternetChecksum checksum = pseudo_header(source, destination, kProtocolUdp, length);
  checksum.add(whole);
  // Zero would say that there is none (RFC 768).
  const std::uint16_t sum = checksum.finish();
  store_u16(whole, 6, sum == 0 ? std::uint16_t{0xffff} : sum);
}

void finish_icmp(std::span<std::uint8_t> message) {
  store_u16(message, 2, 0);
  store_u16(message, 2, internet_checksum(message));
}

void finish_icmp6(std::span<std::uint8_t> message, const Ipv6Address& source,
                  const Ipv6Address& destination) {
  store_u16(message, 2, 0);
  InternetChecksum checksum = pseudo_header(source, destination, kProtocolIcmp6, message.size());
  checksum.add(message);
  store_u16(message, 2, checksum.finish());
}

InternetChecksum pseudo_header(const IpAddress& source, const IpAddress& destination,
                               std::uint8_t protocol, std::size_t length) {
  InternetChecksum checksum;
  for (const IpAddress* address : {&source, &destination}) {
    if (address->is_v4()) {
      checksum.add_u32(address->v4().number());
    } else {
      checksum.add(address->v6().bytes());
    }
  }
  checksum.add_u16(protocol);
  checksum.add_u32(static_cast<std::uint32_t>(length));
  return checksum;
}

}  // namespace lanyard
