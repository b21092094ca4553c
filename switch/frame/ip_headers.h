// SPDX-License-Identifier: MIT
//
// Where things stand in the headers of IPv4 (RFC 791), IPv6 (RFC 8200), TCP (RFC 9293) and UDP
// (RFC 768), for the engines that cut and join packets, and how their numbers are read. The callers
// have checked that the bytes are there. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lanyard::ip {

constexpr std::uint16_t kEtherTypeIpv4 = 0x0800;
constexpr std::uint16_t kEtherTypeIpv6 = 0x86dd;
constexpr std::uint16_t kEtherTypeServiceVlan = 0x88a8;

constexpr std::size_t kIpv4HeaderSize = 20;
constexpr std::size_t kIpv4LengthAt = 2;
constexpr std::size_t kIpv4IdAt = 4;
constexpr std::size_t kIpv4FragmentAt = 6;
constexpr std::uint16_t kIpv4FragmentMask = 0x3fff;  // more fragments, and the offset
constexpr std::size_t kIpv4ProtocolAt = 9;
constexpr std::size_t kIpv4ChecksumAt = 10;
constexpr std::size_t kIpv4AddressesAt = 12;

constexpr std::size_t kIpv6HeaderSize = 40;
constexpr std::size_t kIpv6LengthAt = 4;
constexpr std::size_t kIpv6NextAt = 6;
constexpr std::size_t kIpv6AddressesAt = 8;

constexpr std::uint8_t kHopByHop = 0;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kRouting = 43;
constexpr std::uint8_t kDestinationOptions = 60;

constexpr std::size_t kTcpHeaderSize = 20;
constexpr std::size_t kTcpSequenceAt = 4;
constexpr std::size_t kTcpAcknowledgementAt = 8;
constexpr std::size_t kTcpLengthAt = 12;
constexpr std::size_t kTcpFlagsAt = 13;
constexpr std::size_t kTcpWindowAt = 14;
constexpr std::size_t kTcpChecksumAt = 16;
constexpr std::size_t kTcpUrgentAt = 18;
constexpr std::uint8_t kTcpFin = 0x01;
constexpr std::uint8_t kTcpPsh = 0x08;
constexpr std::uint8_t kTcpAck = 0x10;
constexpr std::uint8_t kTcpCwr = 0x80;

constexpr std::size_t kUdpHeaderSize = 8;
constexpr std::size_t kUdpLengthAt = 4;
constexpr std::size_t kUdpChecksumAt = 6;

inline std::uint16_t load_u16(const std::uint8_t* at) {
  return static_cast<std::uint16_t>(at[0] << 8 | at[1]);
}

inline void store_u16(std::uint8_t* at, std::size_t number) {
  at[0] = static_cast<std::uint8_t>(number >> 8);
  at[1] = static_cast<std::uint8_t>(number);
}

inline std::uint32_t load_u32(const std::uint8_t* at) {
  return std::uint32_t{load_u16(at)} << 16 | load_u16(at + 2);
}

inline void store_u32(std::uint8_t* at, std::uint32_t number) {
  store_u16(at, number >> 16);
  store_u16(at + 2, number & 0xffff);
}

}  // namespace lanyard::ip
