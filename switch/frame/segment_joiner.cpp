// SPDX-License-Identifier: MIT
#include "switch/frame/segment_joiner.h"

#include <cstring>

#include "switch/frame/frame_pool.h"
#include "switch/frame/internet_checksum.h"
#include "switch/frame/ip_headers.h"

namespace lanyard {
namespace {

using namespace ip;

constexpr std::size_t kNetworkAt = kEthernetHeaderSize;
constexpr std::size_t kPacketMax = 65535;
constexpr std::size_t kPortsSize = 4;

std::size_t addresses_at(bool v6) {
  return kNetworkAt + (v6 ? kIpv6AddressesAt : kIpv4AddressesAt);
}

std::uint16_t pseudo_header_sum(const std::uint8_t* bytes, std::size_t transport_at, bool v6,
                                std::size_t length) {
  InternetChecksum sum;
  sum.add({bytes + addresses_at(v6), transport_at - addresses_at(v6)});
  sum.add_u16(kTcp);
  sum.add_u32(static_cast<std::uint32_t>(length));
  return sum.sum();
}

// Equal in [from, to) of the frame.
bool equal(const std::uint8_t* a, const std::uint8_t* b, std::size_t from, std::size_t to) {
  return std::memcmp(a + from, b + from, to - from) == 0;
}

}  // namespace

bool SegmentJoiner::join(std::span<const Outgoing> frames, EgressBatch& into) {
  slots_ = {};
  bool joined = false;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    TcpSegment segment;
    const Kind kind = read(*frames[i].frame, segment);
    if (kind == Kind::unreadable) {
      for (Slot& slot : slots_) close(slot, into);
    }
    Slot* const slot = kind == Kind::tcp ? find(segment) : nullptr;
    if (slot != nullptr && continues(*slot, frames[i], segment)) {
      // Until the first join, what comes out is what went in.
      for (std::size_t j = 0; !joined && j < i; ++j) into.push(frames[j].share());
      joined = true;
      append(*slot, segment, into);
      continue;
    }
    if (slot != nullptr) close(*slot, into);
    const std::size_t at = joined ? into.size() : i;
    if (joined) into.push(frames[i].share());
    if (segment.joinable) open(frames[i], segment, at);
  }
  for (Slot& slot : slots_) close(slot, into);
  return joined;
}

// Anything that may be TCP but is not understood ends all flows, so that it overtakes nothing.
SegmentJoiner::Kind SegmentJoiner::read(const Frame& frame, TcpSegment& segment) {
  const std::span<const std::uint8_t> head = frame.head();
  if (head.size() < kNetworkAt + kIpv4HeaderSize) return Kind::other;
  const std::uint16_t type = load_u16(&head[kAddressesSize]);
  const std::uint8_t* const ip = &head[kNetworkAt];
  std::size_t length = 0;
  segment.bytes = head.data();
  if (type == kEtherTypeIpv4) {
    if (ip[kIpv4ProtocolAt] != kTcp) return Kind::other;
    if (ip[0] != 0x45 || (load_u16(ip + kIpv4FragmentAt) & kIpv4FragmentMask) != 0) {
      return Kind::unreadable;
    }
    length = load_u16(ip + kIpv4LengthAt);
    segment.transport_at = kNetworkAt + kIpv4HeaderSize;
  } else if (type == kEtherTypeIpv6) {
    if (head.size() < kNetworkAt + kIpv6HeaderSize || ip[0] >> 4 != 6) return Kind::unreadable;
    if (ip[kIpv6NextAt] == kUdp) return Kind::other;
    if (ip[kIpv6NextAt] != kTcp) return Kind::unreadable;
    length = kIpv6HeaderSize + load_u16(ip + kIpv6LengthAt);
    segment.transport_at = kNetworkAt + kIpv6HeaderSize;
    segment.v6 = true;
  } else {
    return Kind::other;
  }
  if (head.size() < segment.transport_at + kTcpHeaderSize) return Kind::unreadable;
  const std::uint8_t* const tcp = &head[segment.transport_at];
  segment.header_size = segment.transport_at + std::size_t{4} * (tcp[kTcpLengthAt] >> 4);
  const bool whole = frame.segment_count == 1 && kNetworkAt + length == frame.size &&
                     segment.header_size >= segment.transport_at + kTcpHeaderSize &&
                     segment.header_size < frame.size;
  segment.payload = whole ? frame.size - segment.header_size : 0;
  segment.joinable = whole && frame.offload.owes_nothing() && (tcp[kTcpLengthAt] & 0x0f) == 0 &&
                     (tcp[kTcpFlagsAt] & ~kTcpPsh) == kTcpAck;
  return Kind::tcp;
}

bool SegmentJoiner::same_flow(const TcpSegment& a, const TcpSegment& b) {
  return a.v6 == b.v6 && equal(a.bytes, b.bytes, addresses_at(a.v6), a.transport_at + kPortsSize);
}

bool SegmentJoiner::is_intact(const TcpSegment& segment) {
  if (!segment.v6 && internet_checksum({segment.bytes + kNetworkAt, kIpv4HeaderSize}) != 0) {
    return false;
  }
  const std::size_t length = segment.header_size - segment.transport_at + segment.payload;
  InternetChecksum sum;
  sum.add_u16(pseudo_header_sum(segment.bytes, segment.transport_at, segment.v6, length));
  sum.add({segment.bytes + segment.transport_at, length});
  return sum.finish() == 0;
}

