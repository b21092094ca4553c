// SPDX-License-Identifier: MIT
//
// NatTranslator: from the engine to guests.
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "backend/gateway/nat_translator.h"

namespace lanyard {
namespace {

constexpr std::uint8_t kNeighbourSolicitation = 135;

// Puts the hardware addresses in that hold outside: the engine's differ from the router's.
void address_frame(std::span<std::uint8_t> frame, MacAddress to, MacAddress from) {
  const auto to_octets = to.bytes();
  const auto from_octets = from.bytes();
  std::copy(to_octets.begin(), to_octets.end(), frame.begin());
  std::copy(from_octets.begin(), from_octets.end(), frame.begin() + 6);
}

}  // namespace

bool NatTranslator::read_engine_frame(std::span<std::uint8_t> frame, NatPacket& packet) const {
  if (frame.size() < kIpOffset + kIpv4HeaderSize) return false;
  const std::uint16_t type = load_u16(frame, 12);
  packet.frame = frame;
  packet.v6 = type == 0x86dd;
  if (packet.v6) {
    if (frame.size() < kIpOffset + kIpv6HeaderSize) return false;
    std::copy_n(frame.begin() + 22, 16, packet.key.target.begin());
    std::copy_n(frame.begin() + 38, 16, packet.key.guest.begin());
    packet.key.protocol = frame[20];
    packet.transport_offset = kIpOffset + kIpv6HeaderSize;
  } else if (type == 0x0800) {
    packet.key.target = address_key(Ipv4Address::from_bytes(frame.subspan(26).first<4>()));
    packet.key.guest = address_key(Ipv4Address::from_bytes(frame.subspan(30).first<4>()));
    packet.key.protocol = frame[23];
    packet.transport_offset = kIpOffset + (frame[kIpOffset] & 0xfU) * 4U;
  } else {
    return false;
  }
  packet.payload_offset = packet.transport_offset;
  // A later fragment has no transport header.
  if (!packet.v6 && (load_u16(frame, 20) & 0x1fff) != 0) packet.key.protocol = 0;
  const std::size_t need = packet.is_tcp() ? kTcpHeaderSize : kUdpHeaderSize;
  if ((packet.is_tcp() || packet.key.protocol == kIpProtocolUdp) &&
      frame.size() < packet.transport_offset + need) {
    return false;
  }
  const auto transport = frame.subspan(std::min(packet.transport_offset, frame.size()));
  if (packet.is_tcp() || packet.key.protocol == kIpProtocolUdp) {
    packet.key.target_port = load_u16(transport, 0);
    packet.key.guest_port = load_u16(transport, 2);
    packet.payload_offset += kUdpHeaderSize;
  }
  if (packet.is_tcp()) {
    const std::size_t header = (transport[12] >> 4) * 4U;
    if (header < kTcpHeaderSize || header > transport.size()) return false;
    packet.payload_offset = packet.transport_offset + header;
    packet.sequence = load_u32(transport, 4);
    packet.acknowledgement = load_u32(transport, 8);
    packet.flags = transport[13];
    packet.window = load_u16(transport, 14);
  }
  return true;
}

void NatTranslator::engine_sends(std::span<std::uint8_t> frame) {
  NatPacket packet;
  if (!read_engine_frame(frame, packet)) {
    counters_.count(NatEvent::engine_internal);
    return;
  }
  FlowEntry* flow = flow_to_guest(packet);
  MacAddress to = flow != nullptr ? flow->mac : MacAddress();
  if (to.is_zero()) {
    to = mac_of_guest(address_of(packet.key.guest)).value_or(MacAddress());
    if (flow != nullptr) flow->mac = to;
  }
  if (to.is_zero()) {
    counters_.count(NatEvent::guest_unknown);
    return;
  }
  address_frame(frame, to, router_mac_);
  packet.mac = to;
  if (flow != nullptr) note_to_guest(*flow, packet, context_.loop.now());
  if (packet.is_tcp()) {
    output_.send_tcp(packet, flow != nullptr ? flow->guest_segment_size : std::uint16_t{0});
  } else {
    output_.send_datagram(frame);
  }
}

// The flow to which a packet of the engine belongs, the packet's addresses put back to what the
// guest knows.
FlowEntry* NatTranslator::flow_to_guest(NatPacket& packet) {
  if (!packet.is_tcp()) return nullptr;
  const std::uint16_t dns_port = packet.v6 ? dns_port6_ : dns_port4_;
  const bool has_dns =
      packet.v6 ? config_.dns_address6 && config_.router6 : config_.dns_address && config_.router;
  if (dns_port != 0 && packet.key.target_port == dns_port && has_dns) {
    const IpAddress router = packet.v6 ? IpAddress(*config_.router6) : IpAddress(*config_.router);
    const IpAddress dns =
        packet.v6 ? IpAddress(*config_.dns_address6) : IpAddress(*config_.dns_address);
    FlowKey key = packet.key;
    key.target = address_key(dns);
    key.target_port = 53;
    FlowEntry* flow = packet.key.target == address_key(router) ? flows_.find(key) : nullptr;
    if (flow != nullptr && flow->to_dns) {
      retarget(packet, Direction::to_guest, key.target, key.target_port);
      packet.key = key;
      return flow;
    }
  }
  FlowEntry* flow = flows_.find(packet.key);
  return flow != nullptr ? flow : open_by_forward(packet);
}

FlowEntry* NatTranslator::open_by_forward(const NatPacket& packet) {
  if (flows_.full()) return nullptr;
  if ((packet.flags & (kTcpSyn | kTcpAck)) != kTcpSyn) return nullptr;
  const int accepted = accepted_from(packet.key.target_port);
  if (accepted < 0) return nullptr;
  FlowEntry& flow = flows_.insert(packet.key, context_.loop.now());
  flow.incoming = true;
  flow.forward = forwards_.name_of_socket(accepted);
  attach(flow, accepted);
  counters_.count(NatEvent::flows_by_forward);
  return &flow;
}

// Several connections can be accepted before the first SYN leaves (the guest has to be found), so
// the peer's port tells which is which. A peer at a Unix socket has none of its own.
int NatTranslator::accepted_from(std::uint16_t peer_port) const {
  int unix_socket = -1;
  for (const int fd : unattached_) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue;
    // Both families have the port in the same place.
    sockaddr_in in{};
    std::memcpy(&in, &peer, sizeof in);
    if (peer.ss_family == AF_UNIX) {
      if (unix_socket < 0) unix_socket = fd;
    } else if (ntohs(in.sin_port) == peer_port) {
      return fd;
    }
  }
  return unix_socket;
}

