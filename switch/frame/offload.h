// SPDX-License-Identifier: MIT
//
// What a frame still owes: work its sender left to us because the path so far could carry it
// undone. The fields are those of the virtio network header (VIRTIO 1.1, 5.1.6) in host order. All
// zero means nothing is owed, and that is what every endpoint without offloads produces. The debt
// is settled once, at the last endpoint that cannot pass it on. A value; any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lanyard {

// The most frames one may be cut into: the 64 KiB of an IP packet at the least segment size that
// Linux's TCP uses (48) come to 1,366.
constexpr std::size_t kSegmentsMax = 2048;

struct Offload {
  // udp: UDP_L4. malformed: whoever sent the frame said of it what cannot be; it is fit only to be
  // dropped, which the switch does by name when the frame arrives.
  enum class Segmentation : std::uint8_t { none, tcp4, tcp6, udp, malformed };

  Segmentation segmentation = Segmentation::none;
  bool needs_checksum = false;
  std::uint16_t segment_size = 0;     // payload bytes of each segment
  std::uint16_t header_size = 0;      // Ethernet to the end of the transport header
  std::uint16_t checksum_start = 0;   // from the start of the frame
  std::uint16_t checksum_offset = 0;  // from checksum_start

  static Offload malformed() {
    Offload offload;
    offload.segmentation = Segmentation::malformed;
    return offload;
  }
  bool owes_nothing() const { return segmentation == Segmentation::none && !needs_checksum; }
  friend bool operator==(const Offload&, const Offload&) = default;
};

}  // namespace lanyard
