// SPDX-License-Identifier: MIT
#include "backend/gateway/nat_reply.h"

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

#include <algorithm>
#include <cerrno>

namespace lanyard {
namespace {

constexpr std::uint8_t kHopLimit = 64;

std::span<const std::uint8_t> octets_of(const AddressKey& key, bool v6) {
  return std::span(key).last(v6 ? 16 : 4);
}

void put(std::vector<std::uint8_t>& frame, std::size_t at, std::span<const std::uint8_t> bytes) {
  std::copy(bytes.begin(), bytes.end(), frame.begin() + static_cast<std::ptrdiff_t>(at));
}

// Ethernet and IP headers of a packet with `transport_size` bytes behind them.
std::vector<std::uint8_t> ip_frame(bool v6, MacAddress to, MacAddress from,
                                   const AddressKey& source, const AddressKey& destination,
                                   std::uint8_t protocol, std::size_t transport_size) {
  const std::size_t ip_size = v6 ? kIpv6HeaderSize : kIpv4HeaderSize;
  std::vector<std::uint8_t> frame(kIpOffset + ip_size + transport_size);
  put(frame, 0, to.bytes());
  put(frame, 6, from.bytes());
  store_u16(frame, 12, v6 ? 0x86dd : 0x0800);
  if (v6) {
    frame[14] = 0x60;
    store_u16(frame, 18, static_cast<std::uint16_t>(transport_size));
    frame[20] = protocol;
    frame[21] = kHopLimit;
    put(frame, 22, octets_of(source, true));
    put(frame, 38, octets_of(destination, true));
  } else {
    frame[14] = 0x45;
    store_u16(frame, 16, static_cast<std::uint16_t>(ip_size + transport_size));
    store_u16(frame, 20, 0x4000);  // do not fragment
    frame[22] = kHopLimit;
    frame[23] = protocol;
    put(frame, 26, octets_of(source, false));
    put(frame, 30, octets_of(destination, false));
    store_u16(frame, 24, internet_checksum(std::span(frame).subspan(kIpOffset, ip_size)));
  }
  return frame;
}

std::vector<std::uint8_t> segment(const FlowKey& key, bool v6, MacAddress to, MacAddress from,
                                  bool to_guest, const TcpReply& reply) {
  auto frame = ip_frame(v6, to, from, to_guest ? key.target : key.guest,
                        to_guest ? key.guest : key.target, kIpProtocolTcp, kTcpHeaderSize);
  const std::size_t at = frame.size() - kTcpHeaderSize;
  store_u16(frame, at, to_guest ? key.target_port : key.guest_port);
  store_u16(frame, at + 2, to_guest ? key.guest_port : key.target_port);
  store_u32(frame, at + 4, reply.sequence);
  store_u32(frame, at + 8, reply.acknowledgement);
  frame[at + 12] = kTcpHeaderSize / 4 << 4;
  frame[at + 13] = reply.flags;
  store_u16(frame, at + 14, reply.window);
  InternetChecksum sum = pseudo_header(frame, v6, kIpProtocolTcp, kTcpHeaderSize);
  sum.add(std::span(frame).subspan(at));
  store_u16(frame, at + 16, sum.finish());
  return frame;
}

}  // namespace

std::vector<std::uint8_t> tcp_to_guest(const FlowKey& key, bool v6, MacAddress router_mac,
                                       MacAddress guest_mac, const TcpReply& reply) {
  return segment(key, v6, guest_mac, router_mac, true, reply);
}

std::vector<std::uint8_t> tcp_from_guest(const FlowKey& key, bool v6, MacAddress guest_mac,
                                         const TcpReply& reply) {
  return segment(key, v6, MacAddress::from_number(0x525500000000), guest_mac, false, reply);
}

TcpReply reset_of(const NatPacket& packet) {
  TcpReply reply;
  if ((packet.flags & kTcpAck) != 0) {
    reply.sequence = packet.acknowledgement;
    reply.flags = kTcpRst;
  } else {
    reply.acknowledgement = packet.sequence + packet.sequence_length();
    reply.flags = kTcpRst | kTcpAck;
  }
  return reply;
}

// RFC 1812 5.2.7.1, RFC 4443 3.1.
std::optional<IcmpError> unreachable_by(int code, bool v6) {
  switch (code) {
    case ENETUNREACH:
    case EADDRNOTAVAIL:
      return v6 ? IcmpError{ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOROUTE}
                : IcmpError{ICMP_DEST_UNREACH, ICMP_NET_UNREACH};
    case EHOSTUNREACH:
    case EHOSTDOWN:
      return v6 ? IcmpError{ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADDR}
                : IcmpError{ICMP_DEST_UNREACH, ICMP_HOST_UNREACH};
    case EACCES:
    case EPERM:
      return v6 ? IcmpError{ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADMIN}
                : IcmpError{ICMP_DEST_UNREACH, ICMP_PKT_FILTERED};
    default: return std::nullopt;
  }
}

std::vector<std::uint8_t> icmp_error(const NatPacket& packet, MacAddress router_mac,
                                     const IpAddress& from, const IcmpError& error) {
  constexpr std::size_t kIcmpHeaderSize = 8;
  // As much of the packet as tells whose it was; RFC 4443 would take more.
  const auto quote =
      packet.frame.subspan(kIpOffset, std::min<std::size_t>(packet.frame.size() - kIpOffset, 128));
  const std::uint8_t protocol = packet.v6 ? kIpProtocolIcmp6 : kIpProtocolIcmp;
  auto frame = ip_frame(packet.v6, packet.mac, router_mac, address_key(from), packet.key.guest,
                        protocol, kIcmpHeaderSize + quote.size());
  const std::size_t at = frame.size() - kIcmpHeaderSize - quote.size();
  frame[at] = error.type;
  frame[at + 1] = error.code;
  store_u32(frame, at + 4, error.info);
  put(frame, at + kIcmpHeaderSize, quote);
  InternetChecksum sum;
  if (packet.v6) sum = pseudo_header(frame, true, protocol, kIcmpHeaderSize + quote.size());
  sum.add(std::span(frame).subspan(at));
  store_u16(frame, at + 2, sum.finish());
  return frame;
}

std::vector<std::uint8_t> icmp_about_datagram(const DatagramOfGuest& datagram,
                                              MacAddress router_mac, const IpAddress& from,
                                              const IcmpError& error,
                                              std::span<const std::uint8_t> payload) {
  const FlowKey& key = datagram.key;
  auto frame = ip_frame(datagram.v6, router_mac, datagram.mac, key.guest, key.target,
                        kIpProtocolUdp, kUdpHeaderSize + payload.size());
  NatPacket packet;
  packet.frame = frame;
  packet.mac = datagram.mac;
  packet.key = key;
  packet.v6 = datagram.v6;
  packet.payload_offset = frame.size() - payload.size();
  packet.transport_offset = packet.payload_offset - kUdpHeaderSize;
  store_u16(frame, packet.transport_offset, key.guest_port);
  store_u16(frame, packet.transport_offset + 2, key.target_port);
  put(frame, packet.payload_offset, payload);
  InternetChecksum sum;
  sum.add(payload);
  packet.payload_sum = sum.sum();
  finish_headers(packet);
  return icmp_error(packet, router_mac, from, error);
}

std::vector<std::uint8_t> prohibited(const NatPacket& packet, MacAddress router_mac,
                                     const IpAddress& router) {
  const IcmpError error = packet.v6 ? IcmpError{1, 1} : IcmpError{3, 13};
  return icmp_error(packet, router_mac, router, error);
}

}  // namespace lanyard
