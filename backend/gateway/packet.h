// SPDX-License-Identifier: MIT
//
// Packets of guests, read and built: Ethernet, ARP, IPv4, IPv6, UDP, ICMP, neighbour discovery. The
// one place of the gateway where offsets are counted.
//
// What makes it hard: every byte is a guest's. A length may lie in either direction, options and
// extension headers may run past the end, a checksum may be wrong, or not there yet because it is
// owed (Offload). So a reader says what is wrong by name, and what it shows lies within the frame;
// views point into it. What the readers do not judge: whether an address makes sense here.
// Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "switch/frame/internet_checksum.h"
#include "switch/frame/mac_address.h"
#include "switch/network/ip_address.h"

namespace lanyard {

constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
constexpr std::uint16_t kEtherTypeArp = 0x0806;
constexpr std::uint16_t kEtherTypeIpv6 = 0x86dd;

constexpr std::uint8_t kProtocolIcmp = 1;
constexpr std::uint8_t kProtocolTcp = 6;
constexpr std::uint8_t kProtocolUdp = 17;
constexpr std::uint8_t kProtocolFragment = 44;
constexpr std::uint8_t kProtocolIcmp6 = 58;

constexpr std::uint8_t kIcmpEchoReply = 0;
constexpr std::uint8_t kIcmpUnreachable = 3;
constexpr std::uint8_t kIcmpEcho = 8;
constexpr std::uint8_t kIcmp6EchoRequest = 128;
constexpr std::uint8_t kIcmp6EchoReply = 129;
constexpr std::uint8_t kIcmp6RouterSolicitation = 133;
constexpr std::uint8_t kIcmp6NeighbourSolicitation = 135;
constexpr std::uint8_t kIcmp6NeighbourAdvertisement = 136;

constexpr std::size_t kIpv4HeaderSize = 20;
constexpr std::size_t kIpv6HeaderSize = 40;
constexpr std::size_t kUdpHeaderSize = 8;
constexpr std::size_t kIcmpHeaderSize = 8;

constexpr std::uint8_t kNdHopLimit = 255;  // RFC 4861: nobody has forwarded it
constexpr MacAddress kBroadcastMac = MacAddress::from_number(0xffffffffffff);

// clang-format off
#define LANYARD_PACKET_FAULTS(FAULT)                                    \
  FAULT(short_ethernet,    "shorter than an Ethernet header")           \
  FAULT(bad_arp,           "not ARP for IPv4 over Ethernet")            \
  FAULT(short_ipv4,        "shorter than an IPv4 header")               \
  FAULT(bad_ipv4_header,   "an IPv4 header that contradicts itself")    \
  FAULT(bad_ipv4_length,   "an IPv4 length beyond the frame")           \
  FAULT(bad_ipv4_checksum, "an IPv4 header with a wrong checksum")      \
  FAULT(short_ipv6,        "shorter than an IPv6 header")               \
  FAULT(bad_ipv6_header,   "not version 6 in an IPv6 header")           \
  FAULT(bad_ipv6_length,   "an IPv6 length beyond the frame")           \
  FAULT(bad_ipv6_extension,"IPv6 extension headers beyond the packet, or too many") \
  FAULT(bad_udp_length,    "a UDP length that is not the datagram's")   \
  FAULT(bad_udp_checksum,  "a UDP datagram with a wrong checksum")      \
  FAULT(short_icmp,        "an ICMP message shorter than its header")   \
  FAULT(bad_icmp_checksum, "an ICMP message with a wrong checksum")     \
  FAULT(bad_nd,            "neighbour discovery that RFC 4861 tells to ignore")
// clang-format on

enum class PacketFault : std::uint8_t {
  none,
#define LANYARD_PACKET_FAULT_ENUMERATOR(name, sentence) name,
  LANYARD_PACKET_FAULTS(LANYARD_PACKET_FAULT_ENUMERATOR)
#undef LANYARD_PACKET_FAULT_ENUMERATOR
};

#define LANYARD_PACKET_FAULT_ONE(name, sentence) +1
constexpr std::size_t kPacketFaults = 0 LANYARD_PACKET_FAULTS(LANYARD_PACKET_FAULT_ONE);
#undef LANYARD_PACKET_FAULT_ONE

// "bad_ipv4_length".
std::string_view name_of(PacketFault fault);

struct ArpMessage {
  static constexpr std::uint16_t kRequest = 1;
  static constexpr std::uint16_t kReply = 2;

