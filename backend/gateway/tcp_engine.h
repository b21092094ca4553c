// SPDX-License-Identifier: MIT
//
// The direct TCP engine: connections of guests carried by sockets of the host, without a second
// TCP between them (tcp_flow.h). Nothing of policy.
//
// What makes it hard is to have no work that is not the connection's: sockets are watched for edges
// and remember themselves what they may do, so that a window that opens and closes costs no system
// call; a connection within the host is up when connect(2) is asked a second time, before the loop
// would say so; deadlines are looked at when the earliest comes, not moved with every segment. And
// everything may end within everything: a connection is named by a number, which is never used
// again, and looked up. Gateway thread only.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <unordered_map>
#include <utility>
#include <vector>

#include "backend/gateway/guest_output.h"
#include "backend/gateway/nat_packet.h"
#include "backend/gateway/tcp_flow.h"
#include "switch/base/result.h"
#include "switch/runtime/deadline_timer.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

class TcpEngine {
 public:
  class Observer {
   public:
    virtual ~Observer() = default;
    // Something was sent or came, either way.
    virtual void connection_changed(const FlowKey& key, const TcpFlow& flow) = 0;
    // It was never up, for a reason that a guest hears from a router; connection_ended() follows.
    virtual void connection_unreachable(const FlowKey& key, std::uint32_t guest_sequence,
                                        int code) = 0;
    // Its number and its socket are no more.
    virtual void connection_ended(const FlowKey& key) = 0;
  };
  struct Target {
    IpAddress address;
    std::uint16_t port = 0;
    std::optional<IpAddress> source;  // what the socket is bound to
  };
  struct Opened {
    std::uint64_t number = 0;  // never 0
    int fd = -1;
  };

  TcpEngine(EventLoop& loop, GuestOutput& output, NatCounters& counters, Observer& observer);
  ~TcpEngine();
  TcpEngine(const TcpEngine&) = delete;
  TcpEngine& operator=(const TcpEngine&) = delete;

  // For a guest's SYN. `mtu` is that of the guest's link. An error is what the host's kernel says.
  Result<Opened> open(const NatPacket& syn, MacAddress router_mac, std::uint32_t mtu,
                      const Target& target);
  // The packet's bytes must stay until end_batch().
  void input(std::uint64_t number, const NatPacket& packet);
  void end_batch();
  // Closes the host's side; the guest is told when it speaks again.
  void abandon(std::uint64_t number);
  // The link to guests has room again.
  void resume();

  std::size_t size() const { return connections_.size(); }

 private:
  struct Connection;
  using Deadline = std::pair<Time, std::uint64_t>;

  Connection* find(std::uint64_t number);
  void touch(Connection& connection);
  void on_events(std::uint64_t number, std::uint32_t events);
  void proceed(Connection& connection);
  int connect(Connection& connection);
  void refused(Connection& connection, int code);
  bool watch(Connection& connection);
  void settle(Connection& connection);
  void end(Connection& connection);
  void settle_blocked();
  void schedule(Connection& connection);
  void arm();
  void on_deadline();
  std::uint32_t initial_sequence();

  EventLoop& loop_;
  GuestOutput& output_;
  NatCounters& counters_;
  Observer& observer_;
  TcpMemory memory_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
  std::uint64_t next_number_ = 1;
  std::vector<std::uint64_t> touched_;
  std::vector<std::uint64_t> blocked_;
  std::priority_queue<Deadline, std::vector<Deadline>, std::greater<>> deadlines_;
  DeadlineTimer timer_;
  std::vector<std::uint8_t> scratch_;  // a frame
  std::array<std::uint32_t, 64> random_{};
  std::size_t random_left_ = 0;
};

}  // namespace lanyard
