// SPDX-License-Identifier: MIT
//
// The header in front of a frame that may still owe work (VIRTIO 1.1, 5.1.6; the kernel's
// virtio_net_hdr_v1 in little endian): between the switch and a gateway, and on TAP interfaces.
//
// What makes it hard: whoever wrote it may lie. Offsets that point outside the frame, a checksum
// field inside the addresses, a segment size of one byte that turns 64 KiB into as many frames:
// each is refused by its name, and what is accepted is safe to work on without another look. And
// the kernel's own header length is only a hint (often too long), so the length is taken from the
// transport header instead. Any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "switch/frame/offload.h"

namespace lanyard {

constexpr std::size_t kVirtioHeaderSize = 12;
using VirtioHeader = std::array<std::uint8_t, kVirtioHeaderSize>;

enum class VirtioFault : std::uint8_t {
  none,
  unknown_segmentation,  // a kind that nobody was offered
  checksum_not_owed,     // segments whose checksum is not to be made
  checksum_misplaced,    // inside the Ethernet header, or not where the transport has it
  checksum_past_end,     // of the bytes that lie together at the front
  header_past_end,       // the transport header does not end within them
  no_segment_size,
  too_many_segments,
};

// "checksum_past_end".
std::string_view name_of(VirtioFault fault);

struct VirtioReading {
  Offload offload;
  VirtioFault fault = VirtioFault::none;
};

// `head` are the bytes of the frame that lie together, headers and all; `frame_size` is the length
// of the whole. A debt for a frame that is no longer than one segment is read as what it is: a
// checksum.
VirtioReading read_virtio_header(std::span<const std::uint8_t, kVirtioHeaderSize> header,
                                 std::span<const std::uint8_t> head, std::size_t frame_size);

VirtioHeader make_virtio_header(const Offload& offload);

}  // namespace lanyard
