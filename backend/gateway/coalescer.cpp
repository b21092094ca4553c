// SPDX-License-Identifier: MIT
#include "backend/gateway/coalescer.h"

#include <algorithm>

namespace lanyard {
namespace {

std::uint16_t swapped(std::uint16_t sum) {
  return static_cast<std::uint16_t>(sum << 8 | sum >> 8);
}

bool is_bare(const NatPacket& packet) {
  return packet.is_tcp() && (packet.flags & ~kTcpPsh) == kTcpAck;
}

}  // namespace

void Coalescer::add(NatPacket& packet) {
  Slot* held = used_ == 0 ? nullptr : find(packet.key);
  if (!is_bare(packet)) {
    if (held != nullptr) release(*held);
    sink_.deliver(packet);
    return;
  }
  if (held != nullptr) {
    if (join(*held, packet)) return;
    release(*held);
  }
  if (packet.payload_size() > kPayloadMax / 2) {
    sink_.deliver(packet);
    return;
  }
  Slot& slot = free_slot();
  slot.packet = packet;
  slot.used = true;
  slot.joined = false;
  ++used_;
}

void Coalescer::flush() {
  for (std::size_t i = 0; i < kSlots && used_ != 0; ++i) {
    if (slots_[i].used) release(slots_[i]);
  }
}

Coalescer::Slot* Coalescer::find(const FlowKey& key) {
  for (Slot& slot : slots_) {
    if (slot.used && slot.packet.key == key) return &slot;
  }
  return nullptr;
}

Coalescer::Slot& Coalescer::free_slot() {
  if (used_ == kSlots) {
    oldest_ = (oldest_ + 1) % kSlots;
    release(slots_[oldest_]);
    return slots_[oldest_];
  }
  return *std::find_if(slots_.begin(), slots_.end(), [](const Slot& s) { return !s.used; });
}

bool Coalescer::join(Slot& slot, const NatPacket& packet) {
  NatPacket& held = slot.packet;
  const std::size_t have = held.payload_size();
  const std::size_t more = packet.payload_size();
  if (packet.mac != held.mac || packet.sequence != held.sequence + have) return false;
  if (have == 0 && more == 0) {
    if (!sequence_before(held.acknowledgement, packet.acknowledgement)) return false;
    held = packet;
    counters_.count(NatEvent::acks_superseded);
    return true;
  }
  if (have == 0 || more == 0 || packet.acknowledgement != held.acknowledgement ||
      have + more > kPayloadMax) {
    return false;
  }
  if (!slot.joined) {
    slot.own.resize(held.payload_offset + kPayloadMax);
    std::copy(held.frame.begin(), held.frame.end(), slot.own.begin());
    slot.joined = true;
  }
  const auto payload = packet.payload();
  std::copy(payload.begin(), payload.end(),
            slot.own.begin() + static_cast<std::ptrdiff_t>(held.payload_offset + have));
  held.frame = std::span(slot.own).first(held.payload_offset + have + more);
  InternetChecksum sum;
  sum.add_u16(held.payload_sum);
  sum.add_u16(have % 2 == 0 ? packet.payload_sum : swapped(packet.payload_sum));
  held.payload_sum = sum.sum();
  held.window = packet.window;
  held.flags |= packet.flags;
  counters_.count(NatEvent::coalesced);
  return true;
}

void Coalescer::release(Slot& slot) {
  slot.used = false;
  --used_;
  if (slot.joined) {
    const auto tcp = slot.packet.frame.subspan(slot.packet.transport_offset);
    tcp[13] = slot.packet.flags;
    store_u16(tcp, 14, slot.packet.window);
    finish_headers(slot.packet);
  }
  sink_.deliver(slot.packet);
}

}  // namespace lanyard
