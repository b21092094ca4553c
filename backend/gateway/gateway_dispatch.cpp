// SPDX-License-Identifier: MIT
//
// The way of a frame from a guest through the gateway.
#include "backend/gateway/gateway.h"

namespace lanyard {
namespace {

constexpr std::uint16_t kDhcpServerPort = 67;
constexpr std::uint16_t kDnsPort = 53;

}  // namespace

void Gateway::on_frames(std::span<FrameChannel::Received> frames) {
  nat_batch_.clear();
  whole_.clear();
  for (const FrameChannel::Received& received : frames) on_frame(received);
  if (!nat_batch_.empty()) nat_->input(nat_batch_);
}

void Gateway::on_frame(const FrameChannel::Received& received) {
  const Packet packet = read_packet(received.frame);
  if (packet.source.is_group() || packet.source == mac()) {
    return counters_.count(GatewayWay::bad_source);
  }
  if (packet.destination != mac() && !packet.destination.is_group()) {
    return counters_.count(GatewayWay::not_for_us);
  }
  if (packet.fault != PacketFault::none) return counters_.count(packet.fault);
  switch (packet.kind) {
    case Packet::Kind::arp: return on_arp(received, packet);
    case Packet::Kind::ipv4:
    case Packet::Kind::ipv6: return on_ip(received, packet);
    case Packet::Kind::other: return counters_.count(GatewayWay::not_ip);
  }
}

void Gateway::on_arp(const FrameChannel::Received& received, const Packet& packet) {
  counters_.count(GatewayWay::arp);
  const Time now = context_.loop.now();
  responder_.on_arp(packet, now);
  const ArpMessage& arp = packet.arp;
  if (dhcp_ && !arp.sender.is_unspecified()) dhcp_->on_arp(arp.sender, arp.sender_mac, now);
  // Forwards ask where silent guests are.
  if (nat_ && arp.operation == ArpMessage::kReply && packet.destination == mac()) {
    to_nat(received);
  }
}

void Gateway::on_ip(const FrameChannel::Received& received, const Packet& packet) {
  if (packet.destination != mac()) return on_whole_ip(received, packet);
  switch (reassembler_.add(received.frame, context_.loop.now())) {
    case FragmentReassembler::Outcome::no_fragment: return on_whole_ip(received, packet);
    case FragmentReassembler::Outcome::held: return counters_.count(GatewayWay::fragment);
    case FragmentReassembler::Outcome::dropped: return counters_.count(GatewayWay::bad_fragment);
    case FragmentReassembler::Outcome::complete: break;
  }
  // NAT reads it at the end of the turn.
  PacketBytes& frame = whole_.emplace_back(reassembler_.take());
  const Packet whole = read_packet(frame);
  if (whole.fault != PacketFault::none) return counters_.count(whole.fault);
  on_whole_ip({frame, {}}, whole);
}

// Or a fragment that nobody puts together: to a group, or within a fragment.
void Gateway::on_whole_ip(const FrameChannel::Received& received, const Packet& packet) {
  const bool unicast = packet.destination == mac();
  if (unicast) {
    neighbours_.learn(packet.from, packet.source, NeighbourTable::Evidence::packet,
                      context_.loop.now());
  }
  if (!packet.is_fragment) {
    if (packet.protocol == kProtocolUdp && on_udp(received, packet)) return;
    const std::uint8_t icmp = packet.kind == Packet::Kind::ipv4 ? kProtocolIcmp : kProtocolIcmp6;
    if (packet.protocol == icmp && on_icmp(received, packet)) return;
  }
  if (!nat_ && unicast && !packet.is_fragment && packet.protocol == kProtocolTcp &&
      responder_.is_ours(packet.to)) {
    responder_.on_segment(received.frame, received.offload, context_.loop.now());
  }
  if (!unicast || !nat_) return counters_.count(GatewayWay::not_served);
  counters_.count(GatewayWay::nat);
  to_nat(received);
}

// True when it has been dealt with.
bool Gateway::on_udp(const FrameChannel::Received& received, const Packet& packet) {
  const bool ours = responder_.is_ours(packet.to);
  const bool broadcast = packet.kind == Packet::Kind::ipv4 && packet.to.v4().is_broadcast();
  if (!ours && !broadcast) return false;
  const Reading<UdpView> udp = read_udp(packet, received.offload.needs_checksum);
  if (!udp) {
    counters_.count(udp.fault);
    return true;
  }
  const Time now = context_.loop.now();
  const GuestDatagram datagram{
      packet.source,    packet.from, packet.to, udp.value.source_port, udp.value.destination_port,
      udp.value.payload};
  if (dhcp_ && datagram.destination_port == kDhcpServerPort && packet.to.is_v4()) {
    counters_.count(GatewayWay::dhcp);
    dhcp_->on_datagram(datagram, now);
    return true;
  }
  if (!ours || packet.destination != mac()) return false;
  if (dns_ && datagram.destination_port == kDnsPort &&
      (packet.to.is_v4() ? config_.dns_address == packet.to.v4()
                         : config_.dns_address6 == packet.to.v6())) {
    counters_.count(GatewayWay::dns);
    dns_->on_datagram(datagram);
    return true;
  }
  if (tftp_ && packet.to.is_v4() && tftp_->on_datagram(datagram, now)) {
    counters_.count(GatewayWay::tftp);
    return true;
  }
  return false;
}

bool Gateway::on_icmp(const FrameChannel::Received& received, const Packet& packet) {
  const bool v4 = packet.kind == Packet::Kind::ipv4;
  const Reading<IcmpView> icmp = read_icmp(packet, received.offload.needs_checksum);
  if (!icmp) {
    counters_.count(icmp.fault);
    return true;
  }
  if (!v4 && on_icmp6(received, packet, icmp.value)) return true;
  if (icmp.value.type != (v4 ? kIcmpEcho : kIcmp6EchoRequest)) return false;
  if (packet.destination != mac()) return false;
  if (responder_.is_ours(packet.to)) {
    counters_.count(GatewayWay::echo);
    responder_.on_echo(packet, icmp.value);
    return true;
  }
  if (!pings_) return false;
  counters_.count(GatewayWay::ping);
  pings_->on_echo(packet, icmp.value);
  return true;
}

bool Gateway::on_icmp6(const FrameChannel::Received& received, const Packet& packet,
                       const IcmpView& icmp) {
  const Time now = context_.loop.now();
  switch (icmp.type) {
    case kIcmp6RouterSolicitation:
      if (!is_router_solicitation(packet, icmp)) {
        counters_.count(PacketFault::bad_nd);
        return true;
      }
      counters_.count(GatewayWay::neighbour);
      if (advertiser_) advertiser_->on_solicitation(packet.source, packet.from.v6(), now);
      return true;
    case kIcmp6NeighbourSolicitation:
    case kIcmp6NeighbourAdvertisement: {
      const Reading<NeighbourMessage> nd = read_neighbour(packet, icmp);
      if (!nd) {
        counters_.count(nd.fault);
        return true;
      }
      counters_.count(GatewayWay::neighbour);
      responder_.on_neighbour(packet, nd.value, now);
      if (nat_ && !nd.value.is_solicitation && packet.destination == mac()) to_nat(received);
      return true;
    }
    default: return false;
  }
}

void Gateway::to_nat(const FrameChannel::Received& received) {
  nat_batch_.push_back({received.frame, received.offload});
}

}  // namespace lanyard