  std::uint16_t operation = 0;
  MacAddress sender_mac;
  Ipv4Address sender;
  MacAddress target_mac;
  Ipv4Address target;
};

struct Packet {
  enum class Kind : std::uint8_t { other, arp, ipv4, ipv6 };

  PacketFault fault = PacketFault::none;
  Kind kind = Kind::other;
  MacAddress destination;
  MacAddress source;
  std::uint16_t ether_type = 0;
  ArpMessage arp;  // of Kind::arp

  // Of Kind::ipv4 and Kind::ipv6.
  IpAddress from;
  IpAddress to;
  std::uint8_t protocol = 0;  // behind all extension headers
  std::uint8_t hop_limit = 0;
  bool has_options = false;               // of IPv4, or any extension header but Fragment
  bool is_fragment = false;               // its payload is not a whole transport message
  std::span<const std::uint8_t> network;  // header and payload, without Ethernet's padding
  std::span<const std::uint8_t> payload;  // behind the headers

  bool is_ip() const { return kind == Kind::ipv4 || kind == Kind::ipv6; }
};

Packet read_packet(std::span<const std::uint8_t> frame);

template <typename T>
struct Reading {
  T value{};
  PacketFault fault = PacketFault::none;
  explicit operator bool() const { return fault == PacketFault::none; }
};

struct UdpView {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::span<const std::uint8_t> payload;
};
// A packet with protocol 17 that is no fragment. An owed checksum is not looked at.
Reading<UdpView> read_udp(const Packet& packet, bool checksum_owed);

struct IcmpView {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint16_t identifier = 0;  // of echoes
  std::uint16_t sequence = 0;
  std::span<const std::uint8_t> message;  // from the type on
};
// Of IPv4 or IPv6; no fragment.
Reading<IcmpView> read_icmp(const Packet& packet, bool checksum_owed);

struct NeighbourMessage {
  bool is_solicitation = false;
  bool is_override = false;  // of an advertisement: replaces what was known
  Ipv6Address target;
  std::optional<MacAddress> link_layer;  // the sender's of a solicitation, the target's else
};
// Types 135 and 136, checked as RFC 4861 7.1 says.
Reading<NeighbourMessage> read_neighbour(const Packet& packet, const IcmpView& icmp);
// RFC 4861 6.1.1.
bool is_router_solicitation(const Packet& packet, const IcmpView& icmp);

// ---- building; each appends to `to` ----

using PacketBytes = std::vector<std::uint8_t>;

void append_ethernet(PacketBytes& to, MacAddress destination, MacAddress source,
                     std::uint16_t type);
void append_arp(PacketBytes& to, const ArpMessage& message);

struct Ipv4Fields {
  Ipv4Address from;
  Ipv4Address to;
  std::uint8_t protocol = 0;
  std::uint8_t ttl = 64;
  std::uint16_t identification = 0;
  std::uint16_t fragment_bytes = 0;  // offset, a multiple of 8
  bool more_fragments = false;
};
void append_ipv4(PacketBytes& to, const Ipv4Fields& fields, std::size_t payload_size);

struct Ipv6Fields {
  Ipv6Address from;
  Ipv6Address to;
  std::uint8_t next_header = 0;
  std::uint8_t hop_limit = 64;
};
void append_ipv6(PacketBytes& to, const Ipv6Fields& fields, std::size_t payload_size);
void append_ipv6_fragment(PacketBytes& to, std::uint8_t next_header, std::uint32_t identification,
                          std::size_t offset, bool more_fragments);

// Header, payload and checksum.
void append_udp(PacketBytes& to, const IpAddress& source, const IpAddress& destination,
                const UdpView& datagram);

// Puts the checksum into a message of ICMP or ICMPv6 of at least four bytes.
void finish_icmp(std::span<std::uint8_t> message);
void finish_icmp6(std::span<std::uint8_t> message, const Ipv6Address& source,
                  const Ipv6Address& destination);

// What every transport checksum begins with (RFC 793 3.1, RFC 8200 8.1).
InternetChecksum pseudo_header(const IpAddress& source, const IpAddress& destination,
                               std::uint8_t protocol, std::size_t length);

}  // namespace lanyard
