// SPDX-License-Identifier: MIT
#include "switch/frame/virtio_header.h"

#include "switch/frame/ethernet.h"

namespace lanyard {
namespace {

// Field by field, VIRTIO 1.1, 5.1.6; the last one (num_buffers) means nothing to us.
constexpr std::size_t kFlagsAt = 0;
constexpr std::size_t kKindAt = 1;
constexpr std::size_t kHeaderSizeAt = 2;
constexpr std::size_t kSegmentSizeAt = 4;
constexpr std::size_t kChecksumStartAt = 6;
constexpr std::size_t kChecksumOffsetAt = 8;

constexpr std::uint8_t kNeedsChecksum = 1;

constexpr std::uint8_t kKindNone = 0;
constexpr std::uint8_t kKindTcp4 = 1;
constexpr std::uint8_t kKindTcp6 = 4;
constexpr std::uint8_t kKindUdp = 5;  // UDP_L4: datagrams, not fragments
// Congestion is marked in the TCP header as well, and whoever cuts it looks there.
constexpr std::uint8_t kKindEcn = 0x80;

constexpr std::size_t kIpv4HeaderSize = 20;
constexpr std::size_t kIpv6HeaderSize = 40;
constexpr std::size_t kUdpHeaderSize = 8;
constexpr std::size_t kUdpChecksumOffset = 6;
constexpr std::size_t kTcpHeaderSize = 20;
constexpr std::size_t kTcpChecksumOffset = 16;
constexpr std::size_t kTcpLengthAt = 12;  // the upper half of the octet, in words of four

std::uint16_t load(std::span<const std::uint8_t, kVirtioHeaderSize> header, std::size_t at) {
  return static_cast<std::uint16_t>(header[at] | header[at + 1] << 8);
}

void store(VirtioHeader& header, std::size_t at, std::uint16_t number) {
  header[at] = static_cast<std::uint8_t>(number);
  header[at + 1] = static_cast<std::uint8_t>(number >> 8);
}

// The length of the transport header at `start`; 0 when it does not end within `head`.
std::size_t transport_header_size(Offload::Segmentation kind, std::span<const std::uint8_t> head,
                                  std::size_t start) {
  const std::size_t there = head.size() - start;
  if (kind == Offload::Segmentation::udp) return there >= kUdpHeaderSize ? kUdpHeaderSize : 0;
  if (there < kTcpHeaderSize) return 0;
  const std::size_t size = std::size_t{4} * (head[start + kTcpLengthAt] >> 4);
  return size >= kTcpHeaderSize && size <= there ? size : 0;
}

VirtioFault check_segmentation(Offload& offload, std::span<const std::uint8_t> head,
                               std::size_t frame_size) {
  const Offload::Segmentation kind = offload.segmentation;
  if (!offload.needs_checksum) return VirtioFault::checksum_not_owed;
  if (offload.segment_size == 0) return VirtioFault::no_segment_size;
  const bool is_udp = kind == Offload::Segmentation::udp;
  const std::size_t network =
      kind == Offload::Segmentation::tcp6 ? kIpv6HeaderSize : kIpv4HeaderSize;
  if (offload.checksum_offset != (is_udp ? kUdpChecksumOffset : kTcpChecksumOffset) ||
      offload.checksum_start < kEthernetHeaderSize + network) {
    return VirtioFault::checksum_misplaced;
  }
  const std::size_t transport = transport_header_size(kind, head, offload.checksum_start);
  if (transport == 0) return VirtioFault::header_past_end;
  const std::size_t header = offload.checksum_start + transport;
  if (header > UINT16_MAX) return VirtioFault::header_past_end;
  offload.header_size = static_cast<std::uint16_t>(header);
  const std::size_t payload = frame_size - header;
  if (payload > offload.segment_size * kSegmentsMax) return VirtioFault::too_many_segments;
  if (payload <= offload.segment_size) {
    offload.segmentation = Offload::Segmentation::none;
    offload.segment_size = 0;
    offload.header_size = 0;
  }
  return VirtioFault::none;
}

}  // namespace

std::string_view name_of(VirtioFault fault) {
  switch (fault) {
    case VirtioFault::none: return "none";
    case VirtioFault::unknown_segmentation: return "unknown_segmentation";
    case VirtioFault::checksum_not_owed: return "checksum_not_owed";
    case VirtioFault::checksum_misplaced: return "checksum_misplaced";
    case VirtioFault::checksum_past_end: return "checksum_past_end";
    case VirtioFault::header_past_end: return "header_past_end";
    case VirtioFault::no_segment_size: return "no_segment_size";
    case VirtioFault::too_many_segments: return "too_many_segments";
  }
  return "unknown";
}

VirtioReading read_virtio_header(std::span<const std::uint8_t, kVirtioHeaderSize> header,
                                 std::span<const std::uint8_t> head, std::size_t frame_size) {
  const auto refused = [](VirtioFault fault) { return VirtioReading{Offload{}, fault}; };
  VirtioReading reading;
  Offload& offload = reading.offload;
  switch (header[kKindAt] & ~kKindEcn) {
    case kKindNone: break;
    case kKindTcp4: offload.segmentation = Offload::Segmentation::tcp4; break;
    case kKindTcp6: offload.segmentation = Offload::Segmentation::tcp6; break;
    case kKindUdp: offload.segmentation = Offload::Segmentation::udp; break;
    default: return refused(VirtioFault::unknown_segmentation);
  }
  offload.needs_checksum = (header[kFlagsAt] & kNeedsChecksum) != 0;
  if (offload.owes_nothing()) return reading;
  offload.checksum_start = load(header, kChecksumStartAt);
  offload.checksum_offset = load(header, kChecksumOffsetAt);
  const std::size_t field = std::size_t{offload.checksum_start} + offload.checksum_offset;
  if (offload.needs_checksum) {
    if (offload.checksum_start < kEthernetHeaderSize)
      return refused(VirtioFault::checksum_misplaced);
    if (field + 2 > head.size()) return refused(VirtioFault::checksum_past_end);
  }
  if (offload.segmentation == Offload::Segmentation::none) return reading;
  offload.segment_size = load(header, kSegmentSizeAt);
  const VirtioFault fault = check_segmentation(offload, head, frame_size);
  return fault == VirtioFault::none ? reading : refused(fault);
}

VirtioHeader make_virtio_header(const Offload& offload) {
  VirtioHeader header{};
  if (offload.needs_checksum) {
    header[kFlagsAt] = kNeedsChecksum;
    store(header, kChecksumStartAt, offload.checksum_start);
    store(header, kChecksumOffsetAt, offload.checksum_offset);
  }
  switch (offload.segmentation) {
    case Offload::Segmentation::none:
    case Offload::Segmentation::malformed: return header;
    case Offload::Segmentation::tcp4: header[kKindAt] = kKindTcp4; break;
    case Offload::Segmentation::tcp6: header[kKindAt] = kKindTcp6; break;
    case Offload::Segmentation::udp: header[kKindAt] = kKindUdp; break;
  }
  store(header, kHeaderSizeAt, offload.header_size);
  store(header, kSegmentSizeAt, offload.segment_size);
  return header;
}

}  // namespace lanyard
