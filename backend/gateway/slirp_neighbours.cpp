// SPDX-License-Identifier: MIT
#include "backend/gateway/slirp_neighbours.h"

#include <algorithm>

#include "switch/frame/ethernet.h"

namespace lanyard {
namespace {

constexpr std::uint16_t kEtherTypeArp = 0x0806;
constexpr std::uint16_t kEtherTypeIpv6 = 0x86dd;
constexpr std::size_t kArpSize = 28;
constexpr std::uint8_t kRouterAdvertisement = 134;  // RFC 4861 4
constexpr std::uint8_t kNeighbourSolicitation = 135;
constexpr std::uint8_t kNeighbourAdvertisement = 136;
constexpr std::size_t kIcmp6 = kIpOffset + kIpv6HeaderSize;
constexpr std::size_t kTargetSize = 24;  // type to the end of the target address

void put(std::vector<std::uint8_t>& frame, std::size_t at, std::span<const std::uint8_t> bytes) {
  std::copy(bytes.begin(), bytes.end(), frame.begin() + static_cast<std::ptrdiff_t>(at));
}

// The type of an ICMPv6 message that follows the IPv6 header at once; 0 for anything else.
std::uint8_t icmp6_type(std::span<const std::uint8_t> frame) {
  if (frame.size() < kIcmp6 + 4 || load_u16(frame, kAddressesSize) != kEtherTypeIpv6) return 0;
  return frame[kIpOffset + 6] == kIpProtocolIcmp6 ? frame[kIcmp6] : std::uint8_t{0};
}

Ipv6Address target_of(std::span<const std::uint8_t> frame) {
  Ipv6Address::Bytes octets{};
  std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(kIcmp6) + 8, 16, octets.begin());
  return Ipv6Address(octets);
}

bool is_arp(std::span<const std::uint8_t> frame) {
  return frame.size() >= kIpOffset + kArpSize && load_u16(frame, kAddressesSize) == kEtherTypeArp &&
         load_u16(frame, kIpOffset) == 1 && load_u16(frame, kIpOffset + 2) == 0x0800;
}

}  // namespace

std::vector<std::uint8_t> arp_reply(Ipv4Address guest, MacAddress mac, Ipv4Address router) {
  std::vector<std::uint8_t> frame(kIpOffset + kArpSize);
  const auto router_octets = router.bytes();
  const std::array<std::uint8_t, 6> to{
      0x52, 0x55, router_octets[0], router_octets[1], router_octets[2], router_octets[3]};
  put(frame, 0, to);
  put(frame, 6, mac.bytes());
  store_u16(frame, 12, kEtherTypeArp);
  store_u16(frame, 14, 1);       // Ethernet
  store_u16(frame, 16, 0x0800);  // IPv4
  frame[18] = 6;
  frame[19] = 4;
  store_u16(frame, 20, 2);  // reply
  put(frame, 22, mac.bytes());
  put(frame, 28, guest.bytes());
  put(frame, 32, to);
  put(frame, 38, router.bytes());
  return frame;
}

std::vector<std::uint8_t> neighbour_advertisement(const Ipv6Address& guest, MacAddress mac,
                                                  const Ipv6Address& router) {
  constexpr std::size_t kBody = kTargetSize + 8;  // and the link-layer address option
  std::vector<std::uint8_t> frame(kIcmp6 + kBody);
  const auto r = router.bytes();
  put(frame, 0, std::array<std::uint8_t, 6>{0x52, 0x56, r[12], r[13], r[14], r[15]});
  put(frame, 6, mac.bytes());
  store_u16(frame, 12, kEtherTypeIpv6);
  frame[14] = 0x60;
  store_u16(frame, 18, kBody);
  frame[20] = kIpProtocolIcmp6;
  frame[21] = 255;
  put(frame, 22, guest.bytes());
  put(frame, 38, router.bytes());
  frame[kIcmp6] = kNeighbourAdvertisement;
  frame[kIcmp6 + 4] = 0x60;  // solicited, override
  put(frame, kIcmp6 + 8, guest.bytes());
  frame[kIcmp6 + 24] = 2;  // target link-layer address
  frame[kIcmp6 + 25] = 1;
  put(frame, kIcmp6 + 26, mac.bytes());
  InternetChecksum sum = pseudo_header(frame, true, kIpProtocolIcmp6, kBody);
  sum.add(std::span(frame).subspan(kIcmp6));
  store_u16(frame, kIcmp6 + 2, sum.finish());
  return frame;
}

std::optional<IpAddress> neighbour_question(std::span<const std::uint8_t> frame) {
  if (is_arp(frame)) {
    return Ipv4Address::from_bytes(frame.subspan(kIpOffset + 24).first<4>());
  }
  if (icmp6_type(frame) != kNeighbourSolicitation || frame.size() < kIcmp6 + kTargetSize) {
    return std::nullopt;
  }
  return target_of(frame);
}

bool is_router_advertisement(std::span<const std::uint8_t> frame) {
  return icmp6_type(frame) == kRouterAdvertisement;
}

std::optional<NeighbourNews> neighbour_news(std::span<const std::uint8_t> frame) {
  if (is_arp(frame)) {
    const auto arp = frame.subspan(kIpOffset);
    const auto mac = MacAddress::from_bytes(arp.subspan(8).first<6>());
    const auto guest = Ipv4Address::from_bytes(arp.subspan(14).first<4>());
    // A probe (RFC 5227) says nothing yet.
    if (mac != EthernetView(frame).source() || guest.is_unspecified()) return std::nullopt;
    return NeighbourNews{guest, mac};
  }
  if (icmp6_type(frame) != kNeighbourAdvertisement || frame.size() < kIcmp6 + kTargetSize ||
      frame[kIpOffset + 7] != 255) {
    return std::nullopt;
  }
  return NeighbourNews{target_of(frame), EthernetView(frame).source()};
}

}  // namespace lanyard