bool SegmentJoiner::continues(const Slot& slot, const Outgoing& out,
                              const TcpSegment& segment) const {
  const TcpSegment& first = slot.first;
  if (!segment.joinable || slot.pushed || slot.payload != slot.count * first.payload ||
      segment.payload > first.payload || segment.header_size != first.header_size ||
      out.tagged != slot.from->tagged || out.tag != slot.from->tag) {
    return false;
  }
  const std::size_t size = first.header_size + slot.payload + segment.payload;
  if (size - kNetworkAt > kPacketMax || size + (out.tagged ? kVlanTagSize : 0) > frame_max_) {
    return false;
  }
  const std::uint8_t* const a = first.bytes;
  const std::uint8_t* const b = segment.bytes;
  const std::size_t tcp = first.transport_at;
  const std::size_t after_length =
      kNetworkAt + (first.v6 ? kIpv6NextAt : kIpv4FragmentAt);  // and, in IPv4, identification
  const std::size_t length_at = kNetworkAt + (first.v6 ? kIpv6LengthAt : kIpv4LengthAt);
  const std::size_t checksum_at = kNetworkAt + kIpv4ChecksumAt;
  const bool same_network =
      first.v6
          ? equal(a, b, after_length, tcp)
          : equal(a, b, after_length, checksum_at) &&
                load_u16(b + kNetworkAt + kIpv4IdAt) ==
                    static_cast<std::uint16_t>(load_u16(a + kNetworkAt + kIpv4IdAt) + slot.count);
  return same_network && equal(a, b, 0, length_at) &&
         equal(a, b, tcp + kTcpAcknowledgementAt, tcp + kTcpLengthAt) &&
         equal(a, b, tcp + kTcpWindowAt, tcp + kTcpChecksumAt) &&
         equal(a, b, tcp + kTcpUrgentAt, first.header_size) &&
         load_u32(b + tcp + kTcpSequenceAt) ==
             static_cast<std::uint32_t>(load_u32(a + tcp + kTcpSequenceAt) + slot.payload) &&
         (slot.count > 1 || is_intact(first)) && is_intact(segment);
}

SegmentJoiner::Slot* SegmentJoiner::find(const TcpSegment& segment) {
  for (Slot& slot : slots_) {
    if (slot.open && same_flow(slot.first, segment)) return &slot;
  }
  return nullptr;
}

void SegmentJoiner::open(const Outgoing& out, const TcpSegment& segment, std::size_t at) {
  Slot* free = nullptr;
  for (Slot& slot : slots_) {
    if (!slot.open) free = &slot;
  }
  // More flows than slots: this one goes as it is.
  if (free == nullptr) return;
  *free = {segment, &out, at, segment.payload, 1, true, false};
  free->pushed = (segment.bytes[segment.transport_at + kTcpFlagsAt] & kTcpPsh) != 0;
}

void SegmentJoiner::append(Slot& slot, const TcpSegment& segment, EgressBatch& into) {
  Outgoing& out = into[slot.at];
  const std::size_t have = slot.first.header_size + slot.payload;
  if (slot.count == 1) {
    FrameRef own = pool_.make();
    own->set_bytes(own->segments[0].data, static_cast<std::uint32_t>(have));
    std::memcpy(own->segments[0].data, slot.first.bytes, have);
    own->vlan = out.frame->vlan;
    own->priority = out.frame->priority;
    out.frame = std::move(own);
  }
  Frame& frame = *out.frame;
  std::memcpy(frame.segments[0].data + have, segment.bytes + segment.header_size, segment.payload);
  frame.set_bytes(frame.segments[0].data, static_cast<std::uint32_t>(have + segment.payload));
  slot.payload += segment.payload;
  ++slot.count;
  slot.pushed = (segment.bytes[segment.transport_at + kTcpFlagsAt] & kTcpPsh) != 0;
}

// Writes the headers of a joined frame.
void SegmentJoiner::close(Slot& slot, EgressBatch& into) {
  slot.open = false;
  if (slot.count < 2) return;
  Frame& frame = *into[slot.at].frame;
  std::uint8_t* const ip = frame.segments[0].data + kNetworkAt;
  std::uint8_t* const tcp = frame.segments[0].data + slot.first.transport_at;
  const bool v6 = slot.first.v6;
  const std::size_t length = frame.size - slot.first.transport_at;
  if (v6) {
    store_u16(ip + kIpv6LengthAt, length);
  } else {
    store_u16(ip + kIpv4LengthAt, kIpv4HeaderSize + length);
    store_u16(ip + kIpv4ChecksumAt, 0);
    store_u16(ip + kIpv4ChecksumAt, internet_checksum({ip, kIpv4HeaderSize}));
  }
  if (slot.pushed) tcp[kTcpFlagsAt] |= kTcpPsh;
  store_u16(tcp + kTcpChecksumAt,
            pseudo_header_sum(frame.segments[0].data, slot.first.transport_at, v6, length));
  frame.offload.segmentation = v6 ? Offload::Segmentation::tcp6 : Offload::Segmentation::tcp4;
  frame.offload.needs_checksum = true;
  frame.offload.segment_size = static_cast<std::uint16_t>(slot.first.payload);
  frame.offload.header_size = static_cast<std::uint16_t>(slot.first.header_size);
  frame.offload.checksum_start = static_cast<std::uint16_t>(slot.first.transport_at);
  frame.offload.checksum_offset = kTcpChecksumAt;
  slot.count = 0;
}

}  // namespace lanyard
