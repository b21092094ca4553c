// SPDX-License-Identifier: MIT
#include "backend/gateway/guest_side.h"

#include <algorithm>

namespace lanyard {
namespace {

constexpr std::size_t kFragmentHeaderSize = 8;
constexpr std::size_t kPayloadMax = 65535;
constexpr std::uint8_t kHopLimit = 64;
// Fragments begin at multiples of eight bytes.
constexpr std::size_t whole_units(std::size_t bytes) {
  return bytes & ~std::size_t{7};
}

}  // namespace

void GuestSide::send_udp(const GuestDatagram& datagram) {
  message_.clear();
  if (datagram.payload.size() > kPayloadMax - kUdpHeaderSize - kIpv4HeaderSize) return;
  append_udp(message_, datagram.source, datagram.destination,
             {datagram.source_port, datagram.destination_port, datagram.payload});
  send_ip(datagram.guest, datagram.source, datagram.destination, kProtocolUdp, kHopLimit, message_);
}

void GuestSide::send_arp_request(Ipv4Address sender, Ipv4Address target) {
  send_arp(kBroadcastMac, {ArpMessage::kRequest, mac_, sender, MacAddress(), target});
}

void GuestSide::send_arp(MacAddress to, const ArpMessage& message) {
  frame_.clear();
  append_ethernet(frame_, to, mac_, kEtherTypeArp);
  append_arp(frame_, message);
  channel_.send(frame_, {});
}

void GuestSide::send_icmp6(MacAddress to, const Ipv6Address& source, const Ipv6Address& destination,
                           std::span<const std::uint8_t> body) {
  if (body.size() < 4) return;
  message_.assign(body.begin(), body.end());
  finish_icmp6(message_, source, destination);
  send_ip(to, source, destination, kProtocolIcmp6, kNdHopLimit, message_);
}

void GuestSide::send_ip(MacAddress to, const IpAddress& source, const IpAddress& destination,
                        std::uint8_t protocol, std::uint8_t hop_limit,
                        std::span<const std::uint8_t> payload) {
  if (source.is_v4() != destination.is_v4()) return;
  if (source.is_v4()) {
    send_ipv4(to, {source.v4(), destination.v4(), protocol, hop_limit}, payload);
  } else {
    send_ipv6(to, {source.v6(), destination.v6(), protocol, hop_limit}, payload);
  }
}

void GuestSide::send_ipv4(MacAddress to, Ipv4Fields fields, std::span<const std::uint8_t> payload) {
  const std::size_t room = whole_units(mtu_ - kIpv4HeaderSize);
  fields.identification = ++identification4_;
  const bool fits = kIpv4HeaderSize + payload.size() <= mtu_;
  for (std::size_t at = 0; at == 0 || at < payload.size();) {
    const std::size_t count = fits ? payload.size() : std::min(room, payload.size() - at);
    fields.fragment_bytes = static_cast<std::uint16_t>(at);
    fields.more_fragments = at + count < payload.size();
    frame_.clear();
    append_ethernet(frame_, to, mac_, kEtherTypeIpv4);
    append_ipv4(frame_, fields, count);
    frame_.insert(frame_.end(), payload.begin() + static_cast<std::ptrdiff_t>(at),
                  payload.begin() + static_cast<std::ptrdiff_t>(at + count));
    channel_.send(frame_, {});
    at += std::max<std::size_t>(count, 1);
  }
}

void GuestSide::send_ipv6(MacAddress to, Ipv6Fields fields, std::span<const std::uint8_t> payload) {
  const bool fits = kIpv6HeaderSize + payload.size() <= mtu_;
  const std::size_t room = whole_units(mtu_ - kIpv6HeaderSize - kFragmentHeaderSize);
  const std::uint8_t protocol = fields.next_header;
  if (!fits) {
    fields.next_header = kProtocolFragment;
    ++identification6_;
  }
  for (std::size_t at = 0; at == 0 || at < payload.size();) {
    const std::size_t count = fits ? payload.size() : std::min(room, payload.size() - at);
    frame_.clear();
    append_ethernet(frame_, to, mac_, kEtherTypeIpv6);
    append_ipv6(frame_, fields, count + (fits ? 0 : kFragmentHeaderSize));
    if (!fits) {
      append_ipv6_fragment(frame_, protocol, identification6_, at, at + count < payload.size());
    }
    frame_.insert(frame_.end(), payload.begin() + static_cast<std::ptrdiff_t>(at),
                  payload.begin() + static_cast<std::ptrdiff_t>(at + count));
    channel_.send(frame_, {});
    at += std::max<std::size_t>(count, 1);
  }
}

}  // namespace lanyard
