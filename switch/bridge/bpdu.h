// SPDX-License-Identifier: MIT
//
// Bridge protocol data units: what bridges tell each other to span a tree (IEEE 802.1D-2004, clause
// 9), as values, and the one way from and to bytes.
//
// Three kinds are spoken: Configuration and Topology Change Notification BPDUs of the old protocol
// (STP), and RST BPDUs. And there is a dialect: vde_switch's FSTP sends what looks like RST BPDUs
// with other meanings. The role bits of root and alternate ports are exchanged, the bit of a
// proposal says "this port is blocked", and the times are always 40, 4 and 0 seconds, which is how
// it is told apart: no standard bridge announces a forward delay of 0. Decoding and encoding
// translate, so that the engine sees one language.
//
// And one thing is ours: an agreement does not say to what it agrees, and one that was on its way
// while the tree changed can close a loop. So between our own switches the padding of RST BPDUs
// holds a number of what is said and of what was heard. Values; any thread.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "switch/frame/mac_address.h"

namespace lanyard {

// Priority and address of a bridge; the lower the better (9.2.5).
struct BridgeId {
  std::uint64_t number = 0;  // 16 bits of priority, 48 of address

  static constexpr BridgeId of(std::uint16_t priority, MacAddress mac) {
    return {std::uint64_t{priority} << 48 | mac.number()};
  }
  constexpr std::uint16_t priority() const { return static_cast<std::uint16_t>(number >> 48); }
  constexpr MacAddress mac() const { return MacAddress::from_number(number); }
  std::string text() const;  // "80:00:00:ff:01:02:03:04"

  friend constexpr auto operator<=>(const BridgeId&, const BridgeId&) = default;
};

// Spanning tree priority vector (17.5) as a message carries it; the lower the better.
struct PriorityVector {
  BridgeId root;
  std::uint32_t cost = 0;
  BridgeId bridge;         // the designated one
  std::uint16_t port = 0;  // the designated one

  friend constexpr auto operator<=>(const PriorityVector&, const PriorityVector&) = default;
};

// As they stand on the wire, in 1/256 of a second (9.2.8).
struct TreeTimes {
  static constexpr std::uint16_t kSecond = 256;

  std::uint16_t message_age = 0;
  std::uint16_t max_age = 20 * kSecond;
  std::uint16_t hello = 2 * kSecond;
  std::uint16_t forward_delay = 15 * kSecond;

  friend constexpr bool operator==(const TreeTimes&, const TreeTimes&) = default;
};

// Roles of a port (17.3.1), as the engine has them.
enum class PortRole : std::uint8_t { disabled, root, designated, alternate, backup };

struct Bpdu {
  enum class Kind : std::uint8_t { configuration, topology_change_notification, rapid };

  Kind kind = Kind::rapid;
  bool fstp = false;  // spoken in the dialect
  bool topology_change = false;
  bool proposal = false;
  // `alternate` stands for alternate or backup; `disabled` for the code nobody may use.
  PortRole role = PortRole::designated;
  bool learning = false;
  bool forwarding = false;
  bool agreement = false;
  bool acknowledgment = false;  // of a topology change
  // Ours, in the padding, where others do not look: the number of what this port says, and of what
  // it has heard last.
  struct Numbers {
    std::uint16_t said = 0;
    std::uint16_t heard = 0;
    friend bool operator==(const Numbers&, const Numbers&) = default;
  };
  std::optional<Numbers> numbers;
  PriorityVector priority;
  TreeTimes times;

  friend bool operator==(const Bpdu&, const Bpdu&) = default;
};

// From the bytes after the source address: length, LLC and what follows. nullopt: no BPDU that a
// bridge may take (9.3.4), or one whose message age says that it is too old to be believed.
std::optional<Bpdu> decode_bpdu(std::span<const std::uint8_t> bytes);

// A whole frame without a tag, padded to Ethernet's minimum unless it is in the dialect.
class BpduFrame {
 public:
  BpduFrame(const Bpdu& bpdu, MacAddress source);
  std::span<const std::uint8_t> bytes() const { return {bytes_.data(), size_}; }

 private:
  void put(std::uint64_t value, std::size_t octets);
  void put_body(const Bpdu& bpdu);

  std::array<std::uint8_t, 64> bytes_{};
  std::size_t size_ = 0;
};

}  // namespace lanyard
