// SPDX-License-Identifier: MIT
//
// Pings from guests to the world, over the sockets that Linux lets everybody have for it
// (SOCK_DGRAM with IPPROTO_ICMP, see icmp(7)): ping and traceroute as if the guest were there.
//
// What makes it hard: the kernel puts its own identifier into what it sends and hands only the
// answers to that back, so there is a socket for each guest and identifier, and a guest can invent
// 65,536 of those. They are bounded per guest (the oldest goes) and in all, and end by age; the
// number of pings does not matter. Errors come by the socket's error queue as the piece of our own
// packet that a router has quoted; the guest gets it as a quotation of its packet, from the router
// that said it. The first hop is us.
//
// The kernel may forbid these sockets (net.ipv4.ping_group_range); then guests are told so by ICMP
// and problem() has the sentence for people. Gateway thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "backend/gateway/guest_side.h"
#include "backend/gateway/nat.h"
#include "backend/gateway/packet.h"
#include "switch/base/fd.h"
#include "switch/base/log.h"
#include "switch/network/network_config.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

struct PingCounters {
  std::uint64_t sent = 0;
  std::uint64_t answered = 0;
  std::uint64_t errors = 0;         // unreachable, time exceeded, ...: passed on to guests
  std::uint64_t refused = 0;        // by policy
  std::uint64_t not_permitted = 0;  // by the kernel
  std::uint64_t failed = 0;         // the kernel could not send it
  std::uint64_t evicted = 0;        // sockets that made room for others of the same guest
};

class PingRelay {
 public:
  static constexpr std::size_t kSocketsMax = 256;
  static constexpr std::size_t kSocketsPerGuestMax = 16;
  static constexpr Duration kLife = std::chrono::seconds(30);

  // Whether `guest` may reach `target`.
  using Allowed = std::function<bool(const IpAddress& guest, const IpAddress& target)>;

  PingRelay(EventLoop& loop, GuestSide& link, Log& log, Allowed allowed);
  ~PingRelay();
  PingRelay(const PingRelay&) = delete;
  PingRelay& operator=(const PingRelay&) = delete;

  void set_network(const NetworkConfig& config);

  // An echo request that is not for one of our own addresses.
  void on_echo(const Packet& packet, const IcmpView& icmp);

  // Why pings of IPv4 cannot leave, and what to do about it; empty when they can.
  std::string problem() const { return problem_; }
  const PingCounters& counters() const { return counters_; }
  std::vector<Flow> flows() const;
  std::size_t sockets() const { return sessions_.size(); }

 private:
  using Key = std::pair<IpAddress, std::uint16_t>;  // guest and its identifier

  struct Session {
    Key key;
    MacAddress mac;
    UniqueFd fd;
    EventLoop::Watch watch;
    Time used{};
    int hop_limit = -1;  // what the socket was told last
    IpAddress target;
    std::uint64_t bytes_out = 0;
    std::uint64_t bytes_in = 0;
    ~Session() { watch.reset(); }
  };

  Session* session_for(const Packet& packet, std::uint16_t identifier);
  Result<UniqueFd> open_socket(bool v4) const;
  void make_room(MacAddress guest);
  void send(Session& session, const Packet& packet, const IcmpView& icmp);
  void on_events(const Key& key, std::uint32_t events);
  bool read_reply(Session& session);
  bool read_error(Session& session);
  void pass_error(const Session& session, const IpAddress& from, const IpAddress& target,
                  std::uint8_t type, std::uint8_t code, std::uint32_t info,
                  std::span<const std::uint8_t> quoted);
  // An error of our own, about a packet of a guest.
  void send_error(const Packet& packet, std::uint8_t type, std::uint8_t code);
  void check_permission();
  void age();

  EventLoop& loop_;
  GuestSide& link_;
  Log& log_;
  Allowed allowed_;
  std::optional<Ipv4Address> router_;
  std::optional<Ipv6Address> router6_;
  std::optional<Ipv4Prefix> subnet_;
  std::optional<Ipv6Prefix> subnet6_;
  std::string outbound4_;
  std::string outbound6_;
  std::string problem_;
  PingCounters counters_;
  std::map<Key, std::unique_ptr<Session>> sessions_;
  EventLoop::Timer ageing_;
  PacketBytes buffer_;
  PacketBytes message_;
};

}  // namespace lanyard
