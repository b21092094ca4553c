// SPDX-License-Identifier: MIT
//
// How libslirp learns where guests are: the frames that tell it, those by which it asks, and a copy
// of what it remembers (16 guests of each family, the oldest replaced first). Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "backend/gateway/nat_packet.h"

namespace lanyard {

class NeighbourRing {
 public:
  bool knows(const AddressKey& guest, MacAddress mac) const {
    for (const Entry& entry : entries_) {
      if (entry.guest == guest) return entry.mac == mac;
    }
    return false;
  }
  // As libslirp does when it is told.
  void add(const AddressKey& guest, MacAddress mac) {
    for (Entry& entry : entries_) {
      if (entry.guest == guest) {
        entry.mac = mac;
        return;
      }
    }
    entries_[next_] = {guest, mac};
    next_ = (next_ + 1) % entries_.size();
  }

 private:
  struct Entry {
    AddressKey guest{};
    MacAddress mac;
  };
  std::array<Entry, 16> entries_;
  std::size_t next_ = 0;
};

std::vector<std::uint8_t> arp_reply(Ipv4Address guest, MacAddress mac, Ipv4Address router);
std::vector<std::uint8_t> neighbour_advertisement(const Ipv6Address& guest, MacAddress mac,
                                                  const Ipv6Address& router);

// Whom an ARP request or neighbour solicitation asks for.
std::optional<IpAddress> neighbour_question(std::span<const std::uint8_t> frame);
bool is_router_advertisement(std::span<const std::uint8_t> frame);

// Who an ARP packet or neighbour advertisement from a guest says that it is, and where.
struct NeighbourNews {
  IpAddress guest;
  MacAddress mac;
};
std::optional<NeighbourNews> neighbour_news(std::span<const std::uint8_t> frame);

}  // namespace lanyard
