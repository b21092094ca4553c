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
  return config_.tcp_engine == TcpEngineKind::direct;
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
  Result<TcpEngine::Opened> opened = Error{ENOMEM, "no memory"};
  const bool tried = context_.loop.run([&] {
    opened = direct_.open(packet, router_mac_, output_.mtu(), target_of(*flow, packet.v6));
  });
  if (opened) {
    flow->direct = opened.value().number;
    attach(*flow, opened.value().fd);
    counters_.count(NatEvent::flows_direct);
    return;
  }
  flow_gone(*flow);
  flows_.erase(packet.key);
  // The guest asks again.
  if (!tried) return;
  const int code = opened.error().code;
  if (unreachable_by(code, packet.v6)) return say_unreachable(packet, code);
  counters_.count(NatEvent::resets_sent);
  output_.send_datagram(
      tcp_to_guest(packet.key, packet.v6, router_mac_, packet.mac, reset_of(packet)));
}

void NatTranslator::say_unreachable(const NatPacket& packet, int code) {
  counters_.count(NatEvent::host_refused);
  if (packet.v6 ? !config_.router6 : !config_.router) return;
  if (!refusals_.allow(context_.loop.now())) return;
  const IpAddress router = packet.v6 ? IpAddress(*config_.router6) : IpAddress(*config_.router);
  output_.send_datagram(icmp_error(packet, router_mac_, router,
                                   unreachable_by(code, packet.v6).value_or(IcmpError{})));
}

void NatTranslator::connection_unreachable(const FlowKey& key, std::uint32_t guest_sequence,
                                           int code) {
  const FlowEntry* const flow = flows_.find(key);
  if (flow == nullptr) return;
  // The guest's SYN is gone; the error quotes one like it.
  NatPacket syn;
  syn.v6 = address_of(key.guest).is_v6();
  auto frame = tcp_from_guest(key, syn.v6, flow->mac, {guest_sequence, 0, 65535, kTcpSyn});
  syn.frame = frame;
  syn.mac = flow->mac;
  syn.key = key;
  say_unreachable(syn, code);
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
