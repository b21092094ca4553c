// SPDX-License-Identifier: MIT
#include "switch/frame/settler.h"

#include <algorithm>
#include <optional>

#include "switch/frame/frame_pool.h"
#include "switch/frame/internet_checksum.h"
#include "switch/frame/ip_headers.h"

namespace lanyard {
namespace {

using namespace ip;

using Bytes = std::span<const std::uint8_t>;
using Segmentation = Offload::Segmentation;

constexpr std::size_t kVirtioKindAt = 1;
constexpr std::uint8_t kVirtioKindEcn = 0x80;

// Below this a copy of the whole is cheaper than a list of pieces.
constexpr std::size_t kCopyMax = 256;

bool is_tcp(Segmentation kind) {
  return kind != Segmentation::udp;
}

// A checksum over pieces of any length: a piece that begins at an odd place counts swapped.
class PiecewiseChecksum {
 public:
  void add(Bytes piece) {
    InternetChecksum part;
    part.add(piece);
    const std::uint16_t sum = part.sum();
    total_.add_u16(odd_ ? static_cast<std::uint16_t>(sum << 8 | sum >> 8) : sum);
    odd_ ^= (piece.size() & 1) != 0;
  }
  std::uint16_t finish() const { return total_.finish(); }

 private:
  InternetChecksum total_;
  bool odd_ = false;
};

// Behind the Ethernet header and whatever tags have stayed in the bytes.
std::optional<std::size_t> network_header_at(Bytes head, std::uint16_t& type) {
  std::size_t at = kAddressesSize;
  while (at + 2 <= head.size()) {
    type = load_u16(&head[at]);
    if (type != kEtherTypeVlan && type != kEtherTypeServiceVlan) return at + 2;
    at += kVlanTagSize;
  }
  return std::nullopt;
}

// An IPv4 header from `at` to the transport header, of a packet that ends with the frame.
bool is_sound_ipv4(Bytes head, std::size_t at, const Frame& frame, std::uint8_t protocol) {
  const std::size_t end = frame.offload.checksum_start;
  if (at + kIpv4HeaderSize > end) return false;
  const std::uint8_t* const ip = &head[at];
  return ip[0] >> 4 == 4 && std::size_t{4} * (ip[0] & 0x0fU) == end - at &&
         load_u16(ip + kIpv4LengthAt) == frame.size - at && ip[kIpv4ProtocolAt] == protocol &&
         (load_u16(ip + kIpv4FragmentAt) & kIpv4FragmentMask) == 0;
}

// The same of IPv6, with those extension headers that may stand in front of a whole packet's TCP.
bool is_sound_ipv6(Bytes head, std::size_t at, const Frame& frame, std::uint8_t protocol) {
  const std::size_t end = frame.offload.checksum_start;
  if (at + kIpv6HeaderSize > end) return false;
  const std::uint8_t* const ip = &head[at];
  if (ip[0] >> 4 != 6 || load_u16(ip + kIpv6LengthAt) != frame.size - at - kIpv6HeaderSize) {
    return false;
  }
  std::uint8_t next = ip[kIpv6NextAt];
  at += kIpv6HeaderSize;
  while (at + 8 <= end && (next == kHopByHop || next == kRouting || next == kDestinationOptions)) {
    next = head[at];
    at += std::size_t{8} * (head[at + 1] + 1U);
  }
  return at == end && next == protocol;
}

bool is_sound_transport(Bytes head, const Frame& frame) {
  const Offload& offload = frame.offload;
  const std::size_t start = offload.checksum_start;
  if (is_tcp(offload.segmentation)) {
    return offload.checksum_offset == kTcpChecksumAt && start + kTcpHeaderSize <= head.size() &&
           std::size_t{4} * (head[start + kTcpLengthAt] >> 4) == offload.header_size - start &&
           offload.header_size - start >= kTcpHeaderSize;
  }
  return offload.checksum_offset == kUdpChecksumAt &&
         offload.header_size == start + kUdpHeaderSize &&
         load_u16(&head[start + kUdpLengthAt]) == frame.size - start;
}

bool is_sound_segmentation(const Frame& frame) {
  const Offload& offload = frame.offload;
  const Bytes head = frame.head();
  if (offload.segment_size == 0 || offload.header_size <= offload.checksum_start ||
      offload.header_size > head.size() || offload.header_size >= frame.size ||
      frame.size - offload.header_size > offload.segment_size * kSegmentsMax) {
    return false;
  }
  std::uint16_t type = 0;
  const std::optional<std::size_t> at = network_header_at(head, type);
  if (!at || !is_sound_transport(head, frame)) return false;
  const std::uint8_t protocol = is_tcp(offload.segmentation) ? kTcp : kUdp;
  if (type == kEtherTypeIpv4 && offload.segmentation != Segmentation::tcp6) {
    return is_sound_ipv4(head, *at, frame, protocol);
  }
  return type == kEtherTypeIpv6 && offload.segmentation != Segmentation::tcp4 &&
         is_sound_ipv6(head, *at, frame, protocol);
}

}  // namespace

bool is_sound_debt(const Frame& frame) {
  const Offload& offload = frame.offload;
  if (offload.segmentation == Segmentation::malformed || !offload.needs_checksum ||
      frame.size > kMaxFrameSize || offload.checksum_start < kEthernetHeaderSize ||
      std::size_t{offload.checksum_start} + offload.checksum_offset + 2 > frame.head().size()) {
    return false;
  }
  return offload.segmentation == Segmentation::none || is_sound_segmentation(frame);
}

VirtioHeader virtio_header_of(const Outgoing& out) {
  Offload offload = out.frame->offload;
  if (offload.owes_nothing()) return {};
  const bool is_tcp_segments =
      offload.segmentation == Segmentation::tcp4 || offload.segmentation == Segmentation::tcp6;
  const std::uint8_t* const transport = &out.frame->head()[offload.checksum_start];
  if (out.tagged) {
    offload.checksum_start = static_cast<std::uint16_t>(offload.checksum_start + kVlanTagSize);
    offload.header_size = static_cast<std::uint16_t>(offload.header_size + kVlanTagSize);
  }
  VirtioHeader header = make_virtio_header(offload);
  if (is_tcp_segments && (transport[kTcpFlagsAt] & kTcpCwr) != 0) {
    header[kVirtioKindAt] |= kVirtioKindEcn;
  }
  return header;
}

std::size_t Settler::longest(const Outgoing& out) {
  const Offload& offload = out.frame->offload;
  const std::size_t whole = out.wire_size();
  if (offload.segmentation == Segmentation::none) return whole;
  return std::min(whole, std::size_t{offload.header_size} + offload.segment_size +
                             (out.tagged ? kVlanTagSize : 0));
}

void Settler::begin(const Outgoing& out) {
  out_ = &out;
  const Frame& frame = *out.frame;
  if (frame.offload.segmentation == Segmentation::none) return;
  std::uint16_t type = 0;
  network_at_ = network_header_at(frame.head(), type).value_or(0);
  done_ = count_ = 0;
  cursor_ = {0, frame.offload.header_size};
}

bool Settler::next(EgressBatch& into) {
  const Frame& frame = *out_->frame;
  if (into.room() == 0) return true;
  if (frame.offload.segmentation == Segmentation::none) {
    complete_checksum(into);
    return false;
  }
  const std::size_t payload = frame.size - frame.offload.header_size;
  while (done_ < payload && into.room() != 0) cut_segment(into);
  return done_ < payload;
}

void Settler::complete_checksum(EgressBatch& into) {
  Frame& frame = *out_->frame;
  const std::size_t start = frame.offload.checksum_start;
  const std::size_t field = start + frame.offload.checksum_offset;
  // The field holds the sum of the pseudo-header, so it is summed as it stands.
  PiecewiseChecksum checksum;
  checksum.add(frame.head().subspan(start));
  for (std::size_t i = 1; i < frame.segment_count; ++i) {
    checksum.add({frame.segments[i].data, frame.segments[i].size});
  }
  std::uint16_t sum = checksum.finish();
  if (sum == 0) sum = 0xffff;  // in UDP a zero says that there is none (RFC 768)
  if (out_->frame.unique()) {
    store_u16(frame.segments[0].data + field, sum);
    frame.offload = Offload{};
    push(out_->frame.share(), into);
    return;
  }
  const std::size_t header_size = frame.size <= kCopyMax ? frame.segments[0].size : field + 2;
  std::uint8_t* header = nullptr;
  cursor_ = {0, header_size};
  FrameRef paid = frame_of(header, header_size, frame.size - header_size);
  store_u16(header + field, sum);
  push(std::move(paid), into);
}

void Settler::cut_segment(EgressBatch& into) {
  const Frame& frame = *out_->frame;
  const Offload& offload = frame.offload;
  const std::size_t header_size = offload.header_size;
  const std::size_t payload =
      std::min<std::size_t>(offload.segment_size, frame.size - header_size - done_);
  std::uint8_t* header = nullptr;
  FrameRef segment = frame_of(header, header_size, payload);
  write_network_header(header, payload);
  write_transport_header(header, payload);
  PiecewiseChecksum checksum;
  checksum.add(segment->head().subspan(offload.checksum_start));
  for (std::size_t i = 1; i < segment->segment_count; ++i) {
    checksum.add({segment->segments[i].data, segment->segments[i].size});
  }
  std::uint16_t sum = checksum.finish();
  if (sum == 0 && !is_tcp(offload.segmentation)) sum = 0xffff;
  store_u16(header + offload.checksum_start + offload.checksum_offset, sum);
  done_ += payload;
  ++count_;
  push(std::move(segment), into);
}

void Settler::write_network_header(std::uint8_t* header, std::size_t payload) const {
  const Offload& offload = out_->frame->offload;
  std::uint8_t* const ip = header + network_at_;
  const std::size_t length = offload.header_size - network_at_ + payload;
  if (ip[0] >> 4 == 6) {
    store_u16(ip + kIpv6LengthAt, length - kIpv6HeaderSize);
    return;
  }
  store_u16(ip + kIpv4LengthAt, length);
  store_u16(ip + kIpv4IdAt, load_u16(ip + kIpv4IdAt) + count_);
  store_u16(ip + kIpv4ChecksumAt, 0);
  store_u16(ip + kIpv4ChecksumAt, internet_checksum({ip, offload.checksum_start - network_at_}));
}

// The checksum field holds the sum of the pseudo-header, in which the length of the whole stands;
// the length of the segment takes its place. So nobody asks whose addresses were summed, which
// behind a routing header are not those of the IPv6 header.
void Settler::write_transport_header(std::uint8_t* header, std::size_t payload) const {
  const Frame& frame = *out_->frame;
  const Offload& offload = frame.offload;
  std::uint8_t* const transport = header + offload.checksum_start;
  const std::size_t whole = frame.size - offload.checksum_start;
  const std::size_t length = offload.header_size - offload.checksum_start + payload;
  InternetChecksum pseudo;
  pseudo.add_u16(load_u16(transport + offload.checksum_offset));
  pseudo.add_u16(static_cast<std::uint16_t>(~whole));
  pseudo.add_u16(static_cast<std::uint16_t>(length));
  store_u16(transport + offload.checksum_offset, pseudo.sum());
  if (!is_tcp(offload.segmentation)) {
    store_u16(transport + kUdpLengthAt, length);
    return;
  }
  store_u32(transport + kTcpSequenceAt,
            load_u32(transport + kTcpSequenceAt) + static_cast<std::uint32_t>(done_));
  std::uint8_t& flags = transport[kTcpFlagsAt];
  const bool last = offload.header_size + done_ + payload == frame.size;
  if (!last) flags &= static_cast<std::uint8_t>(~(kTcpFin | kTcpPsh));
  if (done_ != 0) flags &= static_cast<std::uint8_t>(~kTcpCwr);
}

// A frame of its own header, a copy of the original's, and its next `payload` bytes; or, when they
// lie in more pieces than a frame has, a copy of them.
FrameRef Settler::frame_of(std::uint8_t*& header, std::size_t header_size, std::size_t payload) {
  const Frame& from = *out_->frame;
  const bool copies = pieces(payload) >= Frame::kSegments || header_size + payload <= kCopyMax;
  const std::size_t own = header_size + (copies ? payload : 0);
  header = room_for(own);
  std::memcpy(header, from.segments[0].data, header_size);
  FrameRef frame = pool_.borrow(header, static_cast<std::uint32_t>(own));
  frame->buffer = headers_->buffer;
  ++headers_->buffer->refs;
  frame->vlan = from.vlan;
  frame->priority = from.priority;
  frame->size = static_cast<std::uint32_t>(header_size + payload);
  std::uint8_t* copy_to = header + header_size;
  while (payload != 0) {
    const Segment& source = from.segments[cursor_.segment];
    const std::size_t count = std::min<std::size_t>(payload, source.size - cursor_.offset);
    if (count != 0 && copies) {
      std::memcpy(copy_to, source.data + cursor_.offset, count);
      copy_to += count;
    } else if (count != 0) {
      frame->segments[frame->segment_count++] = {source.data + cursor_.offset,
                                                 static_cast<std::uint32_t>(count)};
    }
    payload -= count;
    cursor_.offset += count;
    if (cursor_.offset == source.size) cursor_ = {cursor_.segment + 1, 0};
  }
  return frame;
}

std::size_t Settler::pieces(std::size_t payload) const {
  const Frame& from = *out_->frame;
  std::size_t count = 0;
  std::size_t offset = cursor_.offset;
  for (std::size_t i = cursor_.segment; payload != 0; ++i, ++count, offset = 0) {
    payload -= std::min<std::size_t>(payload, from.segments[i].size - offset);
  }
  return count;
}

std::uint8_t* Settler::room_for(std::size_t size) {
  constexpr std::size_t kAlign = 64;
  if (!headers_ || headers_used_ + size > kMaxFrameSize) {
    headers_ = pool_.make();
    headers_used_ = 0;
  }
  std::uint8_t* const at = headers_->segments[0].data + headers_used_;
  headers_used_ = std::min((headers_used_ + size + kAlign - 1) / kAlign * kAlign, kMaxFrameSize);
  // The pool wants to know how far its buffer has been written to.
  headers_->size = static_cast<std::uint32_t>(headers_used_);
  return at;
}

void Settler::push(FrameRef&& frame, EgressBatch& into) const {
  if (out_->tagged) {
    into.add().set_tagged(std::move(frame));
  } else {
    into.add().set_untagged(std::move(frame));
  }
}

}  // namespace lanyard
