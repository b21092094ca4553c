// SPDX-License-Identifier: MIT
//
// DNS over TCP for guests (RFC 7766): listens on a port of the host's loopback of each family,
// which NAT makes the guests' 53. Many queries a connection, answered as the answers come. A host
// without IPv6 has the IPv4 listener alone.
//
// What makes it hard: whoever connects may send slowly, ask much or read nothing. So connections,
// the queries under way on each and the bytes that wait for its reader are bounded; input is not
// read while a bound is reached, and a connection on which nothing moves for kIdleTime ends. When
// all places are taken, the one that has been idle longest makes room. Nothing here waits.
// Gateway thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "switch/base/fd.h"
#include "switch/base/result.h"
#include "switch/base/time.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

class DnsTcpServer {
 public:
  static constexpr std::size_t kConnectionsMax = 64;
  static constexpr std::size_t kQueriesMax = 32;  // under way on one connection
  static constexpr std::size_t kUnsentMax = 256 * 1024;
  static constexpr Duration kIdleTime = std::chrono::seconds(10);

  // A query came: reply() is or will be called for it once, unless this returns false, which ends
  // the connection.
  using OnQuery = std::function<bool(std::uint64_t connection, std::span<const std::uint8_t>)>;
  // A connection ended; its replies are waited for no more.
  using OnGone = std::function<void(std::uint64_t connection)>;

  static Result<std::unique_ptr<DnsTcpServer>> create(EventLoop& loop, OnQuery on_query,
                                                      OnGone on_gone, std::function<Time()> clock);
  DnsTcpServer(const DnsTcpServer&) = delete;
  DnsTcpServer& operator=(const DnsTcpServer&) = delete;

  // Of 127.0.0.1 and of ::1; 0: there is none.
  std::uint16_t port() const { return v4_.port; }
  std::uint16_t port6() const { return v6_.port; }
  std::size_t connections() const { return connections_.size(); }
  std::uint64_t accepted() const { return next_id_ - 1; }
  void reply(std::uint64_t connection, std::span<const std::uint8_t> message);

 private:
  struct Connection {
    UniqueFd fd;
    std::vector<std::uint8_t> received;
    std::vector<std::uint8_t> unsent;
    std::size_t under_way = 0;
    bool ended = false;    // the other side sends no more
    bool reading = false;  // read_queries() is at it
    Time last_moved{0};
    EventLoop::Watch watch;  // ends before the descriptor does
  };

  struct Listener {
    UniqueFd fd;
    std::uint16_t port = 0;
    EventLoop::Watch watch;  // ends before the descriptor does
    EventLoop::Timer again;
  };

  DnsTcpServer(EventLoop& loop, OnQuery on_query, OnGone on_gone, std::function<Time()> clock)
      : loop_(loop),
        on_query_(std::move(on_query)),
        on_gone_(std::move(on_gone)),
        clock_(std::move(clock)) {}

  Result<void> listen(Listener& listener, int family);
  void on_connect(Listener& listener);
  bool make_room();
  void on_ready(std::uint64_t id, std::uint32_t events);
  bool receive(Connection& connection);
  void read_queries(std::uint64_t id);
  bool flush(Connection& connection);
  // After anything has moved: what to wait for now, or the end.
  void settle(std::uint64_t id);
  void end(std::uint64_t id);
  void end_idle();

  static bool is_full(const Connection& connection) {
    return connection.under_way >= kQueriesMax || connection.unsent.size() >= kUnsentMax;
  }

  EventLoop& loop_;
  OnQuery on_query_;
  OnGone on_gone_;
  std::function<Time()> clock_;
  std::uint64_t next_id_ = 1;
  std::map<std::uint64_t, Connection> connections_;
  EventLoop::Timer idle_timer_;
  Listener v4_;
  Listener v6_;
};

}  // namespace lanyard
