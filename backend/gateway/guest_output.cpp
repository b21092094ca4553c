// SPDX-License-Identifier: MIT
#include "backend/gateway/guest_output.h"

#include <algorithm>

namespace lanyard {
namespace {

constexpr std::size_t kFragmentHeaderSize = 8;
constexpr std::uint8_t kFragmentHeader = 44;
constexpr std::uint16_t kMoreFragments4 = 0x2000;
constexpr std::uint16_t kTcpChecksumOffset = 16;

bool is_plain(const NatPacket& packet) {
  return packet.payload_offset - packet.transport_offset == kTcpHeaderSize;
}

}  // namespace

void GuestOutput::send_tcp(const NatPacket& packet, std::uint16_t segment_size) {
  const auto held = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) {
    return slot.used && slot.packet.key == packet.key;
  });
  if (held != slots_.end()) {
    if (join(*held, packet)) return;
    release(*held);
  }
  auto slot = std::find_if(slots_.begin(), slots_.end(), [](const Slot& s) { return !s.used; });
  if (slot == slots_.end()) {
    oldest_ = (oldest_ + 1) % kSlots;
    slot = slots_.begin() + static_cast<std::ptrdiff_t>(oldest_);
    release(*slot);
  }
  if (slot->bytes.empty()) slot->bytes.resize(kFrameMax);
  if (packet.frame.size() > slot->bytes.size()) return;  // not IP
  std::copy(packet.frame.begin(), packet.frame.end(), slot->bytes.begin());
  slot->packet = packet;
  slot->packet.frame = std::span(slot->bytes).first(packet.frame.size());
  const auto headers = static_cast<std::uint32_t>(packet.payload_offset - kIpOffset);
  const auto fits = static_cast<std::uint16_t>(std::min<std::uint32_t>(mtu_ - headers, 65535));
  slot->segment_size = segment_size == 0 ? fits : std::min(segment_size, fits);
  slot->used = true;
  slot->changed = false;
}

bool GuestOutput::join(Slot& slot, const NatPacket& packet) {
  NatPacket& held = slot.packet;
  const std::size_t have = held.payload_size();
  const std::size_t more = packet.payload_size();
  if (!is_plain(held) || !is_plain(packet) || (held.flags & ~kTcpPsh) != kTcpAck ||
      (packet.flags & ~(kTcpPsh | kTcpFin)) != kTcpAck || packet.sequence != held.sequence + have ||
      held.mac != packet.mac || sequence_before(packet.acknowledgement, held.acknowledgement)) {
    return false;
  }
  if (have == 0) {
    // An acknowledgement without data is void when a later one acknowledges more.
    if (more != 0 || packet.flags != kTcpAck ||
        !sequence_before(held.acknowledgement, packet.acknowledgement)) {
      return false;
    }
  } else if (more == 0 || held.frame.size() + more > kFrameMax) {
    return false;
  }
  const auto payload = packet.payload();
  std::copy(payload.begin(), payload.end(),
            slot.bytes.begin() + static_cast<std::ptrdiff_t>(held.frame.size()));
  held.frame = std::span(slot.bytes).first(held.frame.size() + more);
  held.flags |= packet.flags;
  held.acknowledgement = packet.acknowledgement;
  held.window = packet.window;
  slot.changed = true;
  counters_.count(have == 0 ? NatEvent::acks_superseded : NatEvent::merged);
  return true;
}

void GuestOutput::release(Slot& slot) {
  slot.used = false;
  const NatPacket& packet = slot.packet;
  const auto tcp = packet.frame.subspan(packet.transport_offset);
  Offload offload;
  const bool cut = packet.payload_size() > slot.segment_size;
  if (slot.changed || cut) {
    store_u32(tcp, 8, packet.acknowledgement);
    tcp[13] = packet.flags;
    store_u16(tcp, 14, packet.window);
    if (packet.v6) {
      store_u16(packet.frame, kIpOffset + 4, static_cast<std::uint16_t>(tcp.size()));
    } else {
      store_u16(packet.frame, kIpOffset + 2,
                static_cast<std::uint16_t>(packet.frame.size() - kIpOffset));
      store_u16(packet.frame, kIpOffset + 10, 0);
      store_u16(packet.frame, kIpOffset + 10,
                internet_checksum(packet.frame.subspan(kIpOffset, kIpv4HeaderSize)));
    }
    store_u16(tcp, kTcpChecksumOffset,
              pseudo_header(packet.frame, packet.v6, kIpProtocolTcp, tcp.size()).sum());
    offload.needs_checksum = true;
    offload.checksum_start = static_cast<std::uint16_t>(packet.transport_offset);
    offload.checksum_offset = kTcpChecksumOffset;
  }
  if (cut) {
    offload.segmentation = packet.v6 ? Offload::Segmentation::tcp6 : Offload::Segmentation::tcp4;
    offload.segment_size = slot.segment_size;
    offload.header_size = static_cast<std::uint16_t>(packet.payload_offset);
  }
  send(packet.frame, offload);
}

