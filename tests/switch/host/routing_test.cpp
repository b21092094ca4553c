// SPDX-License-Identifier: MIT
//
// Routing with real namespaces: a guest, the host (the test itself) and the world beyond it.
#include "switch/host/routing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <optional>

#include "tests/support/fake_log.h"
#include "tests/support/net_space.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

using lanyard::testing::content_of;
using lanyard::testing::must;
using lanyard::testing::Peer;
using lanyard::testing::run;
using lanyard::testing::then_killed;
using ::testing::HasSubstr;
using ::testing::Not;

// What an administrator may have there.
constexpr const char* kForeign = R"(nft -f - <<'END'
table inet firewall {
  chain incoming {
    type filter hook input priority 0; policy accept;
    tcp dport 23 drop
  }
  chain passing {
    type filter hook forward priority 5; policy accept;
    oifname "other0" accept comment "lanyards"
  }
}
table inet lanyards {
  chain mine {
    accept
  }
}
END)";

constexpr const char* kDropping = R"(nft -f - <<'END'
table ip filter {
  chain FORWARD {
    type filter hook forward priority 0; policy drop;
  }
}
table ip6 filter {
  chain FORWARD {
    type filter hook forward priority 0; policy drop;
  }
}
END)";

constexpr const char* kDocker = R"(nft -f - <<'END'
table ip filter {
  chain DOCKER-USER {
    counter return
  }
  chain FORWARD {
    type filter hook forward priority 0; policy drop;
    counter jump DOCKER-USER
  }
}
END)";

NetworkConfig routed() {
  NetworkConfig network;
  network.name = "lab";
  network.kind = NetworkKind::routed;
  network.subnet = Ipv4Prefix::parse("192.168.56.0/24");
  network.subnet6 = Ipv6Prefix::parse("fd17::/64");
  network.host = HostInterfaceConfig{};
  network.host->name = "lan0";
  network.host->address = Ipv4Prefix::parse("192.168.56.1/24");
  network.host->address6 = Ipv6Prefix::parse("fd17::1/64");
  network.uplink = "up0";
  return network;
}

class RoutingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = lanyard::testing::enter_own_namespace(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    if (run("nft list ruleset").status != 0) GTEST_SKIP() << "no nft here";
    if (run("nft 'add table ip x; add chain ip x y { type nat hook postrouting priority 100; }; "
            "add rule ip x y masquerade'")
            .status != 0) {
      GTEST_SKIP() << "this kernel cannot masquerade";
    }
    must("nft delete table ip x");
    must(kForeign);
  }

  // The world does not know the guests' networks: without masquerade there is no answer.
  void connect() {
    guest_.emplace("lan0");
    world_.emplace("up0");
    must("ip address add 192.168.56.1/24 dev lan0");
    must("ip address add fd17::1/64 dev lan0 nodad");
    must("ip address add 203.0.113.1/24 dev up0");
    must("ip address add fd99::1/64 dev up0 nodad");
    must(guest_->in("ip address add 192.168.56.10/24 dev eth0"));
    must(guest_->in("ip address add fd17::10/64 dev eth0 nodad"));
    must(guest_->in("ip route add default via 192.168.56.1"));
    must(guest_->in("ip -6 route add default via fd17::1"));
    must(world_->in("ip address add 203.0.113.9/24 dev eth0"));
    must(world_->in("ip address add fd99::9/64 dev eth0 nodad"));
  }

  bool guest_reaches(const char* address) {
    return run(guest_->in(fmt::format("ping -n -c 1 -W 2 {}", address))).status == 0;
  }

  std::unique_ptr<Routing> start(const NetworkConfig& network = routed()) {
    auto made = Routing::start(network, state_.path(), log_);
    EXPECT_TRUE(made) << made.error().text;
    return made ? made.take() : nullptr;
  }

  // Counters apart, which count what passes.
  static std::string rules() { return run("nft -s list ruleset").output; }

  lanyard::testing::FakeLog log_;
  lanyard::testing::TemporaryDirectory state_;
  std::optional<Peer> guest_;
  std::optional<Peer> world_;
};

TEST_F(RoutingTest, GuestsReachTheWorldMasqueraded) {
  connect();
  ASSERT_FALSE(guest_reaches("203.0.113.9"));
  const auto routing = start();
  EXPECT_TRUE(guest_reaches("203.0.113.9"));
  EXPECT_TRUE(guest_reaches("fd99::9"));
}

