// SPDX-License-Identifier: MIT
//
// The UDP flows of guests: who talks with whom through which of our sockets, and which flow ends
// first.
//
// What makes it hard: UDP has no end, so only silence ends a flow, and a guest that looks up names
// makes thousands of flows of two datagrams each. So flows are kept in the order of their last
// datagram, by class: a query that has had its time goes after ten seconds (RFC 4787 REQ-5 lets a
// well-known port have less than two minutes), everything else after five minutes, which REQ-5
// recommends. When the table is full, the longest silent flow that never became a conversation
// makes room; a conversation never does. Finding, using and ending a flow cost the same whatever
// the number. Time is a parameter. Gateway thread only.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <string_view>
#include <unordered_map>

#include "backend/gateway/nat_packet.h"
#include "backend/gateway/socket_name.h"
#include "switch/base/time.h"
#include "switch/frame/mac_address.h"

namespace lanyard {

struct UdpMapping;

struct UdpFlow {
  // In the order in which they make room.
  enum class Class : std::uint8_t { query, fresh, conversing };

  FlowKey key;
  MacAddress mac;  // of the guest
  UdpMapping* mapping = nullptr;
  SocketName peer;                        // where the host's kernel knows the target
  AddressKey local{};                     // our address that the peer has written to, if it matters
  bool has_local = false;                 // and it does
  bool has_account = false;               // with the quota
  std::uint16_t run_segment_max = 65535;  // longer ones the way there does not take in runs
  std::uint64_t account = 0;
  Time seen{0};
  std::uint64_t bytes_out = 0;
  std::uint64_t bytes_in = 0;
  // Where the newest datagrams of this flow wait to be sent (DatagramRuns).
  std::uint64_t round = 0;
  std::size_t run = 0;
  // The table's.
  Class kind = Class::fresh;
  Direction last = Direction::from_guest;
  std::uint8_t turns = 0;  // how often the other side spoke next

  // The name of the forward it came in by; empty.
  std::string_view forward() const;
};

class UdpFlowTable {
 public:
  static constexpr std::size_t kFlowsMax = 16384;
  static constexpr Duration kQueryIdle = std::chrono::seconds(10);
  static constexpr Duration kIdle = std::chrono::seconds(300);

  UdpFlow* find(const FlowKey& key) {
    const auto found = places_.find(key);
    return found == places_.end() ? nullptr : &*found->second;
  }
  bool full() const { return places_.size() >= kFlowsMax; }
  std::size_t size() const { return places_.size(); }

  // The flow must not exist. Stays where it is until erased. `first` is who opened it.
  UdpFlow& insert(const FlowKey& key, Direction first, Time now);
  // A datagram of the flow.
  void used(UdpFlow& flow, Direction direction, std::size_t bytes, Time now);
  void erase(const FlowKey& key);

  // The flow that makes room for another; nullptr when all are conversations.
  UdpFlow* expendable();

  // Calls `gone(const UdpFlow&)` for each flow whose time is over, then forgets it.
  template <typename Gone>
  void expire(Time now, Gone&& gone) {
    for (std::size_t kind = 0; kind < lists_.size(); ++kind) {
      std::list<UdpFlow>& flows = lists_[kind];
      while (!flows.empty() &&
             now - flows.front().seen >= idle(static_cast<UdpFlow::Class>(kind))) {
        gone(flows.front());
        erase(flows.front().key);
      }
    }
  }
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const auto& flows : lists_) {
      for (const UdpFlow& flow : flows) visit(flow);
    }
  }

 private:
  static Duration idle(UdpFlow::Class kind) {
    return kind == UdpFlow::Class::query ? kQueryIdle : kIdle;
  }
  std::list<UdpFlow>& list_of(UdpFlow::Class kind) {
    return lists_[static_cast<std::size_t>(kind)];
  }

  std::array<std::list<UdpFlow>, 3> lists_;  // by class, longest silent first
  std::unordered_map<FlowKey, std::list<UdpFlow>::iterator, FlowKeyHash> places_;
};

}  // namespace lanyard
