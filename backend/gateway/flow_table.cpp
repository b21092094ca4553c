// SPDX-License-Identifier: MIT
#include "backend/gateway/flow_table.h"

#include <algorithm>

namespace lanyard {

std::string FlowEntry::state() const {
  if (key.protocol != kIpProtocolTcp) return {};
  if (guest_fin && engine_fin) return "CLOSING";
  if (guest_fin) return "FIN_WAIT";
  if (engine_fin) return "CLOSE_WAIT";
  if (established) return "ESTABLISHED";
  return incoming ? "SYN_RECEIVED" : "SYN_SENT";
}

FlowEntry& FlowTable::insert(const FlowKey& key, Time now) {
  FlowEntry& flow = flows_[key];
  flow.key = key;
  flow.seen = now;
  return flow;
}

void FlowTable::attach(FlowEntry& flow, int fd) {
  flow.fd = fd;
  by_fd_.emplace(fd, flow.key);
}

void FlowTable::erase(const FlowKey& key) {
  const auto found = flows_.find(key);
  if (found == flows_.end()) return;
  const int fd = found->second.fd;
  const auto [first, last] = by_fd_.equal_range(fd);
  const auto entry =
      std::find_if(first, last, [&](const auto& pair) { return pair.second == key; });
  if (entry != last) by_fd_.erase(entry);
  flows_.erase(found);
}

std::vector<FlowKey> FlowTable::take_keys(int fd) const {
  std::vector<FlowKey> keys;
  const auto [first, last] = by_fd_.equal_range(fd);
  for (auto entry = first; entry != last; ++entry) keys.push_back(entry->second);
  return keys;
}

std::vector<FlowKey> FlowTable::silent(Time now) const {
  std::vector<FlowKey> keys;
  for (const auto& [key, flow] : flows_) {
    // A TCP flow without a socket is one whose connection could not even be tried.
    const bool ends_by_silence = key.protocol != kIpProtocolTcp || flow.fd < 0;
    if (ends_by_silence && now - flow.seen >= kUdpIdle) keys.push_back(key);
  }
  return keys;
}

std::vector<FlowKey> FlowTable::idle_connections(Time now, Duration established,
                                                 Duration transitory) const {
  std::vector<FlowKey> keys;
  for (const auto& [key, flow] : flows_) {
    if (key.protocol != kIpProtocolTcp || flow.fd < 0) continue;
    const bool open = flow.established && !flow.guest_fin && !flow.engine_fin;
    if (now - flow.seen >= (open ? established : transitory)) keys.push_back(key);
  }
  return keys;
}

void note_from_guest(FlowEntry& flow, const NatPacket& packet, Time now) {
  flow.seen = now;
  flow.bytes_out += packet.payload_size();
  if (!packet.is_tcp()) return;
  if (packet.segment_size != 0) flow.guest_segment_size = packet.segment_size;
  if ((packet.flags & kTcpSyn) != 0) {
    flow.guest_next = packet.sequence + 1;
  } else if (flow.engine_spoke && (packet.flags & kTcpAck) != 0) {
    flow.established = true;
  }
  if ((packet.flags & kTcpSyn) != 0 && flow.incoming) flow.established = true;
  if ((packet.flags & kTcpFin) != 0) flow.guest_fin = true;
}

void note_to_guest(FlowEntry& flow, const NatPacket& packet, Time now) {
  flow.seen = now;
  flow.bytes_in += packet.payload_size();
  if (!packet.is_tcp() || (packet.flags & kTcpRst) != 0) return;
  const std::uint32_t end = packet.sequence + packet.sequence_length();
  if (!flow.engine_spoke || sequence_before(flow.engine_next, end)) flow.engine_next = end;
  flow.engine_spoke = true;
  ++flow.sent_segments;
  flow.engine_window = packet.window;
  if ((packet.flags & kTcpAck) != 0) {
    flow.engine_ack = packet.acknowledgement;
    // It is ahead of what we counted on only if that was wrong: the engine knows.
    flow.guest_next = packet.acknowledgement;
  }
  if ((packet.flags & kTcpFin) != 0) flow.engine_fin = true;
}

}  // namespace lanyard
