// SPDX-License-Identifier: MIT
//
// What an Ethernet frame looks like (IEEE 802.3, 802.1Q) and the one way to read it. Bytes from a
// guest are read only through EthernetView, which knows how many there are. Any thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "switch/frame/mac_address.h"

namespace lanyard {

using VlanId = std::uint16_t;

constexpr std::size_t kAddressesSize = 12;        // destination and source
constexpr std::size_t kEthernetHeaderSize = 14;   // addresses and type
constexpr std::size_t kVlanTagSize = 4;           // TPID and TCI
constexpr std::size_t kStandardFrameSize = 1522;  // 1500 payload, header, one tag; no FCS
// The longest frame anybody sends us: QEMU's network buffer, 64 KiB and a page of headers.
constexpr std::size_t kMaxFrameSize = 69632;

constexpr std::uint16_t kEtherTypeVlan = 0x8100;  // 802.1Q C-TAG; the S-TAG 88a8 is payload to us

constexpr VlanId kVlanMax = 4094;   // 802.1Q table 9-2: 4095 is reserved
constexpr VlanId kVlanNone = 4095;  // as a native VLAN: the port takes no untagged frames
constexpr std::size_t kVlanIds = 4096;

constexpr std::uint16_t kTciVlanMask = 0x0fff;
constexpr std::uint16_t kTciPriorityMask = 0xf000;  // PCP and DEI

class EthernetView {
 public:
  // Any number of bytes; `valid()` says whether there is a header to read.
  explicit EthernetView(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  bool valid() const { return bytes_.size() >= kEthernetHeaderSize; }
  MacAddress destination() const { return address_at(0); }
  MacAddress source() const { return address_at(MacAddress::kSize); }
  bool has_group_destination() const { return (bytes_[0] & 1) != 0; }
  std::uint16_t type() const { return load_u16(kAddressesSize); }
  // The tag control information when the frame carries a whole 802.1Q tag and a type after it.
  std::optional<std::uint16_t> tci() const {
    if (bytes_.size() < kEthernetHeaderSize + kVlanTagSize) return std::nullopt;
    return load_u16(kAddressesSize + 2);
  }

 private:
  // A valid header is 14 bytes, so eight can be read where either address begins.
  MacAddress address_at(std::size_t at) const {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes_.subspan(at, sizeof word).data(), sizeof word);
    if constexpr (std::endian::native == std::endian::little) word = __builtin_bswap64(word);
    return MacAddress::from_number(word >> 16);
  }
  std::uint16_t load_u16(std::size_t at) const {
    return static_cast<std::uint16_t>(bytes_[at] << 8 | bytes_[at + 1]);
  }

  std::span<const std::uint8_t> bytes_;
};

}  // namespace lanyard