void NatTranslator::attach(FlowEntry& flow, int fd) {
  std::erase(unattached_, fd);
  flows_.attach(flow, fd);
}

void NatTranslator::socket_opened(int fd) {
  opened_fd_ = fd;
  unattached_.push_back(fd);
}

void NatTranslator::socket_closed(int fd) {
  if (fd == opened_fd_) opened_fd_ = -1;
  std::erase(unattached_, fd);
  flows_.close_socket(fd, [this](const FlowEntry& flow) { flow_gone(flow); });
}

void NatTranslator::flow_gone(const FlowEntry& flow) {
  if (flow.has_account) quota_.give_back(flow.account);
  drop_held(flow.key);
}

// Asks the network for a guest that has never spoken; the answer comes as a frame.
void NatTranslator::guest_wanted(const IpAddress& guest) {
  if (guest.is_v4()) {
    if (config_.router) context_.link.send_arp_request(*config_.router, guest.v4());
    return;
  }
  if (!config_.router6) return;
  std::array<std::uint8_t, 32> body{};
  body[0] = kNeighbourSolicitation;
  const auto& target = guest.v6().bytes();
  std::copy(target.begin(), target.end(), body.begin() + 8);
  body[24] = 1;  // source link-layer address
  body[25] = 1;
  const auto mac = router_mac_.bytes();
  std::copy(mac.begin(), mac.end(), body.begin() + 26);
  // The solicited-node address (RFC 4291 2.7.1) and its hardware address (RFC 2464 7).
  const Ipv6Address group(Ipv6Address::Bytes{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0xff,
                                             target[13], target[14], target[15]});
  const auto to = MacAddress::from_number(0x3333ff000000 | std::uint64_t{target[13]} << 16 |
                                          std::uint64_t{target[14]} << 8 | target[15]);
  context_.link.send_icmp6(to, *config_.router6, group, body);
}

void NatTranslator::engine_done() {
  output_.flush();
  engine_->set_paused(output_.congested());
}

}  // namespace lanyard
