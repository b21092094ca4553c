// SPDX-License-Identifier: MIT
//
// NatTranslator: connections of guests that the direct engine carries.
#include <cerrno>

#include "backend/gateway/nat_reply.h"
#include "backend/gateway/nat_translator.h"

namespace lanyard {
namespace {

const Ipv4Address kLoopback4 = Ipv4Address::from_number(0x7f000001);
const Ipv6Address kLoopback6(Ipv6Address::Bytes{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});

}  // namespace

// A connection stays with the engine that has begun it.
bool NatTranslator::takes_direct_way(const NatPacket& packet) {
  const FlowEntry* const flow = flows_.find(packet.key);
  if (flow != nullptr) return flow->direct != 0;
  return context_.tcp_engine == TcpEngineKind::direct;
}

void NatTranslator::deliver_direct(const NatPacket& packet) {
  FlowEntry* const flow = flows_.find(packet.key);
  if (flow == nullptr) {
    if ((packet.flags & (kTcpSyn | kTcpAck)) == kTcpSyn) {
      open_direct(packet);
    } else {
      refuse(packet, NatEvent::no_flow);
    }
    return;
  }
  if (flow->mac != packet.mac && mac_of_guest(address_of(packet.key.guest)) != packet.mac) {
    counters_.count(NatEvent::spoofed_source);
    return;
  }
  flow->mac = packet.mac;
  direct_.input(flow->direct, packet);
}

void NatTranslator::open_direct(const NatPacket& packet) {
  FlowEntry* const flow = admit(packet);
  if (flow == nullptr) return;
  flow->guest_segment_size = packet.segment_size;
  const auto opened = direct_.open(packet, router_mac_, output_.mtu(), target_of(*flow, packet.v6));
  if (opened) {
    flow->direct = opened.value().number;
    attach(*flow, opened.value().fd);
    counters_.count(NatEvent::flows_direct);
    return;
  }
  flow_gone(*flow);
  flows_.erase(packet.key);
  counters_.count(NatEvent::resets_sent);
  output_.send_datagram(
      tcp_to_guest(packet.key, packet.v6, router_mac_, packet.mac, reset_of(packet)));
}

// The router's address is the host's own loopback, if policy has let it pass.
TcpEngine::Target NatTranslator::target_of(const FlowEntry& flow, bool v6) const {
  const IpAddress loopback = v6 ? IpAddress(kLoopback6) : IpAddress(kLoopback4);
  TcpEngine::Target target{address_of(flow.key.target), flow.key.target_port, std::nullopt};
  if (flow.to_dns) {
    target.address = loopback;
    target.port = v6 ? dns_port6_ : dns_port4_;
  } else if (target.address == config_.router || target.address == config_.router6) {
    target.address = loopback;
  }
  target.source = IpAddress::parse(v6 ? config_.outbound_address6 : config_.outbound_address);
  return target;
}

void NatTranslator::connection_changed(const FlowKey& key, const TcpFlow& tcp) {
  FlowEntry* const flow = flows_.find(key);
  if (flow == nullptr) return;
  flow->seen = context_.loop.now();
  flow->bytes_out = tcp.bytes_from_guest();
  flow->bytes_in = tcp.bytes_to_guest();
  flow->established = tcp.state() == TcpFlow::State::open;
  flow->guest_fin = tcp.guest_finished();
  flow->engine_fin = tcp.host_finished();
}

void NatTranslator::connection_ended(const FlowKey& key) {
  FlowEntry* const flow = flows_.find(key);
  if (flow == nullptr) return;
  flow_gone(*flow);
  flows_.erase(key);
}

}  // namespace lanyard
