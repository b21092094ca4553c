// SPDX-License-Identifier: MIT
//
// The NAT with a real engine: a guest in this process on one side, sockets on loopback on the
// other.
#include "backend/gateway/nat.h"

#include <gtest/gtest.h>

#include "tests/support/nat_world.h"

namespace lanyard::testing {
namespace {

struct Family {
  const char* name;
  bool v6;
  IpAddress guest;
  IpAddress router;
  TcpEngineKind engine = TcpEngineKind::libslirp;
};

class NatTransfer : public ::testing::TestWithParam<Family> {};

INSTANTIATE_TEST_SUITE_P(
    Families, NatTransfer,
    ::testing::Values(Family{"ipv4", false, kGuest4, kRouter4},
                      Family{"ipv6", true, kGuest6, kRouter6},
                      Family{"ipv4_direct", false, kGuest4, kRouter4, TcpEngineKind::direct},
                      Family{"ipv6_direct", true, kGuest6, kRouter6, TcpEngineKind::direct}),
    [](const auto& row) { return std::string(row.param.name); });

TEST_P(NatTransfer, CarriesEveryByteBothWays) {
  const auto [name, v6, from, router, engine] = GetParam();
  NatWorld world(nat_config(), {}, engine);
  const UniqueFd listener = bound_socket(SOCK_STREAM, v6);
  auto& c = world.guest.connect(from, router, port_of(listener.get()));
  UniqueFd server;
  ASSERT_TRUE(world.until([&] { return accept_once(listener, server) && c.established; }));
  const Octets up = numbered_bytes(3'000'000);
  const Octets down = numbered_bytes(2'000'000);
  c.to_send = up;
  c.want_close = true;
  Octets arrived;
  std::size_t written = 0;
  bool closed = false;
  ASSERT_TRUE(world.until([&] {
    closed = read_into(server, arrived) || closed;
    written += write_from(server, down, written);
    if (written == down.size()) ::shutdown(server.get(), SHUT_WR);
    return closed && c.peer_closed && c.fin_acknowledged;
  }));
  EXPECT_TRUE(arrived == up);
  EXPECT_TRUE(c.received == down);
  EXPECT_EQ(world.counter("flows_direct"), engine == TcpEngineKind::direct ? 1U : 0U);
  if (engine == TcpEngineKind::libslirp) {
    EXPECT_GT(world.counter("segments_coalesced"), 1000U);
  }
  EXPECT_GT(c.largest_in, 20000U);
}

TEST_P(NatTransfer, TakesSegmentsOf64KiB) {
  const auto [name, v6, from, router, engine] = GetParam();
  NatWorld world(nat_config(), {}, engine);
  world.guest.large_segments = true;
  const UniqueFd listener = bound_socket(SOCK_STREAM, v6);
  auto& c = world.guest.connect(from, router, port_of(listener.get()));
  UniqueFd server;
  ASSERT_TRUE(world.until([&] { return accept_once(listener, server) && c.established; }));
  c.to_send = numbered_bytes(4'000'000);
  Octets arrived;
  ASSERT_TRUE(world.until([&] {
    read_into(server, arrived);
    return arrived.size() >= c.to_send.size();
  }));
  EXPECT_TRUE(arrived == c.to_send);
}

TEST_P(NatTransfer, RefusedMeansReset) {
  const auto [name, v6, from, router, engine] = GetParam();
  NatWorld world(nat_config(), {}, engine);
  auto& c = world.guest.connect(from, router, free_port(v6));
  EXPECT_TRUE(world.until([&] { return c.reset; }));
  EXPECT_TRUE(world.nat->flows().empty());
}

TEST_P(NatTransfer, HalfClosedConnectionsGoOn) {
  const auto [name, v6, from, router, engine] = GetParam();
  NatWorld world(nat_config(), {}, engine);
  const UniqueFd listener = bound_socket(SOCK_STREAM, v6);
  for (const bool guest_first : {true, false}) {
    SCOPED_TRACE(guest_first ? "guest closes first" : "host closes first");
    auto& c = world.guest.connect(from, router, port_of(listener.get()));
    UniqueFd server;
    ASSERT_TRUE(world.until([&] { return accept_once(listener, server) && c.established; }));
    Octets arrived;
    if (guest_first) {
      c.want_close = true;
      ASSERT_TRUE(world.until([&] { return read_into(server, arrived); }));
    } else {
      ::shutdown(server.get(), SHUT_WR);
      ASSERT_TRUE(world.until([&] { return c.peer_closed; }));
    }
    const Octets data = numbered_bytes(200'000);
    std::size_t written = 0;
    if (!guest_first) c.to_send = data;
    ASSERT_TRUE(world.until([&] {
      if (!guest_first) {
        read_into(server, arrived);
        return arrived.size() == data.size();
      }
      written += write_from(server, data, written);
      return c.received.size() == data.size();
    }));
    EXPECT_TRUE((guest_first ? c.received : arrived) == data);
  }
}

TEST_P(NatTransfer, ForwardsLeadToTheGuest) {
  const auto [name, v6, from, router, engine] = GetParam();
  NatWorld world(nat_config(), {}, engine);
  world.directory.macs[from] = world.guest.mac;
  world.guest.listen(22);
  ForwardConfig forward;
  forward.name = "ssh";
  forward.host_address = v6 ? addr("::1") : addr("127.0.0.1");
  forward.host_port = free_port(v6);
  forward.guest = from.text();
  forward.guest_port = 22;
  ASSERT_TRUE(world.nat->add_forward(forward).ok());
  const UniqueFd client = connect_to(forward.host_port, v6);
  ASSERT_TRUE(world.until(
      [&] { return !world.guest.connections.empty() && world.guest.connections[0].established; }));
  auto& c = world.guest.connections[0];
  c.to_send = numbered_bytes(300'000);
  Octets arrived;
  ASSERT_TRUE(world.until([&] {
    read_into(client, arrived);
    return arrived.size() == c.to_send.size();
  }));
  EXPECT_TRUE(arrived == c.to_send);
  const auto flows = world.nat->flows();
  ASSERT_EQ(flows.size(), 1U);
  EXPECT_EQ(flows[0].forward, "ssh");
  EXPECT_EQ(flows[0].state, "ESTABLISHED");
  EXPECT_EQ(flows[0].bytes_out, 300'000U);
  EXPECT_EQ(world.nat->forwards()[0].flows, 1U);
}

class NatWindow : public ::testing::TestWithParam<TcpEngineKind> {};
INSTANTIATE_TEST_SUITE_P(Engines, NatWindow, both_engines(), engine_name);

// libslirp waits five seconds when a window shrinks below its segment size with data waiting.
TEST_P(NatWindow, DoesNotStallWhenItShrinks) {
  NatWorld world(nat_config(), {}, GetParam());
  const UniqueFd listener = bound_socket(SOCK_STREAM);
  auto& c = world.guest.connect(kGuest4, kRouter4, port_of(listener.get()));
  UniqueFd server;
  ASSERT_TRUE(world.until([&] { return accept_once(listener, server) && c.established; }));
  const Octets down = numbered_bytes(2'000'000);
  std::size_t written = 0;
  const Time begin = monotonic_now();
  ASSERT_TRUE(world.until([&] {
    written += write_from(server, down, written);
    if (c.received.size() > 500'000) c.window = 30'000;
    return c.received.size() == down.size();
  }));
  EXPECT_TRUE(c.received == down);
  EXPECT_LT(monotonic_now() - begin, std::chrono::milliseconds(4500));
}

// Past a segment size of 16 KiB libslirp would wait for the guest to ask.
TEST_P(NatWindow, ReopensByItself) {
  NatWorld world(nat_config(), {}, GetParam());
  const UniqueFd listener = bound_socket(SOCK_STREAM);
  int small = 4096;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  auto& c = world.guest.connect(kGuest4, kRouter4, port_of(listener.get()));
  UniqueFd server;
  ASSERT_TRUE(world.until([&] { return accept_once(listener, server) && c.established; }));
  c.to_send = numbered_bytes(8'000'000);
  ASSERT_TRUE(world.until([&] { return c.peer_window == 0; }));
  Octets arrived;
  // This guest never asks: that it goes on at all is what is to be shown.
  ASSERT_TRUE(world.until([&] {
    read_into(server, arrived);
    return arrived.size() == c.to_send.size();
  }));
  EXPECT_TRUE(arrived == c.to_send);
}

}  // namespace
}  // namespace lanyard::testing
