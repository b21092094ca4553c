// SPDX-License-Identifier: MIT
//
// What a frame still owes: work its sender left to us because the path so far could carry it
// undone. The fields are those of the virtio network header (VIRTIO 1.1, 5.1.6) in host order. All
// zero means nothing is owed, and that is what every endpoint without offloads produces. The debt
// is settled once, at the last endpoint that cannot pass it on. A value; any thread.
#pragma once

#include <cstdint>

namespace lanyard {

struct Offload {
  enum class Segmentation : std::uint8_t { none, tcp4, tcp6, udp };  // udp: UDP_L4

  Segmentation segmentation = Segmentation::none;
  bool needs_checksum = false;
  std::uint16_t segment_size = 0;     // payload bytes of each segment
  std::uint16_t header_size = 0;      // Ethernet to the end of the transport header
  std::uint16_t checksum_start = 0;   // from the start of the frame
  std::uint16_t checksum_offset = 0;  // from checksum_start

  bool owes_nothing() const { return segmentation == Segmentation::none && !needs_checksum; }
  friend bool operator==(const Offload&, const Offload&) = default;
};

}  // namespace lanyard
