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
                                std::uint8_t protocol, std::size_t length) {
  InternetChecksum sum;
  sum.add({bytes + addresses_at(v6), transport_at - addresses_at(v6)});
  sum.add_u16(protocol);
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
    Segment segment;
    const Kind kind = read(*frames[i].frame, segment);
    if (kind == Kind::unreadable) {
      for (Slot& slot : slots_) close(slot, into);
    }
    Slot* const slot = kind == Kind::segment ? find(segment) : nullptr;
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

// What may be TCP or UDP but is not understood ends all flows, so that it overtakes nothing.
SegmentJoiner::Kind SegmentJoiner::read(const Frame& frame, Segment& segment) const {
  const std::span<const std::uint8_t> head = frame.head();
  if (head.size() < kNetworkAt + kIpv4HeaderSize) return Kind::other;
  const std::uint16_t type = load_u16(&head[kAddressesSize]);
  const std::uint8_t* const ip = &head[kNetworkAt];
  std::size_t length = 0;
  std::uint8_t protocol = 0;
  segment.bytes = head.data();
  if (type == kEtherTypeIpv4) {
    protocol = ip[kIpv4ProtocolAt];
    if (protocol != kTcp && (protocol != kUdp || !limits_.udp)) return Kind::other;
    if (ip[0] != 0x45 || (load_u16(ip + kIpv4FragmentAt) & kIpv4FragmentMask) != 0) {
      return Kind::unreadable;
    }
    length = load_u16(ip + kIpv4LengthAt);
    segment.transport_at = kNetworkAt + kIpv4HeaderSize;
  } else if (type == kEtherTypeIpv6) {
    if (head.size() < kNetworkAt + kIpv6HeaderSize || ip[0] >> 4 != 6) return Kind::unreadable;
    protocol = ip[kIpv6NextAt];
    if (protocol == kUdp && !limits_.udp) return Kind::other;
    if (protocol != kTcp && protocol != kUdp) return Kind::unreadable;
    length = kIpv6HeaderSize + load_u16(ip + kIpv6LengthAt);
    segment.transport_at = kNetworkAt + kIpv6HeaderSize;
    segment.v6 = true;
  } else {
    return Kind::other;
  }
  segment.udp = protocol == kUdp;
  if (head.size() < segment.transport_at + (segment.udp ? kUdpHeaderSize : kTcpHeaderSize)) {
    return Kind::unreadable;
  }
  const bool whole = frame.segment_count == 1 && kNetworkAt + length == frame.size;
  if (segment.udp) {
    read_udp(frame, whole, segment);
  } else {
    read_tcp(frame, whole, segment);
  }
  return Kind::segment;
}

void SegmentJoiner::read_tcp(const Frame& frame, bool whole, Segment& segment) {
  const std::uint8_t* const tcp = segment.bytes + segment.transport_at;
  segment.header_size = segment.transport_at + std::size_t{4} * (tcp[kTcpLengthAt] >> 4);
  whole = whole && segment.header_size >= segment.transport_at + kTcpHeaderSize &&
          segment.header_size < frame.size;
  segment.payload = whole ? frame.size - segment.header_size : 0;
  segment.joinable = whole && frame.offload.owes_nothing() && (tcp[kTcpLengthAt] & 0x0f) == 0 &&
                     (tcp[kTcpFlagsAt] & ~kTcpPsh) == kTcpAck;
}

namespace {

// DHCP clients read whole packets, from a socket that is shown what the interface was given, uncut:
// what is to many, or is DHCP, stays a datagram a frame.
bool is_read_uncut(const std::uint8_t* bytes, const std::uint8_t* udp) {
  constexpr std::uint16_t kDhcpServer = 67;
  constexpr std::uint16_t kDhcpClient = 68;
  const std::uint16_t port = load_u16(udp);
  return (bytes[0] & 1) != 0 || port == kDhcpServer || port == kDhcpClient;
}

}  // namespace

// A datagram that says it has no checksum (RFC 768) would get one by being cut.
void SegmentJoiner::read_udp(const Frame& frame, bool whole, Segment& segment) {
  const std::uint8_t* const udp = segment.bytes + segment.transport_at;
  segment.header_size = segment.transport_at + kUdpHeaderSize;
  whole = whole && segment.header_size < frame.size &&
          load_u16(udp + kUdpLengthAt) == frame.size - segment.transport_at;
  segment.payload = whole ? frame.size - segment.header_size : 0;
  const Offload& owed = frame.offload;
  segment.owes_checksum = owed.segmentation == Offload::Segmentation::none && owed.needs_checksum &&
                          owed.checksum_start == segment.transport_at &&
                          owed.checksum_offset == kUdpChecksumAt;
  segment.joinable =
      whole && !is_read_uncut(segment.bytes, udp) &&
      (segment.owes_checksum || (owed.owes_nothing() && load_u16(udp + kUdpChecksumAt) != 0));
}

bool SegmentJoiner::same_flow(const Segment& a, const Segment& b) {
  return a.v6 == b.v6 && a.udp == b.udp &&
         equal(a.bytes, b.bytes, addresses_at(a.v6), a.transport_at + kPortsSize);
}

bool SegmentJoiner::is_intact(const Segment& segment) {
  if (!segment.v6 && internet_checksum({segment.bytes + kNetworkAt, kIpv4HeaderSize}) != 0) {
    return false;
  }
  if (segment.owes_checksum) return true;
  const std::size_t length = segment.header_size - segment.transport_at + segment.payload;
  InternetChecksum sum;
  sum.add_u16(pseudo_header_sum(segment.bytes, segment.transport_at, segment.v6,
                                segment.udp ? kUdp : kTcp, length));
  sum.add({segment.bytes + segment.transport_at, length});
  return sum.finish() == 0;
}

bool SegmentJoiner::continues(const Slot& slot, const Outgoing& out, const Segment& segment) const {
  const Segment& first = slot.first;
  if (!segment.joinable || slot.pushed || slot.payload != slot.count * first.payload ||
      segment.payload > first.payload || segment.header_size != first.header_size ||
      out.tagged != slot.from->tagged || out.tag != slot.from->tag) {
    return false;
  }
  const std::size_t size = first.header_size + slot.payload + segment.payload;
  if (size - kNetworkAt > kPacketMax ||
      size + (out.tagged ? kVlanTagSize : 0) > limits_.frame_max) {
    return false;
  }
  return same_network(slot, segment) && (segment.udp || same_tcp(slot, segment)) &&
         (slot.count > 1 || is_intact(first)) && is_intact(segment);
}

bool SegmentJoiner::same_network(const Slot& slot, const Segment& segment) {
  const std::uint8_t* const a = slot.first.bytes;
  const std::uint8_t* const b = segment.bytes;
  const bool v6 = slot.first.v6;
  if (!equal(a, b, 0, kNetworkAt + (v6 ? kIpv6LengthAt : kIpv4LengthAt))) return false;
  if (v6) return equal(a, b, kNetworkAt + kIpv6NextAt, slot.first.transport_at);
  return equal(a, b, kNetworkAt + kIpv4FragmentAt, kNetworkAt + kIpv4ChecksumAt) &&
         load_u16(b + kNetworkAt + kIpv4IdAt) ==
             static_cast<std::uint16_t>(load_u16(a + kNetworkAt + kIpv4IdAt) + slot.count);
}

bool SegmentJoiner::same_tcp(const Slot& slot, const Segment& segment) {
  const std::uint8_t* const a = slot.first.bytes;
  const std::uint8_t* const b = segment.bytes;
  const std::size_t tcp = slot.first.transport_at;
  return equal(a, b, tcp + kTcpAcknowledgementAt, tcp + kTcpLengthAt) &&
         equal(a, b, tcp + kTcpWindowAt, tcp + kTcpChecksumAt) &&
         equal(a, b, tcp + kTcpUrgentAt, slot.first.header_size) &&
         load_u32(b + tcp + kTcpSequenceAt) ==
             static_cast<std::uint32_t>(load_u32(a + tcp + kTcpSequenceAt) + slot.payload);
}

bool SegmentJoiner::is_pushed(const Segment& segment) {
  return !segment.udp && (segment.bytes[segment.transport_at + kTcpFlagsAt] & kTcpPsh) != 0;
}

SegmentJoiner::Slot* SegmentJoiner::find(const Segment& segment) {
  for (Slot& slot : slots_) {
    if (slot.open && same_flow(slot.first, segment)) return &slot;
  }
  return nullptr;
}

void SegmentJoiner::open(const Outgoing& out, const Segment& segment, std::size_t at) {
  Slot* free = nullptr;
  for (Slot& slot : slots_) {
    if (!slot.open) free = &slot;
  }
  // More flows than slots: this one goes as it is.
  if (free == nullptr) return;
  *free = {segment, &out, at, segment.payload, 1, true, is_pushed(segment)};
}

void SegmentJoiner::append(Slot& slot, const Segment& segment, EgressBatch& into) {
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
  slot.pushed = is_pushed(segment);
}

// Writes the headers of a joined frame.
void SegmentJoiner::close(Slot& slot, EgressBatch& into) {
  slot.open = false;
  if (slot.count < 2) return;
  Frame& frame = *into[slot.at].frame;
  std::uint8_t* const ip = frame.segments[0].data + kNetworkAt;
  std::uint8_t* const transport = frame.segments[0].data + slot.first.transport_at;
  const bool v6 = slot.first.v6;
  const bool udp = slot.first.udp;
  const std::size_t length = frame.size - slot.first.transport_at;
  if (v6) {
    store_u16(ip + kIpv6LengthAt, length);
  } else {
    store_u16(ip + kIpv4LengthAt, kIpv4HeaderSize + length);
    store_u16(ip + kIpv4ChecksumAt, 0);
    store_u16(ip + kIpv4ChecksumAt, internet_checksum({ip, kIpv4HeaderSize}));
  }
  if (udp) store_u16(transport + kUdpLengthAt, length);
  if (slot.pushed) transport[kTcpFlagsAt] |= kTcpPsh;
  const std::size_t checksum_at = udp ? kUdpChecksumAt : kTcpChecksumAt;
  store_u16(transport + checksum_at,
            pseudo_header_sum(frame.segments[0].data, slot.first.transport_at, v6,
                              udp ? kUdp : kTcp, length));
  frame.offload.segmentation = udp  ? Offload::Segmentation::udp
                               : v6 ? Offload::Segmentation::tcp6
                                    : Offload::Segmentation::tcp4;
  frame.offload.needs_checksum = true;
  frame.offload.segment_size = static_cast<std::uint16_t>(slot.first.payload);
  frame.offload.header_size = static_cast<std::uint16_t>(slot.first.header_size);
  frame.offload.checksum_start = static_cast<std::uint16_t>(slot.first.transport_at);
  frame.offload.checksum_offset = static_cast<std::uint16_t>(checksum_at);
  slot.count = 0;
}

}  // namespace lanyard
