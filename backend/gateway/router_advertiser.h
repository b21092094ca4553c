// SPDX-License-Identifier: MIT
//
// Router advertisements for the guests of a nat network (RFC 4861 6.2, RFC 8106, RFC 4191): the
// prefix to make addresses from, the MTU, the DNS servers and domain, and us as default router.
//
// Every solicitation is answered at once, to the asker's hardware address, also when it has no
// address yet and the packet must go to all nodes (RFC 6085 allows that): nobody waits for the
// random delay and the 3 s between multicasts that RFC 4861 6.2.6 asks of routers which may not be
// alone. More solicitations than kAnswersPerSecond are answered together, by one multicast.
//
// We are default router unless told otherwise, also when the host has no IPv6 of its own: guests
// prefer IPv4 over addresses of fc00::/7 anyhow (RFC 6724), and the host, other networks and
// forwards stay reachable. No clock and no random source of its own. Gateway thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "backend/gateway/guest_link.h"
#include "switch/base/time.h"
#include "switch/frame/mac_address.h"
#include "switch/network/network_config.h"

namespace lanyard {

// fe80:: and the modified EUI-64 of the address (RFC 4291 appendix A, RFC 2464 4).
Ipv6Address link_local_of(MacAddress mac);

class RouterAdvertiser {
 public:
  static constexpr Duration kIntervalMin = std::chrono::seconds(200);
  static constexpr Duration kIntervalMax = std::chrono::seconds(600);
  static constexpr Duration kInitialInterval = std::chrono::seconds(16);
  static constexpr int kInitialAdvertisements = 3;
  static constexpr std::uint32_t kAnswersPerSecond = 100;

  // `mac` is the router's, whose link-local address the advertisements come from. `random` gives
  // numbers for the times between them.
  RouterAdvertiser(const NetworkConfig& config, MacAddress mac, GuestLink& link,
                   std::function<std::uint32_t()> random, Time now);

  // A checked router solicitation: hop limit 255, checksum good.
  void on_solicitation(MacAddress from, const Ipv6Address& source, Time now);
  // When on_time() is to be called; it changes with every call of any function here. Time::max():
  // never.
  Time next_deadline() const { return deadline_; }
  void on_time(Time now);
  // What changed is advertised at once; a prefix that is gone is withdrawn.
  void reconfigure(const NetworkConfig& config, Time now);
  void set_default_router(bool on, Time now);
  // The last words: a lifetime of 0, so that guests look for another router (RFC 4861 6.2.5).
  void shut_down();

 private:
  struct Lifetimes {
    std::uint16_t router_s = 1800;  // 3 x kIntervalMax, as RFC 4861 6.2.1 and RFC 8106 5.1 have it
    std::uint32_t dns_s = 1800;
    std::uint32_t valid_s = 86400;
    std::uint32_t preferred_s = 14400;
  };

  bool advertises() const { return makes_sense(config_); }
  static bool makes_sense(const NetworkConfig& config);
  std::vector<std::uint8_t> body(const NetworkConfig& config, const Lifetimes& lifetimes) const;
  Lifetimes lifetimes() const;
  void send(MacAddress mac, const Ipv6Address& destination, const NetworkConfig& config,
            const Lifetimes& lifetimes);
  void restart(Time now);

  NetworkConfig config_;
  MacAddress mac_;
  GuestLink& link_;
  std::function<std::uint32_t()> random_;
  bool default_router_ = true;
  int initial_left_ = 0;
  Time deadline_ = Time::max();
  Time window_start_{-1'000'000'000'000};
  std::uint32_t answered_in_window_ = 0;
};

}  // namespace lanyard