void GuestOutput::flush() {
  for (Slot& slot : slots_) {
    if (slot.used) release(slot);
  }
}

void GuestOutput::send_datagram(std::span<const std::uint8_t> frame, const Offload& offload) {
  if (!offload.owes_nothing() || frame.size() <= kIpOffset + mtu_) {
    send(frame, offload);
  } else if (load_u16(frame, 12) == 0x0800) {
    fragment4(frame);
  } else {
    fragment6(frame);
  }
}

// RFC 791 3.2. What comes may be a fragment itself: libslirp cuts at its own MTU.
void GuestOutput::fragment4(std::span<const std::uint8_t> frame) {
  const std::size_t header = kIpOffset + (frame[kIpOffset] & 0xfU) * 4U;
  if (frame.size() <= header || mtu_ + kIpOffset < header + 8) return;
  const std::size_t step = (mtu_ + kIpOffset - header) / 8 * 8;
  const std::uint16_t place = load_u16(frame, kIpOffset + 6);
  const auto payload = frame.subspan(header);
  counters_.count(NatEvent::fragmented);
  for (std::size_t at = 0; at < payload.size(); at += step) {
    const auto piece = payload.subspan(at, std::min(step, payload.size() - at));
    std::vector<std::uint8_t> out(frame.begin(),
                                  frame.begin() + static_cast<std::ptrdiff_t>(header));
    out.insert(out.end(), piece.begin(), piece.end());
    const bool more = at + piece.size() < payload.size() || (place & kMoreFragments4) != 0;
    const std::size_t offset = (place & 0x1fffU) + at / 8;
    store_u16(out, kIpOffset + 2, static_cast<std::uint16_t>(out.size() - kIpOffset));
    store_u16(out, kIpOffset + 6,
              static_cast<std::uint16_t>(offset | (more ? kMoreFragments4 : 0U)));
    store_u16(out, kIpOffset + 10, 0);
    store_u16(out, kIpOffset + 10,
              internet_checksum(std::span(out).subspan(kIpOffset, header - kIpOffset)));
    send(out, {});
  }
}

// RFC 8200 4.5.
void GuestOutput::fragment6(std::span<const std::uint8_t> frame) {
  constexpr std::size_t kHeader = kIpOffset + kIpv6HeaderSize;
  if (frame.size() <= kHeader || mtu_ < kIpv6HeaderSize + kFragmentHeaderSize + 8) return;
  const std::size_t step = (mtu_ - kIpv6HeaderSize - kFragmentHeaderSize) / 8 * 8;
  const auto payload = frame.subspan(kHeader);
  const std::uint32_t id = next_fragment_id_++;
  counters_.count(NatEvent::fragmented);
  for (std::size_t at = 0; at < payload.size(); at += step) {
    const auto piece = payload.subspan(at, std::min(step, payload.size() - at));
    std::vector<std::uint8_t> out(frame.begin(), frame.begin() + kHeader);
    out.resize(kHeader + kFragmentHeaderSize);
    out[kHeader] = out[kIpOffset + 6];
    out[kIpOffset + 6] = kFragmentHeader;
    const bool more = at + piece.size() < payload.size();
    store_u16(out, kHeader + 2, static_cast<std::uint16_t>(at | (more ? 1U : 0U)));
    store_u32(out, kHeader + 4, id);
    store_u16(out, kIpOffset + 4, static_cast<std::uint16_t>(kFragmentHeaderSize + piece.size()));
    out.insert(out.end(), piece.begin(), piece.end());
    send(out, {});
  }
}

void GuestOutput::send(std::span<const std::uint8_t> frame, const Offload& offload) {
  if (queue_.empty() && link_.has_room()) {
    link_.send_frame(frame, offload);
    counters_.count(NatEvent::packets_to_guests);
    return;
  }
  if (queued_bytes_ + frame.size() > kQueueBytesMax) {
    counters_.count(NatEvent::output_queue_full);
    return;
  }
  queued_bytes_ += frame.size();
  queue_.push_back({{frame.begin(), frame.end()}, offload});
}

void GuestOutput::resume() {
  while (!queue_.empty() && link_.has_room()) {
    queued_bytes_ -= queue_.front().frame.size();
    link_.send_frame(queue_.front().frame, queue_.front().offload);
    counters_.count(NatEvent::packets_to_guests);
    queue_.pop_front();
  }
}

}  // namespace lanyard
