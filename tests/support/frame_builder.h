// SPDX-License-Identifier: MIT
//
// Frames as tests write and read them: built by a chain of words, compared byte by byte, and
// printed as a line that can be pasted into Scapy when a test fails.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <numeric>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "switch/frame/ethernet.h"
#include "switch/frame/offload.h"

namespace lanyard::testing {

using Bytes = std::vector<std::uint8_t>;

constexpr MacAddress kBroadcast = MacAddress::from_number(0xffffffffffff);
constexpr MacAddress kAlice = MacAddress::from_number(0x0200000000a1);
constexpr MacAddress kBob = MacAddress::from_number(0x0200000000b2);
constexpr MacAddress kCarol = MacAddress::from_number(0x0200000000c3);

// A station of which a test needs many.
constexpr MacAddress station(std::uint64_t number) {
  return MacAddress::from_number(0x02'00'00'00'00'00 + number);
}

inline std::string hex(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) fmt::format_to(std::back_inserter(text), "{:02x}", byte);
  return text;
}

// Bytes as Python writes them; a long run of counting bytes, as FrameBuilder::size() makes it, is
// written as what it is.
inline std::string python_bytes(std::span<const std::uint8_t> bytes) {
  std::size_t plain = bytes.size();
  while (plain > 1 && static_cast<std::uint8_t>(bytes[plain - 2] + 1) == bytes[plain - 1]) --plain;
  if (bytes.size() - plain < 64) return fmt::format("bytes.fromhex(\"{}\")", hex(bytes));
  --plain;  // the run includes the byte that the first step started from
  return fmt::format("bytes.fromhex(\"{}\") + bytes(i & 255 for i in range({}, {}))",
                     hex(bytes.first(plain)), bytes[plain], bytes[plain] + bytes.size() - plain);
}

// A frame's bytes as they stand on the wire, and what it owes beside them.
struct WireFrame {
  Bytes bytes;
  Offload offload{};

  std::string scapy() const {
    const EthernetView view(bytes);
    if (!view.valid()) return fmt::format("Raw({})", python_bytes(bytes));
    std::size_t at = kEthernetHeaderSize;
    std::uint16_t type = view.type();
    std::string text = fmt::format("Ether(dst=\"{}\", src=\"{}\", type={:#06x})",
                                   view.destination().text(), view.source().text(), type);
    while (type == kEtherTypeVlan && at + kVlanTagSize <= bytes.size()) {
      const unsigned tci = unsigned{bytes[at]} << 8U | bytes[at + 1];
      type = static_cast<std::uint16_t>(bytes[at + 2] << 8U | bytes[at + 3]);
      fmt::format_to(std::back_inserter(text), "/Dot1Q(prio={}, dei={}, vlan={}, type={:#06x})",
                     tci >> 13U, tci >> 12U & 1U, tci & kTciVlanMask, type);
      at += kVlanTagSize;
    }
    if (at < bytes.size()) {
      fmt::format_to(std::back_inserter(text), "/Raw({})",
                     python_bytes(std::span(bytes).subspan(at)));
    }
    return text;
  }

  friend bool operator==(const WireFrame&, const WireFrame&) = default;
  friend void PrintTo(const WireFrame& frame, std::ostream* out) {
    *out << frame.bytes.size() << " bytes: " << frame.scapy();
    if (!frame.offload.owes_nothing()) *out << ", owing work";
  }
};

// frame().from(kAlice).to(kBob).tag(10, 5).payload("hello"); every word is optional.
class FrameBuilder {
 public:
  FrameBuilder& from(MacAddress mac) { return source_ = mac, *this; }
  FrameBuilder& to(MacAddress mac) { return destination_ = mac, *this; }
  FrameBuilder& type(std::uint16_t type) { return type_ = type, *this; }
  // The first tag given is the outermost.
  FrameBuilder& tag(VlanId vlan, unsigned priority = 0, bool drop_eligible = false) {
    const unsigned tci = priority << 13U | (drop_eligible ? 1U << 12U : 0U) | vlan;
    append_u16(tags_, kEtherTypeVlan);
    append_u16(tags_, static_cast<std::uint16_t>(tci));
    return *this;
  }
  FrameBuilder& payload(std::string_view text) {
    return payload_.assign(text.begin(), text.end()), *this;
  }
  // Fills up the payload with counting bytes until the whole frame has this size.
  FrameBuilder& size(std::size_t whole) { return size_ = whole, *this; }
  // Only the first bytes of it, as a peer may send them.
  FrameBuilder& cut(std::size_t to) { return cut_ = to, *this; }

  WireFrame wire() const {
    Bytes bytes;
    for (const MacAddress& address : {destination_, source_}) {
      const auto octets = address.bytes();
      bytes.insert(bytes.end(), octets.begin(), octets.end());
    }
    bytes.insert(bytes.end(), tags_.begin(), tags_.end());
    append_u16(bytes, type_);
    bytes.insert(bytes.end(), payload_.begin(), payload_.end());
    if (const std::size_t before = bytes.size(); before < size_) {
      bytes.resize(size_);
      std::iota(bytes.begin() + static_cast<std::ptrdiff_t>(before), bytes.end(), std::uint8_t{1});
    }
    if (cut_ < bytes.size()) bytes.resize(cut_);
    return {std::move(bytes)};
  }
  operator WireFrame() const { return wire(); }  // NOLINT: implicit

  friend bool operator==(const WireFrame& a, const FrameBuilder& b) { return a == b.wire(); }
  friend void PrintTo(const FrameBuilder& builder, std::ostream* out) {
    PrintTo(builder.wire(), out);
  }

 private:
  static void append_u16(Bytes& to, std::uint16_t word) {
    to.push_back(static_cast<std::uint8_t>(word >> 8U));
    to.push_back(static_cast<std::uint8_t>(word));
  }

  MacAddress source_ = kAlice;
  MacAddress destination_ = kBroadcast;
  std::uint16_t type_ = 0x88b5;  // "local experimental": nobody's protocol
  Bytes tags_;
  Bytes payload_;
  std::size_t size_ = 0;
  std::size_t cut_ = static_cast<std::size_t>(-1);
};

inline FrameBuilder frame() {
  return {};
}

}  // namespace lanyard::testing
