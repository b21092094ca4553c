// SPDX-License-Identifier: MIT
#include "backend/gateway/nat_packet.h"

#include <algorithm>
#include <cstring>

namespace lanyard {
namespace {

constexpr AddressKey kMappedPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr std::size_t kMappedSize = 12;

constexpr std::size_t kIpv4Length = kIpOffset + 2;
constexpr std::size_t kIpv4Checksum = kIpOffset + 10;
constexpr std::size_t kIpv4Source = kIpOffset + 12;
constexpr std::size_t kIpv6Length = kIpOffset + 4;
constexpr std::size_t kIpv6Source = kIpOffset + 8;

std::size_t checksum_offset(std::uint8_t protocol) {
  return protocol == kIpProtocolTcp ? 16 : 6;
}

// RFC 1624: a checksum after `before` in what it covers became `after`.
std::uint16_t follow(std::uint16_t checksum, std::span<const std::uint8_t> before,
                     std::span<const std::uint8_t> after) {
  InternetChecksum sum;
  sum.add_u16(static_cast<std::uint16_t>(~checksum));
  for (std::size_t i = 0; i < before.size(); i += 2) {
    sum.add_u16(static_cast<std::uint16_t>(~load_u16(before, i)));
    sum.add_u16(load_u16(after, i));
  }
  return sum.finish();
}

}  // namespace

AddressKey address_key(const IpAddress& address) {
  if (address.is_v6()) return address.v6().bytes();
  AddressKey key = kMappedPrefix;
  const auto octets = address.v4().bytes();
  std::copy(octets.begin(), octets.end(), key.begin() + kMappedSize);
  return key;
}

IpAddress address_of(const AddressKey& key) {
  if (std::equal(key.begin(), key.begin() + kMappedSize, kMappedPrefix.begin())) {
    return Ipv4Address::from_bytes(std::span(key).last<4>());
  }
  return Ipv6Address(key);
}

std::size_t FlowKeyHash::operator()(const FlowKey& key) const {
  // Guests choose ports and addresses, so the table is bounded per guest; this only has to spread.
  std::uint64_t words[5];
  std::memcpy(words, key.guest.data(), 16);
  std::memcpy(words + 2, key.target.data(), 16);
  words[4] =
      std::uint64_t{key.guest_port} << 24 | std::uint64_t{key.target_port} << 8 | key.protocol;
  std::uint64_t hash = 0x9e3779b97f4a7c15;
  for (const std::uint64_t word : words) {
    hash = (hash ^ word) * 0xff51afd7ed558ccd;
    hash ^= hash >> 32;
  }
  return hash;
}

InternetChecksum pseudo_header(std::span<const std::uint8_t> frame, bool v6, std::uint8_t protocol,
                               std::size_t transport_size) {
  InternetChecksum sum;
  sum.add(v6 ? frame.subspan(kIpv6Source, 32) : frame.subspan(kIpv4Source, 8));
  sum.add_u32(static_cast<std::uint32_t>(transport_size));
  sum.add_u16(protocol);
  return sum;
}

void finish_headers(const NatPacket& packet) {
  const auto frame = packet.frame;
  const std::size_t transport_size = frame.size() - packet.transport_offset;
  if (packet.v6) {
    store_u16(frame, kIpv6Length, static_cast<std::uint16_t>(transport_size));
  } else {
    store_u16(frame, kIpv4Length, static_cast<std::uint16_t>(frame.size() - kIpOffset));
    store_u16(frame, kIpv4Checksum, 0);
    store_u16(frame, kIpv4Checksum, internet_checksum(frame.subspan(kIpOffset, kIpv4HeaderSize)));
  }
  if (!packet.is_tcp()) {
    store_u16(frame, packet.transport_offset + 4, static_cast<std::uint16_t>(transport_size));
  }
  const std::size_t at = packet.transport_offset + checksum_offset(packet.key.protocol);
  store_u16(frame, at, 0);
  InternetChecksum sum = pseudo_header(frame, packet.v6, packet.key.protocol, transport_size);
  sum.add(frame.subspan(packet.transport_offset, packet.payload_offset - packet.transport_offset));
  sum.add_u16(packet.payload_sum);
  std::uint16_t checksum = sum.finish();
  // A UDP checksum of zero would mean none (RFC 768).
  if (checksum == 0 && !packet.is_tcp()) checksum = 0xffff;
  store_u16(frame, at, checksum);
}

void retarget(const NatPacket& packet, Direction direction, const AddressKey& address,
              std::uint16_t port) {
  const auto frame = packet.frame;
  const std::size_t size = packet.v6 ? 16 : 4;
  const bool to_guest = direction == Direction::to_guest;
  const std::size_t address_at = (packet.v6 ? kIpv6Source : kIpv4Source) + (to_guest ? 0 : size);
  const std::size_t port_at = packet.transport_offset + (to_guest ? 0 : 2);
  const std::size_t checksum_at = packet.transport_offset + checksum_offset(packet.key.protocol);

  std::array<std::uint8_t, 18> before{};
  std::array<std::uint8_t, 18> after{};
  const auto old_address = frame.subspan(address_at, size);
  const auto new_address = std::span(address).last(size);
  std::copy(old_address.begin(), old_address.end(), before.begin());
  std::copy(new_address.begin(), new_address.end(), after.begin());
  if (!packet.v6) {
    store_u16(frame, kIpv4Checksum,
              follow(load_u16(frame, kIpv4Checksum), std::span(before).first(size),
                     std::span(after).first(size)));
  }
  store_u16(before, size, load_u16(frame, port_at));
  store_u16(after, size, port);
  store_u16(frame, checksum_at,
            follow(load_u16(frame, checksum_at), std::span(before).first(size + 2),
                   std::span(after).first(size + 2)));
  std::copy(new_address.begin(), new_address.end(), old_address.begin());
  store_u16(frame, port_at, port);
}

}  // namespace lanyard
