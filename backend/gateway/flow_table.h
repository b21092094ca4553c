// SPDX-License-Identifier: MIT
//
// The flows of guests: what libslirp knows about its connections and cannot be asked. It is built
// by watching: headers both ways for states, bytes and sequence numbers; descriptors as the engine
// opens and closes them for the host's side and for the end of a flow.
//
// A TCP flow lives exactly as long as the engine's socket, and the engine never ends one by itself
// on which nothing happens: idle_connections() says whose turn has come. What has no socket ends by
// its silence. UDP has a table of its own (udp_flow_table.h).
// Bounded: by kFlowsMax, and per guest by the quota. Time is a parameter. Gateway thread only.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "backend/gateway/nat_packet.h"
#include "switch/base/time.h"

namespace lanyard {

struct FlowEntry {
  FlowKey key;
  MacAddress mac;             // of the guest; zero while unknown
  std::uint64_t account = 0;  // of the quota
  bool has_account = false;
  bool to_dns = false;    // re-aimed at the DNS port of the host
  bool incoming = false;  // came in by a forward
  int fd = -1;
  std::uint64_t direct = 0;  // the direct engine's number of it; 0: the other engine has it
  std::string forward;
  Time seen{0};
  std::uint64_t bytes_out = 0;
  std::uint64_t bytes_in = 0;

  // TCP. Sequence numbers of the guest are valid after its SYN, those of the engine after its own.
  std::uint16_t guest_segment_size = 0;  // its MSS; 0: not said
  bool established = false;
  bool engine_spoke = false;
  bool guest_fin = false;
  bool engine_fin = false;
  std::uint32_t guest_next = 0;   // what the engine waits for
  std::uint32_t engine_next = 0;  // behind the last byte it sent
  std::uint32_t engine_ack = 0;
  std::uint16_t engine_window = 0;
  std::uint32_t sent_segments = 0;  // by the engine

  std::string state() const;  // of RFC 9293, seen from the guest; "" for UDP
};

class FlowTable {
 public:
  static constexpr std::size_t kFlowsMax = 16384;
  static constexpr Duration kUdpIdle = std::chrono::seconds(300);

  FlowEntry* find(const FlowKey& key) {
    const auto found = flows_.find(key);
    return found == flows_.end() ? nullptr : &found->second;
  }
  bool full() const { return flows_.size() >= kFlowsMax; }
  std::size_t size() const { return flows_.size(); }

  // The entry must not exist. Stays where it is until erased.
  FlowEntry& insert(const FlowKey& key, Time now);
  // `fd` is the engine's socket of the flow.
  void attach(FlowEntry& flow, int fd);
  void erase(const FlowKey& key);

  // Calls `gone(const FlowEntry&)` for each flow that ends with the socket.
  template <typename Gone>
  void close_socket(int fd, Gone&& gone) {
    for (const FlowKey& key : take_keys(fd)) {
      gone(flows_.at(key));
      erase(key);
    }
  }
  template <typename Gone>
  void expire(Time now, Gone&& gone) {
    for (const FlowKey& key : silent(now)) {
      gone(flows_.at(key));
      erase(key);
    }
  }
  // Established connections without a packet for `established`, others (RFC 5382 5: transitory,
  // which half-closed ones are) for `transitory`.
  std::vector<FlowKey> idle_connections(Time now, Duration established, Duration transitory) const;
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (const auto& [key, flow] : flows_) visit(flow);
  }

 private:
  std::vector<FlowKey> take_keys(int fd) const;
  std::vector<FlowKey> silent(Time now) const;

  std::unordered_map<FlowKey, FlowEntry, FlowKeyHash> flows_;
  std::unordered_multimap<int, FlowKey> by_fd_;
};

// What a packet tells about its flow.
void note_from_guest(FlowEntry& flow, const NatPacket& packet, Time now);
void note_to_guest(FlowEntry& flow, const NatPacket& packet, Time now);

}  // namespace lanyard
