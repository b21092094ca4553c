// SPDX-License-Identifier: MIT
//
// Every reason why a frame goes no further, listed once: the enumerator, the name that counters and
// the console show, and the sentence that explains it. Incoming reasons count against the port the
// frame came from, outgoing ones against the port it was for; so for every port
//   received = delivered + incoming drops,   emitted = transmitted + queued + outgoing drops
// hold at all times. Any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lanyard {

// clang-format off
#define LANYARD_DROP_REASONS(REASON)                                                              \
  /* incoming: the frame was not admitted or had nowhere to go */                                 \
  REASON(too_short,        "shorter than an Ethernet header")                                     \
  REASON(too_long,         "longer than the longest frame the switch carries")                    \
  REASON(truncated_tag,    "ends inside its 802.1Q tag")                                          \
  REASON(malformed_offload, "owes work that its own headers contradict")                         \
  REASON(reserved_vlan,    "tagged with the reserved VLAN 4095")                                  \
  REASON(not_member,       "tagged for a VLAN the port is not a member of")                       \
  REASON(no_native_vlan,   "untagged, and the port has no untagged VLAN")                         \
  REASON(bpdu,             "meant for the spanning tree, which took it")                          \
  REASON(discarding,       "the port is discarding in this VLAN (spanning tree)")                 \
  REASON(same_port,        "its destination is behind the port it came from")                     \
  REASON(no_receiver,      "no other active port in its VLAN")                                    \
  REASON(link_admin_down,  "the link of the port it came from is set down")                       \
  REASON(filtered,         "a filter (plugin/list) dropped it")                                   \
  REASON(guarded_bpdu,     "a BPDU from a port that may send none (BPDU guard)")                    \
  REASON(mac_spoofed,      "its source is no address the port may use")                           \
  REASON(mac_limit,        "its source is one address more than the port may have")               \
  REASON(ip_spoofed,       "its IP source is not bound to the port")                              \
  REASON(arp_spoofed,      "claims an address that is not bound to the port (ARP)")               \
  REASON(nd_spoofed,       "claims an address that is not bound to the port (IPv6)")              \
  REASON(rogue_dhcp,       "a DHCP server's message from a port that may have none")              \
  REASON(rogue_dhcpv6,     "a DHCPv6 server's message from a port that may have none")            \
  REASON(rogue_ra,         "a router advertisement from a port that may have no router")          \
  REASON(unprovable,       "so fragmented or nested that a guard cannot see what it is")          \
  REASON(rate_limit,       "more than its port may send")                                         \
  REASON(group_limit,      "more than the port's bandwidth group may send")                       \
  REASON(broadcast_storm,  "more broadcasts than the port may send")                              \
  REASON(multicast_storm,  "more multicasts than the port may send")                              \
  REASON(unknown_storm,    "more frames to unknown addresses than the port may send")             \
  REASON(isolated,         "for ports that are isolated from the one it came from")               \
  /* outgoing: the frame was forwarded to a port that could not take it */                        \
  REASON(queue_full,       "the receiver does not read fast enough and its queue is full")        \
  REASON(exceeds_receiver, "longer than what the receiver takes")                                 \
  REASON(receiver_gone,    "the receiver has closed its socket")                                  \
  REASON(link_down,        "the interface is down")                                               \
  REASON(cable_pulled,     "still queued when the link of its port was set down")                 \
  REASON(rate_limit_out,   "more than the port it was for may get")                               \
  REASON(transmit_error,   "the system refused to send it")                                       \
  REASON(unplugged,        "still queued when its receiver was unplugged")                        \
  REASON(filtered_out,     "a filter (plugin/list) dropped it on its way out")
// clang-format on

enum class Drop : std::uint8_t {
#define LANYARD_DROP_ENUMERATOR(name, sentence) name,
  LANYARD_DROP_REASONS(LANYARD_DROP_ENUMERATOR)
#undef LANYARD_DROP_ENUMERATOR
      none
};

constexpr std::size_t kDropReasons = static_cast<std::size_t>(Drop::none);

struct DropText {
  std::string_view name;
  std::string_view sentence;
};

constexpr std::array<DropText, kDropReasons> kDropTexts{{
#define LANYARD_DROP_TEXT(name, sentence) {#name, sentence},
    LANYARD_DROP_REASONS(LANYARD_DROP_TEXT)
#undef LANYARD_DROP_TEXT
}};

constexpr bool is_outgoing(Drop why) {
  return why >= Drop::queue_full && why != Drop::none;
}

class DropCounters {
 public:
  void count(Drop why, std::uint64_t frames = 1) {
    counts_[static_cast<std::size_t>(why)] += frames;
  }
  std::uint64_t of(Drop why) const { return counts_[static_cast<std::size_t>(why)]; }
  std::uint64_t incoming() const { return sum(false); }
  std::uint64_t outgoing() const { return sum(true); }
  void clear() { counts_.fill(0); }

 private:
  std::uint64_t sum(bool outgoing_side) const {
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < kDropReasons; ++i) {
      if (is_outgoing(static_cast<Drop>(i)) == outgoing_side) total += counts_[i];
    }
    return total;
  }

  std::array<std::uint64_t, kDropReasons> counts_{};
};

}  // namespace lanyard
