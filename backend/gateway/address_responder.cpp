// SPDX-License-Identifier: MIT
#include "backend/gateway/address_responder.h"

#include <algorithm>
#include <array>
#include <optional>

#include "backend/gateway/router_advertiser.h"

namespace lanyard {
namespace {

constexpr std::uint64_t kMacPrefix = 0x525500000000;
constexpr std::uint8_t kEchoHopLimit = 64;

constexpr std::uint8_t kRouterFlag = 0x80;
constexpr std::uint8_t kSolicitedFlag = 0x40;
constexpr std::uint8_t kOverrideFlag = 0x20;

constexpr MacAddress kAllNodesMac = MacAddress::from_number(0x333300000001);
constexpr Ipv6Address kAllNodes{
    Ipv6Address::Bytes{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

// FNV-1a, 32 bits.
std::uint32_t hash_of(const std::string& text) {
  std::uint32_t hash = 0x811c9dc5;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193;
  return hash;
}

}  // namespace

MacAddress gateway_mac(const NetworkConfig& config) {
  for (const auto& address : {config.router, config.dhcp_address, config.dns_address}) {
    if (address) return MacAddress::from_number(kMacPrefix | address->number());
  }
  return MacAddress::from_number(kMacPrefix | hash_of(config.name));
}

void AddressResponder::set_network(const NetworkConfig& config) {
  addresses_.clear();
  const auto add = [this](const auto& address) {
    if (address && !is_ours(*address)) addresses_.emplace_back(*address);
  };
  add(config.router);
  add(config.dns_address);
  add(config.dhcp_address);
  add(config.router6);
  add(config.dns_address6);
  if (config.subnet6) add(std::optional(link_local_of(link_.mac())));
  is_router_ = config.kind == NetworkKind::nat;
  refuser_.set_network(config);
}

bool AddressResponder::is_ours(const IpAddress& address) const {
  return std::find(addresses_.begin(), addresses_.end(), address) != addresses_.end();
}

void AddressResponder::on_arp(const Packet& packet, Time now) {
  const ArpMessage& arp = packet.arp;
  if (is_ours(arp.sender)) {
    if (arp.sender_mac != link_.mac()) {
      report_conflict(arp.sender, arp.sender_mac, now);
    }
    return;
  }
  if (!arp.sender.is_unspecified()) {
    neighbours_.learn(arp.sender, arp.sender_mac, NeighbourTable::Evidence::resolution, now);
  }
  if (arp.operation != ArpMessage::kRequest || !is_ours(arp.target)) return;
  if (arp.sender_mac.is_group() || arp.sender_mac.is_zero()) return;
  link_.send_arp(arp.sender_mac,
                 {ArpMessage::kReply, link_.mac(), arp.target, arp.sender_mac, arp.sender});
}

void AddressResponder::on_neighbour(const Packet& packet, const NeighbourMessage& nd, Time now) {
  const Ipv6Address& source = packet.from.v6();
  if (!nd.is_solicitation) {
    if (is_ours(nd.target)) {
      if (packet.source != link_.mac()) report_conflict(nd.target, packet.source, now);
      return;
    }
    if (nd.link_layer) {
      neighbours_.learn(nd.target, *nd.link_layer, NeighbourTable::Evidence::resolution, now);
    }
    return;
  }
  const MacAddress asker = nd.link_layer.value_or(packet.source);
  if (!source.is_unspecified() && !is_ours(source)) {
    neighbours_.learn(source, asker, NeighbourTable::Evidence::resolution, now);
  }
  if (!is_ours(nd.target)) return;
  // Somebody who only looks whether the address is free has none to be answered at.
  if (source.is_unspecified()) {
    advertise(kAllNodesMac, kAllNodes, nd.target, false);
  } else {
    advertise(asker, source, nd.target, true);
  }
}

void AddressResponder::on_echo(const Packet& packet, const IcmpView& icmp) {
  message_.assign(icmp.message.begin(), icmp.message.end());
  if (packet.kind == Packet::Kind::ipv4) {
    message_[0] = kIcmpEchoReply;
    finish_icmp(message_);
    link_.send_ip(packet.source, packet.to, packet.from, kProtocolIcmp, kEchoHopLimit, message_);
  } else {
    message_[0] = kIcmp6EchoReply;
    finish_icmp6(message_, packet.to.v6(), packet.from.v6());
    link_.send_ip(packet.source, packet.to, packet.from, kProtocolIcmp6, kEchoHopLimit, message_);
  }
}

void AddressResponder::on_segment(std::span<std::uint8_t> frame, const Offload& offload, Time now) {
  const auto reset = refuser_.reset(frame, offload, link_.mac(), now);
  if (!reset.empty()) link_.send_frame(reset, {});
}

void AddressResponder::announce(Ipv4Address address) {
  link_.send_arp(kBroadcastMac,
                 {ArpMessage::kRequest, link_.mac(), address, MacAddress(), address});
}

void AddressResponder::advertise(MacAddress to, const Ipv6Address& destination,
                                 const Ipv6Address& target, bool solicited) {
  PacketBytes body{kIcmp6NeighbourAdvertisement, 0, 0, 0};
  body.push_back(static_cast<std::uint8_t>(kOverrideFlag | (is_router_ ? kRouterFlag : 0) |
                                           (solicited ? kSolicitedFlag : 0)));
  body.insert(body.end(), {0, 0, 0});
  body.insert(body.end(), target.bytes().begin(), target.bytes().end());
  body.insert(body.end(), {2, 1});  // the target's link-layer address
  const auto mac = link_.mac().bytes();
  body.insert(body.end(), mac.begin(), mac.end());
  link_.send_icmp6(to, target, destination, body);
}

void AddressResponder::report_conflict(const IpAddress& address, MacAddress mac, Time now) {
  if (!conflicts_.allow(now)) return;
  log_.warning("{} uses {}, which is the gateway's; give that guest another address", mac.text(),
               address.text());
  if (address.is_v4()) {
    announce(address.v4());
  } else {
    advertise(kAllNodesMac, kAllNodes, address.v6(), false);
  }
}

}  // namespace lanyard
