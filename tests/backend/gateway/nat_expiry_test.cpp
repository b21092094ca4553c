// SPDX-License-Identifier: MIT
//
// Connections on which nothing happens, with a real engine and short time-outs: what nobody closes
// any more costs no descriptor for ever.
#include <gtest/gtest.h>

#include <filesystem>

#include "backend/gateway/nat.h"
#include "tests/support/nat_world.h"

namespace lanyard::testing {
namespace {

using namespace std::chrono_literals;

std::size_t open_descriptors() {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    (void)entry;
    ++count;
  }
  return count;
}

enum class Closed { by_nobody, by_guest, by_host };

struct Row {
  const char* name;
  bool v6;
  Closed closed;
  TcpEngineKind engine = TcpEngineKind::libslirp;
};

class NatExpiry : public ::testing::TestWithParam<Row> {};

INSTANTIATE_TEST_SUITE_P(
    Rows, NatExpiry,
    ::testing::Values(Row{"ClosedByNobody", false, Closed::by_nobody},
                      Row{"ClosedByTheGuest", false, Closed::by_guest},
                      Row{"ClosedByTheHost", false, Closed::by_host},
                      Row{"ClosedByNobodyIpv6", true, Closed::by_nobody},
                      Row{"ClosedByTheHostIpv6", true, Closed::by_host},
                      Row{"ClosedByNobodyDirect", false, Closed::by_nobody, TcpEngineKind::direct},
                      Row{"ClosedByTheGuestDirect", false, Closed::by_guest, TcpEngineKind::direct},
                      Row{"ClosedByTheHostDirect", false, Closed::by_host, TcpEngineKind::direct}),
    [](const auto& row) { return std::string(row.param.name); });

TEST_P(NatExpiry, EndsWhatIsSilent) {
  const Row& row = GetParam();
  // Whichever of the two applies is short, the other is not.
  const bool open = row.closed == Closed::by_nobody;
  NatWorld world(nat_config(), {open ? 1s : 1000s, open ? 1000s : 1s}, row.engine);
  const UniqueFd listener = bound_socket(SOCK_STREAM, row.v6);
  const std::size_t before = open_descriptors();
  auto& c = world.guest.connect(row.v6 ? kGuest6 : kGuest4, row.v6 ? kRouter6 : kRouter4,
                                port_of(listener.get()));
  UniqueFd server;
  ASSERT_TRUE(world.until([&] { return accept_once(listener, server) && c.established; }));
  c.to_send = numbered_bytes(1000);
  Octets arrived;
  ASSERT_TRUE(world.until([&] {
    read_into(server, arrived);
    return arrived.size() == c.to_send.size();
  }));
  if (row.closed == Closed::by_guest) {
    c.want_close = true;
    ASSERT_TRUE(world.until([&] { return c.fin_acknowledged; }));
  } else if (row.closed == Closed::by_host) {
    ::shutdown(server.get(), SHUT_WR);
    ASSERT_TRUE(world.until([&] { return c.peer_closed; }));
  }
  ASSERT_EQ(world.nat->flows().size(), 1U);
  ASSERT_TRUE(world.until([&] { return world.nat->flows().empty(); }));
  EXPECT_EQ(world.counter("flows_ended_idle"), 1U);
  EXPECT_EQ(world.counter("drop_engine_internal"), 0U);
  // The host's side has been told.
  ASSERT_TRUE(world.until([&] { return read_into(server, arrived); }));
  server.reset();
  EXPECT_EQ(open_descriptors(), before);
  // The guest is told when it speaks.
  EXPECT_FALSE(c.reset);
  c.owes_ack = true;
  EXPECT_TRUE(world.until([&] { return c.reset; }));
}

TEST(NatExpiry, LeavesWhatIsUsed) {
  NatWorld world(nat_config(), {2s, 1000s});
  const UniqueFd listener = bound_socket(SOCK_STREAM);
  auto& c = world.guest.connect(kGuest4, kRouter4, port_of(listener.get()));
  auto& silent = world.guest.connect(kGuest4, kRouter4, port_of(listener.get()));
  UniqueFd server;
  ASSERT_TRUE(world.until(
      [&] { return accept_once(listener, server) && c.established && silent.established; }));
  Octets arrived;
  ASSERT_TRUE(world.until([&] {
    c.owes_ack = true;
    return world.nat->flows().size() == 1;
  }));
  EXPECT_FALSE(c.reset);
  EXPECT_EQ(world.nat->flows()[0].guest_port, c.port);
}

}  // namespace
}  // namespace lanyard::testing
