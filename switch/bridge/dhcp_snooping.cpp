// SPDX-License-Identifier: MIT
#include "switch/bridge/dhcp_snooping.h"

#include <algorithm>

#include "switch/bridge/byte_reader.h"

namespace lanyard {
namespace {

struct DhcpMessage {
  std::uint8_t type = 0;
  MacAddress client;
  Ipv4Address current;  // ciaddr
  Ipv4Address given;    // yiaddr
  std::optional<Ipv4Address> requested;
  std::optional<std::uint32_t> lease_s;
};

std::optional<DhcpMessage> read_dhcp(std::span<const std::uint8_t> bytes) {
  constexpr std::uint32_t kCookie = 0x63825363;
  constexpr std::uint8_t kPad = 0;
  constexpr std::uint8_t kRequestedAddress = 50;
  constexpr std::uint8_t kLeaseTime = 51;
  constexpr std::uint8_t kMessageType = 53;
  constexpr std::uint8_t kEnd = 255;
  ByteReader reader(bytes);
  reader.skip(1);
  const std::uint16_t hardware = reader.u16();  // Ethernet, with six octets
  reader.skip(9);
  DhcpMessage message;
  message.current = Ipv4Address::from_bytes(reader.fixed<4>());
  message.given = Ipv4Address::from_bytes(reader.fixed<4>());
  reader.skip(8);
  message.client = MacAddress::from_bytes(reader.fixed<6>());
  reader.skip(10 + 64 + 128);  // padding, server name, boot file
  if (reader.u32() != kCookie || hardware != 0x0106) return std::nullopt;
  while (reader.ok() && reader.left() != 0) {
    const std::uint8_t code = reader.u8();
    if (code == kEnd) break;
    if (code == kPad) continue;
    ByteReader value(reader.take(reader.u8()));
    if (code == kMessageType) message.type = value.u8();
    if (code == kLeaseTime && value.left() == 4) message.lease_s = value.u32();
    if (code == kRequestedAddress && value.left() == 4) {
      message.requested = Ipv4Address::from_bytes(value.fixed<4>());
    }
  }
  if (!reader.ok()) return std::nullopt;
  return message;
}

// The addresses among the options of an identity association.
void read_addresses(ByteReader options, std::vector<SnoopedLease>& leases) {
  constexpr std::size_t kLeasesMax = 16;
  constexpr std::uint16_t kAddress = 5;
  while (options.ok() && options.left() != 0 && leases.size() < kLeasesMax) {
    const std::uint16_t code = options.u16();
    ByteReader value(options.take(options.u16()));
    if (!options.ok() || code != kAddress) continue;
    Ipv6Address::Bytes bytes{};
    const auto taken = value.fixed<16>();
    std::copy(taken.begin(), taken.end(), bytes.begin());
    value.skip(4);  // preferred lifetime
    const std::uint32_t valid_s = value.u32();
    if (value.ok()) leases.push_back({Ipv6Address(bytes), valid_s});
  }
}

}  // namespace

std::optional<SnoopedDhcp> snoop_dhcp_ack(std::span<const std::uint8_t> bytes) {
  constexpr std::uint8_t kAck = 5;
  const std::optional<DhcpMessage> message = read_dhcp(bytes);
  // Without a lease time it answers DHCPINFORM, and gives nothing.
  if (!message || message->type != kAck || !message->lease_s) return std::nullopt;
  if (message->given.is_unspecified() || message->client.is_group()) return std::nullopt;
  return SnoopedDhcp{message->client, {message->given, *message->lease_s}};
}

std::optional<SnoopedDhcp> snoop_dhcp_return(std::span<const std::uint8_t> bytes) {
  constexpr std::uint8_t kDecline = 4;
  constexpr std::uint8_t kRelease = 7;
  const std::optional<DhcpMessage> message = read_dhcp(bytes);
  if (!message) return std::nullopt;
  if (message->type == kRelease) return SnoopedDhcp{message->client, {message->current, 0}};
  if (message->type == kDecline && message->requested) {
    return SnoopedDhcp{message->client, {*message->requested, 0}};
  }
  return std::nullopt;
}

std::vector<SnoopedLease> snoop_dhcpv6_reply(std::span<const std::uint8_t> bytes) {
  constexpr std::uint8_t kReply = 7;
  constexpr std::uint16_t kNonTemporary = 3;
  constexpr std::uint16_t kTemporary = 4;
  std::vector<SnoopedLease> leases;
  ByteReader reader(bytes);
  if (reader.u8() != kReply) return leases;
  reader.skip(3);
  while (reader.ok() && reader.left() != 0) {
    const std::uint16_t code = reader.u16();
    ByteReader value(reader.take(reader.u16()));
    if (!reader.ok() || (code != kNonTemporary && code != kTemporary)) continue;
    value.skip(code == kNonTemporary ? 12 : 4);
    read_addresses(value, leases);
  }
  return leases;
}

}  // namespace lanyard
