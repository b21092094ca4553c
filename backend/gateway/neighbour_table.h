// SPDX-License-Identifier: MIT
//
// Which hardware address a guest was last seen with, for every IP address of the network.
//
// What makes it hard: guests say these things about themselves and about each other. So the table
// is bounded and holds only addresses of the network, and what a packet's source says does not
// replace what ARP or neighbour discovery has said lately. It decides where we send, never what is
// allowed. Gateway thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_map>

#include "switch/base/time.h"
#include "switch/frame/mac_address.h"
#include "switch/network/network_config.h"

namespace lanyard {

class NeighbourTable {
 public:
  static constexpr std::size_t kEntriesMax = 4096;
  static constexpr Duration kLife = std::chrono::minutes(10);
  static constexpr Duration kTrust = std::chrono::minutes(1);

  enum class Evidence : std::uint8_t { packet, resolution };

  void set_network(const NetworkConfig& config);
  void learn(const IpAddress& address, MacAddress mac, Evidence evidence, Time now);
  std::optional<MacAddress> mac_of(const IpAddress& address) const;
  // Forgets what has not been seen for kLife.
  void age(Time now);
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    MacAddress mac;
    Time seen{};
    Time resolved{};
  };
  struct Hash {
    std::size_t operator()(const IpAddress& address) const;
  };

  bool is_local(const IpAddress& address) const;

  std::optional<Ipv4Prefix> subnet_;
  std::optional<Ipv6Prefix> subnet6_;
  std::unordered_map<IpAddress, Entry, Hash> entries_;
};

}  // namespace lanyard
