// SPDX-License-Identifier: MIT
//
// The checksum of IPv4, ICMP, UDP and TCP (RFC 1071): the ones' complement sum of 16-bit words.
//
// What makes it hard: it is summed over every payload byte that we make or check, so it must be
// quick. Ones' complement addition does not care about word size or byte order (RFC 1071 2), so
// eight bytes are added at a time as they lie in memory, and folded and put in order once at the
// end. A value; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace lanyard {

class InternetChecksum {
 public:
  // Bytes that follow those added so far. Only the last piece may have an odd length.
  void add(std::span<const std::uint8_t> bytes);
  // A number in host order, as it would stand in the packet.
  void add_u16(std::uint16_t number);
  void add_u32(std::uint32_t number) {
    add_u16(static_cast<std::uint16_t>(number >> 16));
    add_u16(static_cast<std::uint16_t>(number));
  }

  // The complement of the sum in host order: what belongs in the field. 0 for bytes that contain
  // their right checksum.
  std::uint16_t finish() const { return static_cast<std::uint16_t>(~sum()); }
  // The sum itself, in host order: the field of a packet whose checksum is owed starts with the sum
  // of the pseudo-header (VIRTIO 1.1, 5.1.6.2).
  std::uint16_t sum() const;

 private:
  std::uint64_t sum_ = 0;  // in memory order, with the carries already added back
};

inline std::uint16_t internet_checksum(std::span<const std::uint8_t> bytes) {
  InternetChecksum checksum;
  checksum.add(bytes);
  return checksum.finish();
}

}  // namespace lanyard
