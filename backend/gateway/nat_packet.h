// SPDX-License-Identifier: MIT
//
// A TCP or UDP packet inside an Ethernet frame, as the parts of the NAT pass it on: the bytes and
// where in them what is. Only FrameSanitiser makes one from foreign bytes, so whoever holds one
// may rely on the offsets. Any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "switch/frame/internet_checksum.h"
#include "switch/frame/mac_address.h"
#include "switch/network/ip_address.h"

namespace lanyard {

constexpr std::uint8_t kIpProtocolIcmp = 1;
constexpr std::uint8_t kIpProtocolTcp = 6;
constexpr std::uint8_t kIpProtocolUdp = 17;
constexpr std::uint8_t kIpProtocolIcmp6 = 58;

constexpr std::size_t kIpOffset = 14;  // no tags here: the switch took them off
constexpr std::size_t kIpv4HeaderSize = 20;
constexpr std::size_t kIpv6HeaderSize = 40;
constexpr std::size_t kTcpHeaderSize = 20;
constexpr std::size_t kUdpHeaderSize = 8;

constexpr std::uint8_t kTcpFin = 0x01;
constexpr std::uint8_t kTcpSyn = 0x02;
constexpr std::uint8_t kTcpRst = 0x04;
constexpr std::uint8_t kTcpPsh = 0x08;
constexpr std::uint8_t kTcpAck = 0x10;
constexpr std::uint8_t kTcpUrg = 0x20;

inline std::uint16_t load_u16(std::span<const std::uint8_t> bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}
inline std::uint32_t load_u32(std::span<const std::uint8_t> bytes, std::size_t at) {
  return std::uint32_t{load_u16(bytes, at)} << 16 | load_u16(bytes, at + 2);
}
inline void store_u16(std::span<std::uint8_t> bytes, std::size_t at, std::uint16_t value) {
  bytes[at] = static_cast<std::uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<std::uint8_t>(value);
}
inline void store_u32(std::span<std::uint8_t> bytes, std::size_t at, std::uint32_t value) {
  store_u16(bytes, at, static_cast<std::uint16_t>(value >> 16));
  store_u16(bytes, at + 2, static_cast<std::uint16_t>(value));
}

// Sequence numbers wrap (RFC 9293 3.4).
inline bool sequence_before(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::int32_t>(a - b) < 0;
}

// IPv4 and IPv6 addresses in one form for keys: IPv4 as ::ffff:a.b.c.d. Packets with such IPv6
// addresses never pass the sanitiser, so nothing can be taken for something else.
using AddressKey = std::array<std::uint8_t, 16>;
AddressKey address_key(const IpAddress& address);
IpAddress address_of(const AddressKey& key);

// A flow as the guest sees it.
struct FlowKey {
  AddressKey guest{};
  AddressKey target{};
  std::uint16_t guest_port = 0;
  std::uint16_t target_port = 0;
  std::uint8_t protocol = 0;
  friend bool operator==(const FlowKey&, const FlowKey&) = default;
};

struct FlowKeyHash {
  std::size_t operator()(const FlowKey& key) const;
};

struct NatPacket {
  std::span<std::uint8_t> frame;  // ends with the IP packet: no padding
  MacAddress mac;                 // of the guest
  FlowKey key;                    // guest first, whichever way it goes
  bool v6 = false;
  std::size_t transport_offset = 0;
  std::size_t payload_offset = 0;
  std::uint16_t payload_sum = 0;  // InternetChecksum::sum() of the payload,
  bool is_summed = false;         // if it has been made
  // TCP
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgement = 0;
  std::uint16_t window = 0;
  std::uint8_t flags = 0;
  std::uint16_t segment_size = 0;  // the MSS option of a SYN; 0: none
  std::optional<std::uint8_t> window_shift;
  bool sack_permitted = false;

  std::size_t payload_size() const { return frame.size() - payload_offset; }
  std::span<std::uint8_t> payload() const { return frame.subspan(payload_offset); }
  bool is_tcp() const { return key.protocol == kIpProtocolTcp; }
  // What the segment takes of the sequence space.
  std::uint32_t sequence_length() const {
    return static_cast<std::uint32_t>(payload_size()) + ((flags & kTcpSyn) != 0 ? 1 : 0) +
           ((flags & kTcpFin) != 0 ? 1 : 0);
  }
};

// The pseudo-header of the packet in `frame` (RFC 9293 3.1, RFC 8200 8.1) for `transport_size`
// bytes.
InternetChecksum pseudo_header(std::span<const std::uint8_t> frame, bool v6, std::uint8_t protocol,
                               std::size_t transport_size);
// Writes lengths and checksums of IP and transport headers of a packet whose frame size is right,
// its payload_sum taken for true.
void finish_headers(const NatPacket& packet);
// Moves the packet's addresses or ports to another target, with the checksums following. The way
// to the guest has the target as source.
enum class Direction : std::uint8_t { from_guest, to_guest };
void retarget(const NatPacket& packet, Direction direction, const AddressKey& address,
              std::uint16_t port);

}  // namespace lanyard
