// SPDX-License-Identifier: MIT
//
// NatTranslator: from guests to the engine.
#include <algorithm>

#include "backend/gateway/nat_reply.h"
#include "backend/gateway/nat_translator.h"
#include "backend/gateway/slirp_neighbours.h"
#include "switch/frame/ethernet.h"

namespace lanyard {
namespace {

constexpr std::uint16_t kDnsPort = 53;
// Served by libslirp itself at the router's address, and never wanted there.
constexpr std::uint16_t kDhcpServerPort = 67;
constexpr std::uint16_t kTftpPort = 69;
constexpr std::uint16_t kDhcp6ServerPort = 547;

FlowKey guest_only(const AddressKey& guest) {
  FlowKey key;
  key.guest = guest;
  return key;
}

}  // namespace

void NatTranslator::input(std::span<Input> frames) {
  for (Input& input : frames) input_one(input);
  coalescer_.flush();
  direct_.end_batch();
  udp_->flush();
  engine_->end_batch();
}

void NatTranslator::input_one(Input& input) {
  if (const auto news = neighbour_news(input.frame)) {
    learn(address_key(news->guest), news->mac);
    engine_->learned(news->guest, news->mac);
    return;
  }
  auto packet = sanitiser_.read(input.frame, input.offload);
  if (!packet) return;
  const MacAddress to = EthernetView(packet->frame).destination();
  if (!to.is_group()) router_mac_ = to;
  if (packet->is_tcp() && takes_direct_way(*packet)) {
    deliver_direct(*packet);
    return;
  }
  if (packet->is_tcp()) {
    FrameSanitiser::make_plain(*packet);
    coalescer_.add(*packet);
    return;
  }
  // A frame of many datagrams (UDP_L4) has the length of all in its headers.
  const bool many = input.offload.segmentation == Offload::Segmentation::udp;
  udp_->from_guest(*packet, many ? input.offload.segment_size : 0);
}

void NatTranslator::deliver(NatPacket& packet) {
  FlowEntry* flow = flows_.find(packet.key);
  if ((packet.flags & (kTcpSyn | kTcpAck)) == kTcpSyn) {
    deliver_syn(packet, flow);
  } else if (flow == nullptr) {
    refuse(packet, NatEvent::no_flow);
  } else if (flow->mac != packet.mac && !flow->mac.is_zero() &&
             mac_of_guest(address_of(packet.key.guest)) != packet.mac) {
    counters_.count(NatEvent::spoofed_source);
  } else {
    flow->mac = packet.mac;
    deliver_segment(packet, *flow);
  }
}

std::optional<NatEvent> NatTranslator::refusal(const NatPacket& packet) const {
  const IpAddress target = address_of(packet.key.target);
  if (!packet.is_tcp() && (target == config_.router || target == config_.router6) &&
      (packet.key.target_port == kDhcpServerPort || packet.key.target_port == kTftpPort ||
       packet.key.target_port == kDhcp6ServerPort)) {
    return NatEvent::gateway_service;
  }
  return policy_.refusal(target, packet.key.target_port);
}

bool NatTranslator::is_dns_address(const AddressKey& address) const {
  const IpAddress target = address_of(address);
  return target == config_.dns_address || target == config_.dns_address6;
}

bool NatTranslator::dns_port_open(const NatPacket& packet) const {
  return packet.is_tcp() && packet.key.target_port == kDnsPort &&
         is_dns_address(packet.key.target) && (packet.v6 ? dns_port6_ : dns_port4_) != 0;
}

// Makes the flow of a packet that may open one.
FlowEntry* NatTranslator::admit(const NatPacket& packet) {
  const bool to_dns = dns_port_open(packet);
  std::uint64_t account = 0;
  if (flows_.full() || engine_->near_descriptor_limit()) {
    refuse(packet, NatEvent::flow_table_full);
    return nullptr;
  }
  if (!grant(packet, to_dns, account)) return nullptr;
  FlowEntry& flow = flows_.insert(packet.key, context_.loop.now());
  flow.mac = packet.mac;
  flow.account = account;
  flow.has_account = true;
  flow.to_dns = to_dns;
  return &flow;
}

// Whether policy and quota let a packet open a flow; if not, the guest has been told.
bool NatTranslator::grant(const NatPacket& packet, bool to_dns, std::uint64_t& account) {
  if (const auto reason = to_dns ? std::nullopt : refusal(packet)) {
    refuse(packet, *reason);
    return false;
  }
  const auto owner = context_.directory.mac_of(address_of(packet.key.guest));
  if (owner && *owner != packet.mac) {
    counters_.count(NatEvent::spoofed_source);
    return false;
  }
  switch (quota_.take(packet.mac, context_.loop.now(), account)) {
    case Quota::Answer::granted: break;
    case Quota::Answer::too_many: refuse(packet, NatEvent::quota_flows); return false;
    case Quota::Answer::too_fast:
      // Silently: TCP tries again in a second, which is the point.
      counters_.count(NatEvent::quota_rate);
      return false;
  }
  counters_.count(NatEvent::flows_opened);
  learn(packet.key.guest, packet.mac);
  return true;
}

void NatTranslator::refuse(const NatPacket& packet, NatEvent reason) {
  counters_.count(reason);
  if ((packet.is_tcp() && (packet.flags & kTcpRst) != 0) || !refusals_.allow(context_.loop.now())) {
    return;
  }
  if (packet.is_tcp()) {
    counters_.count(NatEvent::resets_sent);
    output_.send_datagram(
        tcp_to_guest(packet.key, packet.v6, router_mac_, packet.mac, reset_of(packet)));
    return;
  }
  // Nobody answers to a group (RFC 1122 3.2.2), and a service of the gateway was not for us.
  if (reason == NatEvent::policy_multicast || reason == NatEvent::policy_broadcast ||
      reason == NatEvent::gateway_service) {
    return;
  }
  if (packet.v6 ? config_.router6.has_value() : config_.router.has_value()) {
    const IpAddress router = packet.v6 ? IpAddress(*config_.router6) : IpAddress(*config_.router);
    output_.send_datagram(prohibited(packet, router_mac_, router));
  }
}

void NatTranslator::deliver_syn(NatPacket& packet, FlowEntry* flow) {
  const bool is_new = flow == nullptr;
  if (is_new) flow = admit(packet);
  if (flow == nullptr) return;
  flow->mac = packet.mac;
  // The engine may give a SYN for a connection that has ended a new socket, within this call.
  const FlowEntry before = *flow;
  note_from_guest(*flow, packet, context_.loop.now());
  opened_fd_ = -1;
  feed_chunks(packet, before);
  flow = flows_.find(packet.key);
  if (opened_fd_ < 0) {
    // No descriptor, or no way there: the engine has answered.
    if (is_new && flow != nullptr && flow->fd < 0) {
      flow_gone(*flow);
      flows_.erase(packet.key);
    }
    return;
  }
  if (flow == nullptr) {
    flow = &flows_.insert(packet.key, context_.loop.now());
    flow->mac = packet.mac;
    flow->to_dns = before.to_dns;
    std::uint64_t account = 0;
    flow->has_account =
        quota_.take(packet.mac, context_.loop.now(), account) == Quota::Answer::granted;
    flow->account = account;
    note_from_guest(*flow, packet, context_.loop.now());
  }
  if (flow->fd != opened_fd_) attach(*flow, opened_fd_);
}

// Only what continues the stream, or repeats it, may reach the engine.
void NatTranslator::deliver_segment(NatPacket& packet, FlowEntry& flow) {
  const bool carries = packet.sequence_length() != 0;
  if (carries && (packet.flags & kTcpSyn) == 0 && flow.engine_spoke &&
      sequence_before(flow.guest_next, packet.sequence)) {
    if (!hold(packet, flow)) counters_.count(NatEvent::out_of_order);
    acknowledge(flow, packet.v6);
    return;
  }
  const FlowKey key = packet.key;
  feed(packet, flow);
  if (carries && !held_.empty() && held_.contains(key)) deliver_held(key);
}

bool NatTranslator::hold(const NatPacket& packet, const FlowEntry& flow) {
  // Beyond the window it cannot be right.
  if (packet.sequence + packet.sequence_length() - flow.engine_ack > 65535) return false;
  auto& held = held_[packet.key];
  const bool there = std::any_of(held.begin(), held.end(), [&](const Held& other) {
    return other.packet.sequence == packet.sequence;
  });
  const std::size_t size = packet.frame.size();
  if (there || held.size() >= kHeldPerFlow || held_bytes_ + size > kHeldBytesMax) return false;
  Held copy{packet, {packet.frame.begin(), packet.frame.end()}};
  const auto place = std::find_if(held.begin(), held.end(), [&](const Held& other) {
    return sequence_before(packet.sequence, other.packet.sequence);
  });
  held.insert(place, std::move(copy));
  held_bytes_ += size;
  counters_.count(NatEvent::held);
  return true;
}

void NatTranslator::deliver_held(const FlowKey& key) {
  for (;;) {
    const auto found = held_.find(key);
    FlowEntry* flow = flows_.find(key);
    if (found == held_.end() || flow == nullptr) break;
    if (found->second.empty()) {
      held_.erase(found);
      break;
    }
    if (sequence_before(flow->guest_next, found->second.front().packet.sequence)) break;
    Held next = std::move(found->second.front());
    found->second.erase(found->second.begin());
    held_bytes_ -= next.bytes.size();
    next.packet.frame = next.bytes;
    feed(next.packet, *flow);
  }
}

void NatTranslator::drop_held(const FlowKey& key) {
  const auto found = held_.find(key);
  if (found == held_.end()) return;
  for (const Held& held : found->second) held_bytes_ -= held.bytes.size();
  held_.erase(found);
}

void NatTranslator::acknowledge(const FlowEntry& flow, bool v6) {
  output_.flush();
  output_.send_datagram(
      tcp_to_guest(flow.key, v6, router_mac_, flow.mac,
                   {flow.engine_next, flow.engine_ack, flow.engine_window, kTcpAck}));
}

void NatTranslator::feed(NatPacket& packet, FlowEntry& flow) {
  note_from_guest(flow, packet, context_.loop.now());
  const std::uint32_t end = packet.sequence + packet.sequence_length();
  const std::uint32_t sent = flow.sent_segments;
  feed_chunks(packet, flow);
  FlowEntry* after = flows_.find(packet.key);
  // The engine's word counts. If it said nothing, it took what its window allows.
  if (after == nullptr || after->sent_segments != sent || !after->engine_spoke) return;
  const std::uint32_t limit = after->engine_ack + after->engine_window;
  const std::uint32_t taken = sequence_before(limit, end) ? limit : end;
  if (sequence_before(after->guest_next, taken)) after->guest_next = taken;
}

// The engine refuses IPv6 beyond its MTU; guests with large offloads send up to 64 KiB.
void NatTranslator::feed_chunks(NatPacket& packet, const FlowEntry& flow) {
  if (flow.to_dns) {
    const IpAddress router = packet.v6 ? IpAddress(*config_.router6) : IpAddress(*config_.router);
    retarget(packet, Direction::from_guest, address_key(router),
             packet.v6 ? dns_port6_ : dns_port4_);
  }
  if (!packet.v6 || packet.frame.size() - kIpOffset <= SlirpEngine::kMtu) {
    engine_->input(packet);
    return;
  }
  const std::size_t step = SlirpEngine::kMtu - kIpv6HeaderSize - kTcpHeaderSize;
  const auto payload = packet.payload();
  for (std::size_t at = 0; at < payload.size(); at += step) {
    const std::size_t size = std::min(step, payload.size() - at);
    const bool last = at + size == payload.size();
    scratch_.assign(packet.frame.begin(),
                    packet.frame.begin() + static_cast<std::ptrdiff_t>(packet.payload_offset));
    scratch_.insert(scratch_.end(), payload.begin() + static_cast<std::ptrdiff_t>(at),
                    payload.begin() + static_cast<std::ptrdiff_t>(at + size));
    NatPacket chunk = packet;
    chunk.frame = scratch_;
    chunk.sequence = packet.sequence + static_cast<std::uint32_t>(at);
    if (!last) chunk.flags &= static_cast<std::uint8_t>(~(kTcpFin | kTcpPsh));
    store_u32(scratch_, chunk.transport_offset + 4, chunk.sequence);
    scratch_[chunk.transport_offset + 13] = chunk.flags;
    InternetChecksum sum;
    sum.add(chunk.payload());
    chunk.payload_sum = sum.sum();
    finish_headers(chunk);
    engine_->input(chunk);
  }
}

// libslirp 4.7 has no end for a connection that is silent, or that one side has closed and the
// other never does: the descriptor would stay for ever.
void NatTranslator::end_idle_connections(Time now) {
  const auto idle =
      flows_.idle_connections(now, context_.patience.established, context_.patience.transitory);
  if (idle.empty()) return;
  for (const FlowKey& key : idle) {
    if (FlowEntry* flow = flows_.find(key); flow != nullptr) end_connection(*flow);
  }
  engine_->end_batch();
}

// As if the guest had reset it: the engine then closes its socket, and that ends the flow. Neither
// side is told more; the guest is when it speaks again.
void NatTranslator::end_connection(FlowEntry& flow) {
  if (flow.direct != 0) {
    counters_.count(NatEvent::flows_ended_idle);
    direct_.abandon(flow.direct);
    return;
  }
  const FlowKey key = flow.key;
  const bool v6 = address_of(key.guest).is_v6();
  auto frame = tcp_from_guest(key, v6, flow.mac,
                              {flow.guest_next, flow.engine_next, 65535, kTcpRst | kTcpAck});
  NatPacket packet;
  packet.frame = frame;
  packet.mac = flow.mac;
  packet.key = key;
  packet.v6 = v6;
  packet.transport_offset = frame.size() - kTcpHeaderSize;
  packet.payload_offset = frame.size();
  packet.sequence = flow.guest_next;
  packet.acknowledgement = flow.engine_next;
  packet.flags = kTcpRst | kTcpAck;
  flow.seen = context_.loop.now();  // should the engine not take it
  feed_chunks(packet, flow);
  counters_.count(flows_.find(key) == nullptr ? NatEvent::flows_ended_idle
                                              : NatEvent::engine_internal);
}

void NatTranslator::learn(const AddressKey& guest, MacAddress mac) {
  const FlowKey key = guest_only(guest);
  if (macs_.size() >= kGuestsMax && !macs_.contains(key)) macs_.clear();
  macs_[key] = mac;
  udp_->learned(guest);
}

std::optional<MacAddress> NatTranslator::mac_of_guest(const IpAddress& guest) {
  if (const auto found = macs_.find(guest_only(address_key(guest))); found != macs_.end()) {
    return found->second;
  }
  return context_.directory.mac_of(guest);
}

}  // namespace lanyard