TEST_F(RoutingTest, TheWorldDoesNotReachGuests) {
  connect();
  const auto routing = start();
  must(world_->in("ip route add 192.168.56.0/24 via 203.0.113.1"));
  EXPECT_NE(run(world_->in("ping -n -c 1 -W 1 192.168.56.10")).status, 0);
  EXPECT_EQ(run(world_->in("ping -n -c 1 -W 2 203.0.113.1")).status, 0);
}

TEST_F(RoutingTest, OnlyTheUplinkAndOnlyOwnAddresses) {
  connect();
  NetworkConfig network = routed();
  network.uplink = "elsewhere0";
  auto routing = start(network);
  EXPECT_FALSE(guest_reaches("203.0.113.9"));
  routing.reset();
  routing = start();
  must(guest_->in("ip address add 10.9.9.9/32 dev eth0"));
  must("ip route add 10.9.9.9/32 dev lan0");
  EXPECT_NE(run(guest_->in("ping -n -c 1 -W 1 -I 10.9.9.9 203.0.113.9")).status, 0);
}

TEST_F(RoutingTest, PassesAForwardChainThatDrops) {
  connect();
  must(kDropping);
  const auto routing = start();
  EXPECT_TRUE(guest_reaches("203.0.113.9"));
  EXPECT_TRUE(guest_reaches("fd99::9"));
  EXPECT_THAT(rules(), HasSubstr("comment \"lanyard lab\""));
}

TEST_F(RoutingTest, PassesDockersChainsByTheOneForUsers) {
  connect();
  must(kDocker);
  const auto routing = start();
  EXPECT_TRUE(guest_reaches("203.0.113.9"));
  EXPECT_THAT(run("nft list chain ip filter DOCKER-USER").output, HasSubstr("lanyard lab"));
  EXPECT_THAT(run("nft list chain ip filter FORWARD").output, Not(HasSubstr("lanyard lab")));
}

TEST_F(RoutingTest, SomebodysOwnDroppingChainIsNamedAndLeftAlone) {
  must(
      "nft 'add table inet own; add chain inet own gate { type filter hook forward priority 0; "
      "policy drop; }'");
  const auto routing = start();
  EXPECT_TRUE(log_.contains("table inet own, chain gate"));
  EXPECT_THAT(run("nft list table inet own").output, Not(HasSubstr("lan0")));
}

TEST_F(RoutingTest, LeavesEverythingAsItWas) {
  must(kDropping);
  must(kDocker);
  const std::string before = rules();
  auto routing = start();
  EXPECT_EQ(content_of("/proc/sys/net/ipv4/ip_forward"), "1\n");
  EXPECT_EQ(content_of("/proc/sys/net/ipv6/conf/all/forwarding"), "1\n");
  EXPECT_NE(rules(), before);
  routing.reset();
  EXPECT_EQ(rules(), before);
  EXPECT_EQ(content_of("/proc/sys/net/ipv4/ip_forward"), "0\n");
  EXPECT_EQ(content_of("/proc/sys/net/ipv6/conf/all/forwarding"), "0\n");
}

TEST_F(RoutingTest, WhatACrashLeftIsRemovedAtTheNextStart) {
  must(kDropping);
  const std::string before = rules();
  ASSERT_TRUE(then_killed([&] {
    static_cast<void>(start().release());
    return true;
  }));
  ASSERT_NE(rules(), before);
  Routing::clean_up(state_.path(), log_);
  EXPECT_EQ(rules(), before);
  EXPECT_EQ(content_of("/proc/sys/net/ipv4/ip_forward"), "0\n");
}

TEST_F(RoutingTest, StartsOverWhatACrashLeftWithoutDoubles) {
  must(kDropping);
  const std::string before = rules();
  ASSERT_TRUE(then_killed([&] {
    static_cast<void>(start().release());
    return true;
  }));
  auto routing = start();
  const std::string once = run("nft list chain ip filter FORWARD | grep -c lanyard").output;
  EXPECT_EQ(once, "2\n");
  routing.reset();
  EXPECT_EQ(rules(), before);
  EXPECT_EQ(content_of("/proc/sys/net/ipv4/ip_forward"), "0\n");
}

TEST_F(RoutingTest, CleanUpLeavesTheLivingAlone) {
  const auto routing = start();
  const std::string before = rules();
  Routing::clean_up(state_.path(), log_);
  EXPECT_EQ(rules(), before);
}

