// SPDX-License-Identifier: MIT
#include "switch/daemon/reload_plan.h"

#include <gtest/gtest.h>

namespace lanyard {
namespace {

using Names = std::vector<std::string>;

NetworkConfig network(const std::string& name, NetworkKind kind = NetworkKind::internal) {
  NetworkConfig config;
  config.name = name;
  config.kind = kind;
  config.sockets.push_back({"/run/" + name, "0600", "", 0});
  return config;
}

ForwardConfig forward(const std::string& name, std::uint16_t port) {
  ForwardConfig config;
  config.name = name;
  config.host_port = port;
  config.guest = "10.0.2.15";
  config.guest_port = 80;
  return config;
}

Names networks_of(const std::vector<SocketStep>& steps) {
  Names names;
  for (const SocketStep& step : steps) names.push_back(step.network + " " + step.socket.path);
  return names;
}

TEST(ReloadPlan, OfEqualValuesIsEmpty) {
  const std::vector<NetworkConfig> same{network("a", NetworkKind::nat), network("b")};
  const ReloadPlan plan = plan_reload(same, same);
  EXPECT_TRUE(plan.added.empty() && plan.removed.empty() && plan.changed.empty());
  EXPECT_TRUE(plan.configure_gateways.empty() && plan.release.empty());
}

TEST(ReloadPlan, NamesWhatComesAndGoes) {
  const ReloadPlan plan = plan_reload({network("a"), network("b")}, {network("b"), network("c")});
  EXPECT_EQ(plan.added, Names{"c"});
  EXPECT_EQ(plan.removed, Names{"a"});
  EXPECT_EQ(networks_of(plan.open.sockets), Names{"c /run/c"});
  EXPECT_TRUE(plan.changed.empty());
  EXPECT_TRUE(plan.close_moved.sockets.empty());
}

TEST(ReloadPlan, LeavesSocketsOpenThatOnlyHaveAnotherVlan) {
  NetworkConfig later = network("a");
  later.sockets[0].vlan = 10;
  later.vlans = {10};
  const ReloadPlan plan = plan_reload({network("a")}, {later});
  EXPECT_EQ(plan.changed, Names{"a"});
  EXPECT_TRUE(plan.open.sockets.empty());
  EXPECT_TRUE(plan.close.sockets.empty());
}

TEST(ReloadPlan, OpensASocketWithAnotherModeAnew) {
  NetworkConfig later = network("a");
  later.sockets[0].mode = "0660";
  const ReloadPlan plan = plan_reload({network("a")}, {later});
  EXPECT_EQ(networks_of(plan.open_moved.sockets), Names{"a /run/a"});
  EXPECT_EQ(networks_of(plan.close_moved.sockets), Names{"a /run/a"});
  EXPECT_TRUE(plan.open.empty() && plan.close.empty());
}

TEST(ReloadPlan, ClosesFirstWhatMovesToAnotherNetwork) {
  NetworkConfig later = network("b");
  later.sockets[0].path = "/run/a";
  const ReloadPlan plan = plan_reload({network("a")}, {later});
  EXPECT_EQ(networks_of(plan.close_moved.sockets), Names{"a /run/a"});
  EXPECT_EQ(networks_of(plan.open_moved.sockets), Names{"b /run/a"});
  EXPECT_TRUE(plan.open.empty() && plan.close.empty());
}

TEST(ReloadPlan, OpensOnlyThePlugsThatAreNew) {
  NetworkConfig a = network("a");
  NetworkConfig b = network("b");
  a.plugs = {"tap://one", "tap://two"};
  const std::vector<NetworkConfig> before{a, b};
  a.plugs = {"tap://two", "tap://three"};
  ReloadPlan plan = plan_reload(before, {a, b});
  EXPECT_EQ(plan.open.plugs, (std::vector<PlugStep>{{"a", "tap://three"}}));
  EXPECT_EQ(plan.close.plugs, (std::vector<PlugStep>{{"a", "tap://one"}}));
  EXPECT_TRUE(plan.close_moved.empty());
  a.plugs = {"tap://two?vlan=3"};
  b.plugs = {"tap://one"};
  plan = plan_reload(before, {a, b});
  EXPECT_TRUE(plan.open.empty() && plan.close.empty());
  EXPECT_EQ(plan.close_moved.plugs,
            (std::vector<PlugStep>{{"a", "tap://one"}, {"a", "tap://two"}}));
  EXPECT_EQ(plan.open_moved.plugs,
            (std::vector<PlugStep>{{"a", "tap://two?vlan=3"}, {"b", "tap://one"}}));
}

TEST(ReloadPlan, TellsGatewaysWhatChanges) {
  NetworkConfig nat = network("nat", NetworkKind::nat);
  NetworkConfig lan = network("lan");
  NetworkConfig quiet = network("quiet", NetworkKind::nat);
  const std::vector<NetworkConfig> before{lan, nat, quiet};
  nat.forwards.push_back(forward("web", 8080));
  lan.dhcp.enabled = true;
  quiet.kind = NetworkKind::internal;
  const ReloadPlan plan = plan_reload(before, {lan, nat, quiet});
  EXPECT_EQ(plan.configure_gateways, Names{"nat"});
  EXPECT_EQ(plan.start_gateways, Names{"lan"});
  EXPECT_EQ(plan.end_gateways, Names{"quiet"});
}

TEST(ReloadPlan, OpensTheHostInterfaceAnewWhenItIsAnother) {
  NetworkConfig before = network("lab", NetworkKind::host_only);
  before.host = HostInterfaceConfig{};
  before.host->name = "lab0";
  NetworkConfig later = before;
  later.mtu = 1400;
  EXPECT_TRUE(plan_reload({before}, {later}).open.hosts.empty()) << "the guests' MTU is no matter";
  later.host->mtu = 1400;
  const ReloadPlan plan = plan_reload({before}, {later});
  EXPECT_EQ(plan.open_moved.hosts, Names{"lab"});
  EXPECT_EQ(plan.close_moved.hosts, Names{"lab"});
  later.kind = NetworkKind::routed;
  EXPECT_EQ(plan_reload({before}, {later}).open_moved.hosts, Names{"lab"});
  later.host.reset();
  later.kind = NetworkKind::internal;
  const ReloadPlan without = plan_reload({before}, {later});
  EXPECT_EQ(without.close.hosts, Names{"lab"});
  EXPECT_TRUE(without.close_moved.hosts.empty());
}

TEST(ReloadPlan, LetsGatewaysReleasePortsThatOthersGet) {
  NetworkConfig a = network("a", NetworkKind::nat);
  NetworkConfig b = network("b", NetworkKind::nat);
  a.forwards = {forward("ssh", 2222), forward("web", 8080)};
  const std::vector<NetworkConfig> before{a, b};
  b.forwards = {forward("shell", 2222)};
  a.forwards = {forward("web", 8080)};
  const ReloadPlan moved = plan_reload(before, {a, b});
  ASSERT_EQ(moved.release.size(), 1U);
  EXPECT_EQ(moved.release[0].name, "a");
  ASSERT_EQ(moved.release[0].forwards.size(), 1U);
  EXPECT_EQ(moved.release[0].forwards[0].name, "web");

  EXPECT_EQ(plan_reload(before, {b}).release.size(), 1U) << "also when its holder is removed";
  EXPECT_TRUE(plan_reload(before, {a}).release.empty());
}

TEST(Forwards, CollideWhereBothListen) {
  ForwardConfig a = forward("a", 8000);
  a.ports = 10;
  ForwardConfig b = forward("b", 8009);
  EXPECT_TRUE(collide(a, b));
  b.host_port = 8010;
  EXPECT_FALSE(collide(a, b));
  b.host_port = 8000;
  b.transport = Transport::udp;
  EXPECT_FALSE(collide(a, b));
  b.transport = Transport::tcp;
  a.host_address = Ipv4Address::from_number(0x7f000001);
  EXPECT_TRUE(collide(a, b)) << "all addresses include this one";
  b.host_address = Ipv4Address::from_number(0x7f000002);
  EXPECT_FALSE(collide(a, b));
  a.unix_path = "/run/a";
  EXPECT_FALSE(collide(a, b));
}

}  // namespace
}  // namespace lanyard
