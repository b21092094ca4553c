// SPDX-License-Identifier: MIT
//
// A NAT with one guest before it and loopback behind it.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "switch/base/unix_socket.h"
#include "switch/network/config_json.h"
#include "switch/runtime/event_loop.h"
#include "tests/support/fake_log.h"
#include "tests/support/loopback_peer.h"
#include "tests/support/tcp_guest.h"

namespace lanyard::testing {

inline IpAddress addr(std::string_view text) {
  return IpAddress::parse(text).value();
}

inline NetworkConfig nat_config() {
  NetworkConfig config;
  config.name = "nat";
  config.kind = NetworkKind::nat;
  config.subnet = Ipv4Prefix::parse("10.0.2.0/24");
  config.router = Ipv4Address::parse("10.0.2.2");
  config.dns_address = Ipv4Address::parse("10.0.2.3");
  config.subnet6 = Ipv6Prefix::parse("fd00:2::/64");
  config.router6 = Ipv6Address::parse("fd00:2::2");
  config.dns_address6 = Ipv6Address::parse("fd00:2::3");
  config.policy.host_loopback = true;
  config.policy.new_flows_per_s = 2000;
  return config;
}

inline Octets numbered_bytes(std::size_t count) {
  Octets bytes(count);
  std::uint32_t state = 12345;
  for (auto& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::uint8_t>(state >> 24);
  }
  return bytes;
}

// For tests that hold for both engines.
inline std::string engine_name(const ::testing::TestParamInfo<TcpEngineKind>& row) {
  return std::string(engine_text(row.param));
}
inline auto both_engines() {
  return ::testing::Values(TcpEngineKind::direct, TcpEngineKind::libslirp);
}

// How long this thread has had a processor; it never sleeps here.
inline Time thread_cpu_now() {
  timespec ts{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  return std::chrono::seconds(ts.tv_sec) + std::chrono::nanoseconds(ts.tv_nsec);
}

// As the daemon makes them.
class LocalListeners final : public PathListeners {
 public:
  Result<UniqueFd> listen(const std::string& path) override {
    return listen_unix(path, SocketAccess{}, 128);
  }
  void unlisten(const std::string& path) override { unlink_socket(path); }
};

struct NatWorld {
  explicit NatWorld(const NetworkConfig& wanted = nat_config(), Nat::Patience patience = {},
                    TcpEngineKind engine = NetworkConfig{}.tcp_engine)
      : config(wanted) {
    config.tcp_engine = engine;
    loop = EventLoop::create().take();
    guest.mtu = config.mtu;
    auto made = Nat::create(config, {*loop, guest, directory, log, patience, &listeners});
    if (!made) ADD_FAILURE() << made.error().text;
    if (made) nat = made.take();
  }

  void turn() {
    loop->run_once(true);
    guest.step(*nat);
  }
  // Whether it comes true in time; real time, because the host's kernel takes part.
  bool until(const std::function<bool()>& condition, int timeout_ms = 20000) {
    const Time end = monotonic_now() + std::chrono::milliseconds(timeout_ms);
    while (monotonic_now() < end) {
      if (condition()) return true;
      turn();
    }
    return condition();
  }
  // For things that must not happen.
  void turns(int count) {
    for (int i = 0; i < count; ++i) turn();
  }
  std::uint64_t counter(std::string_view name) const {
    for (const auto& [key, value] : nat->counters()) {
      if (key == name) return value;
    }
    ADD_FAILURE() << "no counter " << name;
    return 0;
  }
  // A frame by itself; what came back is seen in the guest.
  void send(Octets frame, Offload offload = {}) {
    Nat::Input input{frame, offload};
    nat->input({&input, 1});
    guest.step(*nat);
  }

  NetworkConfig config;
  FakeLog log;
  FakeDirectory directory;
  LocalListeners listeners;
  TcpGuest guest;
  std::unique_ptr<EventLoop> loop;
  std::unique_ptr<Nat> nat;
};

inline const IpAddress kGuest4 = Ipv4Address::from_number(0x0a00020f);  // 10.0.2.15
inline const IpAddress kRouter4 = Ipv4Address::from_number(0x0a000202);
inline const IpAddress kGuest6 =
    Ipv6Address(Ipv6Address::Bytes{0xfd, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x15});
inline const IpAddress kRouter6 =
    Ipv6Address(Ipv6Address::Bytes{0xfd, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2});

}  // namespace lanyard::testing
