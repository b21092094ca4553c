// SPDX-License-Identifier: MIT
#include "switch/host/ruleset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "switch/base/text.h"

namespace lanyard {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

RoutedNetwork lab() {
  return {"lab", "lanyard0", Ipv4Prefix::parse("192.168.56.1/24"), std::nullopt, "eth0"};
}

constexpr ProcessId kOwner{17, 4242};

TEST(Ruleset, OwnTableOfAnIpv4Network) {
  EXPECT_EQ(own_table(lab(), kOwner), R"(add table inet lanyard_lab
add chain inet lanyard_lab forward { type filter hook forward priority filter; }
add chain inet lanyard_lab postrouting { type nat hook postrouting priority srcnat; }
add rule inet lanyard_lab forward iifname "lanyard0" oifname "lanyard0" accept comment "owned by process 17 started 4242"
add rule inet lanyard_lab forward iifname "lanyard0" ip saddr != 192.168.56.0/24 drop
add rule inet lanyard_lab forward iifname "lanyard0" meta nfproto ipv6 drop
add rule inet lanyard_lab forward iifname "lanyard0" oifname != "eth0" drop
add rule inet lanyard_lab forward iifname "lanyard0" accept
add rule inet lanyard_lab forward oifname "lanyard0" ct state established,related accept
add rule inet lanyard_lab forward oifname "lanyard0" drop
add rule inet lanyard_lab postrouting ip saddr 192.168.56.0/24 ip daddr != 192.168.56.0/24 oifname "eth0" masquerade
)");
}

TEST(Ruleset, WithoutUplinkByAnyInterfaceButItsOwn) {
  RoutedNetwork network = lab();
  network.uplink.clear();
  network.subnet6 = Ipv6Prefix::parse("fd17::1/64");
  const std::string text = own_table(network, kOwner);
  EXPECT_THAT(text, HasSubstr("ip daddr != 192.168.56.0/24 oifname != \"lanyard0\" masquerade"));
  EXPECT_THAT(text, HasSubstr("ip6 saddr fd17::/64 ip6 daddr != fd17::/64 oifname != "
                              "\"lanyard0\" masquerade"));
  EXPECT_THAT(text, HasSubstr("iifname \"lanyard0\" ip6 saddr != fd17::/64 drop"));
  EXPECT_THAT(text, Not(HasSubstr("nfproto")));
}

TEST(Ruleset, NamesThatAreNoNamesAreRefused) {
  NetworkConfig network;
  network.name = "lab";
  network.host = HostInterfaceConfig{};
  network.host->name = "lanyard0";
  EXPECT_TRUE(routed_network(network));
  for (const char* const bad : {"", "a b", "x\"; flush ruleset", "a{", "ü"}) {
    NetworkConfig wrong = network;
    wrong.name = bad;
    EXPECT_FALSE(routed_network(wrong)) << bad;
    wrong = network;
    wrong.host->name = bad;
    EXPECT_FALSE(routed_network(wrong)) << bad;
    wrong = network;
    wrong.uplink = bad;
    EXPECT_EQ(routed_network(wrong).ok(), *bad == '\0') << bad;
  }
}

Json chain(const char* family, const char* table, const char* name, const char* policy) {
  Json made = {{"family", family}, {"table", table}, {"name", name}, {"handle", 1}};
  if (*policy != '\0') {
    made["hook"] = "forward";
    made["policy"] = policy;
  }
  return {{"chain", made}};
}

std::vector<std::string> where(const Json& list) {
  std::vector<std::string> found;
  for (const DroppingChain& drops : dropping_chains(list)) {
    found.push_back(fmt::format("{} {} {}{}", drops.family, drops.table, drops.chain,
                                drops.is_iptables ? "" : " (not ours)"));
  }
  return found;
}

TEST(Ruleset, ChainsThatDrop) {
  EXPECT_THAT(where(Json::array({chain("ip", "filter", "FORWARD", "accept"),
                                 chain("ip", "filter", "DOCKER", "")})),
              IsEmpty());
  EXPECT_THAT(where(Json::array({chain("ip", "filter", "FORWARD", "drop"),
                                 chain("ip6", "filter", "FORWARD", "drop")})),
              ElementsAre("ip filter FORWARD", "ip6 filter FORWARD"));
  EXPECT_THAT(where(Json::array({chain("ip", "filter", "FORWARD", "drop"),
                                 chain("ip", "filter", "DOCKER-USER", ""),
                                 chain("ip6", "filter", "FORWARD", "drop")})),
              ElementsAre("ip filter DOCKER-USER", "ip6 filter FORWARD"));
  EXPECT_THAT(where(Json::array({chain("inet", "filter", "forward", "drop"),
                                 chain("bridge", "filter", "FORWARD", "drop")})),
              ElementsAre("inet filter forward (not ours)"));
}

TEST(Ruleset, AcceptsAreOfTheChainsFamily) {
  EXPECT_EQ(accept_in({"ip", "filter", "FORWARD", true}, lab()),
            "insert rule ip filter FORWARD oifname \"lanyard0\" counter accept comment "
            "\"lanyard lab\"\n"
            "insert rule ip filter FORWARD iifname \"lanyard0\" oifname \"eth0\" ip saddr "
            "192.168.56.0/24 counter accept comment \"lanyard lab\"\n");
  EXPECT_EQ(accept_in({"ip6", "filter", "FORWARD", true}, lab()), "");
}

TEST(Ruleset, FindsItsOwnRulesAgain) {
  const auto rule = [](const char* comment, Json handle) {
    return Json{{"rule",
                 {{"family", "ip"},
                  {"table", "filter"},
                  {"chain", "FORWARD"},
                  {"comment", comment},
                  {"handle", std::move(handle)}}}};
  };
  const auto rules = rules_of_ours(Json::array({
      rule("lanyard lab", 7U),
      rule("lanyard", 8U),
      rule("somebody's", 9U),
      rule("lanyard x; flush ruleset", 10U),
      rule("lanyard lab", "7"),
      Json{{"rule", "?"}},
      Json(3),
  }));
  ASSERT_EQ(rules.size(), 1U);
  EXPECT_EQ(delete_rule(rules[0]), "delete rule ip filter FORWARD handle 7\n");
}

TEST(Ruleset, KnowsWhoWroteATable) {
  const auto table = [](const char* comment) {
    return Json::array({Json{{"rule", {{"comment", comment}}}}});
  };
  EXPECT_EQ(owner_of(table("owned by process 17 started 4242")), kOwner);
  for (const char* const other : {"", "owned by process", "owned by process x started 3",
                                  "owned by process 17", "owned by me"}) {
    EXPECT_FALSE(owner_of(table(other))) << other;
  }
}

}  // namespace
}  // namespace lanyard