TEST_F(RoutingTest, AForeignTableOfThatNameIsRefused) {
  must("nft add table inet lanyard_lab");
  const auto refused = Routing::start(routed(), state_.path(), log_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EEXIST);
  EXPECT_EQ(content_of("/proc/sys/net/ipv4/ip_forward"), "0\n");
}

// Docker, started later.
TEST_F(RoutingTest, PassesWhatDropsSince) {
  connect();
  const auto routing = start();
  must(kDropping);
  ASSERT_FALSE(guest_reaches("203.0.113.9"));
  routing->look_again();
  EXPECT_TRUE(guest_reaches("203.0.113.9"));
  EXPECT_TRUE(guest_reaches("fd99::9"));
  const std::string once = rules();
  routing->look_again();
  EXPECT_EQ(rules(), once);
  must("nft flush chain ip filter FORWARD");
  routing->look_again();
  EXPECT_EQ(rules(), once);
}

TEST_F(RoutingTest, NamesADroppingChainOfOthersOnce) {
  const auto routing = start();
  must(
      "nft 'add table inet own; add chain inet own gate { type filter hook forward priority 0; "
      "policy drop; }'");
  for (int i = 0; i < 3; ++i) routing->look_again();
  EXPECT_EQ(log_.lines.size(), 1U) << log_.text();
  EXPECT_TRUE(log_.contains("table inet own, chain gate"));
}

class LegacyRoutingTest : public RoutingTest {
 protected:
  void SetUp() override {
    RoutingTest::SetUp();
    if (IsSkipped()) return;
    if (run("iptables-legacy -S").status != 0 || run("ip6tables-legacy -S").status != 0) {
      GTEST_SKIP() << "no iptables-legacy here";
    }
  }
  static std::string legacy() { return run("iptables-legacy -S; ip6tables-legacy -S").output; }
};

TEST_F(LegacyRoutingTest, PassesAForwardChainThatDropsAndLeavesItAsItWas) {
  connect();
  must("iptables-legacy -P FORWARD DROP");
  must("ip6tables-legacy -A FORWARD -j REJECT");
  const std::string before = legacy();
  auto routing = start();
  EXPECT_TRUE(guest_reaches("203.0.113.9"));
  EXPECT_TRUE(guest_reaches("fd99::9"));
  EXPECT_THAT(legacy(), HasSubstr("lanyard lab"));
  routing.reset();
  EXPECT_EQ(legacy(), before);
}

TEST_F(LegacyRoutingTest, PassesWhatDropsSince) {
  connect();
  const auto routing = start();
  EXPECT_THAT(legacy(), Not(HasSubstr("lanyard")));
  must("iptables-legacy -P FORWARD DROP");
  must("iptables-legacy -N DOCKER-USER");
  must("iptables-legacy -I FORWARD -j DOCKER-USER");
  ASSERT_FALSE(guest_reaches("203.0.113.9"));
  routing->look_at_legacy_tables();
  EXPECT_TRUE(guest_reaches("203.0.113.9"));
  EXPECT_THAT(run("iptables-legacy -S DOCKER-USER").output, HasSubstr("lanyard lab"));
  const std::string once = legacy();
  routing->look_at_legacy_tables();
  EXPECT_EQ(legacy(), once);
}

TEST_F(LegacyRoutingTest, WhatACrashLeftIsRemovedAtTheNextStart) {
  must("iptables-legacy -P FORWARD DROP");
  const std::string before = legacy();
  ASSERT_TRUE(then_killed([&] {
    static_cast<void>(start().release());
    return true;
  }));
  ASSERT_NE(legacy(), before);
  Routing::clean_up(state_.path(), log_);
  EXPECT_EQ(legacy(), before);
}

TEST_F(RoutingTest, SurvivesThatItsRulesWereFlushed) {
  must(kDropping);
  auto routing = start();
  must("nft flush ruleset");
  routing.reset();
  EXPECT_EQ(rules(), "");
  EXPECT_THAT(log_.text(), Not(HasSubstr("stay")));
}

TEST_F(RoutingTest, WithoutRightsItSaysSo) {
  EXPECT_TRUE(then_killed([&] {
    if (::setuid(65534) != 0) return false;
    const auto refused = Routing::start(routed(), "/tmp/lanyard-nowhere", log_);
    return !refused && refused.error().text.find("CAP_NET_ADMIN") != std::string::npos;
  }));
}

}  // namespace
}  // namespace lanyard
