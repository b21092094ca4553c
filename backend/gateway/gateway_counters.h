// SPDX-License-Identifier: MIT
//
// Where the frames that reach a gateway go, by name: services, and reasons to go no further. Each
// frame counts once. Any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "backend/gateway/packet.h"

namespace lanyard {

// clang-format off
#define LANYARD_GATEWAY_WAYS(WAY)                                                     \
  WAY(arp,              "ARP")                                                        \
  WAY(neighbour,        "IPv6 neighbour discovery")                                   \
  WAY(echo,             "pings of the gateway itself")                                \
  WAY(ping,             "pings of others")                                            \
  WAY(dhcp,             "DHCP")                                                       \
  WAY(dns,              "DNS by UDP")                                                 \
  WAY(tftp,             "TFTP")                                                       \
  WAY(nat,              "given to address translation")                               \
  WAY(fragment,         "parts of a packet that waited for the others")               \
  WAY(bad_fragment,     "parts that overlap, cannot be right, or were too many")      \
  WAY(not_for_us,       "for another station: the switch did not know where it is")   \
  WAY(bad_source,       "from a group address, or from our own")                      \
  WAY(not_served,       "for nobody here: broadcasts, and what no service takes")     \
  WAY(not_ip,           "neither ARP nor IP")
// clang-format on

enum class GatewayWay : std::uint8_t {
#define LANYARD_GATEWAY_WAY_ENUMERATOR(name, sentence) name,
  LANYARD_GATEWAY_WAYS(LANYARD_GATEWAY_WAY_ENUMERATOR)
#undef LANYARD_GATEWAY_WAY_ENUMERATOR
      count_of
};

constexpr std::size_t kGatewayWays = static_cast<std::size_t>(GatewayWay::count_of);

constexpr std::array<std::string_view, kGatewayWays> kGatewayWayNames{{
#define LANYARD_GATEWAY_WAY_NAME(name, sentence) #name,
    LANYARD_GATEWAY_WAYS(LANYARD_GATEWAY_WAY_NAME)
#undef LANYARD_GATEWAY_WAY_NAME
}};

class GatewayCounters {
 public:
  void count(GatewayWay way) { ++ways_[static_cast<std::size_t>(way)]; }
  void count(PacketFault fault) { ++faults_[static_cast<std::size_t>(fault)]; }
  std::uint64_t of(GatewayWay way) const { return ways_[static_cast<std::size_t>(way)]; }
  std::uint64_t of(PacketFault fault) const { return faults_[static_cast<std::size_t>(fault)]; }

 private:
  std::array<std::uint64_t, kGatewayWays> ways_{};
  std::array<std::uint64_t, kPacketFaults + 1> faults_{};
};

}  // namespace lanyard
