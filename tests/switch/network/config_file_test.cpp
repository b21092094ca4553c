// SPDX-License-Identifier: MIT
#include "switch/network/config_file.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "switch/network/paths.h"

namespace lanyard {
namespace {

using testing::Contains;
using testing::HasSubstr;

std::string all_messages(const ConfigOutcome& outcome) {
  std::string text;
  for (const ConfigProblem& problem : outcome.problems) text += problem.message() + "\n";
  return text;
}

// The only network of a file that must be right.
NetworkConfig only(std::string_view text) {
  const ConfigOutcome outcome = parse_config(text, "lab.toml");
  EXPECT_EQ(all_messages(outcome), "");
  EXPECT_EQ(outcome.configuration.networks.size(), 1U);
  return outcome.configuration.networks.empty() ? NetworkConfig{}
                                                : outcome.configuration.networks.front();
}

std::string text_of(const std::optional<Ipv4Address>& address) {
  return address ? address->text() : "none";
}

std::string text_of(const std::vector<Ipv4Range>& ranges) {
  std::string text;
  for (const Ipv4Range& range : ranges) {
    text += (text.empty() ? "" : " ") + range.first.text() + "-" + range.last.text();
  }
  return text;
}

TEST(ConfigFile, ANatNetworkHasVirtualBoxsAddresses) {
  const NetworkConfig nat = only("[network.nat]\nkind = 'nat'\n");
  EXPECT_EQ(nat.subnet->text(), "10.0.2.0/24");
  EXPECT_EQ(text_of(nat.router), "10.0.2.2");
  EXPECT_EQ(text_of(nat.dns_address), "10.0.2.3");
  EXPECT_EQ(text_of(nat.dhcp_address), "none");
  EXPECT_EQ(text_of(nat.dhcp.ranges), "10.0.2.15-10.0.2.254");
  EXPECT_EQ(text_of(nat.dhcp.router), "10.0.2.2");
  EXPECT_THAT(nat.dhcp.dns, testing::ElementsAre(*Ipv4Address::parse("10.0.2.3")));
  EXPECT_EQ(nat.subnet6->text(), "fd17:625c:f037:2::/64");
  EXPECT_EQ(nat.router6->text(), "fd17:625c:f037:2::2");
  EXPECT_EQ(nat.dns_address6->text(), "fd17:625c:f037:2::3");
  EXPECT_EQ(nat.domain, "nat.internal");
  EXPECT_EQ(nat.tcp_engine, TcpEngineKind::direct);
  EXPECT_TRUE(nat.dhcp.enabled);
  EXPECT_TRUE(nat.dns.enabled);
  EXPECT_FALSE(nat.host);
  ASSERT_EQ(nat.sockets.size(), 1U);
  EXPECT_EQ(nat.sockets[0].path, runtime_directory() + "/nat");
}

TEST(ConfigFile, AHostOnlyNetworkHasVirtualBoxsAddressesAndTellsNoRouterAndNoDns) {
  const NetworkConfig lab = only("[network.lab]\nkind = 'host-only'\n");
  EXPECT_EQ(lab.host->name, "ly-lab");
  EXPECT_EQ(lab.host->address->text(), "192.168.56.1/24");
  EXPECT_EQ(lab.subnet->text(), "192.168.56.0/24");
  EXPECT_EQ(text_of(lab.dhcp_address), "192.168.56.100");
  EXPECT_EQ(text_of(lab.dhcp.ranges), "192.168.56.101-192.168.56.254");
  EXPECT_EQ(text_of(lab.dhcp.router), "none");
  EXPECT_TRUE(lab.dhcp.dns.empty());
  EXPECT_FALSE(lab.dns.enabled);
  EXPECT_EQ(text_of(lab.router), "none");
}

TEST(ConfigFile, ARoutedNetworkTellsTheHostAsRouterAndAnswersNames) {
  const NetworkConfig lab = only("[network.lab]\nkind = 'routed'\nuplink = 'eth0'\n");
  EXPECT_EQ(lab.host->address->text(), "192.168.57.1/24");
  EXPECT_EQ(text_of(lab.dhcp.router), "192.168.57.1");
  EXPECT_EQ(text_of(lab.dns_address), "192.168.57.100");
}

TEST(ConfigFile, AnInternalNetworkHasASwitchAndNothingElse) {
  const NetworkConfig lab = only("[network.lab]\nkind = 'internal'\n");
  EXPECT_FALSE(lab.subnet);
  EXPECT_FALSE(lab.needs_gateway());
}

TEST(ConfigFile, WhatWasSaidMovesWhatFollowsFromIt) {
  const NetworkConfig nat = only(
      "[network.n]\nkind='nat'\nsubnet='172.20.0.0/28'\nsubnet6='none'\nrouter='172.20.0.1'\n");
  EXPECT_EQ(text_of(nat.dhcp.router), "172.20.0.1");
  EXPECT_EQ(text_of(nat.dhcp.ranges), "172.20.0.4-172.20.0.14");
  EXPECT_FALSE(nat.router6);
  const NetworkConfig lab =
      only("[network.n]\nkind='host-only'\n[network.n.host]\naddress='10.9.8.150/24'\n");
  EXPECT_EQ(lab.subnet->text(), "10.9.8.0/24");
  EXPECT_EQ(text_of(lab.dhcp.ranges), "10.9.8.101-10.9.8.149 10.9.8.151-10.9.8.254");
}

TEST(ConfigFile, ForwardsAreTablesOrVirtualBoxsRules) {
  const NetworkConfig nat = only(R"(
[network.nat]
kind = "nat"
forward = ["ssh,tcp,127.0.0.1,2222,,22", { name = "dns", from = "udp:*:5353", to = "vm1:53" }]
)");
  ASSERT_EQ(nat.forwards.size(), 2U);
  EXPECT_EQ(nat.forwards[0].guest, "10.0.2.15");
  EXPECT_EQ(nat.forwards[0].host_port, 2222);
  EXPECT_EQ(nat.forwards[1].transport, Transport::udp);
  EXPECT_EQ(nat.forwards[1].guest, "vm1");
}

TEST(ConfigFile, DefaultsAreANatNetworkAndWithRightsAHostOnlyOne) {
  EXPECT_EQ(default_configuration(false).networks.size(), 1U);
  const Configuration both = default_configuration(true);
  ASSERT_EQ(both.networks.size(), 2U);
  EXPECT_EQ(both.networks[0].name, "host-only");
  EXPECT_EQ(both.networks[1].name, "nat");
  EXPECT_EQ(config_text(both),
            "[network.host-only]\nkind = \"host-only\"\n\n[network.nat]\nkind = \"nat\"\n");
}

TEST(ConfigFile, IsWrittenWithoutWhatFollowsFromTheRest) {
  for (const std::string_view text :
       {"[network.n]\nkind = \"nat\"\nsubnet = \"10.99.2.0/24\"\n",
        "[network.n]\nkind = \"nat\"\nrouter = \"10.0.2.1\"\n",
        "[network.n]\nkind = \"nat\"\n\n[network.n.dns]\nenabled = false\n",
        "[network.n]\nkind = \"host-only\"\n\n[network.n.dhcp]\nenabled = false\n",
        "[network.n]\nkind = \"nat\"\n\n[[network.n.guest]]\nname = \"vm1\"\n"}) {
    EXPECT_EQ(config_text(parse_config(text, "f").configuration), text);
  }
}

struct Wrong {
  std::string_view text;
  std::string_view message;  // a part
};

class ConfigProblems : public testing::TestWithParam<Wrong> {};

TEST_P(ConfigProblems, AreNamedWithTheirPlace) {
  const ConfigOutcome outcome = parse_config(GetParam().text, "f");
  EXPECT_THAT(all_messages(outcome), HasSubstr(GetParam().message)) << GetParam().text;
}

#define NAT "[network.a]\nkind = 'nat'\n"
#define HOST "[network.a]\nkind = 'host-only'\n"

INSTANTIATE_TEST_SUITE_P(
    Table, ConfigProblems,
    testing::Values(
        Wrong{"kind = ", "f:1:"},
        Wrong{"[network.\xca\x92]", "f:1:10: letters beyond ASCII stand in quotes only"},
        Wrong{"# \xca\x92\na = '\xca\x92'\nb = \xca\x92", "f:3:5: letters beyond ASCII"},
        Wrong{"a = \"\"\"b\nc\"\"\"", "f:1:5: no text here has several lines"},
        Wrong{"[netwrok.a]\nkind='nat'", "f:1:2: netwrok: there is no such key; did you mean"},
        Wrong{"[network.a]\nkind='nat'\nsubnt='10.0.2.0/24'",
              "f:3:1: network.a.subnt: there is no such key; did you mean \"subnet\"?"},
        Wrong{"[network.a]\n", "f:1:1: network.a: the network has no kind"},
        Wrong{"[network.a]\nkind='bridge'\n", "f:2:6: network.a.kind: \"bridge\" is no kind"},
        Wrong{"[network.a]\nkind=3\n", "f:2:6: network.a.kind: 3 is no kind"},
        Wrong{"network = 3", "f:1:11: network: networks have names"},
        Wrong{"network.a = 3", "network.a: 3 stands where a table is expected"},
        Wrong{NAT "mtu = 'big'", "f:3:7: network.a.mtu: \"big\" is no whole number"},
        Wrong{NAT "mtu = -1", "-1 is no whole number"},
        Wrong{NAT "mtu = 1.5", "1.5 is no whole number"},
        Wrong{NAT "mtu = 1979-05-27", "network.a.mtu: nothing is no whole number"},
        Wrong{NAT "mtu = 600", "600 is not 1280 to"},
        Wrong{NAT "ports = 0", "network.a.ports: 0 is not 1 to"},
        Wrong{NAT "vlans = [10, 4095]", "4095 is not 1 to 4094"},
        Wrong{NAT "vlans = [10, 10]", "10 is there twice"},
        Wrong{NAT "subnet = '10.0.2.0'", "a /32 is no network for guests"},
        Wrong{NAT "subnet = '10.0.2.1/24'", "did you mean 10.0.2.0/24?"},
        Wrong{NAT "subnet = '127.0.0.0/24'", "holds no addresses for guests"},
        Wrong{NAT "subnet = 'none'", "a nat network needs one"},
        Wrong{NAT "subnet6 = 'fd00::/48'", "guests make their addresses in a /64"},
        Wrong{NAT "router = '10.0.3.2'", "network.a.router: 10.0.3.2 is not in the subnet"},
        Wrong{NAT "router = '10.0.2.3'", "10.0.2.3 is taken by router"},
        Wrong{NAT "router = '10.0.2.255'", "first or last address"},
        Wrong{NAT "router6 = 'fd00::2'", "fd00::2 is not in the subnet6"}));

INSTANTIATE_TEST_SUITE_P(
    PartsTable, ConfigProblems,
    testing::Values(
        Wrong{NAT "uplink = 'eth0'", "only a routed network"},
        Wrong{NAT "outbound_address = 'eth0'", "\"eth0\" is no IPv4 address"},
        Wrong{NAT "[network.a.host]\nname='t0'", "has no interface of the host"},
        Wrong{NAT "tcp_engine = 'slirp'", "\"slirp\" is no TCP engine; there are direct, libslirp"},
        Wrong{HOST "tcp_engine = 'direct'", "only a nat network has one"},
        Wrong{HOST "[network.a.host]\nname='an-interface-too-long'", "1 to 15 characters"},
        Wrong{HOST "[network.a.host]\nname='a/b'", "no name of an interface"},
        Wrong{HOST "[network.a.host]\naddress='10.0.0.1/16'\n[network.a.dhcp]\nranges="
                   "'10.1.0.5'",
              "10.1.0.5 is not in the subnet 10.0.0.0/16"},
        Wrong{HOST "subnet='10.9.0.0/24'\n[network.a.host]\naddress='10.8.0.1/24'",
              "10.8.0.1 is not in the subnet 10.9.0.0/24"},
        Wrong{HOST "forward=['ssh,tcp,,22,,22']", "only nat networks forward"},
        Wrong{HOST "[network.a.policy]\nrestricted=true", "only a nat network has one"},
        Wrong{NAT "[network.a.dhcp]\nranges=['10.0.2.1-10.0.2.99']",
              "holds 10.0.2.2, which router"},
        Wrong{NAT "[network.a.dhcp]\nranges=['10.0.2.30-10.0.2.20']", "is no range of addresses"},
        Wrong{NAT "[network.a.dhcp]\nranges=['10.0.2.30','10.0.2.20-10.0.2.40']", "in two ranges"},
        Wrong{NAT "[network.a.dhcp]\nlease_time='soon'", "\"soon\" is no time"},
        Wrong{NAT "[network.a.dhcp]\nlease_time='99999d'", "is no time"},
        Wrong{NAT "[[network.a.dhcp.option]]\ncode=53\nhex='01'", "the protocol's own"},
        Wrong{NAT "[[network.a.dhcp.option]]\ncode=43", "one of hex, text and addresses"},
        Wrong{NAT "[[network.a.dhcp.option]]\ncode=43\nhex='0'", "no bytes in hexadecimal"},
        Wrong{NAT "[network.a.dns]\nupstream=['one']", "no address of a DNS server"},
        Wrong{NAT "[network.a.policy]\nallow=['10.0.0.0/8:x']", "is no destination"}));

INSTANTIATE_TEST_SUITE_P(
    GuestsTable, ConfigProblems,
    testing::Values(
        Wrong{NAT "[[network.a.guest]]\nmac='52:54:00:00:00:01'", "a guest has a name"},
        Wrong{NAT "[[network.a.guest]]\nname='a'\nmac='x'", "is not a MAC address"},
        Wrong{NAT "[[network.a.guest]]\nname='a'\n[[network.a.guest]]\nname='A'", "another guest"},
        Wrong{NAT "[[network.a.guest]]\nname='a'\naddress='10.0.2.2'", "taken by router"},
        Wrong{NAT "[[network.a.guest]]\nname='a'\nip='10.0.2.9'", "guest[1].ip: there is no such"},
        Wrong{NAT "forward=['ssh,tcp,,22,,22','ssh,tcp,,23,,23']", "another forward called ssh"},
        Wrong{NAT "forward=['a,tcp,,22,,22','b,tcp,127.0.0.1,22,,23']",
              "forward b listens at port"},
        Wrong{NAT "forward=['a,tcp,,22']", "is not NAME,tcp|udp"},
        Wrong{NAT "[[network.a.forward]]\nname='ssh'\nfrom='2222'", "the forward has no \"to\""},
        Wrong{NAT "[[network.a.forward]]\nname='s'\nfrom='22'\nto='10.1.2.3:22'",
              "not in the subnet"},
        Wrong{NAT "socket = 'a/b'", "neither a name nor an absolute path"},
        Wrong{NAT "socket = { path = '/x', mode = 'rw' }", "is no octal mode"},
        Wrong{NAT "socket = { path = '/x', vlan = 7 }", "not among the network's vlans"},
        Wrong{
            NAT "[network.b]\nkind='nat'",
            "network.b.subnet: 10.0.2.0/24 overlaps 10.0.2.0/24 of network a; give it its own, as "
            "in subnet = \"10.0.3.0/24\""},
        Wrong{NAT "socket='/s'\n[network.b]\nkind='internal'\nsocket='/s'",
              "network a has the socket"},
        Wrong{HOST "host.name='t'\n[network.b]\nkind='routed'\nhost.name='t'",
              "network a has the interface t"},
        Wrong{NAT "forward=['a,tcp,,22,,22']\n[network.b]\nkind='nat'\nsubnet='10.0.3.0/24'\n"
                  "forward=['b,tcp,,22,,22']",
              "where forward a of network a does"},
        Wrong{"[network.'a b']\nkind='internal'", "f:1:10: network.a b: this cannot be"},
        Wrong{"[control]\ngruop='x'", "did you mean \"group\"?"}, Wrong{NAT NAT, "f:3:"}));

TEST(ConfigFile, AllProblemsAreReportedInTheOrderOfTheFile) {
  const ConfigOutcome outcome =
      parse_config("[network.a]\nkind='nat'\nmtu=1\nsubnt=''\n[network.b]\nkind='nope'\n", "f");
  ASSERT_EQ(outcome.problems.size(), 3U) << all_messages(outcome);
  EXPECT_EQ(outcome.problems[0].line, 3U);
  EXPECT_EQ(outcome.problems[1].line, 4U);
  EXPECT_EQ(outcome.problems[2].line, 6U);
}

TEST(ConfigFile, OneMistakeIsOneProblem) {
  for (const std::string_view text :
       {NAT "subnet = 5", NAT "router = 'x'", NAT "[network.a.dhcp]\nranges = ['x']",
        NAT "[[network.a.guest]]\nname='a'\naddress='x'", NAT "forward = ['x']",
        HOST "[network.a.host]\naddress = 'x'", NAT "mtu = 'x'"}) {
    EXPECT_EQ(parse_config(text, "f").problems.size(), 1U) << text << "\n"
                                                           << all_messages(parse_config(text, "f"));
  }
}

TEST(ConfigFile, NoTextCanExhaustTheStack) {
  std::string brackets = "a = " + std::string(100000, '[');
  std::string dots = "a";
  for (int i = 0; i < 100000; ++i) dots += ".a";
  for (const std::string& text : {brackets, dots + " = 1", "[" + dots + "]"}) {
    EXPECT_FALSE(parse_config(text, "f").problems.empty());
  }
  EXPECT_FALSE(parse_config(std::string(kConfigSizeMax + 1, '\n'), "f").problems.empty());
}

TEST(ConfigFile, AMissingFileIsAProblemOfTheWholeFile) {
  const ConfigOutcome outcome = read_config_file("/nonexistent/lanyard.toml");
  ASSERT_EQ(outcome.problems.size(), 1U);
  EXPECT_EQ(outcome.problems[0].line, 0U);
  EXPECT_THAT(outcome.problems[0].message(), HasSubstr("cannot be read: No such file"));
  EXPECT_FALSE(read_config_file("/").problems.empty());
}

TEST(ConfigFile, AnEmptyFileIsNoNetworks) {
  const ConfigOutcome outcome = parse_config("", "f");
  EXPECT_EQ(all_messages(outcome), "");
  EXPECT_EQ(outcome.configuration, Configuration{});
}

TEST(ConfigFile, EveryKeyIsListedOnceWithHelp) {
  std::vector<std::string> names;
  for (const ConfigKey& key : config_keys()) {
    EXPECT_NE(key.help, "") << key.key;
    names.push_back(key.key);
  }
  EXPECT_THAT(names, Contains("network.NAME.dhcp.ranges"));
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

TEST(ConfigFile, PluginsAreReadAndWrittenAsTheyStand) {
  const NetworkConfig lan =
      only("[network.lan]\nkind = 'internal'\nplugins = ['acl; acl/default deny', '/x/y.so']\n");
  EXPECT_THAT(lan.plugins, testing::ElementsAre("acl; acl/default deny", "/x/y.so"));
}

TEST(ConfigFile, PluginsAreRefusedWithTheirPlace) {
  const struct {
    const char* plugins;
    const char* part;
  } rows[]{
      {"['pdump active=1']", "semicolons"},
      {"['acl', '/x/acl.so; acl/default deny']", "acl is there twice"},
      {"['./acl.so']", "absolute path"},
  };
  for (const auto& row : rows) {
    const std::string text =
        std::string("[network.lan]\nkind = 'internal'\nplugins = ") + row.plugins + "\n";
    const std::string messages = all_messages(parse_config(text, "lab.toml"));
    EXPECT_THAT(messages, HasSubstr(row.part)) << row.plugins;
    EXPECT_THAT(messages, HasSubstr("lab.toml:3:")) << row.plugins;
  }
}

}  // namespace
}  // namespace lanyard
